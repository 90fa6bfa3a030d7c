import type { Completion } from "../../../base/completion.ts"
import { noChecks } from "../../../backstore/protection/tuple.ts"
import { WriteSameBit } from "../../cdb/block.ts"
import type { Task } from "../../sam/task.ts"
import { wrongDataOutLength } from "../fields.ts"
import { throwIfAborted } from "../medium.ts"
import { writeSameBlocks } from "../write-same.ts"
import type { BlockCdb } from "./block-cdb.ts"
import { checksOfDataOut, protectPlan } from "./protect-field.ts"
import { repeated } from "./repeated.ts"
import { eachBlocksOut, type ProtectedUnit, transferredBytes } from "./transfer.ts"

/**
 * WRITE SAME (SBC-3 §5.43, 5.44). The one block comes with its protection information, or gets it as of a WRITE to each LBA.
 * With NDOB, and what is unmapped, it is FFh throughout. A block can be unmapped by UNMAP when that is what it would read as:
 * zeroes, and protection information that didn't come or is FFh.
 */
export function writeSame(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { lba, flags } = cdb
  const plan = protectPlan(cdb, unit)
  const blocks = writeSameBlocks(task, unit, lba, cdb.blocks)
  const offset = lba * unit.blockBytes
  const bytes = blocks * unit.blockBytes
  const unmap = (flags & WriteSameBit.unmap) !== 0
  if ((flags & WriteSameBit.noDataOutBuffer) !== 0) {
    return unmap ? unit.medium.discard(offset, bytes, task) : unit.medium.writeZeroes(offset, bytes, task)
  }
  const blockOut = transferredBytes(unit, plan)
  task.dataOutBytes = blockOut
  if (task.dataOutBytesMax !== blockOut) {
    throw wrongDataOutLength(`WRITE SAME takes one block of ${blockOut} bytes, not ${task.dataOutBytesMax}`)
  }
  return eachBlocksOut(task, unit, plan, { lba, blocks: 1 }, async (_index, block) => {
    await unit.protection.check(lba, block, checksOfDataOut(plan), task)
    if (unmap && readsAsUnmapped(block, unit.blockBytes, plan.transmitted)) {
      return unit.medium.discard(offset, bytes, task)
    }
    for (const { index, interleaved } of repeated(unit, block, blocks)) {
      throwIfAborted(task)
      await unit.protection.write(lba + index, interleaved, noChecks, false, task)
    }
  })
}

const readsAsUnmapped = (block: Uint8Array, blockBytes: number, transmitted: boolean): boolean =>
  block.subarray(0, blockBytes).every((byte) => byte === 0) &&
  (!transmitted || block.subarray(blockBytes).every((byte) => byte === 0xff))
