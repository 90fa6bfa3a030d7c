import { crc32c, crc32cOfView } from "../../wire/crc32c.ts"
import { AHEAD_BYTES, Foresight, STRAIGHT_BYTES_MIN } from "./foresight.ts"
import { Memory, MemoryPool } from "./memory-pool.ts"
import {
  FPDU_BYTES_MAX,
  FPDU_CRC_BYTES,
  FPDU_LENGTH_BYTES,
  headerBytes,
  TAGGED_BYTES,
  trailerBytes,
} from "./wire.ts"

/** Memory all connections receive into while they have no FPDU half: it is empty between two reads. */
const SHARED_BYTES = 256 * 1024
/** Memory for the FPDU of which only a part has come. */
const SMALL_BYTES = 4096
/** Room for two: with no more than one in it, a stream of long FPDUs would take twice as many reads. */
const LARGE_BYTES = 2 * FPDU_BYTES_MAX + 8192
const SMALL_KEPT = 256
const LARGE_KEPT = 16
/**
 * While segments of so many bytes come, they are waited for with their headers: less is read at a time than the memory
 * holds, so that their payload can be received straight. Shorter ones are copied for less than a read of their own costs.
 */
const LONG_BYTES_MIN = 24 * 1024
/** So many short ones in a row end that. */
const SHORT_IN_A_ROW = 16
/** Bytes of an FPDU that say how long it and its header are. */
const LENGTHS_BYTES = FPDU_LENGTH_BYTES + 2

/** Receive memory of a device's connections. */
export class InboxMemory {
  readonly shared = Memory.toKeep(SHARED_BYTES)
  readonly small = new MemoryPool(SMALL_BYTES, SMALL_KEPT)
  readonly large = new MemoryPool(LARGE_BYTES, LARGE_KEPT)
}

/** Who takes what an Inbox finds. */
export interface InboxUser {
  /**
   * A whole ULPDU lies at view[at, at + ulpduBytes), its CRC verified if there is one. Whether the payload of another like it
   * could be received straight.
   */
  arrived(memory: Memory, at: number, ulpduBytes: number): boolean
  /**
   * The header of a long segment lies at view[at...], and its payload begins to come. Where that goes, all checks done; undefined:
   * not straight, or nowhere. With CRC nothing of it is verified yet, so that nothing may come of what is wrong with it.
   * `placed` follows when all of it is there, and verified.
   */
  begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array | undefined
  /**
   * Adds where what comes behind the segment that is under way is likely to go: the rest of its message, as far as that is
   * known, then messages behind it, each as a whole. It is memory that nobody looks at before all of its message is placed.
   * Returns whether the first of them is the rest of the message, of which it's known better.
   */
  foreseen(runs: Uint8Array[]): boolean
  placed(): void
  /** The stream makes no sense; nothing more will be taken from it. */
  broken(why: "crc" | "length", memory: Memory, at: number, ulpduBytes: number): void
}

/**
 * Finds FPDUs in a stream of bytes, however it is cut, without doing I/O: ask `buffer` where the next bytes go, tell
 * `received` how many came. A segment's payload is copied once, from the receive memory to where it belongs; what hasn't
 * come yet of a long one may be received right there.
 */
export class Inbox {
  /** Whether CRCs are looked at. */
  crc = false
  readonly #pools: InboxMemory
  readonly #user: InboxUser
  /** Where bytes are gathered: the shared memory, which is then empty, or a carry of our own. */
  #memory: Memory
  #filled = 0
  /** Where the payload of the segment under way goes, and how many bytes of it are missing. */
  #sink: Uint8Array | undefined
  #sinkAt = 0
  #missing = 0
  /** Of its header. */
  #headerBytes = 0
  /** Bytes to come that are padding and an unused CRC. */
  #skip = 0
  /** Bytes to come that are padding and a CRC, and what that has to be if it were only for what was before. */
  #trailer = 0
  #sum = 0
  #straight = false
  /** FPDUs that may come before another long one is no longer expected. */
  #patience = 0
  /** Of the FPDU that is gathered, bytes that are missing, at least. */
  #wanted = 0
  readonly #foresight: Foresight
  /** `ahead` was asked last, and how many segments it has foreseen. */
  #foreseen = 0
  #closed = false

  constructor(pools: InboxMemory, user: InboxUser) {
    this.#pools = pools
    this.#user = user
    this.#foresight = new Foresight(user)
    this.#memory = pools.shared
  }

  /** Whether an FPDU has begun whose end hasn't come. */
  get withinFpdu(): boolean {
    return this.#filled > 0 || this.#missing > 0 || this.#skip > 0 || this.#trailer > 0
  }

  buffer(): Uint8Array {
    this.#foreseen = 0
    this.#straight = this.#missing > 0 && this.#sink !== undefined
    if (this.#straight && this.#sink !== undefined)
      return this.#sink.subarray(this.#sinkAt, this.#sinkAt + this.#missing)
    const { bytes } = this.#memory
    const end = this.#patience > 0 ? this.#filled + Math.max(AHEAD_BYTES, this.#wanted) : bytes.length
    return bytes.subarray(this.#filled, end)
  }

  /**
   * While a segment is received straight: where the rest of it goes, and what follows, as far as that is foreseen. What it
   * returns is to be filled at once, and `received` called. Undefined: ask `buffer`.
   */
  ahead(): readonly Uint8Array[] | undefined {
    if (this.#missing === 0 || this.#sink === undefined) return undefined
    this.#straight = true
    const rest = this.#sink.subarray(this.#sinkAt, this.#sinkAt + this.#missing)
    const pieces = this.#foresight.look(rest, this.#headerBytes, this.#sink.length, this.#memory.bytes)
    this.#foreseen = this.#foresight.count
    return pieces
  }

  /** So many bytes are where `buffer` or `ahead`, the last that was asked, said. */
  received(bytes: number): void {
    if (this.#closed) return
    if (!this.#straight) {
      this.#filled += bytes
      return this.#take(0)
    }
    const { pieces } = this.#foresight
    let left = this.#fill(bytes)
    let at = 0
    for (let i = 0; i < this.#foreseen && left > 0; i++) {
      const front = pieces[1 + 2 * i]!.length
      const payload = pieces[2 + 2 * i]!
      this.#filled = at + Math.min(front, left)
      this.#take(at)
      at += front
      left -= front
      if (left <= 0 || this.#closed) return
      if (!this.#isSink(payload)) {
        this.#foresight.misjudged(i)
        return this.#again(2 + 2 * i, left)
      }
      left = this.#fill(left)
    }
    if (left === 0 || this.#closed) return
    this.#filled = at + left
    this.#take(at)
  }

  /** So many bytes, or as many of them as were missing, are in the sink. Returns how many more there are. */
  #fill(bytes: number): number {
    const straight = Math.min(bytes, this.#missing)
    this.#sinkAt += straight
    this.#missing -= straight
    if (this.#missing === 0) this.#endSink()
    return bytes - straight
  }

  #isSink(bytes: Uint8Array): boolean {
    const sink = this.#sink
    if (sink === undefined || this.#sinkAt > 0) return false
    return (
      sink.buffer === bytes.buffer && sink.byteOffset === bytes.byteOffset && sink.length === bytes.length
    )
  }

  /** It went on otherwise than foreseen: takes the bytes from the piece on, `count` in all, once more. */
  #again(piece: number, count: number): void {
    const bytes = new Uint8Array(count)
    let at = 0
    for (let i = piece; at < count; i++) {
      const some = this.#foresight.pieces[i]!.subarray(0, count - at)
      bytes.set(some, at)
      at += some.length
    }
    for (at = 0; at < count && !this.#closed; ) {
      const into = this.buffer()
      const some = bytes.subarray(at, at + into.length)
      into.set(some)
      this.received(some.length)
      at += some.length
    }
  }

  /** What the segment under way brings goes nowhere from now on. What `buffer` gave is not to be written any more. */
  dropSink(): void {
    this.#sink = undefined
    this.#skip += this.#trailer
    this.#trailer = 0
  }

  get sink(): Uint8Array | undefined {
    return this.#sink
  }

  /** Nothing more is taken. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#sink = undefined
    this.#missing = 0
    this.#trailer = 0
    this.#filled = 0
    this.#release()
  }

  /** Takes up all that is whole from `start` on. */
  #take(start: number): void {
    let from = this.#pass(start)
    if (this.#trailer > 0 && this.#filled > from) {
      const bytes = this.#trailer
      if (this.#filled - from < bytes) return this.#carry(from, bytes)
      this.#verify(from)
      from += bytes
    }
    while (!this.#closed && this.#filled - from >= FPDU_LENGTH_BYTES) {
      const ulpduBytes = this.#memory.view.getUint16(from)
      const bytes = FPDU_LENGTH_BYTES + ulpduBytes + trailerBytes(ulpduBytes)
      if (this.#filled - from < bytes) {
        if (!this.#beginStraight(from, ulpduBytes)) return this.#carry(from, bytes)
        from = this.#filled
        break
      }
      this.#whole(from, ulpduBytes, bytes)
      from += bytes
    }
    if (this.#closed) return
    if (this.#filled > from) return this.#carry(from, FPDU_LENGTH_BYTES)
    this.#filled = 0
    this.#release()
  }

  #whole(from: number, ulpduBytes: number, bytes: number): void {
    const memory = this.#memory
    const at = from + FPDU_LENGTH_BYTES
    if (ulpduBytes < TAGGED_BYTES) return this.#user.broken("length", memory, at, ulpduBytes)
    if (this.crc) {
      const crcAt = from + bytes - FPDU_CRC_BYTES
      if (crc32cOfView(memory.view, from, crcAt) !== memory.view.getUint32(crcAt, true))
        return this.#user.broken("crc", memory, at, ulpduBytes)
    }
    const straight = this.#user.arrived(memory, at, ulpduBytes)
    if (straight && ulpduBytes >= LONG_BYTES_MIN) {
      this.#patience = SHORT_IN_A_ROW
      this.#foresight.seen(ulpduBytes - headerBytes(memory.view.getUint16(at)))
    } else if (this.#patience > 0) this.#patience--
  }

  /** Drops what goes nowhere, at the beginning of what came; returns where to go on. */
  #pass(from: number): number {
    let at = from
    if (this.#missing > 0) {
      // A sink that was dropped; one that is there was given out as the buffer.
      const bytes = Math.min(this.#missing, this.#filled - at)
      this.#missing -= bytes
      at += bytes
      if (this.#missing === 0) this.#endSink()
    }
    const bytes = Math.min(this.#skip, this.#filled - at)
    this.#skip -= bytes
    return at + bytes
  }

  /** Begins to place a segment whose end hasn't come. False: it has to be gathered first. */
  #beginStraight(from: number, ulpduBytes: number): boolean {
    if (this.#filled - from < LENGTHS_BYTES) return false
    const at = from + FPDU_LENGTH_BYTES
    const header = headerBytes(this.#memory.view.getUint16(at))
    const payloadAt = at + header
    const here = this.#filled - payloadAt
    const payloadBytes = ulpduBytes - header
    if (here < 0 || payloadBytes - here < STRAIGHT_BYTES_MIN) return false
    const sink = this.#user.begins(this.#memory, at, ulpduBytes)
    if (sink === undefined) return this.#closed
    if (here > 0) sink.set(this.#memory.bytes.subarray(payloadAt, payloadAt + here))
    this.#sink = sink
    this.#sinkAt = here
    this.#missing = payloadBytes - here
    this.#headerBytes = header
    this.#foresight.begun(payloadBytes)
    if (this.crc) {
      this.#trailer = trailerBytes(ulpduBytes)
      this.#sum = crc32cOfView(this.#memory.view, from, payloadAt)
    } else this.#skip = trailerBytes(ulpduBytes)
    if (ulpduBytes >= LONG_BYTES_MIN) this.#patience = SHORT_IN_A_ROW
    return true
  }

  /** All payload is where it belongs. */
  #endSink(): void {
    const sink = this.#sink
    if (sink === undefined) return
    if (this.#trailer > 0) {
      this.#sum = crc32c(sink, 0, sink.length, this.#sum)
      return
    }
    this.#sink = undefined
    this.#user.placed()
  }

  /** The trailer of a segment that was received straight lies at `at`. */
  #verify(at: number): void {
    const crcAt = at + this.#trailer - FPDU_CRC_BYTES
    this.#trailer = 0
    this.#sink = undefined
    const { view } = this.#memory
    if (crc32cOfView(view, at, crcAt, this.#sum) === view.getUint32(crcAt, true)) this.#user.placed()
    else this.#user.broken("crc", this.#memory, at, 0)
  }

  /** Keeps the beginning of an FPDU of `bytes` for when the rest comes. */
  #carry(from: number, bytes: number): void {
    const old = this.#memory
    const count = this.#filled - from
    const { shared, small, large } = this.#pools
    if (old === shared || bytes > old.bytes.length) {
      this.#memory = (bytes > SMALL_BYTES ? large : small).take()
      this.#memory.bytes.set(old.bytes.subarray(from, this.#filled))
      this.#free(old)
    } else if (from > 0) old.bytes.copyWithin(0, from, this.#filled)
    this.#filled = count
    this.#wanted = bytes - count
  }

  /** Goes back to the shared memory. */
  #release(): void {
    this.#free(this.#memory)
    this.#memory = this.#pools.shared
  }

  #free(memory: Memory): void {
    const { shared, small, large } = this.#pools
    if (memory === shared) return
    if (memory.bytes.length === SMALL_BYTES) small.give(memory)
    else large.give(memory)
  }
}
