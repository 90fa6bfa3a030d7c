import type { Completion } from "../../../base/completion.ts"
import { SCRATCH_BYTES, TRANSFER_STEP_BYTES } from "../../../base/limits.ts"
import { generate, noChecks, type ProtectionChecks, spread } from "../../../backstore/protection/tuple.ts"
import type { Task } from "../../sam/task.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { wrongDataOutLength } from "../fields.ts"
import { throwIfAborted } from "../medium.ts"
import { bytesOf } from "../transfer.ts"
import type { DiskProtection } from "./disk-protection.ts"
import type { ProtectPlan } from "./protect-field.ts"

/** A disk whose device keeps protection information. */
export type ProtectedUnit = DiskUnit & { readonly protection: DiskProtection }

/** Bytes of a block on its way to or from the initiator. */
export const transferredBytes = ({ protection, blockBytes }: ProtectedUnit, plan: ProtectPlan): number =>
  plan.transmitted ? protection.interleavedBytes : blockBytes

/** The largest step of a transfer that holds whole blocks. */
export const stepBytesOf = (unitBytes: number): number =>
  Math.floor(TRANSFER_STEP_BYTES / unitBytes) * unitBytes

/** As many blocks, interleaved, as scratch memory holds. */
export const scratchBlocks = ({ protection }: ProtectedUnit): number =>
  Math.floor(SCRATCH_BYTES / protection.interleavedBytes)

/** How many blocks of `unitBytes` a command gets as Data-Out; as dataOutBytes, which knows blocks without anything beside. */
export function dataOutBlocks(task: Task, unitBytes: number, blocks: number): number {
  task.dataOutBytes = blocks * unitBytes
  if (task.dataOutBytes <= task.dataOutBytesMax) return blocks
  if (task.dataOutBytesMax % unitBytes !== 0) {
    throw wrongDataOutLength(`${task.dataOutBytesMax} bytes of data are no whole blocks of ${unitBytes}`)
  }
  return task.dataOutBytesMax / unitBytes
}

/** A piece of Data-Out, interleaved: with the initiator's protection information, or with ours. */
export type DataOutStep = (index: number, interleaved: Uint8Array) => Completion

/**
 * Fetches Data-Out and carries out `step` on consecutive pieces of at most SCRATCH_BYTES, or of everything where it must be `whole`;
 * `index` is a piece's first block in the data. Pieces may be changed.
 */
export async function eachBlocksOut(
  task: Task,
  unit: ProtectedUnit,
  plan: ProtectPlan,
  { lba, blocks, whole = false }: { lba: number; blocks: number; whole?: boolean },
  step: DataOutStep,
): Promise<void> {
  const unitBytes = transferredBytes(unit, plan)
  const bytes = blocks * unitBytes
  const stepBytes = stepBytesOf(unitBytes)
  const pieceBlocks = whole ? blocks : Math.min(blocks, scratchBlocks(unit))
  const scratch = Buffer.allocUnsafe(plan.transmitted ? 0 : pieceBlocks * unit.protection.interleavedBytes)
  for (let at = 0; at < bytes; at += stepBytes) {
    const part = Math.min(stepBytes, bytes - at)
    const buffer = await task.receiveDataOut(at, part)
    try {
      const data = bytesOf(buffer, part)
      for (let from = 0; from < part; from += pieceBlocks * unitBytes) {
        throwIfAborted(task)
        const piece = data.subarray(from, Math.min(from + pieceBlocks * unitBytes, part))
        const index = (at + from) / unitBytes
        await step(index, plan.transmitted ? piece : withTags(unit, plan, lba + index, piece, scratch))
      }
    } finally {
      buffer.release()
    }
  }
}

/** Blocks that came alone, with generated protection information, in `scratch`. */
export function withTags(
  { protection, blockBytes }: ProtectedUnit,
  { referenceTagOffset }: ProtectPlan,
  lba: number,
  blocks: Uint8Array,
  scratch: Uint8Array,
): Uint8Array {
  const interleaved = scratch.subarray(0, (blocks.length / blockBytes) * protection.interleavedBytes)
  spread(blocks, blockBytes, interleaved)
  generate(interleaved, blockBytes, lba, protection.tags(referenceTagOffset))
  return interleaved
}

/** Reads blocks piece by piece and shows each piece, interleaved, with its first block's index in the run. */
export async function eachBlocksRead(
  task: Task,
  unit: ProtectedUnit,
  { lba, blocks, checks = noChecks }: { lba: number; blocks: number; checks?: ProtectionChecks },
  look: (index: number, interleaved: Uint8Array) => void,
): Promise<void> {
  const { protection } = unit
  const pieceBlocks = Math.min(blocks, scratchBlocks(unit))
  const scratch = Buffer.allocUnsafe(pieceBlocks * protection.interleavedBytes)
  for (let index = 0; index < blocks; index += pieceBlocks) {
    const count = Math.min(pieceBlocks, blocks - index)
    const piece = scratch.subarray(0, count * protection.interleavedBytes)
    await protection.read(lba + index, piece, checks, task)
    throwIfAborted(task)
    look(index, piece)
  }
}
