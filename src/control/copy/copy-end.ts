import type { BlockDevice, Extent } from "../../backstore/index.ts"
import type { Completion, Eventually } from "../../base/completion.ts"

/** One end of a copy: a file, a block device, a LUN. Offsets and lengths are multiples of `blockBytes`. */
export interface CopyEnd {
  /** For people. */
  readonly name: string
  readonly sizeBytes: number
  readonly blockBytes: number
  /** Nothing has been written to it yet: all of it reads as zeroes. */
  readonly blank: boolean
  read(offsetBytes: number, into: Uint8Array): Completion
  write(offsetBytes: number, from: Uint8Array): Completion
  /** Makes the run read as zeroes, giving storage back where it can. */
  zero(offsetBytes: number, lengthBytes: number): Completion
  /** What holds data, in order, covering the run or its beginning; all of it when nobody knows. */
  extents(offsetBytes: number, lengthBytes: number): Eventually<readonly Extent[]>
  /** What was written is stable afterwards. */
  flush(): Completion
  close(): Promise<void>
}

const EXTENTS_AT_ONCE = 256

/** A block device as one end of a copy. */
export class DeviceEnd implements CopyEnd {
  readonly blank: boolean
  readonly #device: BlockDevice

  constructor(device: BlockDevice, blank: boolean) {
    this.#device = device
    this.blank = blank
  }

  get name(): string {
    return this.#device.name
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes
  }

  get blockBytes(): number {
    return this.#device.features.alignmentBytes
  }

  read(offsetBytes: number, into: Uint8Array): Completion {
    return this.#device.read(offsetBytes, into)
  }

  write(offsetBytes: number, from: Uint8Array): Completion {
    return this.#device.write(offsetBytes, from, false)
  }

  zero(offsetBytes: number, lengthBytes: number): Completion {
    if (this.#device.features.discard) return this.#device.discard(offsetBytes, lengthBytes)
    return this.#device.writeZeroes(offsetBytes, lengthBytes, false)
  }

  extents(offsetBytes: number, lengthBytes: number): Eventually<readonly Extent[]> {
    if (this.#device.features.extents) return this.#device.extents(offsetBytes, lengthBytes, EXTENTS_AT_ONCE)
    return [{ offsetBytes, lengthBytes, allocated: true }]
  }

  flush(): Completion {
    return this.#device.flush()
  }

  close(): Promise<void> {
    return this.#device.close()
  }
}
