import type { AccessState } from "../spec/access-state.ts"
import { MaintenanceIn, MaintenanceOut, OperationCode, ServiceActionIn16 } from "../spec/operation-code.ts"
import { Asc, type Sense, SenseError, SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"

/** An operation code with all of its service actions, or with one. */
type Row = readonly [opcode: number, serviceAction?: number]

/** While a port changes its state (SPC-4 §5.16.2.5 b). */
const inTransition: readonly Row[] = [
  [OperationCode.inquiry],
  [OperationCode.reportLuns],
  [OperationCode.maintenanceIn, MaintenanceIn.reportTargetPortGroups],
  [OperationCode.requestSense],
  [0x3c], // READ BUFFER
  [0x3b], // WRITE BUFFER
]

/** SPC-4 §5.16.2.4.5. */
const whenUnavailable: readonly Row[] = [
  ...inTransition,
  [OperationCode.maintenanceOut, MaintenanceOut.setTargetPortGroups],
]

/**
 * SPC-4 §5.16.2.4.4. "The device server may support other commands": those that only tell about the unit. Linux asks
 * for the capacity on every path, and for the commands there are; LIO lets it have the first, too.
 */
const inStandby: readonly Row[] = [
  ...whenUnavailable,
  [OperationCode.logSelect],
  [OperationCode.logSense],
  [OperationCode.modeSelect6],
  [OperationCode.modeSelect10],
  [OperationCode.modeSense6],
  [OperationCode.modeSense10],
  [0x1c], // RECEIVE DIAGNOSTIC RESULTS
  [OperationCode.sendDiagnostic],
  [OperationCode.persistentReserveIn],
  [OperationCode.persistentReserveOut],
  [OperationCode.readCapacity10],
  [OperationCode.serviceActionIn16, ServiceActionIn16.readCapacity16],
  [OperationCode.maintenanceIn, MaintenanceIn.reportSupportedOperationCodes],
  [OperationCode.maintenanceIn, MaintenanceIn.reportSupportedTaskManagementFunctions],
]

const ALL_ACTIONS = 0x1_0000
const keyOf = (opcode: number, serviceAction = ALL_ACTIONS): number => (opcode << 17) | serviceAction

const logicalUnitNotSupported: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.logicalUnitNotSupported,
  detail: {},
}

/** What commands through a target port may do, in a state in which they may not do everything. */
export class AccessRestriction {
  readonly state: AccessState
  /** PERIPHERAL QUALIFIER of INQUIRY data; 1: the port can't reach the unit now (SPC-4 §5.16.2.4.5). */
  readonly peripheralQualifier: 0 | 1
  readonly #asc: number
  readonly #supported: ReadonlySet<number>

  constructor(state: AccessState, asc: number, supported: readonly Row[]) {
    this.state = state
    this.peripheralQualifier = state === "unavailable" ? 1 : 0
    this.#asc = asc
    this.#supported = new Set(supported.map(([opcode, serviceAction]) => keyOf(opcode, serviceAction)))
  }

  supports({ opcode, serviceAction }: Command): boolean {
    return this.#supported.has(keyOf(opcode, serviceAction)) || this.#supported.has(keyOf(opcode))
  }

  /** What commands that aren't supported end with. */
  refusal(): SenseError {
    return new SenseError(SenseKey.notReady, this.#asc, `the target port is ${this.state}`)
  }

  /** What REQUEST SENSE says (SPC-4 §6.39: before any unit attention). */
  get sense(): Sense {
    if (this.peripheralQualifier === 1) return logicalUnitNotSupported
    return { key: SenseKey.notReady, asc: this.#asc, detail: {} }
  }
}

const restrictions: Readonly<Record<AccessState, AccessRestriction | undefined>> = {
  "active/optimized": undefined,
  "active/non-optimized": undefined,
  standby: new AccessRestriction("standby", Asc.targetPortInStandbyState, inStandby),
  unavailable: new AccessRestriction("unavailable", Asc.targetPortInUnavailableState, whenUnavailable),
  // Nothing should come through an offline port any more; what is under way all the same gets this, as from LIO.
  offline: new AccessRestriction("offline", Asc.logicalUnitNotReadyOffline, []),
  transitioning: new AccessRestriction("transitioning", Asc.asymmetricAccessStateTransition, inTransition),
}

/** Undefined: a port in this state lets everything through. */
export const restrictionIn = (state: AccessState): AccessRestriction | undefined => restrictions[state]
