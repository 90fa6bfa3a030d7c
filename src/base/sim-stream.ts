import type { ByteReceiver, ByteStream, Endpoint } from "./byte-stream.ts"
import type { Clock } from "./clock.ts"
import { NetworkError } from "./network-error.ts"
import type { SeededRandom } from "./random.ts"

/** How a simulated connection behaves; each direction alike. */
export interface SimLinkOptions {
  /** Every chunk is under way for so long, between these two, in ms. */
  readonly latencyMs: readonly [min: number, max: number]
  readonly bytesPerMs: number
  /** Bytes are cut into chunks of 1 to so many. */
  readonly chunkBytesMax: number
  /** So many bytes may have arrived without having been taken; the other end stops there. */
  readonly windowBytes: number
}

interface Write {
  readonly pieces: readonly Uint8Array[]
  readonly sent: (() => void) | undefined
  piece: number
  offset: number
}

type Delivery = Uint8Array | "fin" | "reset"

const lost = () => new NetworkError("ERR_CONNECTION_LOST", "the simulated connection was lost")

/** One end of a connection of the simulated network. Like a real one it asks for a buffer before there are bytes. */
export class SimStream implements ByteStream {
  readonly local: Endpoint
  readonly remote: Endpoint
  peer!: SimStream
  pendingBytes = 0
  readonly #clock: Clock
  readonly #random: SeededRandom
  readonly #options: SimLinkOptions
  #receiver: ByteReceiver | undefined
  #offered: Uint8Array | undefined
  readonly #writes: Write[] = []
  readonly #arrived: Delivery[] = []
  #arrivedBytes = 0
  /** Bytes on their way to the other end. */
  #flyingBytes = 0
  #arrivesMs = 0
  #sending = false
  #delivering = false
  #paused = true
  #stalled = false
  #damaged = false
  #ending = false
  #endSent = false
  #endSeen = false
  #gone = false
  /** The receiver has been told of the end. */
  #told = false
  #error: Error | undefined

  constructor(
    local: Endpoint,
    remote: Endpoint,
    clock: Clock,
    random: SeededRandom,
    options: SimLinkOptions,
  ) {
    this.local = local
    this.remote = remote
    this.#clock = clock
    this.#random = random
    this.#options = options
  }

  get closed(): boolean {
    return this.#gone
  }

  // ------------------------------------------------------------------------------------------ ByteStream

  start(receiver: ByteReceiver): void {
    if (this.#told) {
      this.#clock.after(0, "sim: closed before it began", () => receiver.closed(this.#error))
      return
    }
    this.#receiver = receiver
    if (this.#gone) return
    this.#offered = receiver.buffer()
    this.resume()
  }

  handOver(receiver: ByteReceiver): void {
    if (this.#told)
      return void this.#clock.after(0, "sim: closed already", () => receiver.closed(this.#error))
    this.#receiver = receiver
    // Within `received` the next buffer is asked for right after it.
    if (!this.#delivering) this.refreshBuffer()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#scheduleDelivery()
  }

  refreshBuffer(): void {
    if (this.#receiver && !this.#gone) this.#offered = this.#receiver.buffer()
  }

  readNow(pieces: readonly Uint8Array[]): number {
    if (!this.#delivering || this.#paused || this.#stalled || this.#gone) return 0
    let bytes = 0
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        const what = this.#arrived[0]
        if (what === undefined || typeof what === "string") return bytes
        const taken = this.#takeInto(piece.subarray(at), what)
        at += taken
        bytes += taken
      }
    }
    return bytes
  }

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (this.#gone || this.#ending) {
      if (sent) this.#clock.after(0, "sim: dropped write", sent)
      return
    }
    for (const piece of pieces) this.pendingBytes += piece.length
    this.#writes.push({ pieces, sent, piece: 0, offset: 0 })
    this.#scheduleSending()
  }

  end(): void {
    if (this.#ending || this.#gone) return
    this.#ending = true
    this.#scheduleSending()
  }

  destroy(error?: Error): void {
    if (this.#gone) return
    // As TCP does: data nobody has read makes it a reset, otherwise it is a goodbye.
    this.#send(this.#arrivedBytes > 0 ? "reset" : "fin")
    this.#close(error)
  }

  // ------------------------------------------------------------------------------------------ faults

  /** The connection is lost, and this end notices. */
  lose(): void {
    this.#close(lost())
  }

  /** Nothing arrives here until told otherwise. */
  stall(stalled: boolean): void {
    this.#stalled = stalled
    this.#scheduleDelivery()
  }

  /** The next bytes that come here have a bit wrong that TCP's checksum doesn't show. */
  damage(): void {
    this.#damaged = true
  }

  // ------------------------------------------------------------------------------------------ sending

  #scheduleSending(): void {
    if (this.#sending || this.#gone) return
    this.#sending = true
    this.#clock.after(0, "sim: send", () => {
      this.#sending = false
      this.#sendChunk()
    })
  }

  /** Puts one chunk on its way, and comes back when the wire is free again. */
  #sendChunk(): void {
    const write = this.#writes[0]
    if (this.#gone) return
    if (!write) {
      if (this.#ending && !this.#endSent) {
        this.#endSent = true
        this.#send("fin")
        this.#closeIfBothEnded()
      }
      return
    }
    const room = this.#options.windowBytes - this.#flyingBytes - this.peer.#arrivedBytes
    if (room <= 0) return // the peer calls when it has taken something
    const chunk = this.#nextChunk(write, Math.min(room, this.#options.chunkBytesMax))
    const wireMs = chunk.length / this.#options.bytesPerMs
    if (chunk.length > 0) this.#send(chunk, wireMs)
    if (write.piece === write.pieces.length) {
      this.#writes.shift()
      write.sent?.()
    }
    this.#sending = true
    this.#clock.after(wireMs, "sim: wire", () => {
      this.#sending = false
      this.#sendChunk()
    })
  }

  /** A copy of the next bytes of a write: up to this moment they may not change. */
  #nextChunk(write: Write, bytesMax: number): Uint8Array {
    let left = 1 + this.#random.below(bytesMax)
    const parts: Uint8Array[] = []
    while (left > 0 && write.piece < write.pieces.length) {
      const piece = write.pieces[write.piece]!
      const bytes = Math.min(left, piece.length - write.offset)
      parts.push(piece.subarray(write.offset, write.offset + bytes))
      left -= bytes
      write.offset += bytes
      if (write.offset < piece.length) continue
      write.piece++
      write.offset = 0
    }
    const chunk = new Uint8Array(Buffer.concat(parts))
    this.pendingBytes -= chunk.length
    return chunk
  }

  #send(what: Delivery, wireMs = 0): void {
    const [min, max] = this.#options.latencyMs
    const latencyMs = min + ((max - min) * this.#random.below(1024)) / 1024
    // Later chunks don't overtake.
    this.#arrivesMs = Math.max(this.#arrivesMs, this.#clock.nowMs() + wireMs + latencyMs)
    const bytes = typeof what === "string" ? 0 : what.length
    this.#flyingBytes += bytes
    const { peer } = this
    this.#clock.after(this.#arrivesMs - this.#clock.nowMs(), "sim: arrival", () => {
      this.#flyingBytes -= bytes
      peer.#arrive(what, bytes)
    })
  }

  // ------------------------------------------------------------------------------------------ receiving

  #arrive(what: Delivery, bytes: number): void {
    if (this.#gone) {
      // Data for an end that is closed is answered with a reset.
      if (bytes > 0 && !this.peer.#gone) this.#send("reset")
      return
    }
    if (what === "reset") return this.#close(lost())
    if (this.#damaged && typeof what !== "string") {
      this.#damaged = false
      what[this.#random.below(what.length)]! ^= 1 << this.#random.below(8)
    }
    this.#arrived.push(what)
    this.#arrivedBytes += bytes
    this.#deliver()
  }

  #scheduleDelivery(): void {
    if (this.#arrived.length === 0 || this.#delivering) return
    this.#clock.after(0, "sim: deliver", () => this.#deliver())
  }

  #deliver(): void {
    if (this.#delivering) return
    this.#delivering = true
    while (this.#arrived.length > 0 && !this.#paused && !this.#stalled && !this.#gone) this.#deliverOne()
    this.#delivering = false
    if (!this.#gone) this.peer.#scheduleSending()
  }

  #deliverOne(): void {
    const what = this.#arrived[0]!
    const receiver = this.#receiver!
    if (typeof what === "string") {
      this.#arrived.shift()
      this.#endSeen = true
      receiver.ended()
      return this.#closeIfBothEnded()
    }
    receiver.received(this.#takeInto(this.#offered!, what))
    if (!this.#gone) this.#offered = this.#receiver!.buffer()
  }

  /** Takes what fits of the chunk that came first. */
  #takeInto(into: Uint8Array, what: Uint8Array): number {
    const bytes = Math.min(into.length, what.length)
    into.set(what.subarray(0, bytes))
    this.#arrivedBytes -= bytes
    if (bytes === what.length) this.#arrived.shift()
    else this.#arrived[0] = what.subarray(bytes)
    return bytes
  }

  // ------------------------------------------------------------------------------------------ the end

  #closeIfBothEnded(): void {
    if (this.#endSeen && this.#endSent) this.#close()
  }

  #close(error?: Error): void {
    if (this.#gone) return
    this.#gone = true
    this.#error = error
    this.pendingBytes = 0
    const writes = this.#writes.splice(0)
    this.#arrived.length = 0
    this.#arrivedBytes = 0
    this.#clock.after(0, "sim: close", () => {
      for (const write of writes) write.sent?.()
      this.#told = true
      this.#receiver?.closed(error)
    })
  }
}
