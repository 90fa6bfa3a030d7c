import { putU16 } from "../cdb/fields.ts"
import { Control, type QueueErrorManagement, type UnitAttentionInterlock } from "../sam/control.ts"
import { invalidFieldInParameterList } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

const BYTES = 0x0a

// Bytes 2 to 5 of the page, which are 0 to 3 here.
const TST = 0xe0
const SEPARATE_TASK_SETS = 0x20
const TMF_ONLY = 0x10
const D_SENSE = 0x04
/** GLTSD: log parameters aren't saved on their own account. */
const GLTSD = 0x02
const RLEC = 0x01
const QUEUE_ALGORITHM_MODIFIER = 0xf0
const UNRESTRICTED_REORDERING = 0x10
const QERR = 0x06
const QERR_RESERVED = 2
const UA_INTLCK_CTRL = 0x30
const UA_INTLCK_CTRL_RESERVED = 1
const SWP = 0x08
const ATO = 0x80
const TAS = 0x40

/**
 * What can be changed: TST 000b and 001b, QUEUE ALGORITHM MODIFIER 0h and 1h. ATMPE can't: without an Application Tag mode page
 * nobody but the initiator knows what the application tags of its blocks should be.
 */
const CHANGEABLE = [
  SEPARATE_TASK_SETS | TMF_ONLY | D_SENSE | RLEC,
  UNRESTRICTED_REORDERING | QERR,
  UA_INTLCK_CTRL | SWP,
  TAS,
]

function pageOf(control: Control, { extendedSelfTestSeconds }: LogicalUnit): Uint8Array {
  const page = new Uint8Array(BYTES)
  page[0] =
    GLTSD |
    (control.separateTaskSets ? SEPARATE_TASK_SETS : 0) |
    (control.managementOnly ? TMF_ONLY : 0) |
    (control.descriptorSense ? D_SENSE : 0) |
    (control.reportLogExceptions ? RLEC : 0)
  page[1] = (control.restrictedReordering ? 0 : UNRESTRICTED_REORDERING) | (control.queueErrorManagement << 1)
  page[2] = (control.unitAttentionInterlock << 4) | (control.softwareWriteProtect ? SWP : 0)
  page[3] = (control.applicationTagOwner ? ATO : 0) | (control.taskAbortedStatus ? TAS : 0)
  putU16(page, 6, 0xffff) // BUSY TIMEOUT PERIOD: without limit
  putU16(page, 8, Math.min(extendedSelfTestSeconds, 0xffff))
  return page
}

/** Reserved values of what can be changed in part only; and tasks can't be re-sorted while an ACA condition holds them. */
function check(unit: LogicalUnit, page: Uint8Array, at: number): void {
  if ((page[1]! & QERR) >> 1 === QERR_RESERVED) {
    throw invalidFieldInParameterList("QERR 10b is reserved", at + 1, 2)
  }
  if ((page[2]! & UA_INTLCK_CTRL) >> 4 === UA_INTLCK_CTRL_RESERVED) {
    throw invalidFieldInParameterList("UA_INTLCK_CTRL 01b is reserved", at + 2, 5)
  }
  const separate = (page[0]! & TST) !== 0
  if (separate !== unit.control.separateTaskSets && unit.hasAca) {
    const message = "TST can't be changed during an ACA condition"
    throw new SenseError(SenseKey.illegalRequest, Asc.commandSequenceError, message)
  }
}

function select(unit: LogicalUnit, page: Uint8Array): void {
  const { control } = unit
  control.separateTaskSets = (page[0]! & TST) !== 0
  control.managementOnly = (page[0]! & TMF_ONLY) !== 0
  control.descriptorSense = (page[0]! & D_SENSE) !== 0
  control.reportLogExceptions = (page[0]! & RLEC) !== 0
  control.restrictedReordering = (page[1]! & QUEUE_ALGORITHM_MODIFIER) === 0
  control.queueErrorManagement = ((page[1]! & QERR) >> 1) as QueueErrorManagement
  control.unitAttentionInterlock = ((page[2]! & UA_INTLCK_CTRL) >> 4) as UnitAttentionInterlock
  control.softwareWriteProtect = (page[2]! & SWP) !== 0
  control.applicationTagOwner = (page[3]! & ATO) !== 0
  control.taskAbortedStatus = (page[3]! & TAS) !== 0
  unit.arrangeTaskSets()
}

/** Control (SPC-4 §7.5.8). */
export const controlPage: ModePage = {
  code: 0x0a,
  bytes: BYTES,
  current: (unit) => pageOf(unit.control, unit),
  defaults: (unit) => pageOf(new Control(), unit),
  // SWP may have been saved.
  cautious: (unit) => pageOf(Object.assign(new Control(), { softwareWriteProtect: true }), unit),
  changeable: ({ protection }) => {
    const bits = Uint8Array.from({ length: BYTES }, (_, at) => CHANGEABLE[at] ?? 0)
    if (protection) bits[3]! |= ATO
    return bits
  },
  check,
  select,
}
