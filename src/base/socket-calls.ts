import { SOCKET_PIECES_MAX } from "./limits.ts"
import { Addresses, Iovecs, type Koffi, loadKoffi, type NativeCall } from "./native.ts"

/**
 * What a socket does without the event loop: a quarter of what a write costs by way of node:net. Neither call blocks
 * (Node's sockets don't), and both return what the system call does, or a negative number: nothing was done.
 */
export interface SocketCalls {
  /** writev(2): sends pieces from the one at `from` on, in order; at most SOCKET_PIECES_MAX of them. */
  write(fd: number, pieces: readonly Uint8Array[], from: number): number
  /** readv(2): fills pieces one behind the other. 0: the end of the stream, or no room. */
  read(fd: number, pieces: readonly Uint8Array[]): number
}

let loading: Promise<SocketCalls | undefined> | undefined

/** The C library's calls; undefined where they can't be had. */
export function socketCalls(): Promise<SocketCalls | undefined> {
  loading ??= loadKoffi().then((koffi) => koffi && bind(koffi))
  return loading
}

function bind(koffi: Koffi): SocketCalls | undefined {
  const library = koffi.load(null)
  const readv = library.func("long readv(int, void *iov, int)") as NativeCall
  const writev = library.func("long writev(int, void *iov, int)") as NativeCall
  const addresses = new Addresses(koffi)
  const iovecs = new Iovecs(SOCKET_PIECES_MAX)

  /** Lists the pieces; returns how many, up to the first that has no address. */
  const list = (pieces: readonly Uint8Array[], from: number): number => {
    const count = Math.min(pieces.length - from, SOCKET_PIECES_MAX)
    for (let i = 0; i < count; i++) {
      const piece = pieces[from + i]!
      const address = addresses.of(piece.buffer)
      if (address === undefined) return i
      iovecs.set(i, address + piece.byteOffset, piece.length)
    }
    return count
  }

  return {
    write(fd, pieces, from) {
      const count = list(pieces, from)
      return count === 0 ? -1 : writev(fd, iovecs.memory, count)
    },
    read(fd, pieces) {
      const count = list(pieces, 0)
      return count === 0 ? -1 : readv(fd, iovecs.memory, count)
    },
  }
}
