import { type Completion, isPromise } from "../../base/completion.ts"
import type { BlockDevice, Extent } from "../../backstore/block-device.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { Task } from "../sam/task.ts"
import { type MediumAccess, senseFromBlockError } from "./block-sense.ts"
import { type LongRead, LongReads } from "./long-reads.ts"
import { RangeLock } from "./range-lock.ts"
import type { UndoableWrites } from "./undoable-writes.ts"

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
  /** Reads of several steps; undefined: there are no atomic writes that they could see half of. */
  readonly #longReads: LongReads | undefined
  readonly #undoable: UndoableWrites | undefined
  /** Atomic writes that are in progress or wait for their turn. */
  #atomicWrites = 0
  /** Atomic writes there ever were. */
  #atomicWritesBegun = 0
  /** WCE is 0 although the device has a volatile cache: every change is made stable before it is acknowledged. */
  writeThrough = false
  /** Called before each change, as long as somebody wants to know of them. */
  onChange: ChangeListener | undefined

  /** `undoable`: absent where no atomic write can be promised. */
  constructor(device: BlockDevice, blockBytes: number, undoable?: UndoableWrites) {
    this.device = device
    this.#blockBytes = blockBytes
    this.#undoable = undoable
    this.#longReads = undoable && new LongReads()
  }

  /** A read costs one comparison more than the device's own as long as there is no atomic write. */
  read(offsetBytes: number, into: Uint8Array, task: MediumUser): Completion {
    if (this.#atomicWrites !== 0) {
      return this.#inTurn(offsetBytes, into.length, task, () => this.readHeld(offsetBytes, into, task))
    }
    throwIfAborted(task)
    const begun = this.#atomicWritesBegun
    let done: Completion
    try {
      done = this.device.read(offsetBytes, into, task)
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
    return isPromise(done) ? this.#readOnItsWay(done, begun, offsetBytes, into, task) : undefined
  }

  /** The same for whoever runs within `alone` or `steady`. */
  readHeld(offsetBytes: number, into: Uint8Array, task: MediumUser): Completion {
    throwIfAborted(task)
    let done: Completion
    try {
      done = this.device.read(offsetBytes, into, task)
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
    return isPromise(done) ? this.#mapped(done, "read", offsetBytes) : undefined
  }

  /** Announces a read of several steps: see LongReads. */
  beginLongRead(offsetBytes: number, lengthBytes: number): LongRead | undefined {
    return this.#longReads?.begin(offsetBytes, offsetBytes + lengthBytes)
  }

  endLongRead(read: LongRead): void {
    this.#longReads?.end(read)
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
    this.#checkChangeable()
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

  /** Reads by other means than `read`: `start` fails with the device's errors. */
  async readBy(offsetBytes: number, task: MediumUser, start: () => Completion): Promise<void> {
    throwIfAborted(task)
    try {
      await start()
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
  }

  /** Changes the run by other means than `write`. */
  changeBy(offsetBytes: number, lengthBytes: number, task: MediumUser, start: () => Completion): Completion {
    return this.#change(offsetBytes, lengthBytes, task, start)
  }

  /** The same for whoever runs within `alone`. */
  async changeHeldBy(
    offsetBytes: number,
    lengthBytes: number,
    task: MediumUser,
    start: () => Completion,
  ): Promise<void> {
    this.#checkChangeable()
    throwIfAborted(task)
    this.onChange?.(offsetBytes, lengthBytes)
    try {
      await start()
    } catch (error) {
      throw this.#sense(error, "write", offsetBytes)
    }
  }

  /** Runs `work` while no atomic write and nobody who is alone changes the run; others may. It reads with `readHeld`. */
  steady<T>(offsetBytes: number, lengthBytes: number, task: MediumUser, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(offsetBytes, lengthBytes, task, work)
  }

  /** Runs `work` on the device itself while nobody changes any of it. Rejects with what it rejects with. */
  async exclusively(work: () => Promise<void>): Promise<void> {
    const held = await this.#lock.enter(0, Infinity, true)
    try {
      this.#checkChangeable()
      this.onChange?.(0, this.device.sizeBytes)
      await work()
    } finally {
      this.#lock.leave(held)
    }
  }

  /**
   * An atomic write operation (SBC-4 §4.29): others find all of it or nothing, also after a crash, and when it fails it has
   * changed nothing. It is stable when it ends.
   */
  async writeAtomically(offsetBytes: number, from: Uint8Array, task: MediumUser): Promise<void> {
    const undoable = this.#undoable
    if (undoable === undefined) throw noAtomicWrites()
    this.#atomicWrites++
    try {
      await this.alone(offsetBytes, from.length, task, async () => {
        this.#atomicWritesBegun++
        this.onChange?.(offsetBytes, from.length)
        this.#longReads?.overtake(offsetBytes, offsetBytes + from.length)
        try {
          await undoable.write(offsetBytes, from, task)
        } catch (error) {
          // Whoever holds a range alone makes all writers look twice: this one, of no bytes, is never given back.
          if (undoable.broken !== undefined) void this.#lock.enter(0, 0, true)
          throw this.#sense(error, "write", offsetBytes)
        }
      })
    } finally {
      this.#atomicWrites--
    }
  }

  /** Of what atomic writes remember, nothing is left. Rejects with SanletError. */
  async wipeUndoLog(): Promise<void> {
    await this.#undoable?.wipe()
  }

  #change(offsetBytes: number, lengthBytes: number, task: MediumUser, start: () => Completion): Completion {
    return this.#inTurn(offsetBytes, lengthBytes, task, async () => {
      this.onChange?.(offsetBytes, lengthBytes)
      try {
        this.#checkChangeable()
        await start()
      } catch (error) {
        throw this.#sense(error, "write", offsetBytes)
      }
    })
  }

  /** Whether it can be promised that a change stays: it can't once an atomic write could neither end nor be undone. */
  #checkChangeable(): void {
    if (this.#undoable?.broken !== undefined) throw this.#undoable.broken
  }

  async #inTurn<T>(
    offsetBytes: number,
    lengthBytes: number,
    task: MediumUser,
    start: () => T | Promise<T>,
  ): Promise<T> {
    const held = await this.#lock.enter(offsetBytes, offsetBytes + lengthBytes, false)
    try {
      throwIfAborted(task)
      return await start()
    } finally {
      this.#lock.leave(held)
    }
  }

  /** A read that goes on. When an atomic write began meanwhile it may have found half of it, so it is done again. */
  async #readOnItsWay(
    done: Promise<void>,
    begun: number,
    offsetBytes: number,
    into: Uint8Array,
    task: MediumUser,
  ): Promise<void> {
    try {
      await done
    } catch (error) {
      throw this.#sense(error, "read", offsetBytes)
    }
    if (this.#atomicWritesBegun === begun) return
    await this.#inTurn(offsetBytes, into.length, task, () => this.readHeld(offsetBytes, into, task))
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

const noAtomicWrites = (): SenseError =>
  new SenseError(SenseKey.illegalRequest, Asc.invalidCommandOperationCode, "no atomic write can be promised")

/**
 * An aborted task begins nothing any more: what the medium was doing for it was cancelled when it was aborted, what it
 * would do now nobody would cancel. Nobody gets to see the sense.
 */
export const throwIfAborted = (task: MediumUser): void => {
  if (task.state !== "aborted") return
  throw new SenseError(SenseKey.abortedCommand, Asc.noAdditionalSense, "the task was aborted")
}
