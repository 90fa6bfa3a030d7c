import {
  type BlockDevice,
  type BlockDeviceFeatures,
  BlockError,
  type Extent,
} from "../../../../src/backstore/block-device.ts"
import type { Completion } from "../../../../src/base/completion.ts"

/** A device in one array that notes what is asked of it, fails when told to and, if `slow`, ends when told to. */
export class TestDevice implements BlockDevice {
  readonly name = "test"
  readonly features: BlockDeviceFeatures
  readonly calls: string[] = []
  bytes: Uint8Array
  /** 1 for each page of `discardGranularityBytes` that has storage. */
  readonly allocated: Uint8Array
  /** Thrown by the next operation whose call begins with the key. */
  readonly failures = new Map<string, BlockError>()
  /** Every operation waits for `finishNext`. */
  slow = false
  readonly waiting: { call: string; finish: () => void }[] = []
  readonly #listeners = new Set<(sizeBytes: number) => void>()

  constructor(sizeBytes: number, features: Partial<BlockDeviceFeatures> = {}) {
    this.bytes = new Uint8Array(sizeBytes)
    this.features = {
      readOnly: false,
      writeCache: true,
      discard: true,
      discardGranularityBytes: 4096,
      extents: true,
      alignmentBytes: 1,
      solidState: true,
      ...features,
    }
    this.allocated = new Uint8Array(Math.ceil(sizeBytes / this.features.discardGranularityBytes))
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  read(offset: number, into: Uint8Array): Completion {
    return this.#do(`read ${offset}+${into.length}`, () => into.set(this.#run(offset, into.length)))
  }

  write(offset: number, from: Uint8Array, fua: boolean): Completion {
    return this.#do(`write ${offset}+${from.length}${fua ? " fua" : ""}`, () => {
      this.#run(offset, from.length).set(from)
      this.#allocate(offset, from.length)
    })
  }

  flush(): Completion {
    return this.#do("flush", () => {})
  }

  discard(offset: number, length: number): Completion {
    return this.#do(`discard ${offset}+${length}`, () => {
      this.#run(offset, length).fill(0)
      const granularity = this.features.discardGranularityBytes
      const end =
        offset + length === this.sizeBytes
          ? this.allocated.length
          : Math.floor((offset + length) / granularity)
      this.allocated.fill(0, Math.ceil(offset / granularity), end)
    })
  }

  writeZeroes(offset: number, length: number, fua: boolean): Completion {
    return this.#do(`zero ${offset}+${length}${fua ? " fua" : ""}`, () => {
      this.#run(offset, length).fill(0)
      this.#allocate(offset, length)
    })
  }

  extents(offset: number, length: number, countMax: number): Extent[] {
    const granularity = this.features.discardGranularityBytes
    const extents: Extent[] = []
    for (let at = offset; at < offset + length && extents.length < countMax; ) {
      const allocated = this.allocated[Math.floor(at / granularity)] === 1
      let end = at
      while (end < offset + length && (this.allocated[Math.floor(end / granularity)] === 1) === allocated) {
        end = (Math.floor(end / granularity) + 1) * granularity
      }
      end = Math.min(end, offset + length)
      extents.push({ offsetBytes: at, lengthBytes: end - at, allocated })
      at = end
    }
    return extents
  }

  cancel(): void {
    this.calls.push("cancel")
  }

  async resize(sizeBytes: number): Promise<void> {
    const bytes = new Uint8Array(sizeBytes)
    bytes.set(this.bytes.subarray(0, sizeBytes))
    this.bytes = bytes
    for (const listener of this.#listeners) listener(sizeBytes)
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {}

  /** Ends the operation that has waited longest. */
  finishNext(): void {
    this.waiting.shift()?.finish()
  }

  #do(call: string, act: () => void): Completion {
    this.calls.push(call)
    if (this.slow) {
      return new Promise((resolve, reject) => {
        const finish = () => {
          try {
            resolve(this.#act(call, act))
          } catch (error) {
            reject(error as Error)
          }
        }
        this.waiting.push({ call, finish })
      })
    }
    this.#act(call, act)
  }

  #act(call: string, act: () => void): void {
    for (const [start, error] of this.failures) {
      if (!call.startsWith(start)) continue
      this.failures.delete(start)
      throw error
    }
    act()
  }

  #run(offset: number, length: number): Uint8Array {
    if (offset + length > this.bytes.length) throw new BlockError("out-of-range", "beyond the device")
    return this.bytes.subarray(offset, offset + length)
  }

  #allocate(offset: number, length: number): void {
    const granularity = this.features.discardGranularityBytes
    this.allocated.fill(1, Math.floor(offset / granularity), Math.ceil((offset + length) / granularity))
  }
}
