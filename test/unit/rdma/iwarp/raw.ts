/** iWARP as bytes on the wire, made and taken apart without the code under test; and one end of it to talk to. */
import assert from "node:assert/strict"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import type { IwarpOptions } from "../../../../src/rdma/iwarp/index.ts"
import type { Connection, ConnectionRequest, ConnectOptions } from "../../../../src/rdma/verbs/index.ts"
import { crc32c } from "../../../../src/wire/crc32c.ts"
import { VerbsEnd } from "../../../suites/verbs-ends.ts"
import { ManualStream } from "../../datamover/tcp/frame.ts"

/** Flags of an MPA frame. */
export const M = 0x80
export const C = 0x40
export const R = 0x20
export const S = 0x10

export interface Mpa {
  readonly flags?: number
  readonly revision?: number
  /** All of it, what RFC 6581 puts in front included. */
  readonly privateData?: Uint8Array
}

export function mpa(
  kind: "Req" | "Rep",
  { flags = C | S, revision = 2, privateData = depths(4, 4) }: Mpa = {},
): Buffer {
  const head = Buffer.alloc(20)
  head.write(`MPA ID ${kind} Frame`, "latin1")
  head[16] = flags
  head[17] = revision
  head.writeUInt16BE(privateData.length, 18)
  return Buffer.concat([head, privateData])
}

/** IRD and ORD with their flags: A and B in the first, C and D in the second. */
export function depths(ird: number, ord: number, irdFlags = 0, ordFlags = 0): Buffer {
  const four = Buffer.alloc(4)
  four.writeUInt16BE(ird | irdFlags, 0)
  four.writeUInt16BE(ord | ordFlags, 2)
  return four
}

/** Length, padding and CRC around a ULPDU. */
export function fpdu(ulpdu: Uint8Array, crc = true): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(ulpdu.length)
  const covered = Buffer.concat([length, ulpdu, Buffer.alloc(-(2 + ulpdu.length) & 3)])
  const sum = Buffer.alloc(4)
  if (crc) sum.writeUInt32LE(crc32c(covered))
  return Buffer.concat([covered, sum])
}

export interface Place {
  readonly rkey: number
  readonly addressHigh: number
  readonly addressLow: number
}

export interface Tagged {
  readonly last?: boolean
  readonly stag: number
  readonly high?: number
  readonly low?: number
  readonly payload?: Uint8Array
}

export function tagged(opcode: number, { last = true, stag, high = 0, low = 0, payload }: Tagged): Buffer {
  const head = Buffer.alloc(14)
  head[0] = last ? 0xc1 : 0x81
  head[1] = 0x40 | opcode
  head.writeUInt32BE(stag, 2)
  head.writeUInt32BE(high, 6)
  head.writeUInt32BE(low, 10)
  return Buffer.concat([head, payload ?? Buffer.alloc(0)])
}

/** An RDMA Write to byte `offset` of a region, near enough to its beginning that nothing carries over. */
export const write = (to: Place, offset: number, payload: Uint8Array, last = true): Buffer => {
  const sum = to.addressLow + offset
  const high = (to.addressHigh + Math.floor(sum / 2 ** 32)) >>> 0
  return tagged(0, { last, stag: to.rkey, high, low: sum >>> 0, payload })
}

export interface Untagged {
  readonly last?: boolean
  readonly stag?: number
  readonly queue?: number
  readonly sequence?: number
  readonly offset?: number
  readonly payload?: Uint8Array
}

export function untagged(opcode: number, more: Untagged = {}): Buffer {
  const { last = true, stag = 0, queue = 0, sequence = 1, offset = 0, payload } = more
  const head = Buffer.alloc(18)
  head[0] = last ? 0x41 : 0x01
  head[1] = 0x40 | opcode
  head.writeUInt32BE(stag, 2)
  head.writeUInt32BE(queue, 6)
  head.writeUInt32BE(sequence, 10)
  head.writeUInt32BE(offset, 14)
  return Buffer.concat([head, payload ?? Buffer.alloc(0)])
}

export interface ReadRequest {
  readonly sinkStag?: number
  readonly sinkLow?: number
  readonly bytes: number
  readonly from: Place
  readonly offset?: number
}

export function readRequest(sequence: number, request: ReadRequest): Buffer {
  const { sinkStag = 0x5151, sinkLow = 0x1000, bytes, from, offset = 0 } = request
  const body = Buffer.alloc(28)
  body.writeUInt32BE(sinkStag, 0)
  body.writeUInt32BE(7, 4)
  body.writeUInt32BE(sinkLow, 8)
  body.writeUInt32BE(bytes, 12)
  body.writeUInt32BE(from.rkey, 16)
  const sum = from.addressLow + offset
  body.writeUInt32BE((from.addressHigh + Math.floor(sum / 2 ** 32)) >>> 0, 20)
  body.writeUInt32BE(sum >>> 0, 24)
  return untagged(1, { queue: 1, sequence, payload: body })
}

/** A segment taken apart; of the fields its kind hasn't got, 0. */
export interface Segment {
  readonly tagged: boolean
  readonly last: boolean
  readonly opcode: number
  readonly stag: number
  readonly high: number
  readonly low: number
  readonly queue: number
  readonly sequence: number
  readonly offset: number
  readonly payload: Buffer
}

/** Takes FPDUs apart; each has to be whole, padded with zeroes, and its CRC good, or zero without. */
export function segments(bytes: Buffer, crc = true): Segment[] {
  const found: Segment[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at)
    const crcAt = at + ((2 + length + 3) & ~3)
    assert.ok(crcAt + 4 <= bytes.length, "an FPDU is cut off")
    assert.ok(bytes.subarray(at + 2 + length, crcAt).every((byte) => byte === 0))
    assert.equal(bytes.readUInt32LE(crcAt), crc ? crc32c(bytes.subarray(at, crcAt)) : 0)
    found.push(segment(bytes.subarray(at + 2, at + 2 + length)))
    at = crcAt + 4
  }
  return found
}

function segment(ulpdu: Buffer): Segment {
  const [first = 0, second = 0] = ulpdu
  assert.equal(first & 0x3f, 1, "DDP version 1, nothing reserved")
  assert.equal(second & 0xf0, 0x40, "RDMAP version 1, nothing reserved")
  const isTagged = (first & 0x80) !== 0
  const common = {
    tagged: isTagged,
    last: (first & 0x40) !== 0,
    opcode: second & 0x0f,
    stag: ulpdu.readUInt32BE(2),
  }
  const none = { high: 0, low: 0, queue: 0, sequence: 0, offset: 0 }
  if (isTagged) {
    const [high, low] = [ulpdu.readUInt32BE(6), ulpdu.readUInt32BE(10)]
    return { ...common, ...none, high, low, payload: ulpdu.subarray(14) }
  }
  const [queue, sequence, offset] = [6, 10, 14].map((at) => ulpdu.readUInt32BE(at)) as [
    number,
    number,
    number,
  ]
  return { ...common, ...none, queue, sequence, offset, payload: ulpdu.subarray(18) }
}

/** The error of a Terminate, as "layer/type/code", when that is the last segment. */
export function terminateOf(found: readonly Segment[]): string {
  const last = found.at(-1)
  if (last?.opcode !== 7) return "none"
  assert.deepEqual([last.queue, last.sequence, last.offset, last.last], [2, 1, 0, true])
  const [first = 0, code = 0] = last.payload
  return `${first >>> 4}/${first & 0x0f}/${code}`
}

export interface RawOptions {
  readonly device?: IwarpOptions
  readonly connection?: Partial<ConnectOptions>
  readonly memoryBytes?: number
  /** The peer's address, when it isn't on this machine. */
  readonly far?: string
}

/** An end of ours, and the stream it hangs on: the test is the peer. */
export class Raw {
  readonly clock = new VirtualClock()
  readonly stream = new ManualStream()
  readonly device: IwarpDevice
  readonly end: VerbsEnd
  readonly requests: ConnectionRequest[] = []
  readonly failures: Error[] = []
  connection: Connection | undefined
  error: Error | undefined

  constructor(options: RawOptions = {}) {
    this.device = new IwarpDevice({ clock: this.clock, random: new SeededRandom(1), ...options.device })
    this.end = new VerbsEnd(this.device, options.memoryBytes ?? 65536)
    if (options.far !== undefined)
      Object.assign(this.stream, { remote: { address: options.far, port: 50_000 } })
  }

  /** Somebody has connected to us. */
  adopt(head: Uint8Array = new Uint8Array(0)): void {
    this.device.adopt(
      this.stream,
      head,
      (request) => this.requests.push(request),
      (error) => this.failures.push(error),
    )
  }

  /** We ask. */
  connect(options: Partial<ConnectOptions> = {}): void {
    this.#keep(this.device.connectOver(this.stream, this.end.parameters(options)))
  }

  accept(options: Partial<ConnectOptions> = {}): void {
    this.#keep(this.requests[0]!.accept(this.end.parameters(options)))
  }

  #keep(promise: Promise<Connection>): void {
    promise.then(
      (connection) => (this.connection = connection),
      (error: Error) => (this.error = error),
    )
  }

  async turn(ms = 0): Promise<void> {
    await this.clock.advance(ms)
  }

  /** Whole FPDUs of these ULPDUs come. */
  async feed(...ulpdus: Uint8Array[]): Promise<void> {
    this.stream.feed(Buffer.concat(ulpdus.map((ulpdu) => fpdu(ulpdu))))
    await this.turn()
  }

  /** What was sent since the last call. */
  async sent(crc = true): Promise<Segment[]> {
    await this.turn()
    return segments(this.stream.written(), crc)
  }
}

/** A peer has connected to us without the peer-to-peer model, and was accepted. */
export async function acceptedRaw(options: RawOptions = {}, request: Mpa = {}): Promise<Raw> {
  const raw = new Raw(options)
  raw.adopt()
  raw.stream.feed(mpa("Req", request))
  await raw.turn()
  raw.accept(options.connection)
  await raw.turn()
  assert.ok(raw.connection)
  raw.stream.written()
  return raw
}

/** We have connected to a peer that answered so. */
export async function connectedRaw(
  options: RawOptions = {},
  reply: Mpa = { privateData: depths(4, 4) },
): Promise<Raw> {
  const raw = new Raw(options)
  raw.connect(options.connection)
  await raw.turn()
  raw.stream.written()
  raw.stream.feed(mpa("Rep", reply))
  await raw.turn()
  assert.ok(raw.connection, raw.error?.message)
  return raw
}
