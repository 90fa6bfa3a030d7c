import type { Completion } from "../../base/completion.ts"
import { u32 } from "../cdb/fields.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"

const PROT_EN = 0x01

/** READ CAPACITY (10) (SBC-3 §5.15): FFFFFFFFh sends the initiator to READ CAPACITY (16). */
export function readCapacity10(task: Task, unit: DiskUnit): Completion {
  unit.checkReady()
  const data = new Uint8Array(8)
  const view = new DataView(data.buffer)
  view.setUint32(0, Math.min(unit.blocks - 1, 0xffff_ffff))
  view.setUint32(4, unit.blockBytes)
  return sendParameterData(task, data, data.length)
}

/**
 * READ CAPACITY (16) (SBC-3 §5.16), with LBPME and LBPRZ when the unit is thin: unmapped blocks read as zeroes. P_TYPE and PROT_EN tell of protection
 * information.
 */
export function readCapacity16(task: Task, unit: DiskUnit): Completion {
  unit.checkReady()
  const data = new Uint8Array(32)
  const view = new DataView(data.buffer)
  const last = unit.blocks - 1
  view.setUint32(0, Math.floor(last / 2 ** 32))
  view.setUint32(4, last >>> 0)
  view.setUint32(8, unit.blockBytes)
  if (unit.protection) view.setUint8(12, ((unit.protection.type - 1) << 1) | PROT_EN)
  // P_I_EXPONENT is 0: one protection information interval per logical block.
  view.setUint8(13, unit.physicalBlockExponent)
  view.setUint8(14, unit.thin ? 0b1100_0000 : 0)
  return sendParameterData(task, data, u32(task.cdb, 10))
}
