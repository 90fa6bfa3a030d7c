import { MaintenanceIn, OperationCode, PersistentReserveOut } from "../spec/operation-code.ts"
import type { Command } from "./command.ts"
import { serviceActionOf } from "./command-table.ts"

/** How far reservations leave a command alone. */
export interface ReservationRule {
  /** Who may use it while a nexus has RESERVEd the unit (SPC-2 §5.5.1, tables 10 and B.1). */
  readonly reserved: "anyone" | "holder" | "nobody"
  /**
   * Under which persistent reservations a nexus may use it that doesn't hold them and, if they are for registrants,
   * isn't registered (SPC-4 table 65, SBC-4 table 13). "registered", "holder": under all, but nobody else (table 66).
   */
  readonly persistent: "all" | "write exclusive" | "none" | "registered" | "holder"
  /** It is processed while nobody knows what was reserved (SPC-4 §5.13.5.2). */
  readonly whenLost?: true
}

/** The columns of the tables take on a few forms only. */
const open: ReservationRule = { reserved: "anyone", persistent: "all" }
const openAndWhenLost: ReservationRule = { ...open, whenLost: true }
/** As `open`, but SPC-2 knew it, and had it conflict. */
const openSinceSpc3: ReservationRule = { reserved: "holder", persistent: "all" }
const reads: ReservationRule = { reserved: "holder", persistent: "write exclusive" }
/** As `reads`; SPC-2 didn't know it, and nothing speaks against it. */
const readsOpenBefore: ReservationRule = { reserved: "anyone", persistent: "write exclusive" }
const changes: ReservationRule = { reserved: "holder", persistent: "none" }
/** "All PERSISTENT RESERVE IN and OUT commands shall conflict regardless of initiator" (SPC-2 §5.5.1). */
const persistentIn: ReservationRule = { reserved: "nobody", persistent: "all" }
const registers: ReservationRule = persistentIn
const registrants: ReservationRule = { reserved: "nobody", persistent: "registered" }
const holders: ReservationRule = { reserved: "nobody", persistent: "holder" }

interface Row {
  readonly opcode: number
  /** Absent: all there are. */
  readonly serviceAction?: number
  /** What else the CDB must say; the first row that fits counts. */
  readonly when?: (cdb: Uint8Array) => boolean
  readonly rule: ReservationRule
}

const { maintenanceIn, persistentReserveOut, startStopUnit, preventAllowMediumRemoval } = OperationCode

const row = (rule: ReservationRule, ...opcodes: number[]): Row[] =>
  opcodes.map((opcode) => ({ opcode, rule }))
const actions = (rule: ReservationRule, opcode: number, ...serviceActions: number[]): Row[] =>
  serviceActions.map((serviceAction) => ({ opcode, serviceAction, rule }))

const SERVICE_ACTION_IN_16 = OperationCode.serviceActionIn16
const MAINTENANCE_OUT = 0xa4
const VARIABLE_LENGTH = OperationCode.variableLength

/** The standards' tables, for all commands a disk may have. */
const rows: readonly Row[] = [
  // SPC-4 table 65
  ...row(openAndWhenLost, OperationCode.inquiry, OperationCode.requestSense, OperationCode.reportLuns),
  ...row(openAndWhenLost, 0x4d), // LOG SENSE
  ...row(openSinceSpc3, OperationCode.testUnitReady),
  ...row(reads, OperationCode.modeSense6, OperationCode.modeSense10),
  ...row(reads, 0x1c), // RECEIVE DIAGNOSTIC RESULTS
  ...row({ ...reads, whenLost: true }, 0x3c), // READ BUFFER
  ...row({ ...changes, whenLost: true }, 0x3b), // WRITE BUFFER
  ...row(changes, OperationCode.modeSelect6, OperationCode.modeSelect10, OperationCode.sendDiagnostic),
  ...row(changes, 0x4c), // LOG SELECT
  ...row(changes, 0x83), // EXTENDED COPY and its kind
  ...row(openSinceSpc3, 0x84), // RECEIVE COPY RESULTS and its kind
  ...actions(
    readsOpenBefore,
    maintenanceIn,
    MaintenanceIn.reportSupportedOperationCodes,
    MaintenanceIn.reportSupportedTaskManagementFunctions,
  ),
  ...actions(openAndWhenLost, maintenanceIn, 0x0a), // REPORT TARGET PORT GROUPS
  // REPORT IDENTIFYING INFORMATION, ALIASES, PRIORITY, TIMESTAMP
  ...actions(open, maintenanceIn, 0x05, 0x0b, 0x0e, 0x0f),
  ...row(changes, MAINTENANCE_OUT), // SET TARGET PORT GROUPS and its kind
  // SPC-4 table 66; RESERVE and RELEASE answer for themselves (SPC-2 §5.5.1, SPC-4 §5.13.3)
  ...row(open, OperationCode.reserve6, OperationCode.reserve10),
  ...row(open, OperationCode.release6, OperationCode.release10),
  ...row(persistentIn, OperationCode.persistentReserveIn),
  ...actions(
    registers,
    persistentReserveOut,
    PersistentReserveOut.register,
    PersistentReserveOut.registerAndIgnoreExistingKey,
  ),
  ...actions(
    registrants,
    persistentReserveOut,
    PersistentReserveOut.clear,
    PersistentReserveOut.preempt,
    PersistentReserveOut.preemptAndAbort,
    PersistentReserveOut.release,
  ),
  ...actions(
    { ...registrants, whenLost: true },
    persistentReserveOut,
    PersistentReserveOut.replaceLostReservation,
  ),
  ...actions(
    holders,
    persistentReserveOut,
    PersistentReserveOut.reserve,
    PersistentReserveOut.registerAndMove,
  ),
  // SBC-4 table 13
  ...row(reads, OperationCode.read6, OperationCode.read10, OperationCode.read12, OperationCode.read16),
  ...row(reads, OperationCode.verify10, OperationCode.verify12, OperationCode.verify16),
  ...row(reads, OperationCode.preFetch10, OperationCode.preFetch16),
  ...row(reads, 0x37, 0xb7), // READ DEFECT DATA
  // READ CAPACITY (16), REPORT REFERRALS, REPORT PROVISIONING INITIALIZATION PATTERN
  ...actions(open, SERVICE_ACTION_IN_16, 0x10, 0x13, 0x1d),
  ...actions(reads, SERVICE_ACTION_IN_16, 0x12, 0x16, 0x17), // GET LBA, STREAM and PHYSICAL ELEMENT STATUS
  ...row(changes, SERVICE_ACTION_IN_16), // BACKGROUND CONTROL, STREAM CONTROL and their kind
  ...row(open, OperationCode.readCapacity10),
  ...row(changes, OperationCode.write6, OperationCode.write10, OperationCode.write12, OperationCode.write16),
  ...row(changes, OperationCode.writeAndVerify10, OperationCode.writeAndVerify12),
  ...row(changes, OperationCode.writeAndVerify16, OperationCode.compareAndWrite, OperationCode.orWrite16),
  ...row(changes, OperationCode.writeSame10, OperationCode.writeSame16, OperationCode.unmap),
  ...row(changes, OperationCode.synchronizeCache10, OperationCode.synchronizeCache16),
  // FORMAT UNIT, REASSIGN BLOCKS, SANITIZE, WRITE LONG, WRITE ATOMIC (16)
  ...row(changes, 0x04, 0x07, 0x48, 0x3f, 0x9f, 0x9c),
  ...actions(reads, VARIABLE_LENGTH, 0x09, 0x0a), // READ (32), VERIFY (32)
  ...row(changes, VARIABLE_LENGTH), // WRITE (32) and its kind
  {
    // PREVENT is 0
    opcode: preventAllowMediumRemoval,
    when: (cdb) => (cdb[4]! & 0x03) === 0,
    rule: open,
  },
  { opcode: preventAllowMediumRemoval, rule: changes },
  {
    // START is 1, POWER CONDITION is 0
    opcode: startStopUnit,
    when: (cdb) => (cdb[4]! & 0xf1) === 0x01,
    rule: openAndWhenLost,
  },
  { opcode: startStopUnit, rule: changes },
]

const byOpcode = new Map<number, Row[]>()
for (const each of rows) byOpcode.set(each.opcode, [...(byOpcode.get(each.opcode) ?? []), each])

/** What the standards say of a command; undefined: nothing. */
export function standardRule(cdb: Uint8Array): ReservationRule | undefined {
  const action = serviceActionOf(cdb)
  return byOpcode
    .get(cdb[0]!)
    ?.find(
      ({ serviceAction, when }) =>
        (serviceAction === undefined || serviceAction === action) && (when === undefined || when(cdb)),
    )?.rule
}

/** A vendor's own command goes by what it does to the medium. */
const byAccess: Readonly<Record<Command["access"], ReservationRule>> = {
  none: open,
  read: reads,
  write: changes,
}

/** Which commands are allowed in the presence of which reservations. */
export const reservationRule = (command: Command, cdb: Uint8Array): ReservationRule =>
  standardRule(cdb) ?? byAccess[command.access]
