import { EXTENTS_MAX } from "../base/limits.ts"
import { type BlockDevice, type BlockDeviceFeatures, BlockError, type Extent } from "./block-device.ts"
import { checkRange, checkSize, closedError, ResizeListeners } from "./range.ts"

export interface MemoryStoreOptions {
  /** Size in bytes; memory is taken only for what is written, so a tebibyte costs nothing. */
  readonly sizeBytes: number
  /** Memory it may take, in bytes (rounded down to pages); writes beyond it fail with "no-space". No bound: absent. */
  readonly allocatedBytesMax?: number
  readonly name?: string
}

const PAGE_BYTES = 64 * 1024

/** A device in memory: pages that appear when written to and go when discarded. It ends with the process. */
export class MemoryStore implements BlockDevice {
  readonly name: string
  readonly features: BlockDeviceFeatures = {
    readOnly: false,
    writeCache: false, // nothing gets safer by a flush
    discard: true,
    discardGranularityBytes: PAGE_BYTES,
    extents: true,
    alignmentBytes: 1,
    solidState: true,
    volatile: true,
  }
  readonly #pages = new Map<number, Uint8Array>()
  readonly #pagesMax: number
  readonly #listeners = new ResizeListeners()
  #sizeBytes: number
  #closed = false

  constructor(options: MemoryStoreOptions) {
    this.name = options.name ?? "memory"
    checkSize(this.name, options.sizeBytes)
    this.#sizeBytes = options.sizeBytes
    this.#pagesMax = Math.floor((options.allocatedBytesMax ?? Infinity) / PAGE_BYTES)
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Memory taken for pages, in bytes. */
  get allocatedBytes(): number {
    return this.#pages.size * PAGE_BYTES
  }

  usedBytes(): number {
    return this.allocatedBytes
  }

  read(offsetBytes: number, into: Uint8Array): void {
    this.#check(offsetBytes, into.length)
    for (let done = 0; done < into.length; ) {
      const at = (offsetBytes + done) % PAGE_BYTES
      const step = Math.min(PAGE_BYTES - at, into.length - done)
      const page = this.#pages.get(Math.floor((offsetBytes + done) / PAGE_BYTES))
      if (page === undefined) into.fill(0, done, done + step)
      else into.set(page.subarray(at, at + step), done)
      done += step
    }
  }

  write(offsetBytes: number, from: Uint8Array, _fua: boolean): void {
    this.#check(offsetBytes, from.length)
    for (let done = 0; done < from.length; ) {
      const at = (offsetBytes + done) % PAGE_BYTES
      const step = Math.min(PAGE_BYTES - at, from.length - done)
      this.#pageAt(offsetBytes + done).set(from.subarray(done, done + step), at)
      done += step
    }
  }

  flush(): void {
    this.#check(0, 0)
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.#check(offsetBytes, lengthBytes)
    const end = offsetBytes + lengthBytes
    const clear = (number: number, page: Uint8Array): void => {
      const start = number * PAGE_BYTES
      // The last page ends with the device, so a run to the device's end takes it whole.
      const pageEnd = Math.min(start + PAGE_BYTES, this.#sizeBytes)
      if (offsetBytes <= start && pageEnd <= end) this.#pages.delete(number)
      else page.fill(0, Math.max(0, offsetBytes - start), Math.min(PAGE_BYTES, end - start))
    }
    this.#eachPage(offsetBytes, end, clear)
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, _fua: boolean): void {
    this.#check(offsetBytes, lengthBytes)
    for (let done = 0; done < lengthBytes; ) {
      const at = (offsetBytes + done) % PAGE_BYTES
      const step = Math.min(PAGE_BYTES - at, lengthBytes - done)
      this.#pageAt(offsetBytes + done).fill(0, at, at + step)
      done += step
    }
  }

  extents(offsetBytes: number, lengthBytes: number, countAsked: number): Extent[] {
    this.#check(offsetBytes, lengthBytes)
    const countMax = Math.min(countAsked, EXTENTS_MAX)
    const end = offsetBytes + lengthBytes
    const edges: { start: number; allocated: boolean }[] = []
    const numbers: number[] = []
    this.#eachPage(offsetBytes, end, (number) => void numbers.push(number))
    numbers.sort((a, b) => a - b)
    let at = offsetBytes
    for (const number of numbers) {
      if (edges.length > countMax) break // one more than asked for, to know where the last one ends
      const start = Math.max(offsetBytes, number * PAGE_BYTES)
      if (start > at) edges.push({ start: at, allocated: false })
      if (start > at || edges.length === 0) edges.push({ start, allocated: true })
      at = Math.min(end, (number + 1) * PAGE_BYTES)
    }
    if (at < end && edges.length <= countMax) edges.push({ start: at, allocated: false })
    return edges.slice(0, countMax).map(({ start, allocated }, i) => {
      const next = edges[i + 1]?.start ?? end
      return { offsetBytes: start, lengthBytes: next - start, allocated }
    })
  }

  cancel(): void {}

  async resize(sizeBytes: number): Promise<void> {
    this.#check(0, 0)
    checkSize(this.name, sizeBytes)
    if (sizeBytes < this.#sizeBytes) this.discard(sizeBytes, this.#sizeBytes - sizeBytes)
    this.#sizeBytes = sizeBytes
    this.#listeners.notify(sizeBytes)
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    return this.#listeners.add(listener)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#pages.clear()
  }

  #check(offsetBytes: number, lengthBytes: number): void {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.#sizeBytes, offsetBytes, lengthBytes)
  }

  #pageAt(offsetBytes: number): Uint8Array {
    const number = Math.floor(offsetBytes / PAGE_BYTES)
    let page = this.#pages.get(number)
    if (page === undefined) {
      page = this.#allocate(offsetBytes)
      this.#pages.set(number, page)
    }
    return page
  }

  #allocate(offsetBytes: number): Uint8Array {
    if (this.#pages.size < this.#pagesMax) {
      try {
        return new Uint8Array(PAGE_BYTES)
      } catch (cause) {
        const message = `${this.name}: the process has no more memory`
        throw new BlockError("no-space", message, { offsetBytes, cause })
      }
    }
    const message = `${this.name}: all ${this.allocatedBytes} bytes of its memory are in use`
    throw new BlockError("no-space", message, { offsetBytes })
  }

  /** Visits the pages that exist in [start, end), by the smaller of both: the run's pages or all there are. */
  #eachPage(start: number, end: number, visit: (number: number, page: Uint8Array) => void): void {
    const first = Math.floor(start / PAGE_BYTES)
    const last = Math.ceil(end / PAGE_BYTES) - 1
    if (start === end) return
    if (last - first < this.#pages.size) {
      for (let number = first; number <= last; number++) {
        const page = this.#pages.get(number)
        if (page !== undefined) visit(number, page)
      }
    } else {
      for (const [number, page] of this.#pages) if (number >= first && number <= last) visit(number, page)
    }
  }
}
