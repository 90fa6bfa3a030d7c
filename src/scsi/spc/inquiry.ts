import type { Completion } from "../../base/completion.ts"
import { putU16, u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { ascii } from "./ascii.ts"

const EVPD = 0x01
const STANDARD_BYTES = 96
const VERSION_SPC4 = 0x06
/** HISUP: LUNs are addressed hierarchically; RESPONSE DATA FORMAT 2. */
const HISUP_FORMAT_2 = 0x12
const NORMACA = 0x20
/** 3PC. */
const THIRD_PARTY_COPY = 0x08
const CMDQUE = 0x02
const RMB = 0x80
const VERSION_DESCRIPTORS_MAX = 8

/**
 * INQUIRY (SPC-4 §6.4): standard data, or a vital product data page of the unit's table. CMDDT of old is not in the
 * usage, so it is refused.
 */
function execute(task: Task, unit: LogicalUnit): Completion {
  const { cdb } = task
  const evpd = (cdb[1]! & EVPD) !== 0
  const page = cdb[2]!
  if (!evpd && page !== 0) throw invalidFieldInCdb("PAGE CODE means something with EVPD only", 2)
  const data = evpd ? vpdData(task, unit, page) : standardData(unit)
  return sendParameterData(task, data, u16(cdb, 3))
}

/** Standard INQUIRY data (SPC-4 §6.4.2). */
function standardData(unit: LogicalUnit): Uint8Array {
  const { identity, peripheralDeviceType, removable, versionDescriptors } = unit
  const data = new Uint8Array(STANDARD_BYTES)
  data[0] = peripheralDeviceType
  data[1] = removable ? RMB : 0
  data[2] = VERSION_SPC4
  data[3] = (unit.normalAca ? NORMACA : 0) | HISUP_FORMAT_2
  data[4] = STANDARD_BYTES - 5
  if (unit.thirdPartyCopy) data[5]! |= THIRD_PARTY_COPY
  data[7] = CMDQUE
  data.set(ascii(identity.vendor, 8), 8)
  data.set(ascii(identity.product, 16), 16)
  data.set(ascii(identity.revision, 4), 32)
  versionDescriptors
    .slice(0, VERSION_DESCRIPTORS_MAX)
    .forEach((version, i) => putU16(data, 58 + 2 * i, version))
  return data
}

function vpdData(task: Task, unit: LogicalUnit, code: number): Uint8Array {
  const page = unit.vpdPages.find((row) => row.code === code)
  if (page === undefined) throw invalidFieldInCdb(`there is no VPD page ${code.toString(16)}h`, 2)
  const contents = page.build(unit, task)
  const data = new Uint8Array(4 + contents.length)
  data[0] = unit.peripheralDeviceType
  data[1] = code
  putU16(data, 2, contents.length)
  data.set(contents, 4)
  return data
}

export const inquiry: Command = {
  name: "INQUIRY",
  opcode: OperationCode.inquiry,
  usage: [OperationCode.inquiry, EVPD, 0xff, 0xff, 0xff, 0],
  access: "none",
  passesUnitAttention: true,
  execute,
}
