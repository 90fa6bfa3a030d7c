import type { Completion } from "../../base/completion.ts"
import { IDENTIFYING_INFORMATION_BYTES_MAX, IDENTIFYING_TEXT_BYTES_MAX } from "../../base/limits.ts"
import { putU16, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { receiveParameterList, sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { UnitRecordName } from "../sam/unit-records.ts"
import { all, none } from "../sam/usage.ts"
import { MaintenanceIn, MaintenanceOut, OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

interface InformationType {
  /** INFORMATION TYPE. */
  readonly code: number
  readonly bytesMax: number
  readonly record: UnitRecordName
}

/** What an initiator, or its operator, calls the unit: any bytes; and a text for people (SPC-4 §5.6). */
const information: InformationType = {
  code: 0x00,
  bytesMax: IDENTIFYING_INFORMATION_BYTES_MAX,
  record: "identifying-information",
}
const text: InformationType = { code: 0x02, bytesMax: IDENTIFYING_TEXT_BYTES_MAX, record: "identifying-text" }
const types: readonly InformationType[] = [information, text]

/** Which of them there are, and how long they may be. */
const SUPPORTED = 0x7f

/** INFORMATION TYPE is in the upper seven bits. */
const codeOf = (cdb: Uint8Array): number => cdb[10]! >> 1

function typeOf(cdb: Uint8Array): InformationType {
  const type = types.find(({ code }) => code === codeOf(cdb))
  if (type === undefined) throw invalidFieldInCdb("this INFORMATION TYPE is not known", 10, 7)
  return type
}

/** REPORT IDENTIFYING INFORMATION (SPC-4 §6.32). */
function report(task: Task, unit: LogicalUnit): Completion {
  const { cdb } = task
  const data = codeOf(cdb) === SUPPORTED ? supported() : informationData(unit, typeOf(cdb))
  return sendParameterData(task, data, u32(cdb, 6))
}

function informationData(unit: LogicalUnit, { record }: InformationType): Uint8Array {
  const value = unit.records?.get(record) ?? new Uint8Array(0)
  const data = new Uint8Array(4 + value.length)
  putU16(data, 2, value.length)
  data.set(value, 4)
  return data
}

function supported(): Uint8Array {
  const data = new Uint8Array(4 + 4 * types.length)
  putU16(data, 2, data.length - 4)
  types.forEach(({ code, bytesMax }, i) => {
    data[4 + 4 * i] = code << 1
    putU16(data, 6 + 4 * i, bytesMax)
  })
  return data
}

/** SET IDENTIFYING INFORMATION (SPC-4 §6.43): stable when it ends; the other nexuses are told. */
async function set(task: Task, unit: LogicalUnit): Promise<void> {
  const type = typeOf(task.cdb)
  const bytes = u32(task.cdb, 6)
  if (bytes > type.bytesMax) throw invalidFieldInCdb(`at most ${type.bytesMax} bytes are kept`, 6)
  const value = await receiveParameterList(task, bytes, type.bytesMax)
  if (type === text && bytes > 0) checkText(value)
  const before = unit.records?.get(type.record) ?? new Uint8Array(0)
  if (Buffer.compare(before, value) === 0) return
  try {
    await unit.records?.put(type.record, bytes === 0 ? undefined : value)
  } catch (error) {
    throw new SenseError(SenseKey.hardwareError, Asc.internalTargetFailure, String(error))
  }
  unit.establishUnitAttention(Asc.deviceIdentifierChanged, { except: task.nexus })
}

/** UTF-8 that ends with a null (SPC-4 §4.3.2), and has none before its padding. */
function checkText(value: Uint8Array): void {
  const end = value.indexOf(0)
  if (end < 0 || value.subarray(end).some((byte) => byte !== 0)) {
    throw invalidFieldInParameterList("the text has to end with a null", value.length - 1)
  }
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(value)
  } catch {
    throw invalidFieldInParameterList("the text is no UTF-8", 0)
  }
}

/** Of units that have records. */
export const identifyingInformationCommands: readonly Command[] = [
  {
    name: "REPORT IDENTIFYING INFORMATION",
    opcode: OperationCode.maintenanceIn,
    serviceAction: MaintenanceIn.reportIdentifyingInformation,
    usage: [
      OperationCode.maintenanceIn,
      MaintenanceIn.reportIdentifyingInformation,
      ...none(4),
      ...all(4),
      0xfe,
      0,
    ],
    access: "read",
    execute: report,
  },
  {
    name: "SET IDENTIFYING INFORMATION",
    opcode: OperationCode.maintenanceOut,
    serviceAction: MaintenanceOut.setIdentifyingInformation,
    usage: [
      OperationCode.maintenanceOut,
      MaintenanceOut.setIdentifyingInformation,
      ...none(4),
      ...all(4),
      0xfe,
      0,
    ],
    access: "write",
    execute: set,
  },
]
