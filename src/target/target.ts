import type { BlockDevice } from "../backstore/block-device.ts"
import { type Clock, systemClock } from "../base/clock.ts"
import { SanletError } from "../base/errors.ts"
import { LUNS_MAX } from "../base/limits.ts"
import { type Log, silentLog } from "../base/log.ts"
import type { ChapAcceptance } from "../iscsi/login/chap.ts"
import type { KeyPreferences } from "../iscsi/login/keys.ts"
import { sendScsiEvent } from "../iscsi/session/async-messages.ts"
import type { SessionEnd, TargetSession } from "../iscsi/session/target-session.ts"
import { ScsiTarget } from "../scsi/sam/scsi-target.ts"
import type { TargetPort } from "../scsi/sam/nexus.ts"
import { DiskUnit, type DiskUnitOptions } from "../scsi/sbc/disk-unit.ts"
import { Asc, encodeSense, SenseKey } from "../scsi/spec/sense.ts"
import { parseIscsiName } from "../wire/text.ts"
import { AccessList, type AccessOptions } from "./access.ts"
import { NetworkEntity, type NetworkEntityOptions, type PortalOptions } from "./network-entity.ts"
import type { Portal } from "./portal.ts"
import { targetPort } from "./scsi-port.ts"

export interface TargetOptions {
  /** iSCSI name: iqn., eui. or naa. (RFC 7143 §4.2.7). */
  readonly name: string
  readonly alias?: string
  /** Absent: no authentication. */
  readonly auth?: ChapAcceptance
  readonly access?: AccessOptions
  /** Portal group tags it is reached through. Absent: all. */
  readonly portalGroups?: readonly number[]
  /** What its logins are negotiated with. */
  readonly keys?: Partial<KeyPreferences>
  readonly clock?: Clock
  readonly log?: Log
}

/** A session, for people. */
export interface SessionInfo {
  readonly initiatorName: string
  readonly address: string
  readonly tsih: number
  readonly isid: number
  readonly transport: "tcp" | "iser"
}

/**
 * A target node: a SCSI target device and who may use it.
 *
 *     const target = new Target({ name: "iqn.2026-01.org.example:disk0" })
 *     target.addLogicalUnit(0, await FileStore.open("disk.img", { sizeBytes: 10 * GiB, create: true }))
 *     await target.listen({ host: "127.0.0.1", port: 3260 })
 */
export class Target {
  readonly name: string
  readonly options: TargetOptions
  readonly access: AccessList
  readonly scsi: ScsiTarget
  readonly #sessions = new Set<TargetSession>()
  #entity: NetworkEntity | undefined
  /** Groups of the portals there are; set by the network entity it is added to. */
  listeningGroups: () => Iterable<number> = () => []

  /** Throws SanletError ERR_ISCSI_NAME, ERR_ACCESS_ADDRESS. */
  constructor(options: TargetOptions) {
    const name = parseIscsiName(options.name)
    if (name === undefined) {
      throw new SanletError(
        "ERR_ISCSI_NAME",
        `"${options.name}" is no iSCSI name: use iqn.YYYY-MM.reversed.domain:any, eui.<16 hex digits> or naa.<16 or 32>`,
      )
    }
    this.name = name
    this.options = options
    this.access = new AccessList(options.access)
    const { clock = systemClock, log = silentLog } = options
    this.scsi = new ScsiTarget({ clock, log, targetPorts: () => this.#ports() })
    this.scsi.onInventoryChange(() => this.#announceInventory())
  }

  get logicalUnits(): ReadonlyMap<number, DiskUnit> {
    return this.scsi.logicalUnits as ReadonlyMap<number, DiskUnit>
  }

  /**
   * Makes `device` logical unit `lun` (0 to LUNS_MAX - 1), also while initiators are logged in. The device stays the
   * caller's to close. Throws SanletError ERR_LUN.
   */
  addLogicalUnit(lun: number, device: BlockDevice | DiskUnit, options: DiskUnitOptions = {}): DiskUnit {
    if (!Number.isInteger(lun) || lun < 0 || lun >= LUNS_MAX) {
      throw new SanletError("ERR_LUN", `LUN ${lun} is not a whole number from 0 to ${LUNS_MAX - 1}`)
    }
    const { clock } = this.options
    const unit =
      device instanceof DiskUnit ? device : new DiskUnit(device, { ...(clock && { clock }), ...options })
    this.scsi.addLogicalUnit(lun, unit)
    return unit
  }

  /** Takes it away: its tasks are aborted, initiators are told. Resolves when its device is no longer used. */
  removeLogicalUnit(lun: number): Promise<void> {
    return this.scsi.removeLogicalUnit(lun)
  }

  /** A portal of the target's own: for one target in one process. Others share a NetworkEntity. */
  listen(at: PortalOptions, options: NetworkEntityOptions = {}): Promise<Portal> {
    if (!this.#entity) {
      const { clock, log } = this.options
      this.#entity = new NetworkEntity({ ...(clock && { clock }), ...(log && { log }), ...options })
      this.#entity.addTarget(this)
    }
    return this.#entity.listen(at)
  }

  /** Logs every initiator out and closes the portals made by `listen`. */
  async close(): Promise<void> {
    await this.#entity?.close()
  }

  /** Whether it is reached through portals of this group. */
  isIn(portalGroupTag: number): boolean {
    return this.options.portalGroups?.includes(portalGroupTag) ?? true
  }

  #ports(): TargetPort[] {
    const tags = [...new Set(this.listeningGroups())].filter((tag) => this.isIn(tag))
    return tags.map((tag) => targetPort(this.name, tag))
  }

  sessions(): SessionInfo[] {
    return [...this.#sessions].flatMap((session) => {
      const [connection] = session.connections.values()
      if (!connection) return []
      const { initiatorName, tsih, isid } = session.identity
      const { remote, transport } = connection.datamover
      return [{ initiatorName, tsih, isid, transport, address: `${remote.address}:${remote.port}` }]
    })
  }

  sessionOpened(session: TargetSession): void {
    this.#sessions.add(session)
  }

  sessionEnded(session: TargetSession): void {
    this.#sessions.delete(session)
  }

  /** Ends every session once what it was sent is through. */
  endSessions(why: SessionEnd): void {
    for (const session of this.#sessions) {
      for (const connection of [...session.connections.values()]) connection.close(why)
    }
  }

  /** The unit attention comes with the next command; the Async Message comes at once (RFC 7143 §11.9.1). */
  #announceInventory(): void {
    const changed = { key: SenseKey.unitAttention, asc: Asc.reportedLunsDataHasChanged, detail: {} }
    const sense = encodeSense(changed, "fixed")
    for (const session of this.#sessions) {
      const [connection] = session.connections.values()
      if (connection) sendScsiEvent(connection, 0, 0, sense)
    }
  }
}
