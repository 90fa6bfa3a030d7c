import type { DataBuffer } from "../../base/buffers.ts"
import { BHS_BYTES } from "../../iscsi/pdu/index.ts"
import { CRC32C_BYTES, crc32c, crc32cOfView } from "../../wire/crc32c.ts"
import type { Arena } from "../shared/arena.ts"
import type { Memory } from "../shared/memory.ts"
import type { SendQueue } from "./send-queue.ts"

/** Up to here it is cheaper to copy lent data behind its header than to send it as a piece of its own. */
const COPY_BYTES_MAX = 8192

const isLent = (data: Uint8Array | DataBuffer): data is DataBuffer => !(data instanceof Uint8Array)

/** Puts PDUs into the send queue: lengths, padding and digests are made here. */
export class PduWriter {
  readonly arena: Arena
  readonly queue: SendQueue
  /** Bytes of a header digest and of a data digest: 0 or 4. */
  headerDigestBytes = 0
  dataDigestBytes = 0

  constructor(arena: Arena, queue: SendQueue) {
    this.arena = arena
    this.queue = queue
  }

  setDigests(header: boolean, data: boolean): void {
    this.headerDigestBytes = header ? CRC32C_BYTES : 0
    this.dataDigestBytes = data ? CRC32C_BYTES : 0
  }

  /** A header (BHS and AHS) is copied, data too unless it's lent and large; what is lent is released when it has gone. */
  put(header: Uint8Array, data: Uint8Array | DataBuffer | undefined): void {
    if (data === undefined) return this.#putCopy(header, undefined)
    if (!isLent(data)) return this.#putCopy(header, data)
    this.putFrom(header, data.bytes)
    if (data.bytes.length > COPY_BYTES_MAX) this.queue.lend(data)
    else data.release()
  }

  /** Header and data, copied side by side. */
  #putCopy(header: Uint8Array, data: Uint8Array | undefined): void {
    const dataBytes = data === undefined ? 0 : data.length
    const headerBytes = header.length + this.headerDigestBytes
    const bytes = headerBytes + dataBytes + this.trailerBytes(dataBytes)
    const at = this.arena.take(bytes)
    const { memory } = this.arena
    this.#putHeader(memory, at, header, dataBytes)
    if (data !== undefined && dataBytes > 0) {
      const dataAt = at + headerBytes
      memory.bytes.set(data, dataAt)
      this.makeTrailer(memory, dataAt, dataBytes)
    }
    this.queue.append(memory, at, at + bytes)
    this.queue.lend(memory)
  }

  /** A copy of the header, and data that stays as it is where it lies until it's sent. */
  putFrom(header: Uint8Array, data: Uint8Array): void {
    if (data.length <= COPY_BYTES_MAX) return this.#putCopy(header, data)
    const headerBytes = header.length + this.headerDigestBytes
    const at = this.arena.take(headerBytes)
    const { memory } = this.arena
    this.#putHeader(memory, at, header, data.length)
    this.queue.append(memory, at, at + headerBytes)
    this.queue.lend(memory)
    this.putData(data)
  }

  /** The data segment alone, from where it lies. */
  putData(data: Uint8Array): void {
    this.queue.appendBytes(data)
    const bytes = this.trailerBytes(data.length)
    if (bytes > 0) this.putTrailer(data.length, this.dataDigestBytes > 0 ? crc32c(data) : 0)
  }

  /** Padding and digest behind a data segment whose own digest is `crc`, in memory taken for them. */
  putTrailer(dataBytes: number, crc: number): void {
    const bytes = this.trailerBytes(dataBytes)
    const at = this.arena.take(bytes)
    const { memory } = this.arena
    this.#fillTrailer(memory, at, dataBytes, crc)
    this.queue.append(memory, at, at + bytes)
    this.queue.lend(memory)
  }

  /** Padding and digest right behind memory[dataAt, dataAt + dataBytes). */
  makeTrailer(memory: Memory, dataAt: number, dataBytes: number): void {
    const end = dataAt + dataBytes
    const crc = this.dataDigestBytes > 0 ? crc32cOfView(memory.view, dataAt, end) : 0
    this.#fillTrailer(memory, end, dataBytes, crc)
  }

  #fillTrailer(memory: Memory, at: number, dataBytes: number, crc: number): void {
    const digestAt = at + (-dataBytes & 3)
    for (let i = at; i < digestAt; i++) memory.bytes[i] = 0
    if (this.dataDigestBytes === 0) return
    memory.view.setUint32(digestAt, crc32cOfView(memory.view, at, digestAt, crc), true)
  }

  /** Bytes of padding and digest behind a data segment. */
  trailerBytes(dataBytes: number): number {
    return dataBytes === 0 ? 0 : (-dataBytes & 3) + this.dataDigestBytes
  }

  #putHeader(memory: Memory, at: number, header: Uint8Array, dataBytes: number): void {
    memory.bytes.set(header, at)
    // TotalAHSLength is in words of four bytes.
    memory.view.setUint32(at + 4, ((header.length - BHS_BYTES) << 22) | dataBytes)
    this.digestHeader(memory, at, header.length)
  }

  /** Puts the digest of the header segments at memory[at...] behind them, if one was negotiated. */
  digestHeader(memory: Memory, at: number, headerBytes: number): void {
    if (this.headerDigestBytes === 0) return
    const end = at + headerBytes
    memory.view.setUint32(end, crc32cOfView(memory.view, at, end), true)
  }
}
