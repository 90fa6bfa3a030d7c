import type { Completion } from "../../../base/completion.ts"
import { noChecks, PROTECTION_BYTES, regenerateGuards, strip } from "../../../backstore/protection/tuple.ts"
import type { Task } from "../../sam/task.ts"
import { throwIfAborted } from "../medium.ts"
import { FUA } from "../read-write.ts"
import { bytesOf } from "../transfer.ts"
import type { BlockCdb } from "./block-cdb.ts"
import { checksOfDataOut, type ProtectPlan, protectPlan } from "./protect-field.ts"
import {
  dataOutBlocks,
  eachBlocksOut,
  eachBlocksRead,
  type ProtectedUnit,
  stepBytesOf,
  transferredBytes,
} from "./transfer.ts"

/** READ (SBC-3 §5.11 to 5.14). What is stored is checked whether or not it is transmitted. */
export function read(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { lba, blocks, flags } = cdb
  unit.counters.readCommands++
  const plan = protectPlan(cdb, unit)
  unit.checkRead(task, lba, blocks)
  const bytes = blocks * transferredBytes(unit, plan)
  task.dataInBytes = bytes
  const sent = Math.min(bytes, task.dataInBytesMax)
  if (sent > 0) return readSteps(task, unit, plan, lba, sent, flags)
}

async function readSteps(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  lba: number,
  bytes: number,
  flags: number,
): Promise<void> {
  if ((flags & FUA) !== 0) await unit.medium.settle(task)
  const unitBytes = transferredBytes(unit, plan)
  const stepBytes = stepBytesOf(unitBytes)
  for (let at = 0; at < bytes; at += stepBytes) {
    const part = Math.min(stepBytes, bytes - at)
    const whole = Math.ceil(part / unitBytes) * unitBytes
    const buffer = await task.allocateDataIn(whole)
    try {
      throwIfAborted(task)
      await readBlocks(task, unit, plan, lba + at / unitBytes, bytesOf(buffer, whole))
    } catch (error) {
      buffer.release()
      throw error
    }
    unit.counters.readBytes += (whole / unitBytes) * unit.blockBytes
    task.sendDataIn(at, buffer, part, at + part === bytes)
  }
}

function readBlocks(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  lba: number,
  into: Uint8Array,
): Promise<void> {
  const { protection, blockBytes } = unit
  const { checks } = plan
  if (plan.transmitted) return protection.read(lba, into, checks, task)
  const blocks = into.length / blockBytes
  return eachBlocksRead(task, unit, { lba, blocks, checks }, (index, interleaved) =>
    strip(interleaved, blockBytes, into.subarray(index * blockBytes)),
  )
}

/** WRITE (SBC-3 §5.33 to 5.36). Protection information that doesn't come is made. */
export function write(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { lba, flags } = cdb
  unit.counters.writeCommands++
  const plan = protectPlan(cdb, unit)
  unit.checkWrite(task, lba, cdb.blocks)
  const blocks = dataOutBlocks(task, transferredBytes(unit, plan), cdb.blocks)
  if (blocks === 0) return
  const checks = checksOfDataOut(plan)
  const fua = (flags & FUA) !== 0
  return eachBlocksOut(task, unit, plan, { lba, blocks }, (index, interleaved) => {
    unit.counters.writtenBytes += unit.protection.dataBytes(interleaved)
    return unit.protection.write(lba + index, interleaved, checks, fua, task)
  })
}

/**
 * ORWRITE (16) (SBC-3 §5.7): both what is stored and what is sent are checked. The guards are made for the result; the tags are
 * those sent, else those a WRITE would make. Each piece is atomic.
 */
export function orWrite(task: Task, unit: ProtectedUnit, cdb: BlockCdb): Completion {
  const { protection, blockBytes } = unit
  const { lba, flags } = cdb
  const plan = protectPlan(cdb, unit)
  unit.checkWrite(task, lba, cdb.blocks)
  const blocks = dataOutBlocks(task, transferredBytes(unit, plan), cdb.blocks)
  if (blocks === 0) return
  const { checks } = plan
  const fua = (flags & FUA) !== 0
  return eachBlocksOut(task, unit, plan, { lba, blocks }, (index, interleaved) =>
    protection.alone(lba + index, interleaved, task, async () => {
      const first = lba + index
      await protection.check(first, interleaved, checksOfDataOut(plan), task)
      const count = interleaved.length / protection.interleavedBytes
      await eachBlocksRead(task, unit, { lba: first, blocks: count, checks }, (from, stored) =>
        orBlocks(interleaved, from * protection.interleavedBytes, stored, blockBytes),
      )
      regenerateGuards(interleaved, blockBytes)
      unit.counters.writtenBytes += protection.dataBytes(interleaved)
      await protection.writeHeld(first, interleaved, noChecks, fua, task)
    }),
  )
}

/** Sets the bits of the blocks in `stored` in those at `into[at]`, and leaves what lies between blocks. */
function orBlocks(into: Uint8Array, at: number, stored: Uint8Array, blockBytes: number): void {
  const step = blockBytes + PROTECTION_BYTES
  for (let block = 0; block < stored.length; block += step) {
    for (let i = block; i < block + blockBytes; i++) into[at + i]! |= stored[i]!
  }
}
