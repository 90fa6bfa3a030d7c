import type { Completion } from "../../base/completion.ts"
import { u16 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64, wrongDataOutLength } from "./fields.ts"
import { eachDataOut } from "./transfer.ts"

/**
 * WRITE ATOMIC (16) (SBC-4 §5.48). The data is fetched as a whole before any of it is written, so that a slow initiator keeps
 * nobody waiting. ATOMIC BOUNDARY isn't in the usage: MAXIMUM ATOMIC BOUNDARY SIZE is 0.
 */
export function writeAtomic(task: Task, unit: DiskUnit): Completion {
  const lba = u64(task.cdb, 2)
  const blocks = u16(task.cdb, 12)
  unit.counters.writeCommands++
  unit.checkWrite(task, lba, blocks)
  if (blocks > unit.limits.atomicWriteBlocks) {
    throw invalidFieldInCdb(`at most ${unit.limits.atomicWriteBlocks} blocks can be written atomically`, 12)
  }
  const bytes = blocks * unit.blockBytes
  task.dataOutBytes = bytes
  if (task.dataOutBytesMax < bytes) {
    throw wrongDataOutLength(`${blocks} blocks need ${bytes} bytes, not ${task.dataOutBytesMax}`)
  }
  if (blocks === 0) return
  return eachDataOut(task, bytes, (_at, data) => {
    unit.counters.writtenBytes += data.length
    return unit.medium.writeAtomically(lba * unit.blockBytes, data, task)
  })
}
