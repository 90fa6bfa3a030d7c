import type { Completion } from "../../../base/completion.ts"
import { generate, noChecks } from "../../../backstore/protection/tuple.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import type { Task } from "../../sam/task.ts"
import { FUA } from "../read-write.ts"
import type { BlockCdb } from "./block-cdb.ts"
import { checksOfDataOut, type ProtectPlan, protectPlan } from "./protect-field.ts"
import { eachBlocksOut, type ProtectedUnit, transferredBytes } from "./transfer.ts"
import { compareStored } from "./verify.ts"

/**
 * COMPARE AND WRITE (SBC-4 §5.3): the blocks alone are compared, and the protection information that comes with the compare instance isn't
 * used. That of the write instance is checked, as WRPROTECT says, once they match.
 */
export function compareAndWrite(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { lba, blocks } = cdb
  const plan = protectPlan(cdb, unit)
  unit.checkWrite(task, lba, blocks)
  if (blocks > unit.limits.compareAndWriteBlocks) {
    throw invalidFieldInCdb(`at most ${unit.limits.compareAndWriteBlocks} blocks can be compared`, 13)
  }
  task.dataOutBytes = 2 * blocks * transferredBytes(unit, plan)
  if (task.dataOutBytesMax !== task.dataOutBytes) {
    const message = `${blocks} blocks need ${task.dataOutBytes} bytes, not ${task.dataOutBytesMax}`
    throw invalidFieldInCdb(message, 13)
  }
  if (blocks === 0) return
  return compareThenWrite(task, unit, plan, cdb)
}

const compareThenWrite = (
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  { lba, blocks, flags }: BlockCdb,
): Promise<void> => {
  const { protection } = unit
  const half = blocks * protection.interleavedBytes
  const blocksOnly = { ...plan, compare: { guard: false, applicationTag: false, referenceTag: false } }
  return eachBlocksOut(task, unit, plan, { lba, blocks: 2 * blocks, whole: true }, async (_index, data) => {
    const [expected, wanted] = [data.subarray(0, half), data.subarray(half)]
    await protection.alone(lba, expected, task, async () => {
      await compareStored(task, unit, blocksOnly, lba, 0, expected)
      await protection.check(lba, wanted, checksOfDataOut(plan), task)
      unit.counters.writtenBytes += protection.dataBytes(wanted)
      // Generated as if the second half lay behind the first.
      if (!plan.transmitted) generate(wanted, unit.blockBytes, lba, protection.tags(0))
      await protection.writeHeld(lba, wanted, noChecks, (flags & FUA) !== 0, task)
    })
  })
}
