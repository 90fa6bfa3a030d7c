import type { AccessRestriction } from "./access-restriction.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import type { NexusKeeper } from "./nexus-keeper.ts"
import type { TargetPortGroups } from "./target-port-groups.ts"
import { UnitAttentions } from "./unit-attention.ts"

/** A port of a SCSI target device. */
export interface TargetPort {
  /** SCSI port name: for iSCSI "<iSCSI name>,t,0x<portal group tag>". */
  readonly targetPortName: string
  /** 1 to 65535: the relative target port identifier (SPC-4 §7.8.6.7). */
  readonly relativeTargetPort: number
}

/** Who talks to whom: what identifies an I_T nexus (SAM-5 §4.8). */
export interface NexusIdentity extends TargetPort {
  /** SCSI port name: for iSCSI "<iSCSI name>,i,0x<ISID>" (RFC 7143 §3.4.1 b). */
  readonly initiatorPortName: string
  /** SCSI device name of the initiator: for iSCSI its iSCSI name. */
  readonly initiatorName: string
}

/** What a logical unit may ask of the SCSI target device a nexus belongs to: a unit can be part of several. */
export interface LogicalUnitInventory {
  readonly nexuses: ReadonlySet<Nexus>
  readonly portGroups: TargetPortGroups
  /** The logical unit numbers there are, rising. */
  luns(): readonly number[]
  /** The ports of the device, by rising identifier. */
  targetPorts(): TargetPort[]
  /** The logical units by number: the ones a copy may reach for the nexus (SPC-4 §5.17.2). */
  readonly logicalUnits: ReadonlyMap<number, LogicalUnit>
  /** Forgets a pending unit attention of the nexus on every logical unit of the target. */
  clearUnitAttention(nexus: Nexus, asc: number): void
  /**
   * Resolves with `ended`, the end of aborted tasks of the unit, however long the medium takes. Initiators that owe
   * data to tasks which are to get an answer are waited for up to ABORT_DEADLINE_MS.
   */
  tasksEnded(unit: LogicalUnit, ended: Promise<unknown>): Promise<void>
}

/** Both ports of a nexus in one text: the same for each nexus there ever is between them. */
export const nexusName = (initiatorPortName: string, { targetPortName }: TargetPort): string =>
  `${initiatorPortName} ${targetPortName}`

/** An I_T nexus: lives from the login that makes it to the logout or loss that ends it. Compared by identity. */
export class Nexus {
  readonly identity: NexusIdentity
  /** What is kept for it beyond its life is kept under this name. */
  readonly name: string
  /** Set by ScsiTarget.attachNexus, gone again after detachNexus. */
  inventory: LogicalUnitInventory | undefined
  /** What commands through its target port may do; undefined, as nearly always: everything. */
  restriction: AccessRestriction | undefined
  /** The conditions that are pending at each unit that keeps nothing for it yet: see LogicalUnit's `#itl`. */
  readonly attentions = new UnitAttentions()
  /** The units that keep something for it. */
  readonly units = new Set<NexusKeeper>()

  constructor(identity: NexusIdentity) {
    this.identity = identity
    this.name = nexusName(identity.initiatorPortName, identity)
  }
}
