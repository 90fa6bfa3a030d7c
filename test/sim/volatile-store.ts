import type { BlockDevice, BlockDeviceFeatures, Extent } from "../../src/backstore/block-device.ts"
import { BlockError } from "../../src/backstore/block-device.ts"
import type { SeededRandom } from "../../src/base/random.ts"

/** What survives the loss of power. */
export class Platter {
  bytes: Uint8Array
  readonly blockBytes: number

  constructor(blockBytes: number, countBlocks: number) {
    this.blockBytes = blockBytes
    this.bytes = new Uint8Array(blockBytes * countBlocks)
  }
}

/**
 * A device with a volatile write cache, which keeps all versions of a block since the last flush: when the power
 * fails, any of them may have made it to the platter.
 */
export class VolatileStore implements BlockDevice {
  readonly name = "volatile"
  readonly features: BlockDeviceFeatures
  readonly #platter: Platter
  readonly #cache = new Map<number, Uint8Array[]>()
  readonly #listeners = new Set<(sizeBytes: number) => void>()
  #off = false

  constructor(platter: Platter) {
    this.#platter = platter
    this.features = {
      readOnly: false,
      writeCache: true,
      discard: true,
      discardGranularityBytes: platter.blockBytes,
      extents: false,
      alignmentBytes: platter.blockBytes,
      solidState: true,
    }
  }

  get sizeBytes(): number {
    return this.#platter.bytes.length
  }

  /** The power fails: each block keeps some version it had since it was last stable. The device is of no use any more. */
  powerOff(random: SeededRandom): void {
    this.#off = true
    for (const [block, versions] of this.#cache) {
      const kept = random.below(versions.length + 1)
      if (kept > 0) this.#settle(block, versions[kept - 1]!)
    }
    this.#cache.clear()
  }

  #settle(block: number, content: Uint8Array): void {
    this.#platter.bytes.set(content, block * this.#platter.blockBytes)
  }

  #blocks(offsetBytes: number, lengthBytes: number): [first: number, end: number] {
    if (this.#off) throw new BlockError("closed", "volatile is off")
    const { blockBytes } = this.#platter
    if (offsetBytes % blockBytes !== 0 || lengthBytes % blockBytes !== 0) {
      throw new BlockError("out-of-range", `volatile: ${offsetBytes}+${lengthBytes} are no whole blocks`)
    }
    if (offsetBytes + lengthBytes > this.sizeBytes) {
      throw new BlockError("out-of-range", `volatile: ${offsetBytes}+${lengthBytes} is beyond the end`)
    }
    return [offsetBytes / blockBytes, (offsetBytes + lengthBytes) / blockBytes]
  }

  read(offsetBytes: number, into: Uint8Array): void {
    const [first, end] = this.#blocks(offsetBytes, into.length)
    const { blockBytes, bytes } = this.#platter
    for (let block = first; block < end; block++) {
      const at = block * blockBytes
      const newest = this.#cache.get(block)?.at(-1) ?? bytes.subarray(at, at + blockBytes)
      into.set(newest, at - offsetBytes)
    }
  }

  write(offsetBytes: number, from: Uint8Array, fua: boolean): void {
    const [first, end] = this.#blocks(offsetBytes, from.length)
    const { blockBytes } = this.#platter
    for (let block = first; block < end; block++) {
      const at = block * blockBytes - offsetBytes
      this.#put(block, from.slice(at, at + blockBytes), fua)
    }
  }

  #put(block: number, content: Uint8Array, stable: boolean): void {
    if (stable) {
      this.#cache.delete(block)
      return this.#settle(block, content)
    }
    const versions = this.#cache.get(block)
    if (versions) versions.push(content)
    else this.#cache.set(block, [content])
  }

  flush(): void {
    this.#blocks(0, 0)
    for (const [block, versions] of this.#cache) this.#settle(block, versions.at(-1)!)
    this.#cache.clear()
  }

  discard(offsetBytes: number, lengthBytes: number): void {
    this.writeZeroes(offsetBytes, lengthBytes, false)
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean): void {
    const [first, end] = this.#blocks(offsetBytes, lengthBytes)
    for (let block = first; block < end; block++) {
      this.#put(block, new Uint8Array(this.#platter.blockBytes), fua)
    }
  }

  extents(offsetBytes: number, lengthBytes: number): Extent[] {
    this.#blocks(offsetBytes, lengthBytes)
    return [{ offsetBytes, lengthBytes, allocated: true }]
  }

  cancel(): void {}

  async resize(sizeBytes: number): Promise<void> {
    this.#blocks(0, 0)
    const { blockBytes, bytes } = this.#platter
    const resized = new Uint8Array(sizeBytes)
    resized.set(bytes.subarray(0, sizeBytes))
    this.#platter.bytes = resized
    for (const block of this.#cache.keys()) if (block * blockBytes >= sizeBytes) this.#cache.delete(block)
    for (const listener of [...this.#listeners]) listener(sizeBytes)
  }

  onResize(listener: (sizeBytes: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    if (!this.#off) this.flush()
    this.#off = true
  }
}
