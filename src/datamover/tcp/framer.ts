import { AHS_BYTES_MAX, LOGIN_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import { DatamoverError } from "../../iscsi/da.ts"
import { BHS_BYTES } from "../../iscsi/pdu/index.ts"
import { CRC32C_BYTES, crc32c, crc32cOfView } from "../../wire/crc32c.ts"
import { ArrivedPdu } from "../shared/arrived-pdu.ts"
import type { Memory, MemoryPool } from "../shared/memory.ts"

/** Receive memory of a connection that has little to say, and of one that has much, in bytes. */
const QUIET_BYTES = 16 * 1024
const BUSY_BYTES = 256 * 1024
/** After so many reads that filled little of its memory a connection counts as quiet again. */
const QUIET_READS = 4
/** The least room offered for a read, in bytes. */
const ROOM_BYTES_MIN = 4096
/** From so many missing bytes on, data is received straight to where it belongs. */
const STRAIGHT_BYTES_MIN = 4096
/** What is offered for the header between two such transfers: what comes of the data with it must be copied. */
const HEADER_WINDOW_BYTES = 4096

/** Where the data of the PDU being received goes. */
export class Sink {
  /** Undefined: nowhere, it is dropped. */
  bytes: Uint8Array | undefined
  at = 0
}

/** What a framer tells about the PDUs it finds. Any of it may halt the framer. */
export interface FramerUser {
  /**
   * The header segments of a PDU are here and verified. True: its data goes to `sink` (by default nowhere), and
   * `placed` follows; false: the whole PDU is gathered in memory, and `arrived` follows.
   */
  begins(pdu: ArrivedPdu, sink: Sink): boolean
  arrived(pdu: ArrivedPdu): void
  /** Its data segment is where it belongs; `pdu` shows the header alone. */
  placed(pdu: ArrivedPdu): void
  /** In place of the two before: the data digest is wrong. */
  damaged(pdu: ArrivedPdu): void
}

type Phase = "header" | "gathering" | "placing"

/**
 * Finds PDUs in a stream of bytes (RFC 7143 §11.2), without doing I/O: ask `buffer` where the next bytes go, tell
 * `received` how many came.
 *
 *     memory  | behind us | a PDU and perhaps more     | offered to the next read |
 *             0           from                        filled                    length
 *
 * What lies behind us may be held by others; positions move only within `buffer`, so that what was offered stays
 * offered until it's filled. Every length is checked against what was negotiated before it is used.
 */
export class Framer {
  /** Largest data segment we have declared to take, in bytes. */
  dataBytesMax = LOGIN_DATA_SEGMENT_BYTES_MAX
  headerDigest = false
  dataDigest = false
  /** Takes up no further PDU. */
  halted = false
  readonly #pool: MemoryPool
  readonly #user: FramerUser
  readonly #pdu: ArrivedPdu
  readonly #sink = new Sink()
  /** Holds the header of a PDU whose data is on its way elsewhere. */
  #aside: Memory | undefined
  #memory: Memory
  #from = 0
  #filled = 0
  #offeredBytes = 0
  #memoryBytes = QUIET_BYTES
  #smallReads = 0
  #phase: Phase = "header"
  /** Of the PDU under way: its header segments with digest, its data segment, and what follows that (pad, digest). */
  #headerBytes = 0
  #dataBytes = 0
  #trailerBytes = 0
  /** Bytes from `from` on that are needed to go on. */
  #neededBytes = BHS_BYTES
  /** Of data being placed: how much is missing, and the digest so far. */
  #missingBytes = 0
  #crc = 0
  #straight = false
  /** Of the PDU somebody is being told of. */
  #toldBytes = 0
  #bulk = false
  #closed = false

  constructor(pool: MemoryPool, user: FramerUser) {
    this.#pool = pool
    this.#user = user
    this.#memory = pool.take(QUIET_BYTES)
    this.#pdu = new ArrivedPdu(this.#memory)
  }

  /** Gives its memory back; nothing else is to be called any more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.halted = true
    this.#memory.release()
    this.#aside?.release()
  }

  /** Whether a PDU has begun whose end hasn't come. */
  get withinPdu(): boolean {
    return this.#phase !== "header" || this.#filled > this.#from
  }

  /** The data of the PDU under way goes nowhere: its task has ended. What `buffer` gave is not to be written any more. */
  dropSink(): void {
    this.#sink.bytes = undefined
  }

  /** A copy of the bytes that have come and that nobody was told of. */
  leftover(): Uint8Array {
    return this.#memory.bytes.slice(this.#from + this.#toldBytes, this.#filled)
  }

  /** Where the next bytes go. */
  buffer(): Uint8Array {
    const sink = this.#sink.bytes
    this.#straight =
      this.#phase === "placing" &&
      this.#from === this.#filled &&
      sink !== undefined &&
      this.#missingBytes >= STRAIGHT_BYTES_MIN
    if (sink !== undefined && this.#straight) {
      this.#bulk = true
      return sink.subarray(this.#sink.at, this.#sink.at + this.#missingBytes)
    }
    this.#makeRoom()
    let end = this.#memory.bytes.length
    if (this.#bulk) {
      this.#bulk = false
      end = Math.min(end, this.#filled + Math.max(HEADER_WINDOW_BYTES, this.#neededBytes))
    }
    this.#offeredBytes = end - this.#filled
    return this.#memory.bytes.subarray(this.#filled, end)
  }

  #makeRoom(): void {
    const memory = this.#memory
    const unread = this.#filled - this.#from
    if (unread === 0 && memory.holds === 1) {
      memory.poison(0, this.#filled)
      this.#from = this.#filled = 0
      if (memory.bytes.length >= this.#memoryBytes && memory.bytes.length < 4 * this.#memoryBytes) return
      return this.#renew(0, this.#memoryBytes)
    }
    const missing = Math.max(this.#neededBytes - unread, ROOM_BYTES_MIN)
    if (memory.bytes.length - this.#filled >= missing) return
    const largeEnough = memory.bytes.length >= this.#memoryBytes && memory.bytes.length - unread >= missing
    if (memory.holds === 1 && largeEnough) {
      memory.bytes.copyWithin(0, this.#from, this.#filled)
      this.#from = 0
      this.#filled = unread
      return
    }
    this.#renew(unread, Math.max(this.#memoryBytes, unread + missing))
  }

  /** Goes on in other memory, taking the bytes not yet read along. */
  #renew(unread: number, bytes: number): void {
    const fresh = this.#pool.take(bytes)
    if (unread > 0) fresh.bytes.set(this.#memory.bytes.subarray(this.#from, this.#filled))
    this.#memory.release()
    this.#memory = fresh
    this.#from = 0
    this.#filled = unread
  }

  /** `bytes` of what `buffer` gave last are filled. Throws DatamoverError when the framing is lost. */
  received(bytes: number): void {
    if (this.#straight) {
      this.#straight = false
      this.#advanceSink(bytes)
    } else {
      this.#filled += bytes
      this.#adapt(bytes)
    }
    this.run()
  }

  /** Busy connections get more memory at once, quiet ones less after a while. */
  #adapt(bytes: number): void {
    if (bytes === this.#offeredBytes && bytes >= QUIET_BYTES / 2) {
      this.#smallReads = 0
      this.#memoryBytes = BUSY_BYTES
    } else if (bytes > QUIET_BYTES / 2) {
      this.#smallReads = 0
    } else if (++this.#smallReads === QUIET_READS) {
      this.#memoryBytes = QUIET_BYTES
    }
  }

  #advanceSink(bytes: number): void {
    const sink = this.#sink
    if (this.dataDigest && sink.bytes) this.#crc = crc32c(sink.bytes, sink.at, sink.at + bytes, this.#crc)
    sink.at += bytes
    this.#missingBytes -= bytes
  }

  /** Takes up all PDUs that are complete, until halted. Throws DatamoverError. */
  run(): void {
    while (!this.halted) {
      const goesOn =
        this.#phase === "header"
          ? this.#header()
          : this.#phase === "gathering"
            ? this.#gather()
            : this.#place()
      if (!goesOn) return
    }
  }

  #header(): boolean {
    const available = this.#filled - this.#from
    this.#neededBytes = BHS_BYTES
    if (available < BHS_BYTES) return false
    const view = this.#memory.view
    const at = this.#from
    const lengths = view.getUint32(at + 4)
    const ahsBytes = (lengths >>> 24) * 4
    const segmentsBytes = BHS_BYTES + ahsBytes
    const dataBytes = lengths & 0xffffff
    if (dataBytes > this.dataBytesMax || ahsBytes > AHS_BYTES_MAX) this.#refuseLengths(ahsBytes, dataBytes)
    const headerBytes = this.headerDigest ? segmentsBytes + CRC32C_BYTES : segmentsBytes
    this.#neededBytes = headerBytes
    if (available < headerBytes) return false
    if (this.headerDigest) this.#checkHeader(segmentsBytes)
    this.#headerBytes = headerBytes
    this.#dataBytes = dataBytes
    this.#trailerBytes = dataBytes === 0 ? 0 : (-dataBytes & 3) + (this.dataDigest ? CRC32C_BYTES : 0)
    const pdu = this.#pdu
    pdu.ahsBytes = ahsBytes
    pdu.dataBytes = dataBytes
    this.#point()
    this.#sink.bytes = undefined
    if (this.#user.begins(pdu, this.#sink)) this.#startPlacing(available)
    else {
      this.#phase = "gathering"
      this.#neededBytes = headerBytes + dataBytes + this.#trailerBytes
    }
    return true
  }

  #refuseLengths(ahsBytes: number, dataBytes: number): never {
    const declared = `a data segment of ${dataBytes} bytes, at most ${this.dataBytesMax} were declared`
    const what = ahsBytes > AHS_BYTES_MAX ? `additional header segments of ${ahsBytes} bytes` : declared
    throw new DatamoverError("ERR_PDU_TOO_LONG", `a PDU came with ${what}`)
  }

  #checkHeader(segmentsBytes: number): void {
    const { view } = this.#memory
    const end = this.#from + segmentsBytes
    if (crc32cOfView(view, this.#from, end) === view.getUint32(end, true)) return
    throw new DatamoverError("ERR_HEADER_DIGEST", "the header digest of a PDU is wrong")
  }

  /** Points the PDU object to where the PDU now lies in receive memory. */
  #point(): void {
    const pdu = this.#pdu
    pdu.moveTo(this.#memory, this.#from)
    pdu.ahsAt = this.#from + BHS_BYTES
    pdu.dataAt = this.#from + this.#headerBytes
  }

  #gather(): boolean {
    const bytes = this.#neededBytes
    if (this.#filled - this.#from < bytes) return false
    this.#point()
    this.#phase = "header"
    const pdu = this.#pdu
    this.#toldBytes = bytes
    if (this.dataDigest && this.#dataBytes > 0 && !this.#gatheredDigestFits()) this.#user.damaged(pdu)
    else this.#user.arrived(pdu)
    this.#toldBytes = 0
    this.#from += bytes
    return true
  }

  #gatheredDigestFits(): boolean {
    const { view } = this.#memory
    const start = this.#from + this.#headerBytes
    const end = start + this.#dataBytes + this.#trailerBytes - CRC32C_BYTES
    return crc32cOfView(view, start, end) === view.getUint32(end, true)
  }

  #startPlacing(available: number): void {
    this.#phase = "placing"
    this.#missingBytes = this.#dataBytes
    this.#crc = 0
    if (available < this.#headerBytes + this.#dataBytes + this.#trailerBytes) this.#setAside()
    this.#from += this.#headerBytes
  }

  /** The header must outlive receive memory: the rest of its PDU is still to come. */
  #setAside(): void {
    this.#aside ??= this.#pool.take(0)
    const at = this.#from
    this.#aside.bytes.set(this.#memory.bytes.subarray(at, at + this.#headerBytes))
    const pdu = this.#pdu
    pdu.moveTo(this.#aside, 0)
    pdu.ahsAt = BHS_BYTES
    pdu.dataAt = this.#headerBytes
  }

  #place(): boolean {
    const available = this.#filled - this.#from
    if (this.#missingBytes > 0) {
      const bytes = Math.min(available, this.#missingBytes)
      this.#copyToSink(bytes)
      this.#from += bytes
      this.#neededBytes = Math.min(this.#missingBytes + this.#trailerBytes, ROOM_BYTES_MIN)
      if (this.#missingBytes > 0) return false
    }
    this.#neededBytes = this.#trailerBytes
    if (this.#filled - this.#from < this.#trailerBytes) return false
    this.#phase = "header"
    const pdu = this.#pdu
    // The data is elsewhere: nobody shall look for it here.
    pdu.dataBytes = 0
    if (this.dataDigest && this.#dataBytes > 0 && !this.#placedDigestFits()) this.#user.damaged(pdu)
    else this.#user.placed(pdu)
    this.#from += this.#trailerBytes
    this.#sink.bytes = undefined
    return true
  }

  #copyToSink(bytes: number): void {
    const start = this.#from
    const sink = this.#sink
    if (sink.bytes) sink.bytes.set(this.#memory.bytes.subarray(start, start + bytes), sink.at)
    if (this.dataDigest) this.#crc = crc32cOfView(this.#memory.view, start, start + bytes, this.#crc)
    sink.at += bytes
    this.#missingBytes -= bytes
  }

  #placedDigestFits(): boolean {
    const { view } = this.#memory
    const digestAt = this.#from + this.#trailerBytes - CRC32C_BYTES
    return crc32cOfView(view, this.#from, digestAt, this.#crc) === view.getUint32(digestAt, true)
  }
}
