import type { Completion } from "../../base/completion.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"
import { FUA } from "./read-write.ts"
import { dataOutBytes, eachDataOut, eachPieceRead } from "./transfer.ts"
import { compareRun } from "./verify.ts"

/**
 * COMPARE AND WRITE (SBC-3 §5.2): Data-Out is what the blocks are expected to hold, then what to write if they do.
 * All data is fetched before the range is taken, so that a slow initiator keeps nobody waiting.
 */
export function compareAndWrite(task: Task, unit: DiskUnit): Completion {
  const lba = u64(task.cdb, 2)
  const blocks = task.cdb[13]!
  unit.checkWrite(task, lba, blocks)
  if (blocks > unit.limits.compareAndWriteBlocks) {
    throw invalidFieldInCdb(`at most ${unit.limits.compareAndWriteBlocks} blocks can be compared`, 13)
  }
  const half = blocks * unit.blockBytes
  task.dataOutBytes = 2 * half
  if (task.dataOutBytesMax !== 2 * half) {
    throw invalidFieldInCdb(`${blocks} blocks need ${2 * half} bytes, not ${task.dataOutBytesMax}`, 13)
  }
  if (blocks === 0) return
  return compareThenWrite(task, unit, lba * unit.blockBytes, half, (task.cdb[1]! & FUA) !== 0)
}

const compareThenWrite = (
  task: Task,
  unit: DiskUnit,
  offset: number,
  half: number,
  fua: boolean,
): Promise<void> =>
  eachDataOut(task, 2 * half, (_at, data) =>
    unit.medium.alone(offset, half, task, async () => {
      await compareRun(task, unit, offset, data.subarray(0, half), 0)
      unit.counters.writtenBytes += half
      await unit.medium.writeHeld(offset, data.subarray(half), fua, task)
    }),
  )

/** ORWRITE (16) (SBC-3 §5.5): sets the bits of Data-Out on the medium. Each step is atomic. */
export function orWrite(task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number): Completion {
  unit.checkWrite(task, lba, blocks)
  const bytes = dataOutBytes(task, unit, blocks * unit.blockBytes)
  if (bytes === 0) return
  const offset = lba * unit.blockBytes
  const fua = (flags & FUA) !== 0
  return eachDataOut(task, bytes, (at, data) =>
    unit.medium.alone(offset + at, data.length, task, async () => {
      await eachPieceRead(task, unit, offset + at, data.length, (from, stored) => {
        for (let i = 0; i < stored.length; i++) data[from + i]! |= stored[i]!
      })
      unit.counters.writtenBytes += data.length
      await unit.medium.writeHeld(offset + at, data, fua, task)
    }),
  )
}
