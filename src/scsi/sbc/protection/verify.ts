import type { Completion } from "../../../base/completion.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import type { Task } from "../../sam/task.ts"
import { wrongDataOutLength } from "../fields.ts"
import type { BlockCdb } from "./block-cdb.ts"
import { compareInterleaved } from "./compare.ts"
import { checksOfDataOut, checksOfMedium, type ProtectPlan, protectPlan } from "./protect-field.ts"
import { repeated } from "./repeated.ts"
import {
  dataOutBlocks,
  eachBlocksOut,
  eachBlocksRead,
  type ProtectedUnit,
  transferredBytes,
} from "./transfer.ts"

const byteCheckOf = ({ flags }: BlockCdb): number => (flags >> 1) & 3

/**
 * VERIFY (SBC-3 §5.29 to 5.32). With BYTCHK 00b what is stored is checked as VRPROTECT says; with others it is what
 * is sent that is checked, and compared with what is stored.
 */
export function verify(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { lba, blocks } = cdb
  const plan = protectPlan(cdb, unit)
  unit.checkRead(task, lba, blocks)
  switch (byteCheckOf(cdb)) {
    case 0:
      return blocks === 0 ? undefined : verifyMedium(task, unit, plan, lba, blocks)
    case 1: {
      const compared = dataOutBlocks(task, transferredBytes(unit, plan), blocks)
      return compared === 0 ? undefined : verifyAll(task, unit, plan, lba, compared)
    }
    case 3:
      return blocks === 0 ? undefined : verifyEach(task, unit, plan, lba, blocks)
    default:
      throw invalidFieldInCdb("BYTCHK 10b is reserved", cdb.protectAt, 2)
  }
}

async function verifyMedium(
  task: Task,
  unit: ProtectedUnit,
  { checks }: ProtectPlan,
  lba: number,
  blocks: number,
): Promise<void> {
  await unit.medium.settle(task)
  await eachBlocksRead(task, unit, { lba, blocks, checks }, (_index, interleaved) => {
    unit.counters.verifiedBytes += unit.protection.dataBytes(interleaved)
  })
}

async function verifyAll(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  lba: number,
  blocks: number,
): Promise<void> {
  await unit.medium.settle(task)
  await eachBlocksOut(task, unit, plan, { lba, blocks }, async (index, sent) => {
    unit.counters.verifiedBytes += unit.protection.dataBytes(sent)
    await unit.protection.check(lba + index, sent, checksOfDataOut(plan), task)
    await compareStored(task, unit, plan, lba, index, sent)
  })
}

/** BYTCHK 11b: the one block that is sent stands for as many as are verified, as with WRITE SAME. */
async function verifyEach(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  lba: number,
  blocks: number,
): Promise<void> {
  const bytes = transferredBytes(unit, plan)
  task.dataOutBytes = bytes
  if (task.dataOutBytesMax < bytes) throw wrongDataOutLength("VERIFY needs one whole block of data")
  await unit.medium.settle(task)
  await eachBlocksOut(task, unit, plan, { lba, blocks: 1 }, async (_index, block) => {
    await unit.protection.check(lba, block, checksOfDataOut(plan), task)
    for (const { index, interleaved } of repeated(unit, block, blocks)) {
      unit.counters.verifiedBytes += unit.protection.dataBytes(interleaved)
      await compareStored(task, unit, plan, lba, index, interleaved)
    }
  })
}

/** Compares interleaved blocks with those stored from lba + index on. */
export async function compareStored(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  lba: number,
  index: number,
  sent: Uint8Array,
): Promise<void> {
  const { interleavedBytes } = unit.protection
  const run = { lba: lba + index, blocks: sent.length / interleavedBytes, checks: checksOfMedium(plan) }
  const at = { blockBytes: unit.blockBytes, transferredBytes: transferredBytes(unit, plan), lba }
  await eachBlocksRead(task, unit, run, (from, stored) => {
    const start = from * interleavedBytes
    compareInterleaved(sent.subarray(start, start + stored.length), stored, index + from, plan, at)
  })
}

/**
 * WRITE AND VERIFY (SBC-3 §5.37 to 5.40): as a WRITE to the medium, read back as a VERIFY would; BYTCHK 01b compares it with what
 * was written.
 */
export function writeAndVerify(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const byteCheck = byteCheckOf(cdb)
  unit.counters.writeCommands++
  if (byteCheck > 1) {
    throw invalidFieldInCdb("WRITE AND VERIFY knows BYTCHK 00b and 01b only", cdb.protectAt, 2)
  }
  const { protection } = unit
  const { lba } = cdb
  const plan = protectPlan(cdb, unit)
  unit.checkWrite(task, lba, cdb.blocks)
  const blocks = dataOutBlocks(task, transferredBytes(unit, plan), cdb.blocks)
  if (blocks === 0) return
  const { checks } = plan
  return eachBlocksOut(task, unit, plan, { lba, blocks }, (index, interleaved) =>
    protection.alone(lba + index, interleaved, task, async () => {
      const first = lba + index
      unit.counters.writtenBytes += protection.dataBytes(interleaved)
      await protection.writeHeld(first, interleaved, checksOfDataOut(plan), true, task)
      if (byteCheck === 1) return compareStored(task, unit, plan, lba, index, interleaved)
      const count = interleaved.length / protection.interleavedBytes
      await eachBlocksRead(task, unit, { lba: first, blocks: count, checks }, () => {})
    }),
  )
}
