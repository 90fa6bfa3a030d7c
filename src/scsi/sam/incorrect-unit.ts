import { u16 } from "../cdb/fields.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, type Sense, SenseError, SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"
import type { LogicalUnitIdentity } from "./identity.ts"
import { LogicalUnit } from "./logical-unit.ts"
import { decodeLun, REPORT_LUNS_WELL_KNOWN } from "./lun.ts"
import { sendParameterData } from "./parameter-data.ts"
import { reportLunsCommand } from "./report-luns.ts"
import { requestSenseCommand } from "./request-sense.ts"
import type { Task } from "./task.ts"

/** PERIPHERAL QUALIFIER 011b, device type 1Fh: no logical unit can be here (SPC-4 §6.4.2). */
const NOTHING_HERE = 0x7f
/** PERIPHERAL DEVICE TYPE 1Eh: a well-known logical unit. */
const WELL_KNOWN = 0x1e
const INQUIRY_BYTES = 36

const isWellKnown = (task: Task): boolean => decodeLun(task.lunHigh, task.lunLow) === REPORT_LUNS_WELL_KNOWN

const notSupported = (): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.logicalUnitNotSupported, "there is no such logical unit")

function inquiryData(task: Task, { vendor, product, revision }: LogicalUnitIdentity): Uint8Array {
  const data = new Uint8Array(INQUIRY_BYTES).fill(0x20, 8)
  data[0] = isWellKnown(task) ? WELL_KNOWN : NOTHING_HERE
  data[2] = 0x06 // SPC-4
  data[3] = 0x12 // HISUP, response data format 2
  data[4] = INQUIRY_BYTES - 5
  data[7] = 0x02 // CMDQUE
  const ascii = new TextEncoder()
  data.set(ascii.encode(vendor), 8)
  data.set(ascii.encode(product), 16)
  data.set(ascii.encode(revision), 32)
  return data
}

const inquiry: Command = {
  name: "INQUIRY",
  opcode: OperationCode.inquiry,
  usage: [OperationCode.inquiry, 0, 0, 0xff, 0xff, 0],
  access: "none",
  passesUnitAttention: true,
  execute: (task, unit) => sendParameterData(task, inquiryData(task, unit.identity), u16(task.cdb, 3)),
}

const testUnitReady: Command = {
  name: "TEST UNIT READY",
  opcode: OperationCode.testUnitReady,
  usage: [OperationCode.testUnitReady, 0, 0, 0, 0, 0],
  access: "none",
  execute: (task) => {
    if (!isWellKnown(task)) throw notSupported()
  },
}

const reportLuns: Command = {
  ...reportLunsCommand,
  execute: (task, unit) => {
    const lun = decodeLun(task.lunHigh, task.lunLow)
    if (lun !== 0 && lun !== REPORT_LUNS_WELL_KNOWN) throw notSupported()
    return reportLunsCommand.execute(task, unit)
  },
}

const noSense: Sense = { key: SenseKey.noSense, asc: Asc.noAdditionalSense, detail: {} }

const commands: readonly Command[] = [
  testUnitReady,
  requestSenseCommand((task) => (isWellKnown(task) ? noSense : notSupported())),
  inquiry,
  reportLuns,
]

/**
 * What a target device answers where it has no logical unit (SAM-5 §5.11, SPC-4 §4.2.2): INQUIRY says that nothing is
 * here, REQUEST SENSE the same, LUN 0 knows REPORT LUNS all the same, and everything else is LOGICAL UNIT NOT
 * SUPPORTED. The well-known logical unit REPORT LUNS (SPC-4 §8.2) lives here too.
 */
export class IncorrectUnit extends LogicalUnit {
  readonly peripheralDeviceType = 0x1f
  /** An ACA condition here would be everybody's who is mistaken. */
  override readonly normalAca = false
  readonly commands = commands
  readonly vpdPages = []
  readonly modePages = []

  protected override unknownCommand(task: Task): SenseError {
    return isWellKnown(task) ? super.unknownCommand(task) : notSupported()
  }
}
