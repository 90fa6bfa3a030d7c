/**
 * What a RawInitiator sends and gets PDUs over. Each frames by itself, so that it doesn't share mistakes with the
 * datamovers.
 */
import assert from "node:assert/strict"
import type { ByteReceiver, ByteStream } from "../../src/base/byte-stream.ts"
import { BHS_BYTES, decodePdu } from "../../src/iscsi/pdu/index.ts"
import type { PduRecord } from "../../src/iscsi/pdu/index.ts"
import { crc32c } from "../../src/wire/crc32c.ts"

export type Damage = "header" | "data" | undefined

export interface RawWireUser {
  /** Decoded; `numbered`: it is a PDU indeed, with a StatSN to be looked at. */
  arrived(fields: PduRecord, data: Uint8Array, numbered: boolean): void
  ended(): void
  closed(): void
}

export interface RawWire {
  readonly stream: ByteStream
  headerDigest: boolean
  dataDigest: boolean
  firstBurstLength: number
  start(user: RawWireUser): void
  /** `header`: BHS and AHS with their lengths filled in. `data`: without padding. */
  send(header: Buffer, data: Uint8Array, damage: Damage): void
  /** It has memory that a target reads by itself. */
  readonly yields: boolean
  /** Sends what the target has asked for, whatever it be, as an RDMA device does that can't refuse. Over TCP nothing. */
  yield(): void
}

export const padded = (data: Uint8Array): Buffer => Buffer.concat([data, Buffer.alloc(-data.length & 3)])

export function decoded(bytes: Uint8Array): PduRecord {
  const fields = decodePdu(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0)
  assert.ok(fields, `opcode ${bytes[0]} is one of a target's`)
  return fields
}

/** PDUs one behind the other, with digests as negotiated (RFC 7143 §11.2). */
export class TcpWire implements RawWire {
  readonly stream: ByteStream
  headerDigest = false
  dataDigest = false
  firstBurstLength = 65536
  readonly yields = false
  #bytes = new Uint8Array(0)
  #user!: RawWireUser

  constructor(stream: ByteStream) {
    this.stream = stream
  }

  start(user: RawWireUser): void {
    this.#user = user
    const memory = new Uint8Array(16384)
    const receiver: ByteReceiver = {
      buffer: () => memory,
      received: (bytes) => {
        this.#bytes = new Uint8Array(Buffer.concat([this.#bytes, memory.subarray(0, bytes)]))
        while (this.#takePdu());
      },
      ended: () => {
        user.ended()
        this.stream.end()
      },
      closed: () => user.closed(),
    }
    this.stream.start(receiver)
  }

  #takePdu(): boolean {
    if (this.#bytes.length < BHS_BYTES) return false
    const view = new DataView(this.#bytes.buffer)
    const ahsBytes = view.getUint8(4) * 4
    const dataBytes = view.getUint32(4) & 0xffffff
    const headerBytes = BHS_BYTES + ahsBytes + (this.headerDigest ? 4 : 0)
    const paddedBytes = (dataBytes + 3) & ~3
    const end = headerBytes + paddedBytes + (this.dataDigest && dataBytes > 0 ? 4 : 0)
    if (this.#bytes.length < end) return false
    const bytes = this.#bytes
    this.#bytes = bytes.slice(end)
    if (this.headerDigest) assertDigest(bytes, 0, BHS_BYTES + ahsBytes)
    if (this.dataDigest && dataBytes > 0) assertDigest(bytes, headerBytes, headerBytes + paddedBytes)
    this.#user.arrived(decoded(bytes), bytes.slice(headerBytes, headerBytes + dataBytes), true)
    return true
  }

  yield(): void {}

  send(header: Buffer, data: Uint8Array, damage: Damage): void {
    const pieces: Uint8Array[] = [header]
    if (this.headerDigest) pieces.push(digestOf(header, damage === "header"))
    pieces.push(padded(data))
    if (this.dataDigest && data.length > 0) pieces.push(digestOf(padded(data), damage === "data"))
    this.stream.write([Buffer.concat(pieces)])
  }
}

const digestOf = (bytes: Uint8Array, wrong: boolean): Uint8Array => {
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE((crc32c(bytes) ^ (wrong ? 1 : 0)) >>> 0)
  return digest
}

function assertDigest(bytes: Uint8Array, start: number, end: number): void {
  const expected = digestOf(bytes.subarray(start, end), false)
  assert.deepEqual(Buffer.from(bytes.subarray(end, end + 4)), expected, "a digest of the target's")
}
