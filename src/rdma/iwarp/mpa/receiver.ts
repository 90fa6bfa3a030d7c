import type { ByteReceiver } from "../../../base/byte-stream.ts"
import { decodeMpaFrame, MPA_FRAME_BYTES, privateDataBytes } from "./frame.ts"
import type { MpaFrame } from "./frame.ts"

/** Who waits for a frame; each call but `frame` is the last. */
export interface MpaFrameUser {
  frame(frame: MpaFrame): void
  /** What came is no such frame, or more than it came. */
  refused(why: string): void
  /** The stream has ended. */
  gone(error: Error | undefined): void
}

/**
 * Reads one MPA frame from a stream and not a byte more. What comes right behind it, before somebody else has taken
 * the stream over, comes too early: nobody may send before the other's frame (RFC 5044 §7.1.2).
 */
export class MpaFrameReceiver implements ByteReceiver {
  readonly #kind: MpaFrame["kind"]
  readonly #user: MpaFrameUser
  #bytes = new Uint8Array(MPA_FRAME_BYTES)
  #filled = 0
  #whole = false
  #closed = false

  constructor(kind: MpaFrame["kind"], user: MpaFrameUser) {
    this.#kind = kind
    this.#user = user
  }

  /** Takes bytes that were read by somebody else. */
  take(head: Uint8Array): void {
    let rest = head
    while (rest.length > 0 && !this.#closed) {
      const into = this.buffer()
      const bytes = Math.min(into.length, rest.length)
      into.set(rest.subarray(0, bytes))
      rest = rest.subarray(bytes)
      this.received(bytes)
    }
  }

  /** Nobody waits any more; what comes is dropped. */
  close(): void {
    this.#closed = true
  }

  buffer(): Uint8Array {
    return this.#whole || this.#closed ? new Uint8Array(64) : this.#bytes.subarray(this.#filled)
  }

  received(bytes: number): void {
    if (this.#closed) return
    if (this.#whole) return this.#user.refused("more than a frame has come")
    this.#filled += bytes
    if (this.#filled < this.#bytes.length) return
    if (this.#filled === MPA_FRAME_BYTES) {
      const more = privateDataBytes(this.#bytes, this.#kind)
      if (typeof more === "string") return this.#user.refused(more)
      if (more > 0) return this.#grow(more)
    }
    this.#whole = true
    const frame = decodeMpaFrame(this.#bytes, this.#kind)
    if (typeof frame === "string") this.#user.refused(frame)
    else this.#user.frame(frame)
  }

  #grow(more: number): void {
    const bytes = new Uint8Array(MPA_FRAME_BYTES + more)
    bytes.set(this.#bytes)
    this.#bytes = bytes
  }

  ended(): void {
    if (!this.#closed) this.#user.gone(undefined)
  }

  closed(error?: Error): void {
    if (!this.#closed) this.#user.gone(error)
  }
}
