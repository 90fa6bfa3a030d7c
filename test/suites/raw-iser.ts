/**
 * An iSER initiator's wire, byte for byte: iSER's headers (RFC 7145 §9) in RDMAP (RFC 5040), DDP (RFC 5041) and MPA (RFC
 * 5044) over a stream, written without the project's own, so that it doesn't share their mistakes. It has no memory:
 * what RDMA moves it shows as the PDU that stands for it over TCP. An RDMA Write is a Data-In, a Read Request an R2T, and a
 * Data-Out that answers such an R2T leaves as the Read Response.
 */
import assert from "node:assert/strict"
import type { ByteReceiver, ByteStream } from "../../src/base/byte-stream.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode } from "../../src/iscsi/pdu/index.ts"
import { crc32c } from "../../src/wire/crc32c.ts"
import { decoded, padded, type RawWire, type RawWireUser } from "./raw-wire.ts"

const MPA_BYTES = 20
const CRC_WANTED = 0x40
/** iSER's flags: no zero-based addresses; Send with Invalidate is welcome. */
const PRIVATE_DATA = Buffer.from([0x80, 0, 0, 0])
const HEADER_BYTES = 28
const CONTROL = 0x10
const WSV = 0x08
const RSV = 0x04

const TAGGED = 0x80
const LAST = 0x40
const DDP_VERSION = 1
const RDMAP_VERSION = 0x40
const Rdmap = { write: 0, readRequest: 1, readResponse: 2, send: 3, sendInvalidate: 4, terminate: 7 } as const
/** The solicited-event kinds of the sends. */
const SEND_SE = 5
const SEND_SE_INVALIDATE = 6
const SEGMENT_BYTES_MAX = 4000

/** A command's memory, as the target knows it. */
interface Remote {
  readonly tag: number
  readonly kind: "read" | "write"
  /** The address byte 0 of all the command's data would have. */
  readonly start: bigint
  /** What may be reached: [from, to) of the command's data. */
  readonly from: number
  readonly to: number
  /** RDMA Reads, or Writes, of it so far. */
  requests: number
  /** Given whatever is asked for, without a word to the test. */
  yielded: boolean
}

interface ReadRequest {
  readonly sinkStag: number
  readonly sinkTo: bigint
  readonly offset: number
  readonly bytes: number
}

export class IserWire implements RawWire {
  readonly stream: ByteStream
  headerDigest = false
  dataDigest = false
  firstBurstLength = 65536
  readonly yields = true
  /** MPA's reply has come; undefined: not yet. */
  accepted: boolean | undefined
  /** STags the target has invalidated, and the Terminate it has sent. */
  readonly invalidated: number[] = []
  terminate: Buffer | undefined
  readonly #remotes = new Map<number, Remote>()
  readonly #reads = new Map<number, ReadRequest>()
  #user: RawWireUser | undefined
  #ended = false
  #closed = false
  #bytes: Buffer = Buffer.alloc(0)
  #nextStag = 0x1a00
  #nextRead = 1
  #sendMsn = 1
  #message: Buffer[] = []
  #written: { remote: Remote; offset: number; parts: Buffer[] } | undefined

  /** Sends the MPA Request; once `accepted`, it can be started. `stream`: new, or one that has been used before. */
  constructor(stream: ByteStream, state: "new" | "started" = "new") {
    this.stream = stream
    const memory = Buffer.alloc(16384)
    const receiver: ByteReceiver = {
      buffer: () => memory,
      received: (bytes) => {
        this.#bytes = Buffer.concat([this.#bytes, memory.subarray(0, bytes)])
        if (this.accepted === undefined) this.#takeReply()
        while (this.accepted && this.#takeFpdu());
      },
      ended: () => {
        this.#ended = true
        this.#user?.ended()
        stream.end()
      },
      closed: () => {
        this.#closed = true
        this.accepted ??= false
        this.#user?.closed()
      },
    }
    if (state === "new") stream.start(receiver)
    else stream.handOver(receiver)
    const request = Buffer.from("MPA ID Req Frame\0\x01\0\0", "latin1")
    request[16] = CRC_WANTED
    request.writeUInt16BE(PRIVATE_DATA.length, 18)
    stream.write([Buffer.concat([request, PRIVATE_DATA])])
  }

  start(user: RawWireUser): void {
    this.#user = user
    if (this.#ended) user.ended()
    if (this.#closed) user.closed()
  }

  // -------------------------------------------------------------------------------------------- MPA

  #takeReply(): void {
    if (this.#bytes.length < MPA_BYTES) return
    const bytes = MPA_BYTES + this.#bytes.readUInt16BE(18)
    if (this.#bytes.length < bytes) return
    assert.equal(this.#bytes.toString("latin1", 0, 16), "MPA ID Rep Frame")
    assert.equal(this.#bytes[17], 1, "as old as the request")
    this.accepted = (this.#bytes[16]! & 0x20) === 0
    if (this.accepted) assert.equal(this.#bytes[16], CRC_WANTED)
    this.#bytes = this.#bytes.subarray(bytes)
  }

  #takeFpdu(): boolean {
    if (this.#bytes.length < 2) return false
    const bytes = this.#bytes.readUInt16BE(0)
    const covered = (2 + bytes + 3) & ~3
    if (this.#bytes.length < covered + 4) return false
    const fpdu = this.#bytes
    this.#bytes = fpdu.subarray(covered + 4)
    assert.equal(fpdu.readUInt32LE(covered), crc32c(fpdu, 0, covered), "the CRC of an FPDU")
    this.#segment(Buffer.from(fpdu.subarray(2, 2 + bytes)))
    return true
  }

  #sendFpdu(header: Buffer, payload: Uint8Array): void {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(header.length + payload.length)
    const covered = padded(Buffer.concat([length, header, payload]))
    const crc = Buffer.alloc(4)
    crc.writeUInt32LE(crc32c(covered))
    this.stream.write([Buffer.concat([covered, crc])])
  }

  // -------------------------------------------------------------------------------------------- DDP and RDMAP

  #segment(segment: Buffer): void {
    const [ddp, rdmap] = [segment[0]!, segment[1]!]
    assert.equal(ddp & 0x03, DDP_VERSION)
    assert.equal(rdmap & 0xc0, RDMAP_VERSION)
    const last = (ddp & LAST) !== 0
    const opcode = rdmap & 0x0f
    if ((ddp & TAGGED) !== 0) {
      assert.equal(opcode, Rdmap.write, "a target has nothing else to send to memory of ours")
      return this.#place(segment.readUInt32BE(2), segment.readBigUInt64BE(6), segment.subarray(14), last)
    }
    const payload = segment.subarray(18)
    if (opcode === Rdmap.readRequest) return this.#readRequested(payload)
    if (opcode === Rdmap.terminate) {
      this.terminate = payload
      return
    }
    assert.ok(opcode >= Rdmap.send && opcode <= SEND_SE_INVALIDATE, `RDMAP opcode ${opcode}`)
    this.#message.push(payload)
    if (!last) return
    const message = Buffer.concat(this.#message)
    this.#message = []
    const invalidates = opcode === Rdmap.sendInvalidate || opcode === SEND_SE_INVALIDATE
    this.#received(message, invalidates ? segment.readUInt32BE(2) : undefined)
    assert.ok(opcode !== SEND_SE || !invalidates)
  }

  /** An RDMA Write's message is shown when its last segment is here. */
  #place(stag: number, to: bigint, payload: Buffer, last: boolean): void {
    const remote = this.#remotes.get(stag)
    assert.ok(remote?.kind === "read", `STag ${stag} is to be written`)
    const offset = Number(to - remote.start)
    assert.ok(offset >= 0 && offset + payload.length <= remote.to, "an RDMA Write is within its memory")
    const written = (this.#written ??= { remote, offset, parts: [] })
    written.parts.push(payload)
    if (!last) return
    this.#written = undefined
    const fields = {
      pdu: "SCSI Data-In",
      initiatorTaskTag: remote.tag,
      bufferOffset: written.offset,
      dataSn: remote.requests++,
    }
    this.#user!.arrived(
      { ...fields, statusPresent: false },
      new Uint8Array(Buffer.concat(written.parts)),
      false,
    )
  }

  #readRequested(request: Buffer): void {
    const remote = this.#remotes.get(request.readUInt32BE(16))
    assert.ok(remote?.kind === "write", "an RDMA Read names memory to be read")
    const offset = Number(request.readBigUInt64BE(20) - remote.start)
    const bytes = request.readUInt32BE(12)
    assert.ok(offset >= remote.from && offset + bytes <= remote.to, "an RDMA Read is within its memory")
    const number = this.#nextRead++
    const [sinkStag, sinkTo] = [request.readUInt32BE(0), request.readBigUInt64BE(4)]
    const read = { sinkStag, sinkTo, offset, bytes }
    if (remote.yielded) return this.#yieldTo(read)
    this.#reads.set(number, read)
    const fields = {
      pdu: "Ready To Transfer (R2T)",
      initiatorTaskTag: remote.tag,
      targetTransferTag: number,
      bufferOffset: offset,
      desiredDataTransferLength: bytes,
      r2tSn: remote.requests++,
    }
    this.#user!.arrived(fields, new Uint8Array(0), false)
  }

  #sendTagged(stag: number, to: bigint, data: Uint8Array, last: boolean): void {
    for (let at = 0; at < data.length; at += SEGMENT_BYTES_MAX) {
      const end = Math.min(data.length, at + SEGMENT_BYTES_MAX)
      const header = Buffer.alloc(14)
      header[0] = TAGGED | (last && end === data.length ? LAST : 0) | DDP_VERSION
      header[1] = RDMAP_VERSION | Rdmap.readResponse
      header.writeUInt32BE(stag, 2)
      header.writeBigUInt64BE(to + BigInt(at), 6)
      this.#sendFpdu(header, data.subarray(at, end))
    }
  }

  #sendMessage(message: Buffer): void {
    const msn = this.#sendMsn++
    for (let at = 0; at < message.length; at += SEGMENT_BYTES_MAX) {
      const end = Math.min(message.length, at + SEGMENT_BYTES_MAX)
      const header = Buffer.alloc(18)
      header[0] = (end === message.length ? LAST : 0) | DDP_VERSION
      header[1] = RDMAP_VERSION | Rdmap.send
      header.writeUInt32BE(msn, 10)
      header.writeUInt32BE(at, 14)
      this.#sendFpdu(header, message.subarray(at, end))
    }
  }

  // -------------------------------------------------------------------------------------------- iSER

  #received(message: Buffer, invalidated: number | undefined): void {
    assert.equal(message[0]! & 0xf0, CONTROL, "a control-type message")
    assert.equal(message[0]! & (WSV | RSV), 0, "a target advertises no memory")
    const pdu = new Uint8Array(message.subarray(HEADER_BYTES))
    const fields = decoded(pdu)
    const dataBytes = ((pdu[5]! << 16) | (pdu[6]! << 8) | pdu[7]!) >>> 0
    assert.equal(
      pdu.length,
      BHS_BYTES + ((dataBytes + 3) & ~3),
      "the data segment with its padding, and no more",
    )
    if (fields.pdu === "SCSI Response") this.#forget(fields["initiatorTaskTag"] as number, invalidated)
    else assert.equal(invalidated, undefined, `a ${fields.pdu} invalidates nothing`)
    this.#user!.arrived(fields, pdu.slice(BHS_BYTES, BHS_BYTES + dataBytes), true)
  }

  /** The task is over: nobody may reach its memory any more. What was invalidated for us was its. */
  #forget(tag: number, invalidated: number | undefined): void {
    if (invalidated !== undefined) {
      assert.equal(this.#remotes.get(invalidated)?.tag, tag, "the STag invalidated is the task's")
      this.invalidated.push(invalidated)
    }
    for (const [stag, remote] of this.#remotes) if (remote.tag === tag) this.#remotes.delete(stag)
  }

  send(header: Buffer, data: Uint8Array): void {
    const opcode = header[0]! & 0x3f
    const transferTag = header.readUInt32BE(20)
    if (opcode === Opcode.dataOut && transferTag !== ISCSI_RESERVED_TAG) {
      return this.#answerRead(transferTag, header.readUInt32BE(40), data)
    }
    const iser =
      opcode === Opcode.scsiCommand ? this.#advertise(header, data.length) : Buffer.alloc(HEADER_BYTES)
    iser[0]! |= CONTROL
    this.#sendMessage(Buffer.concat([iser, header, padded(data)]))
  }

  yield(): void {
    for (const remote of this.#remotes.values()) remote.yielded = true
    for (const read of this.#reads.values()) this.#yieldTo(read)
    this.#reads.clear()
  }

  #yieldTo({ sinkStag, sinkTo, bytes }: ReadRequest): void {
    this.#sendTagged(sinkStag, sinkTo, Buffer.alloc(bytes), true)
  }

  #answerRead(number: number, offset: number, data: Uint8Array): void {
    const read = this.#reads.get(number)
    // It was given something already: over RDMA nothing can come late.
    if (!read) return
    const at = offset - read.offset
    const last = at + data.length === read.bytes
    if (last) this.#reads.delete(number)
    this.#sendTagged(read.sinkStag, read.sinkTo + BigInt(at), data, last)
  }

  /** The header of a SCSI Command: its memory is advertised as running code does, behind the unsolicited data. */
  #advertise(header: Buffer, immediateBytes: number): Buffer {
    const iser = Buffer.alloc(HEADER_BYTES)
    const [flags, expected] = [header[1]!, header.readUInt32BE(20)]
    const tag = header.readUInt32BE(16)
    const bidirectional = (flags & 0x60) === 0x60
    const unsolicited = flags & 0x80 ? immediateBytes : Math.min(this.firstBurstLength, expected)
    if (flags & 0x20 && expected > unsolicited) {
      iser[0]! |= WSV
      this.#write(iser, 4, {
        tag,
        kind: "write",
        from: unsolicited,
        to: expected,
        requests: 0,
        yielded: false,
      })
    }
    if (flags & 0x40) {
      iser[0]! |= RSV
      const bytes = bidirectional ? bidirectionalReadBytes(header) : expected
      this.#write(iser, 16, { tag, kind: "read", from: 0, to: bytes, requests: 0, yielded: false })
    }
    return iser
  }

  #write(iser: Buffer, at: number, remote: Omit<Remote, "start">): void {
    const stag = (this.#nextStag += 0x101)
    const start = BigInt(stag) << 24n
    this.#remotes.set(stag, { ...remote, start })
    iser.writeUInt32BE(stag, at)
    iser.writeBigUInt64BE(start + BigInt(remote.from), at + 4)
  }
}

/** Expected Bidirectional Read Data Length: its additional header segment (RFC 7143 §11.2.2.4). */
function bidirectionalReadBytes(header: Buffer): number {
  for (let at = BHS_BYTES; at < header.length; ) {
    const bytes = header.readUInt16BE(at)
    if (header[at + 2] === 2) return header.readUInt32BE(at + 4)
    at += (3 + bytes + 3) & ~3
  }
  return 0
}
