import { BOUNCE_BUFFERS_MAX, BOUNCE_BYTES_MAX } from "../base/limits.ts"
import type { Libc } from "./libc.ts"
import { RangeHold, RangeLock } from "./range-lock.ts"
import { type FileIo, type OpenFile, readFully, writeFully } from "./transfer.ts"

/** Memory that O_DIRECT takes: of BOUNCE_BYTES_MAX, starting at a multiple of the alignment. */
class BounceBuffers {
  readonly #libc: Libc
  readonly #alignment: number
  readonly #free: Uint8Array[] = []

  constructor(libc: Libc, alignment: number) {
    this.#libc = libc
    this.#alignment = alignment
  }

  take(): Uint8Array {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const memory = new ArrayBuffer(BOUNCE_BYTES_MAX + this.#alignment)
    const address = this.#libc.addressOf(memory) ?? 0
    const start = (this.#alignment - (address % this.#alignment)) % this.#alignment
    return new Uint8Array(memory, start, BOUNCE_BYTES_MAX)
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < BOUNCE_BUFFERS_MAX) this.#free.push(buffer)
  }
}

/**
 * Reads and writes past the page cache (O_DIRECT), always on the thread pool. The system takes only offsets,
 * lengths and memory that are aligned; callers may use any. Memory that isn't aligned is carried through buffers
 * that are. A write that isn't is widened to whole blocks: they are read, changed and written while no other write
 * can touch them, since each would undo the other's neighbouring bytes. The device's size is a multiple of the
 * alignment, so widening never leaves it.
 */
export class DirectIo implements FileIo {
  readonly #file: OpenFile
  readonly #libc: Libc
  readonly #alignment: number
  readonly #lock = new RangeLock()
  readonly #bounces: BounceBuffers

  /** `alignment`: of offsets, lengths and memory, in bytes, a power of two up to BOUNCE_BYTES_MAX. */
  constructor(file: OpenFile, libc: Libc, alignment: number) {
    this.#file = file
    this.#libc = libc
    this.#alignment = alignment
    this.#bounces = new BounceBuffers(libc, alignment)
  }

  async read(offsetBytes: number, into: Uint8Array): Promise<void> {
    if (this.#aligned(offsetBytes, into)) return readFully(this.#file, into, offsetBytes)
    const bounce = this.#bounces.take()
    try {
      for (let done = 0; done < into.length; ) {
        const start = this.#down(offsetBytes + done)
        const skip = offsetBytes + done - start
        const step = Math.min(into.length - done, bounce.length - skip)
        await readFully(this.#file, bounce.subarray(0, this.#up(skip + step)), start)
        into.set(bounce.subarray(skip, skip + step), done)
        done += step
      }
    } finally {
      this.#bounces.give(bounce)
    }
  }

  async write(offsetBytes: number, from: Uint8Array, fd: number): Promise<void> {
    const start = this.#down(offsetBytes)
    const end = this.#up(offsetBytes + from.length)
    const whole = start === offsetBytes && end === offsetBytes + from.length
    const hold = new RangeHold(start, end, !whole)
    await this.#lock.acquire(hold)
    try {
      if (this.#aligned(offsetBytes, from)) await writeFully(this.#file, fd, from, offsetBytes)
      else await this.#writeBounced(offsetBytes, from, fd)
    } finally {
      this.#lock.release(hold)
    }
  }

  writeLater(offsetBytes: number, from: Uint8Array, fd: number): Promise<void> {
    return this.write(offsetBytes, from, fd)
  }

  async during(offsetBytes: number, lengthBytes: number, change: () => Promise<void>): Promise<void> {
    const hold = new RangeHold(this.#down(offsetBytes), this.#up(offsetBytes + lengthBytes), false)
    await this.#lock.acquire(hold)
    try {
      await change()
    } finally {
      this.#lock.release(hold)
    }
  }

  async #writeBounced(offsetBytes: number, from: Uint8Array, fd: number): Promise<void> {
    const bounce = this.#bounces.take()
    const block = this.#alignment
    try {
      for (let done = 0; done < from.length; ) {
        const start = this.#down(offsetBytes + done)
        const skip = offsetBytes + done - start
        const step = Math.min(from.length - done, bounce.length - skip)
        const bytes = this.#up(skip + step)
        if (skip > 0) await readFully(this.#file, bounce.subarray(0, block), start)
        // The last block, unless it's the first and has been read.
        if (skip + step < bytes && (skip === 0 || bytes > block))
          await readFully(this.#file, bounce.subarray(bytes - block, bytes), start + bytes - block)
        bounce.set(from.subarray(done, done + step), skip)
        await writeFully(this.#file, fd, bounce.subarray(0, bytes), start)
        done += step
      }
    } finally {
      this.#bounces.give(bounce)
    }
  }

  #aligned(offsetBytes: number, memory: Uint8Array): boolean {
    if (offsetBytes % this.#alignment !== 0 || memory.length % this.#alignment !== 0) return false
    const address = this.#libc.addressOf(memory.buffer)
    return address !== undefined && (address + memory.byteOffset) % this.#alignment === 0
  }

  #down(offsetBytes: number): number {
    return offsetBytes - (offsetBytes % this.#alignment)
  }

  #up(offsetBytes: number): number {
    return this.#down(offsetBytes + this.#alignment - 1)
  }
}
