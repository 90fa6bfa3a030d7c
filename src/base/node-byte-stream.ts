import { Socket } from "node:net"
import type { ByteReceiver, ByteStream, Endpoint } from "./byte-stream.ts"
import { hostAndPort, networkError } from "./network-error.ts"
import type { SocketCalls } from "./socket-calls.ts"

/** How long a silent connection may be dead before the kernel starts to ask, in ms. */
export const KEEPALIVE_MS = 60_000

/** An address as access lists want it: no zone, and IPv4 written as IPv4 even on a socket that speaks both. */
export function plainAddress(address: string | undefined): string {
  const withoutZone = (address ?? "").replace(/%.*$/, "")
  return withoutZone.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "")
}

/** What of Node's own TCP handle is used below. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void
  /** Bytes of the write under way that the system hasn't taken. */
  readonly writeQueueSize?: number
  /** The socket's descriptor; negative: there is none. */
  readonly fd?: number
}
interface HandleOwner {
  _handle: Handle | null
  /** `writelen`: bytes of the write under way, from its beginning. */
  readonly _writableState?: { readonly writelen?: number }
}

/** The `onread` option of node:net. */
interface OnRead {
  buffer: () => Uint8Array
  callback: (bytes: number, buffer: Uint8Array) => boolean
}

/**
 * Makes a socket that reads into memory of ours out of one that doesn't. node:net does that for sockets made with
 * `onread`, but accepted ones are made by the server, and for one that connects the receiver isn't known yet. So the
 * handle moves into a new socket; the old one, not reading and now without a handle, is closed. Undefined: this
 * Node's sockets have no handle of the kind known here.
 */
function rehouse(old: Socket, onread: OnRead): Socket | undefined {
  const owner = old as unknown as HandleOwner
  const handle = owner._handle
  if (!handle || typeof handle.useUserBuffer !== "function") return undefined
  owner._handle = null
  const options = { handle, onread, allowHalfOpen: true }
  const socket = new Socket(options)
  old.destroy()
  return socket
}

/** A TCP connection of the operating system. */
export class NodeByteStream implements ByteStream {
  readonly local: Endpoint
  readonly remote: Endpoint
  #socket: Socket
  #receiver: ByteReceiver | undefined
  #error: Error | undefined
  #delivering = false
  /** The receiver has been told of the end. */
  #gone = false
  /** The `sent` of the writes under way, oldest first. */
  #sent: (() => void)[] = []
  /** Keeps alive what was handed to the handle behind the socket's back. */
  #refreshed: Uint8Array | undefined
  readonly #onWritten = () => this.#sent.shift()?.()
  readonly #calls: SocketCalls | undefined
  /** Whose descriptor `#fd` is. */
  #handle: Handle | undefined
  #fd = -1

  /** `socket` is connected, paused and has not been read from. Without `calls` all goes by way of node:net. */
  constructor(socket: Socket, calls?: SocketCalls) {
    this.#socket = socket
    this.#calls = calls
    this.local = { address: plainAddress(socket.localAddress), port: socket.localPort ?? 0 }
    this.remote = { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 }
    socket.on("error", this.#onError)
    socket.setKeepAlive(true, KEEPALIVE_MS)
  }

  start(receiver: ByteReceiver): void {
    this.#receiver = receiver
    const onread: OnRead = {
      buffer: () => this.#receiver!.buffer(),
      callback: (bytes) => {
        this.#delivering = true
        this.#receiver!.received(bytes)
        this.#delivering = false
        return true
      },
    }
    const old = this.#socket
    if (old.destroyed) return process.nextTick(() => this.#closed())
    const socket = rehouse(old, onread)
    if (socket) {
      socket.on("error", this.#onError)
      this.#socket = socket
    } else {
      old.on("data", (chunk) => this.#copyIn(chunk))
      old.resume()
    }
    this.#socket.on("end", () => this.#receiver?.ended())
    this.#socket.on("close", () => this.#closed())
  }

  handOver(receiver: ByteReceiver): void {
    if (this.#gone) return process.nextTick(() => receiver.closed(this.#error))
    this.#receiver = receiver
    this.refreshBuffer()
  }

  /** Without `onread`: hands over what Node has read into memory of its own. */
  #copyIn(chunk: Uint8Array): void {
    let rest = chunk
    while (rest.length > 0 && this.#receiver && !this.#gone && !this.#socket.destroyed) {
      if (this.#socket.isPaused()) return this.#socket.unshift(rest)
      const into = this.#receiver.buffer()
      const bytes = Math.min(into.length, rest.length)
      into.set(rest.subarray(0, bytes))
      rest = rest.subarray(bytes)
      this.#receiver.received(bytes)
    }
  }

  readonly #onError = (error: Error) => {
    this.#error ??= networkError(
      `connection with ${hostAndPort(this.remote.address, this.remote.port)}`,
      error,
    )
  }

  #closed(): void {
    const sent = this.#sent
    this.#sent = []
    for (const call of sent) call()
    this.#gone = true
    this.#receiver?.closed(this.#error)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  refreshBuffer(): void {
    // Within `received` nothing is to be done: the next buffer is asked for right after it.
    if (!this.#receiver || this.#delivering || this.#gone) return
    const handle = (this.#socket as unknown as HandleOwner)._handle
    if (typeof handle?.useUserBuffer !== "function") return
    this.#refreshed = this.#receiver.buffer()
    handle.useUserBuffer(this.#refreshed)
  }

  /** The socket's descriptor, as long as it is open; -1: there is none to be had. */
  #descriptor(): number {
    const handle = (this.#socket as unknown as HandleOwner)._handle
    // Once it's closed its number may be another file's.
    if (handle === null || handle === undefined) return -1
    if (handle !== this.#handle) {
      this.#handle = handle
      this.#fd = handle.fd ?? -1
    }
    return this.#fd
  }

  readNow(pieces: readonly Uint8Array[]): number {
    const fd = this.#calls === undefined || !this.#delivering ? -1 : this.#descriptor()
    // What is wrong with it, or that it has ended, is for the event loop to find out.
    return fd < 0 ? 0 : Math.max(0, this.#calls!.read(fd, pieces))
  }

  write(pieces: readonly Uint8Array[], sent?: () => void): boolean {
    if (pieces.length === 0) {
      if (sent) process.nextTick(sent)
      return true
    }
    const socket = this.#socket
    const rest = socket.writableLength === 0 && socket.writable ? this.#writeNow(pieces) : pieces
    if (rest.length === 0) {
      if (sent) process.nextTick(sent)
      return true
    }
    this.#writeRest(rest, sent)
    // The socket keeps nothing when the system takes all at once, as it mostly does; its callback comes later.
    return socket.writableLength === 0
  }

  /** Gives the system what it takes at once. Returns what is left. */
  #writeNow(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
    const calls = this.#calls
    const fd = calls === undefined ? -1 : this.#descriptor()
    if (calls === undefined || fd < 0) return pieces
    let at = 0
    while (at < pieces.length) {
      let taken = calls.write(fd, pieces, at)
      if (taken < 0) break
      while (at < pieces.length && taken >= pieces[at]!.length) taken -= pieces[at++]!.length
      if (taken > 0) return [pieces[at]!.subarray(taken), ...pieces.slice(at + 1)]
    }
    return at === 0 ? pieces : pieces.slice(at)
  }

  #writeRest(pieces: readonly Uint8Array[], sent: (() => void) | undefined): void {
    const last = pieces.length - 1
    const socket = this.#socket
    if (sent) this.#sent.push(sent)
    const onWritten = sent ? this.#onWritten : undefined
    if (last === 0) {
      socket.write(pieces[0]!, onWritten)
      return
    }
    socket.cork()
    for (let i = 0; i < last; i++) socket.write(pieces[i]!)
    socket.write(pieces[last]!, onWritten)
    socket.uncork()
  }

  get pendingBytes(): number {
    const socket = this.#socket
    // A write counts as a whole until all of it is taken, but the handle knows how much of it is left.
    const { _handle, _writableState } = socket as unknown as HandleOwner
    const under = _writableState?.writelen
    const left = _handle?.writeQueueSize
    if (under === undefined || left === undefined) return socket.writableLength
    return socket.writableLength - under + Math.min(left, under)
  }

  end(): void {
    this.#socket.end()
  }

  destroy(error?: Error): void {
    if (error) this.#error ??= error
    this.#socket.destroy()
  }
}
