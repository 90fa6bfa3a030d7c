import { type Completion, isPromise } from "../../base/completion.ts"
import type { BlockDevice, Extent } from "../../backstore/block-device.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { Task } from "../sam/task.ts"
import { type MediumAccess, senseFromBlockError } from "./block-sense.ts"
import { RangeLock } from "./range-lock.ts"

/** On whose behalf something is done at a medium: a task, or what goes on without one. */
export type MediumUser = Pick<Task, "state">

/** Who wants to know what is about to change; offset and length are in bytes. */
export type ChangeListener = (offsetBytes: number, lengthBytes: number) => void

/**
 * The medium as the commands see it: a block device whose failures are SenseErrors and whose writes keep out of
 * ranges that somebody holds alone. Offsets and lengths are in bytes, whole logical blocks.
 */
export class Medium {
  /** Of a removable unit it changes with the tray, when nothing uses it. */
  device: BlockDevice
  readonly #blockBytes: number
  readonly #lock = new RangeLock()
  /** WCE is 0 although the device has a volatile cache: every change is made stable before it is acknowledged. */
  writeThrough = false
  /** Called before each change, as long as somebody wants to know of them. */
  onChange: ChangeListener | undefined

  constructor(device: BlockDevice, blockBytes: number) {
    this.device = device
    this.#blockBytes = blockBytes
  }

  read(offsetBytes: number, into: Uint8Array, task: MediumUser): Completion {
    throwIfAborted(task)
    let done: Completion
    try {
      done = this.device.read(offsetBytes, into, task)
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
    return isPromise(done) ? this.#mapped(done, "read", offsetBytes) : undefined
  }

  /** A write costs one comparison more than the device's own as long as nobody holds a range alone. */
  write(offsetBytes: number, from: Uint8Array, fua: boolean, task: MediumUser): Completion {
    if (this.#lock.contended) {
      return this.#inTurn(offsetBytes, from.length, task, () => this.writeHeld(offsetBytes, from, fua, task))
    }
    throwIfAborted(task)
    this.onChange?.(offsetBytes, from.length)
    let done: Completion
    try {
      done = this.device.write(offsetBytes, from, fua || this.writeThrough, task)
    } catch (error) {
      throw this.#sense(error, "write", offsetBytes)
    }
    return isPromise(done) ? this.#onItsWay(done, offsetBytes, from.length) : undefined
  }

  /** The same for whoever runs within `alone`. */
  writeHeld(offsetBytes: number, from: Uint8Array, fua: boolean, task: MediumUser): Completion {
    throwIfAborted(task)
    this.onChange?.(offsetBytes, from.length)
    let done: Completion
    try {
      done = this.device.write(offsetBytes, from, fua || this.writeThrough, task)
    } catch (error) {
      throw this.#sense(error, "write", offsetBytes)
    }
    return isPromise(done) ? this.#mapped(done, "write", offsetBytes) : undefined
  }

  /** Deallocates: the run reads as zeroes afterwards. */
  discard(offsetBytes: number, lengthBytes: number, task: MediumUser): Completion {
    return this.#change(offsetBytes, lengthBytes, task, async () => {
      await this.device.discard(offsetBytes, lengthBytes, task)
      if (this.writeThrough) await this.device.flush(task)
    })
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, task: MediumUser): Completion {
    return this.#change(offsetBytes, lengthBytes, task, () =>
      this.device.writeZeroes(offsetBytes, lengthBytes, this.writeThrough, task),
    )
  }

  /**
   * Has the device copy a run of another medium by itself; the two must not overlap. False: the devices can't, and it is to be
   * read and written.
   */
  async copyFrom(
    source: Medium,
    sourceOffsetBytes: number,
    offsetBytes: number,
    lengthBytes: number,
    task: MediumUser,
  ): Promise<boolean> {
    if (this.device.copyFrom === undefined) return false
    let copied = false
    await this.#change(offsetBytes, lengthBytes, task, async () => {
      const done = this.device.copyFrom?.(source.device, sourceOffsetBytes, offsetBytes, lengthBytes, task)
      copied = (await done) ?? false
      if (copied && this.writeThrough) await this.device.flush(task)
    })
    return copied
  }

  /** Everything acknowledged before is stable after it. `task` is absent where the command has ended before. */
  flush(task?: MediumUser): Completion {
    if (task !== undefined) throwIfAborted(task)
    let done: Completion
    try {
      done = this.device.flush(task)
    } catch (error) {
      throw this.#sense(error, "write")
    }
    return isPromise(done) ? this.#mapped(done, "write") : undefined
  }

  /** As BlockDevice.extents. */
  async extents(offsetBytes: number, lengthBytes: number, countMax: number): Promise<Extent[]> {
    try {
      return await this.device.extents(offsetBytes, lengthBytes, countMax)
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
  }

  /** What the medium itself holds is what a read finds afterwards: for reads with FUA, and for verifying. */
  settle(task: MediumUser): Completion {
    return this.device.features.writeCache ? this.flush(task) : undefined
  }

  /** Runs `work` while nobody else changes the run. It writes with `writeHeld`, and awaits no initiator. */
  async alone<T>(
    offsetBytes: number,
    lengthBytes: number,
    task: MediumUser,
    work: () => Promise<T>,
  ): Promise<T> {
    const held = await this.#lock.enter(offsetBytes, offsetBytes + lengthBytes, true)
    try {
      throwIfAborted(task)
      return await work()
    } finally {
      this.#lock.leave(held)
    }
  }

  #change(offsetBytes: number, lengthBytes: number, task: MediumUser, start: () => Completion): Completion {
    return this.#inTurn(offsetBytes, lengthBytes, task, async () => {
      this.onChange?.(offsetBytes, lengthBytes)
      try {
        await start()
      } catch (error) {
        throw this.#sense(error, "write", offsetBytes)
      }
    })
  }

  async #inTurn(
    offsetBytes: number,
    lengthBytes: number,
    task: MediumUser,
    start: () => Completion,
  ): Promise<void> {
    const held = await this.#lock.enter(offsetBytes, offsetBytes + lengthBytes, false)
    try {
      throwIfAborted(task)
      await start()
    } finally {
      this.#lock.leave(held)
    }
  }

  /** A write that goes on: nobody held a range alone when it began, so its own is granted at once. */
  async #onItsWay(done: Promise<void>, offsetBytes: number, lengthBytes: number): Promise<void> {
    const held = this.#lock.enter(offsetBytes, offsetBytes + lengthBytes, false)
    try {
      await done
    } catch (error) {
      throw this.#sense(error, "write", offsetBytes)
    } finally {
      this.#lock.leave(isPromise(held) ? await held : held)
    }
  }

  async #mapped(done: Promise<void>, access: MediumAccess, offsetBytes?: number): Promise<void> {
    try {
      await done
    } catch (error) {
      throw this.#sense(error, access, offsetBytes)
    }
  }

  #sense(error: unknown, access: MediumAccess, offsetBytes?: number): unknown {
    return senseFromBlockError(error, access, this.#blockBytes, offsetBytes)
  }
}

/**
 * An aborted task begins nothing any more: what the medium was doing for it was cancelled when it was aborted, what it
 * would do now nobody would cancel. Nobody gets to see the sense.
 */
export const throwIfAborted = (task: MediumUser): void => {
  if (task.state !== "aborted") return
  throw new SenseError(SenseKey.abortedCommand, Asc.noAdditionalSense, "the task was aborted")
}
