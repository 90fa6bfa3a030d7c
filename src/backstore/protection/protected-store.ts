import type { Completion } from "../../base/completion.ts"
import { EXTENTS_MAX, SCRATCH_BYTES } from "../../base/limits.ts"
import { type BlockDevice, type BlockDeviceFeatures, BlockError, type Extent } from "../block-device.ts"
import { StoreOpenError } from "../errors.ts"
import { checkRange, closedError } from "../range.ts"
import { RangeHold, RangeLock } from "../range-lock.ts"
import { StackedStore } from "../stacked.ts"
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  packSlots,
  type ProtectionFormat,
  slotBytes,
  unpackSlots,
} from "./format.ts"
import { type ProtectedDevice, ProtectionError, type ProtectionErrors } from "./protected-device.ts"
import {
  generate,
  noChecks,
  PROTECTION_BYTES,
  type ProtectionChecks,
  type ProtectionType,
  spread,
  strip,
  wrongField,
} from "./tuple.ts"

/**
 * A device that keeps protection information with each block, in slots on the device below (see format.ts). A block and its
 * protection information are written by one call and read as one: whoever reads while they are written waits. A crash
 * during the call can leave a mixture, which reads as a guard error until the block is written again.
 */
export class ProtectedStore extends StackedStore implements ProtectedDevice {
  readonly protectionType: ProtectionType
  readonly blockBytes: number
  readonly protectionErrors: ProtectionErrors = { guard: 0, applicationTag: 0, referenceTag: 0 }
  generatedApplicationTag = (): number => 0
  readonly #slotBytes: number
  /** In blocks. */
  readonly #lock = new RangeLock()
  /** How many blocks are carried at once. */
  readonly #stepBlocks: number
  readonly #defaultChecks: ProtectionChecks
  #closed = false

  /**
   * Lays a protected device on `below`, which is its own from now on: a new one (nothing but holes) is given a header. Rejects with
   * StoreOpenError, and leaves `below` open then.
   */
  static async open(below: BlockDevice, format: ProtectionFormat): Promise<ProtectedStore> {
    const wrong = (message: string) => new StoreOpenError("wrong-kind", below.name, message)
    if (below.features.alignmentBytes !== 1) {
      const message = "protection information can't be kept past the system's cache (direct)"
      throw new StoreOpenError("unsupported", below.name, message)
    }
    if (below.sizeBytes < HEADER_BYTES + slotBytes(format.blockBytes)) {
      throw new StoreOpenError("size", below.name, "has no room for one block with protection information")
    }
    const header = new Uint8Array(HEADER_BYTES)
    await below.read(0, header)
    const found = decodeHeader(header)
    if (found === "absent") await begin(below, format)
    else if ("problem" in found) throw wrong(found.problem)
    else if (found.type !== format.type || found.blockBytes !== format.blockBytes) {
      throw wrong(
        `has blocks of ${found.blockBytes} bytes with type ${found.type} protection, not of ${format.blockBytes} with type ${format.type}`,
      )
    }
    return new ProtectedStore(below, format)
  }

  private constructor(below: BlockDevice, { type, blockBytes }: ProtectionFormat) {
    super(`protected(${below.name})`, below)
    this.protectionType = type
    this.blockBytes = blockBytes
    this.#slotBytes = slotBytes(blockBytes)
    this.#stepBlocks = Math.floor(SCRATCH_BYTES / this.#slotBytes)
    this.#defaultChecks = { ...noChecks, guard: true, referenceTagOffset: type === 1 ? 0 : undefined }
  }

  override get sizeBytes(): number {
    return this.#sizeOver(this.below.sizeBytes)
  }

  override get features(): BlockDeviceFeatures {
    const { features } = this.below
    return {
      ...features,
      alignmentBytes: this.blockBytes,
      // Slots aren't aligned to it, but a run of twice as much holds one whole granule below.
      discardGranularityBytes: Math.max(2 * features.discardGranularityBytes, this.blockBytes),
    }
  }

  // ------------------------------------------------------------------------------ with protection information

  readProtected(
    firstBlock: number,
    into: Uint8Array,
    checks: ProtectionChecks,
    task?: object,
  ): Promise<void> {
    return this.#eachRead(firstBlock, this.#countOf(into), checks, task, (_block, interleaved, index) =>
      into.set(interleaved, index * this.#unitBytes),
    )
  }

  writeProtected(
    firstBlock: number,
    from: Uint8Array,
    checks: ProtectionChecks,
    fua: boolean,
    task?: object,
  ): Promise<void> {
    return this.#eachWritten(firstBlock, this.#countOf(from), fua, task, (block, index, count) => {
      const interleaved = from.subarray(index * this.#unitBytes, (index + count) * this.#unitBytes)
      this.check(block, interleaved, checks)
      return interleaved
    })
  }

  check(firstBlock: number, interleaved: Uint8Array, checks: ProtectionChecks): void {
    const { blockBytes, protectionType } = this
    let block = firstBlock
    for (let at = 0; at < interleaved.length; at += this.#unitBytes, block++) {
      const field = wrongField(interleaved, at, blockBytes, block, protectionType, checks)
      if (field !== undefined) throw this.#failed(field, block)
    }
  }

  // --------------------------------------------------------------------------- without: as a plain BlockDevice

  override read(offsetBytes: number, into: Uint8Array, task?: object): Promise<void> {
    const { blockBytes } = this
    const [first, count] = this.#blocksOf(offsetBytes, into.length)
    return this.#eachRead(first, count, this.#defaultChecks, task, (_block, interleaved, index) => {
      const at = index * blockBytes
      strip(
        interleaved,
        blockBytes,
        into.subarray(at, at + (interleaved.length / this.#unitBytes) * blockBytes),
      )
    })
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Promise<void> {
    const { blockBytes } = this
    const [first, total] = this.#blocksOf(offsetBytes, from.length)
    const tags = {
      applicationTag: this.generatedApplicationTag(),
      referenceTagOffset: this.protectionType === 3 ? undefined : 0,
    }
    const scratch = Buffer.allocUnsafe(Math.min(total, this.#stepBlocks) * this.#unitBytes)
    return this.#eachWritten(first, total, fua, task, (block, index, count) => {
      const interleaved = scratch.subarray(0, count * this.#unitBytes)
      spread(from.subarray(index * blockBytes, (index + count) * blockBytes), blockBytes, interleaved)
      generate(interleaved, blockBytes, block, tags)
      return interleaved
    })
  }

  /** What is left over behind the last slot goes with it, or the granule they share would keep its storage. */
  override discard(offsetBytes: number, lengthBytes: number, task?: object): Promise<void> {
    const [first, count] = this.#blocksOf(offsetBytes, lengthBytes)
    const from = this.#offsetOf(first)
    const end =
      offsetBytes + lengthBytes === this.sizeBytes ? this.below.sizeBytes : this.#offsetOf(first + count)
    return this.#held(first, count, true, () => this.below.discard(from, end - from, task))
  }

  /** The blocks' protection information is FFh throughout afterwards, as WRITE SAME with NDOB wants it (SBC-3 §5.44). */
  override writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Promise<void> {
    const [first, count] = this.#blocksOf(offsetBytes, lengthBytes)
    return this.#held(first, count, true, () =>
      this.below.writeZeroes(this.#offsetOf(first), count * this.#slotBytes, fua, task),
    )
  }

  /** A block has storage when any byte of its slot has. */
  override async extents(offsetBytes: number, lengthBytes: number, countMax: number): Promise<Extent[]> {
    const [first, count] = this.#blocksOf(offsetBytes, lengthBytes)
    const end = this.#offsetOf(first + count)
    const extents: Extent[] = []
    let next = first
    for (let at = this.#offsetOf(first); at < end && extents.length <= countMax; ) {
      const below = await this.below.extents(at, end - at, EXTENTS_MAX)
      if (below.length === 0) break
      for (const run of below) {
        at = run.offsetBytes + run.lengthBytes
        const edge = (at - HEADER_BYTES) / this.#slotBytes
        const until = run.allocated ? Math.ceil(edge) : Math.floor(edge)
        if (until <= next) continue
        append(extents, next * this.blockBytes, (until - next) * this.blockBytes, run.allocated)
        next = until
      }
    }
    return extents.slice(0, countMax)
  }

  /** The blocks' share of what their slots take. */
  override get usedBytes(): (() => Promise<number>) | undefined {
    const { below } = this
    if (below.usedBytes === undefined) return undefined
    const share = this.blockBytes / this.#slotBytes
    return async () => Math.floor(((await below.usedBytes?.()) ?? 0) * share)
  }

  /** A new media key would take this device's own header with it. */
  override get encryption(): undefined {
    return undefined
  }

  override async resize(sizeBytes: number): Promise<void> {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % this.blockBytes !== 0) {
      throw new BlockError("out-of-range", `${this.name}: ${sizeBytes} bytes are no whole blocks`)
    }
    await this.below.resize(this.#offsetOf(sizeBytes / this.blockBytes))
  }

  override onResize(listener: (sizeBytes: number) => void): () => void {
    return this.below.onResize((belowBytes) => listener(this.#sizeOver(belowBytes)))
  }

  override close(): Promise<void> {
    this.#closed = true
    return this.below.close()
  }

  // -------------------------------------------------------------------------------------------------- slots

  get #unitBytes(): number {
    return this.blockBytes + PROTECTION_BYTES
  }

  #sizeOver(belowBytes: number): number {
    return Math.max(0, Math.floor((belowBytes - HEADER_BYTES) / this.#slotBytes)) * this.blockBytes
  }

  #offsetOf(block: number): number {
    return HEADER_BYTES + block * this.#slotBytes
  }

  #countOf(interleaved: Uint8Array): number {
    return interleaved.length / this.#unitBytes
  }

  #blocksOf(offsetBytes: number, lengthBytes: number): [first: number, count: number] {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.sizeBytes, offsetBytes, lengthBytes)
    const first = offsetBytes / this.blockBytes
    const count = lengthBytes / this.blockBytes
    if (!Number.isInteger(first) || !Number.isInteger(count)) {
      throw new BlockError("out-of-range", `${this.name}: the run is no whole blocks`, { offsetBytes })
    }
    return [first, count]
  }

  /** Reads, checks and shows blocks piece by piece: the number of the first one, they interleaved, their index in the run. */
  async #eachRead(
    firstBlock: number,
    total: number,
    checks: ProtectionChecks,
    task: object | undefined,
    look: (block: number, interleaved: Uint8Array, index: number) => void,
  ): Promise<void> {
    checkRange(this.name, this.sizeBytes, firstBlock * this.blockBytes, total * this.blockBytes)
    const most = Math.min(total, this.#stepBlocks)
    const slots = Buffer.allocUnsafe(most * this.#slotBytes)
    const interleaved = Buffer.allocUnsafe(most * this.#unitBytes)
    await this.#held(firstBlock, total, false, async () => {
      for (let index = 0; index < total; index += most) {
        const count = Math.min(most, total - index)
        const block = firstBlock + index
        const piece = interleaved.subarray(0, count * this.#unitBytes)
        const stored = slots.subarray(0, count * this.#slotBytes)
        await this.#below(block, () => this.below.read(this.#offsetOf(block), stored, task))
        const torn = unpackSlots(stored, this.blockBytes, block, piece)
        if (torn >= 0) {
          this.check(block, piece.subarray(0, torn * this.#unitBytes), checks)
          throw this.#failed("guard", block + torn, ": the block was not written as a whole")
        }
        this.check(block, piece, checks)
        look(block, piece, index)
      }
    })
  }

  /** Writes blocks piece by piece, which `make` gives interleaved. */
  async #eachWritten(
    firstBlock: number,
    total: number,
    fua: boolean,
    task: object | undefined,
    make: (block: number, index: number, count: number) => Uint8Array,
  ): Promise<void> {
    checkRange(this.name, this.sizeBytes, firstBlock * this.blockBytes, total * this.blockBytes)
    const most = Math.min(total, this.#stepBlocks)
    const slots = Buffer.allocUnsafe(most * this.#slotBytes)
    await this.#held(firstBlock, total, true, async () => {
      for (let index = 0; index < total; index += most) {
        const count = Math.min(most, total - index)
        const block = firstBlock + index
        const piece = slots.subarray(0, count * this.#slotBytes)
        packSlots(make(block, index, count), this.blockBytes, block, piece)
        await this.#below(block, () => this.below.write(this.#offsetOf(block), piece, fua, task))
      }
    })
  }

  /** Readers share blocks, writers have them alone: a slot is never seen half written. */
  async #held(first: number, count: number, exclusive: boolean, work: () => Completion): Promise<void> {
    const hold = new RangeHold(first, first + count, exclusive)
    await this.#lock.acquire(hold)
    try {
      await work()
    } finally {
      this.#lock.release(hold)
    }
  }

  /** Failures below are told in this device's bytes. */
  async #below(firstBlock: number, work: () => Completion): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof BlockError)) throw error
      const at = error.offsetBytes
      const block =
        at === undefined ? firstBlock : Math.max(0, Math.floor((at - HEADER_BYTES) / this.#slotBytes))
      throw new BlockError(error.reason, error.message, {
        offsetBytes: block * this.blockBytes,
        cause: error,
      })
    }
  }

  #failed(field: ProtectionError["field"], block: number, why?: string): ProtectionError {
    this.protectionErrors[field]++
    return new ProtectionError(this.name, field, block * this.blockBytes, why)
  }
}

/** Gives a device that holds nothing yet its header, and makes it stable. */
async function begin(below: BlockDevice, format: ProtectionFormat): Promise<void> {
  const unsupported = (message: string) => new StoreOpenError("unsupported", below.name, message)
  if (below.features.readOnly) throw unsupported("has no protection information, and can't be written")
  if (!below.features.extents)
    throw unsupported("can't tell whether it is new, which protection information asks for")
  const [first] = await below.extents(0, below.sizeBytes, 1)
  if (first === undefined || first.allocated || first.lengthBytes < below.sizeBytes) {
    throw new StoreOpenError(
      "wrong-kind",
      below.name,
      "is not new, so it can't be given protection information",
    )
  }
  await below.write(0, encodeHeader(format), true)
  await below.flush()
}

function append(extents: Extent[], offsetBytes: number, lengthBytes: number, allocated: boolean): void {
  const last = extents.at(-1)
  if (last?.allocated !== allocated) extents.push({ offsetBytes, lengthBytes, allocated })
  else extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes }
}
