import type { DataBuffer } from "../../base/buffers.ts"
import { type Completion, isPromise } from "../../base/completion.ts"
import { TRANSFER_STEP_BYTES } from "../../base/limits.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { throwIfAborted } from "./medium.ts"
import { bytesOf, dataOutBytes, eachDataOut } from "./transfer.ts"

/** FUA, and FUA_NV, which asks for less: without non-volatile cache the medium is what is left. */
export const FUA = 0x08 | 0x02

/**
 * READ (SBC-3 §5.11 to 5.13, SBC-2 for 6 bytes). With FUA the blocks come from the medium: what a volatile cache holds is written back
 * before they are read.
 */
export function read(task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number): Completion {
  unit.counters.readCommands++
  unit.checkRead(task, lba, blocks)
  const bytes = blocks * unit.blockBytes
  task.dataInBytes = bytes
  const sent = bytes < task.dataInBytesMax ? bytes : task.dataInBytesMax
  if (sent === 0) return
  const offset = lba * unit.blockBytes
  if (sent > TRANSFER_STEP_BYTES || (flags & FUA) !== 0 || (sent & (unit.blockBytes - 1)) !== 0) {
    return readSteps(task, unit, offset, sent, flags)
  }
  const buffer = task.allocateDataIn(sent)
  if (isPromise(buffer)) return buffer.then((later) => readStep(task, unit, offset, later, sent))
  return readStep(task, unit, offset, buffer, sent)
}

/** The whole of a READ that fits one buffer. */
function readStep(task: Task, unit: DiskUnit, offset: number, buffer: DataBuffer, bytes: number): Completion {
  let done: Completion
  try {
    done = unit.medium.read(offset, bytesOf(buffer, bytes), task)
  } catch (error) {
    buffer.release()
    throw error
  }
  if (isPromise(done)) return sendAfter(done, task, unit, buffer, bytes)
  unit.counters.readBytes += bytes
  task.sendDataIn(0, buffer, bytes, true)
}

async function sendAfter(
  done: Promise<void>,
  task: Task,
  unit: DiskUnit,
  buffer: DataBuffer,
  bytes: number,
): Promise<void> {
  try {
    await done
  } catch (error) {
    buffer.release()
    throw error
  }
  unit.counters.readBytes += bytes
  task.sendDataIn(0, buffer, bytes, true)
}

/** Everything else: several steps, FUA, or an initiator that takes a part of the last block only. */
async function readSteps(
  task: Task,
  unit: DiskUnit,
  offset: number,
  bytes: number,
  flags: number,
): Promise<void> {
  if ((flags & FUA) !== 0) await unit.medium.settle(task)
  const long = bytes > TRANSFER_STEP_BYTES ? unit.medium.beginLongRead(offset, bytes) : undefined
  try {
    for (let at = 0; at < bytes; at += TRANSFER_STEP_BYTES) {
      const part = Math.min(TRANSFER_STEP_BYTES, bytes - at)
      const whole = Math.ceil(part / unit.blockBytes) * unit.blockBytes
      const buffer = await task.allocateDataIn(whole)
      try {
        throwIfAborted(task)
        await unit.medium.read(offset + at, bytesOf(buffer, whole), task)
        long?.advance(offset + at + part)
      } catch (error) {
        buffer.release()
        throw error
      }
      unit.counters.readBytes += part
      task.sendDataIn(at, buffer, part, at + part === bytes)
    }
  } finally {
    if (long !== undefined) unit.medium.endLongRead(long)
  }
}

/** WRITE (SBC-3 §5.33 to 5.35, SBC-2 for 6 bytes). */
export function write(task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number): Completion {
  unit.counters.writeCommands++
  unit.checkWrite(task, lba, blocks)
  const bytes = dataOutBytes(task, unit, blocks * unit.blockBytes)
  if (bytes === 0) return
  const offset = lba * unit.blockBytes
  const fua = (flags & FUA) !== 0
  if (bytes > TRANSFER_STEP_BYTES) {
    return eachDataOut(task, bytes, (at, data) => {
      unit.counters.writtenBytes += data.length
      return unit.medium.write(offset + at, data, fua, task)
    })
  }
  const buffer = task.receiveDataOut(0, bytes)
  if (isPromise(buffer)) return buffer.then((later) => writeStep(task, unit, offset, later, bytes, fua))
  return writeStep(task, unit, offset, buffer, bytes, fua)
}

function writeStep(
  task: Task,
  unit: DiskUnit,
  offset: number,
  buffer: DataBuffer,
  bytes: number,
  fua: boolean,
): Completion {
  unit.counters.writtenBytes += bytes
  let done: Completion
  try {
    done = unit.medium.write(offset, bytesOf(buffer, bytes), fua, task)
  } catch (error) {
    buffer.release()
    throw error
  }
  if (isPromise(done)) return done.finally(() => buffer.release())
  buffer.release()
}
