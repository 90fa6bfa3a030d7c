import type { DataBuffer } from "../../base/buffers.ts"
import type { Completion } from "../../base/completion.ts"
import { SCRATCH_BYTES, TRANSFER_STEP_BYTES } from "../../base/limits.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { throwIfAborted } from "./medium.ts"
import { wrongDataOutLength } from "./fields.ts"

/** The first `bytes` of a buffer; a view is made only where the buffer is longer, since each costs 0.1 µs. */
export const bytesOf = (buffer: DataBuffer, bytes: number): Uint8Array =>
  buffer.bytes.length === bytes ? buffer.bytes : buffer.bytes.subarray(0, bytes)

/**
 * How much Data-Out a command gets that takes `bytes` by its CDB: all of it, or, when the initiator announced less,
 * the whole blocks it sends. A part of a block can't be written; it is refused before anything is (as FCP-4 allows).
 */
export function dataOutBytes(task: Task, unit: DiskUnit, bytes: number): number {
  task.dataOutBytes = bytes
  if (bytes <= task.dataOutBytesMax) return bytes
  if ((task.dataOutBytesMax & (unit.blockBytes - 1)) !== 0) {
    throw wrongDataOutLength(`${task.dataOutBytesMax} bytes of data are no whole blocks`)
  }
  return task.dataOutBytesMax
}

/**
 * Carries out `step` on consecutive pieces of Data-Out of at most TRANSFER_STEP_BYTES. A step gets the offset of its
 * piece in the data and may change it; the buffer is released when it is done.
 */
export async function eachDataOut(
  task: Task,
  bytes: number,
  step: (at: number, data: Uint8Array) => Completion,
): Promise<void> {
  for (let at = 0; at < bytes; at += TRANSFER_STEP_BYTES) {
    const part = Math.min(TRANSFER_STEP_BYTES, bytes - at)
    const buffer = await task.receiveDataOut(at, part)
    try {
      throwIfAborted(task)
      await step(at, bytesOf(buffer, part))
    } finally {
      buffer.release()
    }
  }
}

/**
 * Reads a run of the medium in pieces of at most SCRATCH_BYTES and shows each to `look`, with its offset in the run. The memory
 * isn't asked of the transport: a task that holds data of the initiator's must not wait for more. For whoever holds the run,
 * or doesn't care what an atomic write does to it meanwhile.
 */
export async function eachPieceRead(
  task: Task,
  unit: DiskUnit,
  offset: number,
  bytes: number,
  look: (at: number, stored: Uint8Array) => void,
): Promise<void> {
  const scratch = Buffer.allocUnsafe(Math.min(bytes, SCRATCH_BYTES))
  for (let at = 0; at < bytes; at += scratch.length) {
    const stored = bytes - at < scratch.length ? scratch.subarray(0, bytes - at) : scratch
    await unit.medium.readHeld(offset + at, stored, task)
    throwIfAborted(task)
    look(at, stored)
  }
}
