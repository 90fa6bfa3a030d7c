import type { Completion } from "../../base/completion.ts"
import { SCRATCH_BYTES } from "../../base/limits.ts"
import { WriteSameBit } from "../cdb/block.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { lengthFieldOf, wrongDataOutLength } from "./fields.ts"
import { throwIfAborted } from "./medium.ts"
import { eachDataOut } from "./transfer.ts"

/**
 * WRITE SAME (SBC-3 §5.43, 5.44). With UNMAP a block of zeroes deallocates, any other is written, since unmapped blocks read as
 * zeroes here (LBPRZ); without, zeroes keep their storage. NDOB stands for a block of zeroes. ANCHOR, and the obsolete LBDATA
 * and PBDATA, are refused by the usage mask.
 */
export function writeSame(
  task: Task,
  unit: DiskUnit,
  lba: number,
  blocks: number,
  flags: number,
): Completion {
  const offset = lba * unit.blockBytes
  const bytes = writeSameBlocks(task, unit, lba, blocks) * unit.blockBytes
  const unmap = (flags & WriteSameBit.unmap) !== 0
  if ((flags & WriteSameBit.noDataOutBuffer) !== 0) return zero(task, unit, offset, bytes, unmap)
  task.dataOutBytes = unit.blockBytes
  if (task.dataOutBytesMax !== unit.blockBytes) {
    throw wrongDataOutLength(`WRITE SAME takes one block of data, not ${task.dataOutBytesMax} bytes`)
  }
  return eachDataOut(task, unit.blockBytes, (_at, block) =>
    block.every((byte) => byte === 0)
      ? zero(task, unit, offset, bytes, unmap)
      : fill(task, unit, offset, bytes, block),
  )
}

/**
 * How many blocks a WRITE SAME writes, or deallocates: NUMBER OF LOGICAL BLOCKS 0 is all up to the end, unless WSNZ forbids it; all of
 * them are held to the MAXIMUM WRITE SAME LENGTH (SBC-3 §5.43, §6.6.4). Throws SenseError.
 */
export function writeSameBlocks(task: Task, unit: DiskUnit, lba: number, blocks: number): number {
  unit.checkReady()
  unit.checkRange(lba, blocks)
  const toEnd = blocks === 0 && unit.writeSameToEnd
  if (toEnd && lba === unit.blocks) throw unit.outOfRange(lba)
  const wanted = toEnd ? unit.blocks - lba : blocks
  const { writeSameBlocks: most } = unit.limits
  if (wanted === 0 || wanted > most)
    throw invalidFieldInCdb(`WRITE SAME takes 1 to ${most} blocks, not ${wanted}`, lengthFieldOf(task.cdb))
  unit.checkWritable()
  return wanted
}

function zero(task: Task, unit: DiskUnit, offset: number, bytes: number, unmap: boolean): Completion {
  return unmap ? unit.medium.discard(offset, bytes, task) : unit.medium.writeZeroes(offset, bytes, task)
}

async function fill(
  task: Task,
  unit: DiskUnit,
  offset: number,
  bytes: number,
  block: Uint8Array,
): Promise<void> {
  const pattern = Buffer.allocUnsafe(Math.min(bytes, SCRATCH_BYTES)).fill(block)
  for (let at = 0; at < bytes; at += pattern.length) {
    const piece = bytes - at < pattern.length ? pattern.subarray(0, bytes - at) : pattern
    await unit.medium.write(offset + at, piece, false, task)
    throwIfAborted(task)
  }
}
