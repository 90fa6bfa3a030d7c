import { constants } from "node:os"
import type { Clock } from "../base/clock.ts"
import type { Completion, Eventually } from "../base/completion.ts"
import { EXTENTS_MAX, FALLOCATE_STEP_BYTES, ZEROES_WRITTEN_BYTES_MAX } from "../base/limits.ts"
import { type BlockDevice, type BlockDeviceFeatures, BlockError, type Extent } from "./block-device.ts"
import { BufferedIo } from "./buffered-io.ts"
import { DirectIo } from "./direct-io.ts"
import { copyFileRange } from "./copy-file-range.ts"
import { blockErrorOf } from "./errors.ts"
import { readExtents } from "./extents.ts"
import { Flusher } from "./flusher.ts"
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE } from "./libc.ts"
import { checkRange, closedError, ResizeListeners } from "./range.ts"
import type { FileIo, OpenFile } from "./transfer.ts"

/**
 * When an acknowledged write is safe, and how it gets there:
 * - write-back: it is in the page cache; a flush or FUA makes it stable.
 * - write-through: it is stable. Writes that come at the same time share one fdatasync.
 * - direct: it is past the page cache (O_DIRECT), perhaps in the drive's own cache, which a flush empties.
 */
export type CacheMode = "write-back" | "write-through" | "direct"

/** What opening a store has found out. */
export interface KernelStoreSetup extends OpenFile {
  /** All descriptors to close, `fd` and `stableFd` among them. */
  readonly descriptors: readonly number[]
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly cache: CacheMode
  readonly discard: boolean
  readonly discardGranularityBytes: number
  readonly extents: boolean
  readonly solidState: boolean
  /** What offsets and lengths given to fallocate must be multiples of, in bytes. */
  readonly fallocateUnitBytes: number
  /** What O_DIRECT asks for, in bytes. */
  readonly directAlignmentBytes: number
  readonly clock: Clock
}

/** Results of fallocate that say "I don't know how", after which the zeroes are written instead. */
const UNSUPPORTED = [-constants.errno.EOPNOTSUPP, -constants.errno.ENOSYS, -constants.errno.EINVAL]

const ignore = (): void => {}

const zeroes = new Uint8Array(ZEROES_WRITTEN_BYTES_MAX)

/** A device on a descriptor of the operating system: what files and block special files have in common. */
export abstract class KernelStore implements BlockDevice {
  readonly name: string
  readonly features: BlockDeviceFeatures
  protected readonly setup: KernelStoreSetup
  protected readonly flusher: Flusher
  readonly #io: FileIo
  readonly #writeThrough: boolean
  readonly #listeners = new ResizeListeners()
  #sizeBytes: number
  #zeroRange: boolean
  #inFlight = 0
  #idle: (() => void) | undefined
  #closed: Promise<void> | undefined
  #turn: Promise<void> = Promise.resolve()

  protected constructor(setup: KernelStoreSetup) {
    const { system, fd, cache, readOnly } = setup
    this.name = setup.name
    this.setup = setup
    this.features = {
      readOnly,
      writeCache: !readOnly && cache !== "write-through",
      discard: setup.discard,
      discardGranularityBytes: setup.discardGranularityBytes,
      extents: setup.extents,
      alignmentBytes: 1, // DirectIo takes any
      solidState: setup.solidState,
    }
    this.flusher = new Flusher(this.name, () => system.fdatasync(fd))
    this.#io =
      cache === "direct" && system.libc
        ? new DirectIo(setup, system.libc, setup.directAlignmentBytes)
        : new BufferedIo(setup, setup.clock)
    this.#writeThrough = cache === "write-through"
    this.#sizeBytes = setup.sizeBytes
    this.#zeroRange = system.libc !== undefined
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  read(offsetBytes: number, into: Uint8Array): Completion {
    this.#admit(offsetBytes, into.length)
    const done = this.#io.read(offsetBytes, into)
    return done === undefined ? undefined : this.tracked(done)
  }

  write(offsetBytes: number, from: Uint8Array, fua: boolean): Completion {
    this.#admitChange(offsetBytes, from.length)
    if (fua || this.#writeThrough) return this.tracked(this.#writeStable(offsetBytes, from))
    this.flusher.wrote() // before, in case it fails half-way: no other event comes between
    const done = this.#io.write(offsetBytes, from, this.setup.fd)
    return done === undefined ? undefined : this.tracked(this.#written(done))
  }

  flush(): Completion {
    if (this.#closed) throw closedError(this.name)
    if (this.features.readOnly) return
    const done = this.flusher.flush()
    return done === undefined ? undefined : this.tracked(done)
  }

  discard(offsetBytes: number, lengthBytes: number): Completion {
    this.#admitChange(offsetBytes, lengthBytes)
    if (lengthBytes === 0) return
    const done = this.features.discard
      ? this.#discard(offsetBytes, lengthBytes)
      : this.#writeZeroes(offsetBytes, lengthBytes)
    return this.tracked(this.#settled(done, false))
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean): Completion {
    this.#admitChange(offsetBytes, lengthBytes)
    if (lengthBytes === 0) return
    if (lengthBytes <= zeroes.length) return this.write(offsetBytes, zeroes.subarray(0, lengthBytes), fua)
    return this.tracked(this.#settled(this.#zero(offsetBytes, lengthBytes), fua))
  }

  /**
   * From the file's real holes, at most EXTENTS_MAX of them. Storage that was reserved but never written (what
   * writeZeroes leaves on some filesystems) counts as a hole, because the system says so.
   */
  extents(offsetBytes: number, lengthBytes: number, countMax: number): Eventually<Extent[]> {
    this.#admit(offsetBytes, lengthBytes)
    if (lengthBytes === 0 || countMax <= 0) return []
    const { libc } = this.setup.system
    if (!libc || !this.features.extents) return [{ offsetBytes, lengthBytes, allocated: true }]
    return this.tracked(
      readExtents(this.setup, libc, offsetBytes, lengthBytes, Math.min(countMax, EXTENTS_MAX)),
    )
  }

  /** By copy_file_range(2), which on some filesystems shares the storage. Not past the page cache. */
  copyFrom(
    source: BlockDevice,
    sourceOffsetBytes: number,
    offsetBytes: number,
    lengthBytes: number,
  ): Eventually<boolean> {
    if (!(source instanceof KernelStore) || this.setup.cache === "direct" || source.setup.cache === "direct")
      return false
    source.#admit(sourceOffsetBytes, lengthBytes)
    this.#admitChange(offsetBytes, lengthBytes)
    let copied = false
    const copying = source.tracked(
      copyFileRange(source.setup, sourceOffsetBytes, this.setup, offsetBytes, lengthBytes).then((done) => {
        copied = done
      }),
    )
    return this.tracked(this.#settled(copying, false)).then(() => copied)
  }

  /** Nothing waits here on its own account: what was asked for, the system has. */
  cancel(): void {}

  abstract resize(sizeBytes: number): Promise<void>

  /** The size the system tells now, in bytes; a negative errno when it can't. */
  protected abstract measure(): Promise<number>

  /**
   * Looks whether the size was changed from outside (a grown volume or file), and tells the listeners. Returns
   * the size in bytes (direct: of whole blocks); rejects with BlockError "io" when there's none.
   */
  refreshSize(): Promise<number> {
    return this.inTurn(async () => {
      if (this.#closed) throw closedError(this.name)
      const measured = await this.tracked(this.measure())
      if (measured < 0) throw blockErrorOf(measured, this.name, "asking for the size", 0)
      const { cache, directAlignmentBytes } = this.setup
      const sizeBytes = cache === "direct" ? measured - (measured % directAlignmentBytes) : measured
      if (sizeBytes === 0) throw new BlockError("io", `${this.name} has become empty`)
      if (sizeBytes !== this.#sizeBytes) this.setSize(sizeBytes)
      return sizeBytes
    })
  }

  /** Runs what changes the size after what came before, so that the last one asked for is the one that stays. */
  protected inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(change)
    this.#turn = done.then(ignore, ignore)
    return done
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Waits for what is under way, flushes, and closes in any case; rejects when the flush fails. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    try {
      if (!this.features.readOnly) await this.flusher.flush()
    } finally {
      for (const fd of this.setup.descriptors) await this.setup.system.close(fd)
    }
  }

  protected get isClosed(): boolean {
    return this.#closed !== undefined
  }

  protected setSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes
    this.#listeners.notify(sizeBytes)
  }

  /** Throws unless the device may be changed now. */
  protected checkWritable(): void {
    if (this.#closed) throw closedError(this.name)
    if (this.features.readOnly) throw new BlockError("read-only", `${this.name} is open for reading only`)
    this.flusher.check()
  }

  /** Keeps `close` waiting until `work` has ended. */
  protected async tracked<T>(work: Promise<T>): Promise<T> {
    this.#inFlight++
    try {
      return await work
    } finally {
      if (--this.#inFlight === 0) this.#idle?.()
    }
  }

  #admit(offsetBytes: number, lengthBytes: number): void {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.#sizeBytes, offsetBytes, lengthBytes)
  }

  #admitChange(offsetBytes: number, lengthBytes: number): void {
    this.#admit(offsetBytes, lengthBytes)
    this.checkWritable()
  }

  async #written(done: Promise<void>): Promise<void> {
    try {
      await done
    } finally {
      this.flusher.wrote() // again: a flush that started meanwhile may have missed it
    }
  }

  /**
   * With FUA only this range is made stable (O_DSYNC), however much else is dirty. In write-through mode nothing
   * else is, so all writes under way share an fdatasync, as one transaction of the filesystem's journal.
   */
  async #writeStable(offsetBytes: number, from: Uint8Array): Promise<void> {
    const { fd, stableFd } = this.setup
    if (stableFd === undefined) {
      await this.#settled(this.#io.write(offsetBytes, from, fd), true)
      return
    }
    try {
      await this.#io.write(offsetBytes, from, stableFd)
    } catch (error) {
      if (error instanceof BlockError && error.reason === "write-lost") this.flusher.lose(error.message)
      throw error
    }
  }

  /** Ends once `done` has, and its effect is as stable as asked for or as the mode promises. */
  async #settled(done: Completion, fua: boolean): Promise<void> {
    await this.#written(Promise.resolve(done))
    if (fua || this.#writeThrough) await this.flusher.flush()
  }

  async #discard(offsetBytes: number, lengthBytes: number): Promise<void> {
    const unit = this.setup.fallocateUnitBytes
    const end = offsetBytes + lengthBytes
    const first = Math.min(end, Math.ceil(offsetBytes / unit) * unit)
    const last = Math.max(first, Math.floor(end / unit) * unit)
    const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    if (offsetBytes < first) await this.#writeZeroes(offsetBytes, first - offsetBytes)
    if (!(await this.#fallocate(mode, first, last - first))) await this.#writeZeroes(first, last - first)
    if (last < end) await this.#writeZeroes(last, end - last)
  }

  async #zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    const unit = this.setup.fallocateUnitBytes
    if (this.#zeroRange && offsetBytes % unit === 0 && lengthBytes % unit === 0) {
      const mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
      if (await this.#fallocate(mode, offsetBytes, lengthBytes)) return
      this.#zeroRange = false
    }
    await this.#writeZeroes(offsetBytes, lengthBytes)
  }

  async #writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    for (let done = 0; done < lengthBytes; done += zeroes.length) {
      const step = Math.min(zeroes.length, lengthBytes - done)
      await this.#io.writeLater(offsetBytes + done, zeroes.subarray(0, step), this.setup.fd)
    }
  }

  /** False when the filesystem doesn't know the mode; some of the run may have been treated before. */
  async #fallocate(mode: number, offsetBytes: number, lengthBytes: number): Promise<boolean> {
    const { system, fd } = this.setup
    if (!system.libc) return false
    for (let done = 0; done < lengthBytes; done += FALLOCATE_STEP_BYTES) {
      const step = Math.min(FALLOCATE_STEP_BYTES, lengthBytes - done)
      let result = 0
      await this.#io.during(offsetBytes + done, step, async () => {
        result = (await system.libc?.fallocate(fd, mode, offsetBytes + done, step)) ?? 0
      })
      if (UNSUPPORTED.includes(result)) return false
      if (result < 0) throw blockErrorOf(result, this.name, "fallocate", offsetBytes + done)
    }
    return true
  }
}
