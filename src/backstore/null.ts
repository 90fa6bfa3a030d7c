import type { BlockDevice, BlockDeviceFeatures, Extent } from "./block-device.ts"
import { checkRange, checkSize, closedError, ResizeListeners } from "./range.ts"

/** A device that forgets what is written and reads as zeroes: for measuring everything above it. */
export class NullStore implements BlockDevice {
  readonly name: string
  readonly features: BlockDeviceFeatures = {
    readOnly: false,
    writeCache: false,
    discard: true,
    discardGranularityBytes: 1,
    extents: true,
    alignmentBytes: 1,
    solidState: true,
    volatile: true,
  }
  readonly #listeners = new ResizeListeners()
  #sizeBytes: number
  #closed = false

  constructor(options: { readonly sizeBytes: number; readonly name?: string }) {
    this.name = options.name ?? "null"
    checkSize(this.name, options.sizeBytes)
    this.#sizeBytes = options.sizeBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#check(offsetBytes, into.length)
    into.fill(0) // the memory may hold another initiator's data
  }

  write(offsetBytes: number, from: Uint8Array, _fua: boolean): void {
    this.#check(offsetBytes, from.length)
  }

  flush(): void {
    this.#check(0, 0)
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.#check(offsetBytes, lengthBytes)
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, _fua: boolean): void {
    this.#check(offsetBytes, lengthBytes)
  }

  extents(offsetBytes: number, lengthBytes: number, countMax: number): Extent[] {
    this.#check(offsetBytes, lengthBytes)
    return lengthBytes > 0 && countMax > 0 ? [{ offsetBytes, lengthBytes, allocated: false }] : []
  }

  cancel(): void {}

  async resize(sizeBytes: number): Promise<void> {
    this.#check(0, 0)
    checkSize(this.name, sizeBytes)
    this.#sizeBytes = sizeBytes
    this.#listeners.notify(sizeBytes)
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    return this.#listeners.add(listener)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #check(offsetBytes: number, lengthBytes: number): void {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.#sizeBytes, offsetBytes, lengthBytes)
  }
}
