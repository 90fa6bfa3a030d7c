import { constants } from "node:os"
import type { Clock } from "../base/clock.ts"
import type { Completion } from "../base/completion.ts"
import { SYNCHRONOUS_IO_BYTES_MAX } from "../base/limits.ts"
import { blockErrorOf } from "./errors.ts"
import { Governor } from "./governor.ts"
import { type FileIo, type OpenFile, readFully, writeFully } from "./transfer.ts"

const { EAGAIN, EINTR, EIO } = constants.errno

/**
 * Reads and writes through the page cache. What is cached is copied on the event loop, in about a microsecond
 * for 4 KiB; everything else is left to the thread pool, so that nobody waits for the disk of another:
 *
 * - a read asks for cached pages only (RWF_NOWAIT); where that can't be asked, a Governor watches the time;
 * - a write goes to the page cache as long as the Governor doesn't find the kernel holding writers back.
 */
export class BufferedIo implements FileIo {
  readonly #file: OpenFile
  readonly #reads: Governor
  readonly #writes: Governor
  #nowait: boolean

  constructor(file: OpenFile, clock: Clock) {
    this.#file = file
    this.#nowait = file.system.libc !== undefined
    this.#reads = new Governor(clock)
    this.#writes = new Governor(clock)
  }

  read(offsetBytes: number, into: Uint8Array): Completion {
    const done = into.length > SYNCHRONOUS_IO_BYTES_MAX ? 0 : this.#readCached(offsetBytes, into)
    if (done === into.length) return
    return readFully(this.#file, done === 0 ? into : into.subarray(done), offsetBytes + done)
  }

  write(offsetBytes: number, from: Uint8Array, fd: number): Completion {
    const file = this.#file
    // A stable write waits for the disk, which is never for the event loop.
    if (fd !== file.fd || from.length > SYNCHRONOUS_IO_BYTES_MAX || !this.#writes.begin())
      return writeFully(file, fd, from, offsetBytes)
    const done = file.system.writeSync(fd, from, offsetBytes)
    this.#writes.finished()
    if (done === from.length) return
    if (done < 0) throw blockErrorOf(done, file.name, "write", offsetBytes)
    return writeFully(file, fd, from.subarray(done), offsetBytes + done)
  }

  writeLater(offsetBytes: number, from: Uint8Array, fd: number): Promise<void> {
    return writeFully(this.#file, fd, from, offsetBytes)
  }

  during(_offsetBytes: number, _lengthBytes: number, change: () => Promise<void>): Promise<void> {
    return change()
  }

  /** Returns how many bytes it could get at once; failures are left for the thread pool to meet again. */
  #readCached(offsetBytes: number, into: Uint8Array): number {
    const { system, fd } = this.#file
    if (this.#nowait) {
      const result = system.libc?.readNowait(fd, into, offsetBytes)
      if (result === undefined) return 0
      // The filesystem or the kernel doesn't know the flag: from now on time is measured instead.
      if (result < 0 && result !== -EAGAIN && result !== -EINTR && result !== -EIO) this.#nowait = false
      return Math.max(0, result)
    }
    if (!this.#reads.begin()) return 0
    const result = system.readSync(fd, into, offsetBytes)
    this.#reads.finished()
    return Math.max(0, result)
  }
}
