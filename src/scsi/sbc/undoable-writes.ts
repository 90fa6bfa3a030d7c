import type { BlockDevice } from "../../backstore/block-device.ts"
import { BlockError } from "../../backstore/block-device.ts"
import { SCRATCH_BYTES } from "../../base/limits.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { UndoLog, UndoRun } from "./undo-log.ts"

/** What the page cache takes over as a whole: the unit in which holes are looked for. */
const PAGE_BYTES = 4096

/**
 * Writes that happen as a whole or not at all. pwrite(2) alone doesn't promise that: a signal that kills ends it between two
 * pages, and a loss of power between two sectors. So the old content goes to a log first:
 *
 *     old content -> log, stable    from here on a crash brings the old content back
 *     new content -> medium, stable (FUA)
 *     log cleared, stable           from here on the new content stays
 *
 * One write at a time: the log has room for one. The caller sees to it that nobody else reads or changes the run.
 */
export class UndoableWrites {
  readonly #device: BlockDevice
  readonly #log: UndoLog
  #turn: Promise<unknown> = Promise.resolve()
  #broken: SenseError | undefined

  constructor(device: BlockDevice, log: UndoLog) {
    this.#device = device
    this.#log = log
  }

  /**
   * Why nothing may be written any more, not by others either: the log holds content that is to be brought back by the next
   * start, and would take the place of what is written until then.
   */
  get broken(): SenseError | undefined {
    return this.#broken
  }

  /** Leaves nothing of the medium's old content in the log. Rejects with SanletError. */
  wipe(): Promise<void> {
    return this.#log.wipe()
  }

  /** Rejects with BlockError, or SenseError where the log is the cause; then the run holds what it held before. */
  write(offsetBytes: number, from: Uint8Array, task: object): Promise<void> {
    const done = this.#turn.then(() => this.#write(offsetBytes, from, task))
    this.#turn = done.catch(() => {})
    return done
  }

  async #write(offsetBytes: number, from: Uint8Array, task: object): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken
    await this.#save({ offsetBytes, lengthBytes: from.length }, task)
    try {
      await this.#device.write(offsetBytes, from, true, task)
    } catch (error) {
      await this.#takeBack()
      throw error
    }
    try {
      await this.#log.clear()
    } catch (error) {
      // The log would undo the write after a crash, so it isn't done.
      await this.#takeBack()
      throw logFailure(String(error))
    }
  }

  async #save({ offsetBytes, lengthBytes }: UndoRun, task: object): Promise<void> {
    const scratch = new Uint8Array(Math.min(lengthBytes, SCRATCH_BYTES))
    try {
      for (let at = 0; at < lengthBytes; at += scratch.length) {
        const piece = scratch.subarray(0, lengthBytes - at)
        await this.#device.read(offsetBytes + at, piece, task)
        await this.#log.append(piece)
      }
      await this.#log.commit({ offsetBytes, lengthBytes })
    } catch (error) {
      // Nothing has been written: what the log may hold is what the run holds.
      await this.#forget()
      throw error instanceof BlockError ? error : logFailure(String(error))
    }
  }

  /** Brings the old content back. Where that fails the log keeps it: the next start tries again. */
  async #takeBack(): Promise<void> {
    try {
      await rollBack(this.#device, this.#log)
    } catch (error) {
      this.#broken = logFailure(`an unfinished one couldn't be undone: ${String(error)}`)
    }
  }

  async #forget(): Promise<void> {
    try {
      await this.#log.clear()
    } catch (error) {
      this.#broken = logFailure(String(error))
    }
  }
}

/**
 * Undoes a write that was under way when the process or the machine went down: to be called before the medium is used
 * again. All of the run is written, whatever it reads as: a start before may have undone it in the system's cache alone, and
 * failed to make that stable. Holes stay holes. Rejects with BlockError or SanletError.
 */
export async function rollBack(device: BlockDevice, log: UndoLog): Promise<void> {
  if (log.pending === undefined) return
  for await (const { offsetBytes, before } of pagesBefore(device, log, log.pending)) {
    await device.write(offsetBytes, before, false)
  }
  await device.flush()
  await log.clear()
}

/** Whether a write that was under way then has left something on the medium. Rejects with BlockError or SanletError. */
export async function isTorn(device: BlockDevice, log: UndoLog): Promise<boolean> {
  if (log.pending === undefined) return false
  const page = new Uint8Array(Math.min(log.pending.lengthBytes, PAGE_BYTES))
  for await (const { offsetBytes, before } of pagesBefore(device, log, log.pending)) {
    const now = page.subarray(0, before.length)
    await device.read(offsetBytes, now)
    if (Buffer.compare(before, now) !== 0) return true
  }
  return false
}

/** What the pages of a run held before, but of those that were never written. */
async function* pagesBefore(
  device: BlockDevice,
  log: UndoLog,
  { offsetBytes, lengthBytes }: UndoRun,
): AsyncGenerator<{ offsetBytes: number; before: Uint8Array }> {
  // A device that was cut short since then has lost what was beyond.
  const bytes = Math.max(0, Math.min(lengthBytes, device.sizeBytes - offsetBytes))
  const page = new Uint8Array(Math.min(bytes, PAGE_BYTES))
  for (let at = 0; at < bytes; at += PAGE_BYTES) {
    const before = page.subarray(0, bytes - at)
    await log.read(at, before)
    const unwritten =
      before.every((byte) => byte === 0) && (await isHole(device, offsetBytes + at, before.length))
    if (!unwritten) yield { offsetBytes: offsetBytes + at, before }
  }
}

/** Nothing was ever written there, so nothing of the write got there. */
async function isHole(device: BlockDevice, offsetBytes: number, lengthBytes: number): Promise<boolean> {
  if (!device.features.extents) return false
  const [first] = await device.extents(offsetBytes, lengthBytes, 1)
  return first !== undefined && !first.allocated && first.lengthBytes >= lengthBytes
}

const logFailure = (why: string): SenseError =>
  new SenseError(SenseKey.hardwareError, Asc.internalTargetFailure, `no atomic write is possible: ${why}`)
