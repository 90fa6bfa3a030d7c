import type { ByteStream } from "../../base/byte-stream.ts"
import { copyBytes } from "../../base/buffers.ts"
import { crc32cOfView } from "../../wire/crc32c.ts"
import type { RegionUser, SoftwareRegion } from "../verbs/software/memory.ts"
import { Memory } from "./memory-pool.ts"
import type { MemoryPool } from "./memory-pool.ts"
import { FPDU_CRC_BYTES, FPDU_LENGTH_BYTES, trailerBytes } from "./wire.ts"

/** Up to here it is cheaper to copy payload behind its header than to send it as a piece of its own. */
const COPY_BYTES_MAX = 4096

/** Memory of a region that the stream still has to take. */
interface Lent {
  readonly region: SoftwareRegion
  end: number
}

/**
 * Makes FPDUs (RFC 5044 §4.1) and gathers them for one write:
 *
 *     | length (2) | ULPDU: header, payload | padding (0-3) | CRC (4) |
 *
 * Headers, padding and CRCs lie side by side in memory of the outbox; long payload is sent from where it lies. With
 * CRC all payload is copied: nobody else's writing may come between the sum and the sending, or a race in the
 * program would look like a broken line. Positions count the bytes put in, ever.
 */
export class Outbox {
  /** Whether FPDUs carry a CRC; else its place is zero. */
  crc = false
  /** Bytes put in, and taken by the system, ever. */
  put = 0
  taken = 0
  /** Where the next header goes: set by `begin`. */
  memory: Memory
  readonly #stream: ByteStream
  readonly #pool: MemoryPool
  readonly #user: RegionUser
  readonly #onTaken: () => void
  #pieces: Uint8Array[] = []
  /** Memory in use, oldest first; the last is `memory` unless that is the empty one. */
  readonly #held: Memory[] = []
  readonly #lent: Lent[] = []
  /** Bytes of `memory` that aren't a piece yet: [runStart, memory.filled). */
  #runStart = 0
  #flushed = 0
  /** Of the FPDU under way: where it begins in memory, its ULPDU's bytes, whether its payload is copied. */
  #at = 0
  #ulpduBytes = 0
  #copies = false

  /** `user` is told when memory it lends is taken out of use; `onTaken` comes from the event loop. */
  constructor(stream: ByteStream, pool: MemoryPool, user: RegionUser, onTaken: () => void) {
    this.#stream = stream
    this.#pool = pool
    this.#user = user
    this.#onTaken = onTaken
    this.memory = EMPTY
  }

  /** Bytes that wait to be taken. */
  get backlog(): number {
    return this.put - this.taken
  }

  /** Whether memory of regions is still to be taken. */
  get lends(): boolean {
    return this.#lent.length > 0
  }

  /**
   * Begins an FPDU with so many bytes of header and payload. Returns where in `memory` the header goes; `payload`
   * and then `finish` follow.
   */
  begin(headerBytes: number, payloadBytes: number): number {
    const ulpduBytes = headerBytes + payloadBytes
    this.#copies = this.crc || payloadBytes <= COPY_BYTES_MAX
    const front = FPDU_LENGTH_BYTES + headerBytes
    // The trailer needs room in the same memory only when it follows on what is there.
    this.#at = this.#reserve(this.#copies ? front + payloadBytes + trailerBytes(ulpduBytes) : front)
    this.#ulpduBytes = ulpduBytes
    this.memory.view.setUint16(this.#at, ulpduBytes)
    this.memory.filled = this.#at + front
    this.put += front
    this.memory.end = this.put
    return this.#at + FPDU_LENGTH_BYTES
  }

  /** Appends payload: bytes [from, from + count) of a region's memory, or of any other without `region`. */
  payload(bytes: Uint8Array, from: number, count: number, region?: SoftwareRegion): void {
    const { memory } = this
    this.put += count
    if (this.#copies) {
      copyBytes(bytes, from, count, memory.bytes, memory.filled)
      memory.filled += count
      return
    }
    this.#closeRun()
    this.#pieces.push(bytes.subarray(from, from + count))
    if (region !== undefined) this.#lend(region)
  }

  finish(): void {
    const bytes = trailerBytes(this.#ulpduBytes)
    const at = this.#copies ? this.memory.filled : this.#reserve(bytes)
    const { view, bytes: into } = this.memory
    const crcAt = at + bytes - FPDU_CRC_BYTES
    for (let i = at; i < crcAt; i++) into[i] = 0
    // On the wire its bytes stand lowest first, as iSCSI's digests do (RFC 5044 §4.4).
    view.setUint32(crcAt, this.crc ? crc32cOfView(view, this.#at, crcAt) : 0, true)
    this.memory.filled = crcAt + FPDU_CRC_BYTES
    this.put += bytes
    this.memory.end = this.put
  }

  /** Hands all that was put in to the stream, with one write. */
  flush(): void {
    if (this.#flushed === this.put) return
    this.#closeRun()
    const pieces = this.#pieces
    const end = this.put
    this.#pieces = []
    this.#flushed = end
    const now = this.#stream.write(pieces, () => {
      if (this.taken >= end) return
      this.#take(end)
      this.#onTaken()
    })
    if (now === true) this.#take(end)
  }

  /** Finds out how far the system has got with what it was given: further than the last write it took whole. */
  refresh(): void {
    const taken = this.#flushed - this.#stream.pendingBytes
    if (taken > this.taken) this.#take(taken)
  }

  /** Whether memory of that region is still to be taken. */
  lendsOf(region: SoftwareRegion): boolean {
    return this.#lent.some((lent) => lent.region === region)
  }

  /** The stream is gone, and every memory free. */
  close(): void {
    this.#pieces = []
    this.#runStart = this.memory.filled
    this.#flushed = this.put
    this.#take(this.put)
  }

  #take(position: number): void {
    this.taken = position
    const lent = this.#lent
    let ended = 0
    while (ended < lent.length && lent[ended]!.end <= position) lent[ended++]!.region.returned(this.#user)
    if (ended > 0) lent.splice(0, ended)
    const held = this.#held
    while (held.length > 0 && held[0]!.end <= position) {
      const memory = held.shift()!
      if (memory === this.memory) {
        this.memory = EMPTY
        this.#runStart = 0
      }
      this.#pool.give(memory)
    }
  }

  #lend(region: SoftwareRegion): void {
    const last = this.#lent.at(-1)
    if (last?.region === region) {
      last.end = this.put
      return
    }
    region.lentTo(this.#user)
    this.#lent.push({ region, end: this.put })
  }

  #reserve(bytes: number): number {
    const { memory } = this
    if (memory.filled + bytes <= memory.bytes.length) return memory.filled
    this.#closeRun()
    this.memory = this.#pool.take()
    this.#runStart = 0
    this.#held.push(this.memory)
    return 0
  }

  #closeRun(): void {
    const { bytes, filled } = this.memory
    if (filled > this.#runStart) this.#pieces.push(bytes.subarray(this.#runStart, filled))
    this.#runStart = filled
  }
}

const EMPTY = new Memory(new Uint8Array(0))
