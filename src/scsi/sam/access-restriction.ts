import type { AccessState } from "../spec/access-state.ts"
import { MaintenanceIn, MaintenanceOut, OperationCode, ServiceActionIn16 } from "../spec/operation-code.ts"
import { Asc, type Sense, SenseError, SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"

/** States that restrict: standby, unavailable, transitioning. */
type States = "SUT" | "SU" | "S"

/** Which states support an operation code: with all of its service actions, or with one. */
type Row = readonly [states: States, opcode: number, serviceAction?: number]

/**
 * Which commands work in which state (SPC-4 §5.16.2.4.4, §5.16.2.4.5, §5.16.2.5 b), as far as they work at all; offline none
 * does. "The device server may support other commands": in standby those that only tell about the unit. Linux asks for the
 * capacity on every path, and for the commands there are; LIO lets it have the first, too.
 */
const table: readonly Row[] = [
  ["SUT", OperationCode.inquiry],
  ["SUT", OperationCode.reportLuns],
  ["SUT", OperationCode.requestSense],
  ["SUT", OperationCode.maintenanceIn, MaintenanceIn.reportTargetPortGroups],
  ["SUT", 0x3c], // READ BUFFER
  ["SUT", 0x3b], // WRITE BUFFER
  ["SU", OperationCode.maintenanceOut, MaintenanceOut.setTargetPortGroups],
  ["S", OperationCode.logSelect],
  ["S", OperationCode.logSense],
  ["S", OperationCode.modeSelect6],
  ["S", OperationCode.modeSelect10],
  ["S", OperationCode.modeSense6],
  ["S", OperationCode.modeSense10],
  ["S", 0x1c], // RECEIVE DIAGNOSTIC RESULTS
  ["S", OperationCode.sendDiagnostic],
  ["S", OperationCode.persistentReserveIn],
  ["S", OperationCode.persistentReserveOut],
  // What the standard leaves to us.
  ["S", OperationCode.readCapacity10],
  ["S", OperationCode.serviceActionIn16, ServiceActionIn16.readCapacity16],
  ["S", OperationCode.maintenanceIn, MaintenanceIn.reportIdentifyingInformation],
  ["S", OperationCode.maintenanceIn, MaintenanceIn.reportSupportedOperationCodes],
  ["S", OperationCode.maintenanceIn, MaintenanceIn.reportSupportedTaskManagementFunctions],
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

  /** `column`: its letter in the table; undefined: it supports nothing. */
  constructor(state: AccessState, asc: number, column?: "S" | "U" | "T") {
    this.state = state
    this.peripheralQualifier = state === "unavailable" ? 1 : 0
    this.#asc = asc
    const rows = column === undefined ? [] : table.filter(([states]) => states.includes(column))
    this.#supported = new Set(rows.map(([, opcode, serviceAction]) => keyOf(opcode, serviceAction)))
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
  standby: new AccessRestriction("standby", Asc.targetPortInStandbyState, "S"),
  unavailable: new AccessRestriction("unavailable", Asc.targetPortInUnavailableState, "U"),
  // Nothing should come through an offline port any more; what is under way all the same gets this, as from LIO.
  offline: new AccessRestriction("offline", Asc.logicalUnitNotReadyOffline),
  transitioning: new AccessRestriction("transitioning", Asc.asymmetricAccessStateTransition, "T"),
}

/** Undefined: a port in this state lets everything through. */
export const restrictionIn = (state: AccessState): AccessRestriction | undefined => restrictions[state]
