import { constants } from "node:os"
import { NATIVE_CALLS_MAX } from "../base/limits.ts"
import { Addresses, Iovecs, type Koffi, loadKoffi, type NativeCall } from "../base/native.ts"

type NativeAsync = { async(...args: unknown[]): void }

/** fallocate(2) modes. */
export const FALLOC_FL_KEEP_SIZE = 0x01
export const FALLOC_FL_PUNCH_HOLE = 0x02
export const FALLOC_FL_ZERO_RANGE = 0x10
/** lseek(2) whence. */
export const SEEK_END = 2
export const SEEK_DATA = 3
export const SEEK_HOLE = 4
/** flock(2) operations. */
export const LOCK_SH = 1
export const LOCK_EX = 2
export const LOCK_NB = 4
/** preadv2(2) flag: only what is in the page cache. */
const RWF_NOWAIT = 0x08

/** The calls Node doesn't have. Each returns what the C library does, or the negative errno. */
export interface Libc {
  /** preadv2 with RWF_NOWAIT, on this thread; undefined when the memory's address can't be had. */
  readNowait(fd: number, into: Uint8Array, offsetBytes: number): number | undefined
  /** On the thread pool, as are the next ones. */
  fallocate(fd: number, mode: number, offsetBytes: number, lengthBytes: number): Promise<number>
  lseek(fd: number, offsetBytes: number, whence: number): Promise<number>
  flock(fd: number, operation: number): Promise<number>
  /** Absent where the C library is too old. The number of bytes copied, which may be fewer. */
  copyFileRange?(
    fromFd: number,
    fromBytes: number,
    toFd: number,
    toBytes: number,
    lengthBytes: number,
  ): Promise<number>
  /** Alignment O_DIRECT asks of memory and of offsets on this file, in bytes; undefined when it doesn't say. */
  directAlignment(fd: number): { memory: number; offset: number } | undefined
  /** Where the memory is; undefined for kinds that have no fixed place. It stays there as long as it lives. */
  addressOf(memory: ArrayBufferLike): number | undefined
}

/** At most so many calls at a time: koffi throws beyond its bound, and the pool has but a few threads. */
class CallQueue {
  readonly #waiting: (() => void)[] = []
  #running = 0

  run(koffi: Koffi, call: NativeAsync, ...args: unknown[]): Promise<number> {
    return new Promise((resolve) => {
      const start = () => {
        this.#running++
        call.async(...args, (error: unknown, result: number) => {
          // koffi restores the errno of the call's own thread for the length of this callback.
          resolve(error ? -constants.errno.EIO : result < 0 ? -koffi.errno() : result)
          this.#running--
          this.#waiting.shift()?.()
        })
      }
      if (this.#running < NATIVE_CALLS_MAX) start()
      else this.#waiting.push(start)
    })
  }
}

/** The C library through koffi; undefined where there's no Linux, no koffi, or a call is missing. */
export async function loadLibc(): Promise<Libc | undefined> {
  const koffi = await loadKoffi()
  try {
    return koffi && bind(koffi)
  } catch {
    return undefined
  }
}

function bind(koffi: Koffi): Libc {
  const library = koffi.load(null)
  const preadv2 = library.func("long preadv2(int, void *iov, int, int64_t, int)") as NativeCall
  const fallocate = library.func("int fallocate(int, int, int64_t, int64_t)")
  const lseek = library.func("int64_t lseek(int, int64_t, int)")
  const flock = library.func("int flock(int, int)")
  const statx = library.func("int statx(int, const char *path, int, unsigned int, void *out)") as NativeCall
  const copyFileRange = bindOptional(() =>
    library.func("long copy_file_range(int, void *from, int, void *to, size_t, unsigned int)"),
  )
  const queue = new CallQueue()
  const iovec = new Iovecs(1)
  const addresses = new Addresses(koffi)
  const addressOf = (memory: ArrayBufferLike): number | undefined => addresses.of(memory)

  return {
    addressOf,
    readNowait(fd, into, offsetBytes) {
      const address = addressOf(into.buffer)
      if (address === undefined) return undefined
      iovec.set(0, address + into.byteOffset, into.byteLength)
      const result = preadv2(fd, iovec.memory, 1, offsetBytes, RWF_NOWAIT)
      return result < 0 ? -koffi.errno() : result
    },
    fallocate: (fd, mode, offset, length) => queue.run(koffi, fallocate, fd, mode, offset, length),
    lseek: (fd, offset, whence) => queue.run(koffi, lseek, fd, offset, whence),
    flock: (fd, operation) => queue.run(koffi, flock, fd, operation),
    ...(copyFileRange && {
      // The call reads and writes the offsets where they lie; the queue's callback keeps them until it has ended.
      copyFileRange: (fromFd, fromBytes, toFd, toBytes, length) => {
        const from = BigInt64Array.of(BigInt(fromBytes))
        const to = BigInt64Array.of(BigInt(toBytes))
        return queue.run(koffi, copyFileRange, fromFd, from, toFd, to, length, 0)
      },
    }),
    directAlignment: (fd) => directAlignment(statx, fd),
  }
}

/** A call that older C libraries don't have. */
function bindOptional<T>(bindCall: () => T): T | undefined {
  try {
    return bindCall()
  } catch {
    return undefined
  }
}

const AT_EMPTY_PATH = 0x1000
const STATX_DIOALIGN = 0x2000
/** Offsets in struct statx: stx_mask, stx_dio_mem_align, stx_dio_offset_align. */
const STX_MASK = 0x00
const STX_DIO_MEM_ALIGN = 0x98
const STX_DIO_OFFSET_ALIGN = 0x9c

function directAlignment(statx: NativeCall, fd: number): { memory: number; offset: number } | undefined {
  const out = new DataView(new ArrayBuffer(256))
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, out.buffer) < 0) return undefined
  if ((out.getUint32(STX_MASK, true) & STATX_DIOALIGN) === 0) return undefined
  const memory = out.getUint32(STX_DIO_MEM_ALIGN, true)
  const offset = out.getUint32(STX_DIO_OFFSET_ALIGN, true)
  return offset > 0 ? { memory, offset } : undefined
}
