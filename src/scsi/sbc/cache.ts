import type { Completion } from "../../base/completion.ts"
import { isPromise } from "../../base/completion.ts"
import { PREFETCH_BYTES_MAX } from "../../base/limits.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { eachPieceRead } from "./transfer.ts"

export const IMMED = 0x02

/**
 * SYNCHRONIZE CACHE (SBC-3 §5.26, 5.27). The whole device is flushed, whatever range is named: a file knows no less.
 * With IMMED status comes first; should the flush fail then, the device refuses the writes that follow, so the
 * initiator learns of it.
 */
export function synchronizeCache(
  task: Task,
  unit: DiskUnit,
  lba: number,
  blocks: number,
  flags: number,
): Completion {
  unit.checkReady()
  unit.checkRange(lba, blocks)
  if ((flags & IMMED) === 0) return unit.medium.flush(task)
  afterStatus(() => unit.medium.flush())
}

/**
 * PRE-FETCH (SBC-3 §5.8, 5.9): reads the range (0 blocks: up to the end) into the system's cache, the first
 * PREFETCH_BYTES_MAX of it. Always GOOD, never CONDITION MET: that would promise room in a cache, and the system's
 * isn't ours to promise.
 */
export function preFetch(task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number): Completion {
  unit.checkReady()
  unit.checkRange(lba, blocks)
  const count = blocks === 0 ? unit.blocks - lba : blocks
  const bytes = Math.min(count * unit.blockBytes, PREFETCH_BYTES_MAX)
  if (bytes === 0) return
  if ((flags & IMMED) === 0) return eachPieceRead(task, unit, lba * unit.blockBytes, bytes, () => {})
  if (unit.prefetching) return
  unit.prefetching = true
  afterStatus(() =>
    eachPieceRead(task, unit, lba * unit.blockBytes, bytes, () => {}).finally(() => {
      unit.prefetching = false
    }),
  )
}

/** Begins what goes on after the command has ended. Nobody is left to tell of its failure. */
function afterStatus(work: () => Completion): void {
  try {
    const done = work()
    if (isPromise(done)) done.catch(() => {})
  } catch {
    // as above
  }
}
