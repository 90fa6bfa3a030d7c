import { endianness } from "node:os"
import { type Completion, isPromise } from "../../base/completion.ts"
import { ENCRYPTED_BYTES_MAX, ENCRYPTED_WRITE_BYTES_MAX, EXTENTS_MAX } from "../../base/limits.ts"
import { type Random, systemRandom } from "../../base/random.ts"
import {
  type BlockDevice,
  type BlockDeviceFeatures,
  BlockError,
  type Extent,
  type MediaEncryption,
} from "../block-device.ts"
import { StoreOpenError } from "../errors.ts"
import { checkRange, checkSize, closedError } from "../range.ts"
import { RangeHold, RangeLock } from "../range-lock.ts"
import { StackedStore } from "../stacked.ts"
import { DATA_OFFSET, siblingKey } from "./format.ts"
import { EncryptionHeader } from "./header.ts"
import { UNIT_BYTES, XtsCipher } from "./xts.ts"

const down = (bytes: number): number => bytes - (bytes % UNIT_BYTES)
const up = (bytes: number): number => down(bytes + UNIT_BYTES - 1)

/**
 * A device whose content lies encrypted on the one below (see format.ts). Runs of whole data units are encrypted and written, or
 * read and decrypted in the caller's memory; of others the units at the edges are read, changed and written, while
 * nobody else touches them. A reader waits for those who write the same units: half of a block of AES would be noise.
 *
 * It has no copyFrom: what is copied below would be noise under another key, and in another place.
 */
export class EncryptedStore extends StackedStore implements BlockDevice, MediaEncryption {
  readonly #header: EncryptionHeader
  readonly #lock = new RangeLock()
  #data!: XtsCipher
  #sibling!: XtsCipher
  #closed = false
  /** A change of the key broke off: nobody knows which key the header has. */
  #uncertain = false

  /**
   * Opens an encrypted device, which owns `below` from then on; one that holds nothing is made one. `key`: the 32 bytes of a
   * key file. Rejects with StoreOpenError ("key": another one is needed) or BlockError, and leaves `below` open then.
   */
  static async open(
    below: BlockDevice,
    key: Uint8Array,
    options: { random?: Random } = {},
  ): Promise<EncryptedStore> {
    const { sizeBytes, features } = below
    if (endianness() !== "LE" || UNIT_BYTES % features.alignmentBytes !== 0)
      throw new StoreOpenError("unsupported", below.name, "can't be encrypted on this machine")
    if (sizeBytes < DATA_OFFSET + UNIT_BYTES)
      throw new StoreOpenError("size", below.name, `an encrypted device takes ${DATA_OFFSET} bytes and more`)
    if (sizeBytes - DATA_OFFSET > ENCRYPTED_BYTES_MAX)
      throw new StoreOpenError("size", below.name, `one key encrypts up to ${ENCRYPTED_BYTES_MAX} bytes`)
    const { header, mediaKey } = await EncryptionHeader.open(below, key, options.random ?? systemRandom)
    return new EncryptedStore(below, header, mediaKey)
  }

  private constructor(below: BlockDevice, header: EncryptionHeader, mediaKey: Buffer) {
    super(`encrypted(${below.name})`, below)
    this.#header = header
    this.#use(mediaKey)
  }

  override get sizeBytes(): number {
    return Math.max(0, down(this.below.sizeBytes - DATA_OFFSET))
  }

  override get features(): BlockDeviceFeatures {
    const { features } = this.below
    const granularity = features.discardGranularityBytes
    // Where its granules don't begin as those below do, a run of twice as much holds a whole one.
    const whole = DATA_OFFSET % granularity === 0 ? granularity : 2 * granularity
    return { ...features, alignmentBytes: 1, discardGranularityBytes: Math.max(whole, UNIT_BYTES) }
  }

  // -------------------------------------------------------------------------------------------------- content

  override read(offsetBytes: number, into: Uint8Array, task?: object): Completion {
    this.#admit(offsetBytes, into.length)
    const end = offsetBytes + into.length
    if (offsetBytes % UNIT_BYTES === 0 && end % UNIT_BYTES === 0) {
      return this.#run(offsetBytes, end, false, () => this.#readUnits(offsetBytes, into, task))
    }
    const start = down(offsetBytes)
    const units = new Uint8Array(up(end) - start)
    return this.#run(start, up(end), false, async () => {
      await this.#readUnits(start, units, task)
      into.set(units.subarray(offsetBytes - start, end - start))
    })
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Completion {
    this.#admit(offsetBytes, from.length)
    const end = offsetBytes + from.length
    const whole = offsetBytes % UNIT_BYTES === 0 && end % UNIT_BYTES === 0
    return this.#run(down(offsetBytes), up(end), true, () =>
      whole
        ? this.#writeUnits(offsetBytes, from, fua, task)
        : this.#writePart(offsetBytes, from.length, from, fua, task),
    )
  }

  override discard(offsetBytes: number, lengthBytes: number, task?: object): Completion {
    return this.#clear(offsetBytes, lengthBytes, false, task, (start, length) =>
      this.below.discard(DATA_OFFSET + start, length, task),
    )
  }

  override writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Completion {
    return this.#clear(offsetBytes, lengthBytes, fua, task, (start, length) =>
      this.below.writeZeroes(DATA_OFFSET + start, length, fua, task),
    )
  }

  override flush(task?: object): Completion {
    this.#admit(0, 0)
    return this.below.flush(task)
  }

  /** A unit has storage when any byte of it has. */
  override async extents(offsetBytes: number, lengthBytes: number, countMax: number): Promise<Extent[]> {
    this.#admit(offsetBytes, lengthBytes)
    const end = offsetBytes + lengthBytes
    const extents: Extent[] = []
    let next = offsetBytes
    for (let at = down(offsetBytes); next < end && extents.length <= countMax; ) {
      const below = await this.#told(this.below.extents(DATA_OFFSET + at, up(end) - at, EXTENTS_MAX))
      if (below.length === 0) break
      for (const run of below) {
        at = run.offsetBytes + run.lengthBytes - DATA_OFFSET
        const until = Math.min(end, run.allocated ? up(at) : down(at))
        if (until <= next) continue
        append(extents, next, until - next, run.allocated)
        next = until
      }
    }
    return extents.slice(0, Math.max(0, countMax))
  }

  /** To whole data units, rounded up. */
  override async resize(sizeBytes: number): Promise<void> {
    checkSize(this.name, sizeBytes)
    if (sizeBytes > ENCRYPTED_BYTES_MAX) {
      const message = `${this.name}: one key encrypts up to ${ENCRYPTED_BYTES_MAX} bytes`
      throw new BlockError("out-of-range", message)
    }
    const whole = up(sizeBytes)
    // Of what is cut off nothing comes back when it grows again.
    if (whole <= this.sizeBytes) await this.writeZeroes(sizeBytes, whole - sizeBytes, false)
    await this.below.resize(DATA_OFFSET + whole)
  }

  override onResize(listener: (sizeBytes: number) => void): () => void {
    return this.below.onResize(() => listener(this.sizeBytes))
  }

  override close(): Promise<void> {
    this.#closed = true
    return this.below.close()
  }

  // -------------------------------------------------------------------------------------------- the media key

  override get encryption(): MediaEncryption {
    return this
  }

  async renewKey(): Promise<void> {
    this.#admit(0, 0)
    const all = new RangeHold(0, Infinity, true)
    await this.#lock.acquire(all)
    try {
      this.#uncertain = true
      this.#use(await this.#told(this.#header.renew()))
      this.#uncertain = false
    } finally {
      this.#lock.release(all)
    }
  }

  seal(firstUnit: number, bytes: Uint8Array): Uint8Array {
    return this.#sibling.encrypt(firstUnit, bytes)
  }

  unseal(firstUnit: number, bytes: Uint8Array): void {
    this.#sibling.decrypt(firstUnit, bytes)
  }

  #use(mediaKey: Buffer): void {
    this.#data = new XtsCipher(mediaKey)
    this.#sibling = new XtsCipher(siblingKey(mediaKey))
    mediaKey.fill(0)
  }

  // ----------------------------------------------------------------------------------------------- data units

  #admit(offsetBytes: number, lengthBytes: number): void {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.sizeBytes, offsetBytes, lengthBytes)
  }

  /** Runs `work` as one who reads, or alone writes, the units of [start, end). What ends at once meets nobody. */
  #run(start: number, end: number, exclusive: boolean, work: () => Completion): Completion {
    const hold = new RangeHold(start, end, exclusive)
    if (!this.#lock.idle) return this.#queued(hold, work)
    this.#checkKey()
    const done = work()
    return isPromise(done) ? this.#queued(hold, () => done) : undefined
  }

  async #queued(hold: RangeHold, work: () => Completion): Promise<void> {
    const granted = this.#lock.acquire(hold)
    try {
      if (granted !== undefined) await granted
      this.#checkKey()
      await work()
    } finally {
      this.#lock.release(hold)
    }
  }

  #checkKey(): void {
    if (this.#uncertain)
      throw new BlockError("io", `${this.name}: a change of its key broke off; erase or open it anew`)
  }

  #readUnits(offsetBytes: number, into: Uint8Array, task: object | undefined): Completion {
    let done: Completion
    try {
      done = this.below.read(DATA_OFFSET + offsetBytes, into, task)
    } catch (error) {
      throw translated(error)
    }
    if (isPromise(done)) return this.#decrypted(done, offsetBytes, into)
    this.#data.decrypt(offsetBytes / UNIT_BYTES, into)
  }

  async #decrypted(done: Promise<void>, offsetBytes: number, into: Uint8Array): Promise<void> {
    await this.#told(done)
    this.#data.decrypt(offsetBytes / UNIT_BYTES, into)
  }

  #writeUnits(offsetBytes: number, from: Uint8Array, fua: boolean, task: object | undefined): Completion {
    if (from.length > ENCRYPTED_WRITE_BYTES_MAX) return this.#writePieces(offsetBytes, from, fua, task)
    const sealed = this.#data.encrypt(offsetBytes / UNIT_BYTES, from)
    let done: Completion
    try {
      done = this.below.write(DATA_OFFSET + offsetBytes, sealed, fua, task)
    } catch (error) {
      throw translated(error)
    }
    return isPromise(done) ? this.#told(done) : undefined
  }

  async #writePieces(
    offset: number,
    from: Uint8Array,
    fua: boolean,
    task: object | undefined,
  ): Promise<void> {
    for (let at = 0; at < from.length; at += ENCRYPTED_WRITE_BYTES_MAX) {
      await this.#writeUnits(offset + at, from.subarray(at, at + ENCRYPTED_WRITE_BYTES_MAX), fua, task)
    }
  }

  /** Writes what isn't whole units; `from` undefined: zeroes. The run is held alone. */
  async #writePart(
    offsetBytes: number,
    lengthBytes: number,
    from: Uint8Array | undefined,
    fua: boolean,
    task: object | undefined,
  ): Promise<void> {
    if (lengthBytes === 0) return
    const start = down(offsetBytes)
    const end = offsetBytes + lengthBytes
    const units = new Uint8Array(up(end) - start)
    const last = units.length - UNIT_BYTES
    if (start < offsetBytes) await this.#readUnits(start, units.subarray(0, UNIT_BYTES), task)
    if (end < up(end) && (last > 0 || start === offsetBytes))
      await this.#readUnits(start + last, units.subarray(last), task)
    if (from === undefined) units.fill(0, offsetBytes - start, end - start)
    else units.set(from, offsetBytes - start)
    await this.#writeUnits(start, units, fua, task)
  }

  /** Makes a run read as zeroes: whole units by `clear`, those at its edges by writing them. */
  #clear(
    offsetBytes: number,
    lengthBytes: number,
    fua: boolean,
    task: object | undefined,
    clear: (offsetBytes: number, lengthBytes: number) => Completion,
  ): Completion {
    this.#admit(offsetBytes, lengthBytes)
    if (lengthBytes === 0) return
    const end = offsetBytes + lengthBytes
    const first = Math.min(up(offsetBytes), end)
    const last = Math.max(first, down(end))
    return this.#run(down(offsetBytes), up(end), true, async () => {
      await this.#writePart(offsetBytes, first - offsetBytes, undefined, fua, task)
      if (first < last) await this.#told(Promise.resolve(clear(first, last - first)))
      await this.#writePart(last, end - last, undefined, fua, task)
    })
  }

  /** Failures below are told in this device's bytes. */
  async #told<T>(work: T | Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw translated(error)
    }
  }
}

function translated(error: unknown): unknown {
  if (!(error instanceof BlockError) || error.offsetBytes === undefined) return error
  const offsetBytes = Math.max(0, error.offsetBytes - DATA_OFFSET)
  return new BlockError(error.reason, error.message, { offsetBytes, cause: error })
}

function append(extents: Extent[], offsetBytes: number, lengthBytes: number, allocated: boolean): void {
  const last = extents.at(-1)
  if (last?.allocated !== allocated) extents.push({ offsetBytes, lengthBytes, allocated })
  else extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes }
}
