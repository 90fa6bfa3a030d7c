/** Sits between an initiator and the network, sees every PDU, and may put others in its place. */
import type { ByteReceiver, ByteStream, Endpoint, Listener, Network } from "../../src/base/byte-stream.ts"
import type { Clock } from "../../src/base/clock.ts"
import type { SimNetwork } from "../../src/base/sim-network.ts"
import type { SimStream } from "../../src/base/sim-stream.ts"
import { BHS_BYTES, Opcode } from "../../src/iscsi/pdu/bhs.ts"
import { decodePdu } from "../../src/iscsi/pdu/record.ts"

export type Direction = "to target" | "to initiator"

/** A connection as the tap knows it. */
export interface TappedConnection {
  /** From 1 on, in the order they were made. */
  readonly number: number
  /** The login is through. */
  fullFeature: boolean
  headerDigest: boolean
  dataDigest: boolean
}

/** Gets a whole PDU, digests and padding included; what it returns goes on in its place. */
export type PduHook = (
  pdu: Uint8Array,
  direction: Direction,
  connection: TappedConnection,
) => readonly Uint8Array[]

/** What an RDMA connection begins with, "MPA ID Re…"; no PDU of the login phase does. */
const MPA = 0x4d

const NO_BYTES: Uint8Array = new Uint8Array(0)

export const opcodeOf = (pdu: Uint8Array): number => pdu[0]! & 0x3f

export const dataBytesOf = (pdu: Uint8Array): number => (pdu[5]! << 16) | (pdu[6]! << 8) | pdu[7]!

/** The bytes of header, AHS and header digest. */
export const headerBytesOf = (pdu: Uint8Array, connection: TappedConnection): number =>
  BHS_BYTES + pdu[4]! * 4 + (connection.headerDigest ? 4 : 0)

function pduBytes(pdu: Uint8Array, connection: TappedConnection): number {
  const dataBytes = dataBytesOf(pdu)
  const digestBytes = connection.dataDigest && dataBytes > 0 ? 4 : 0
  return headerBytesOf(pdu, connection) + ((dataBytes + 3) & ~3) + digestBytes
}

/** Cuts one direction of a connection into PDUs. */
class Splitter {
  readonly #connection: TappedConnection
  #rest: Uint8Array = NO_BYTES
  #headerDigest = false
  #dataDigest = false
  #begun = false
  #isMpa = false

  constructor(connection: TappedConnection) {
    this.#connection = connection
  }

  *feed(bytes: Uint8Array): Generator<Uint8Array> {
    if (!this.#begun && bytes.length > 0) {
      this.#begun = true
      this.#isMpa = bytes[0] === MPA
    }
    if (this.#isMpa) return
    this.#rest = this.#rest.length === 0 ? bytes : new Uint8Array(Buffer.concat([this.#rest, bytes]))
    while (this.#rest.length >= BHS_BYTES) {
      const length = pduBytes(this.#rest, this.#connection)
      if (this.#rest.length < length) return
      const pdu = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      yield pdu
      if (opcodeOf(pdu) === Opcode.loginResponse && !this.#connection.fullFeature) this.#loginResponse(pdu)
    }
  }

  /** Digests hold from the final response on; the initiator offers, so the target's answer is what is agreed. */
  #loginResponse(pdu: Uint8Array): void {
    const text = Buffer.from(pdu.buffer, pdu.byteOffset + BHS_BYTES, dataBytesOf(pdu)).toString("latin1")
    this.#headerDigest ||= text.includes("HeaderDigest=CRC32C\0")
    this.#dataDigest ||= text.includes("DataDigest=CRC32C\0")
    const final = (pdu[1]! & 0x80) !== 0 && (pdu[1]! & 0x03) === 3 && pdu[36] === 0
    if (!final) return
    this.#connection.fullFeature = true
    this.#connection.headerDigest = this.#headerDigest
    this.#connection.dataDigest = this.#dataDigest
  }
}

/** Sees every PDU of a simulated network without changing anything, not even the order of events. */
export function watchPdus(network: SimNetwork, see: (pdu: Uint8Array, ...rest: WatchRest) => void): void {
  const { links } = network
  let made = 0
  links.push = (...added) => {
    for (const { client } of added) watchStream(client, ++made, see)
    return Array.prototype.push.apply(links, added)
  }
}

type WatchRest = [direction: Direction, connection: TappedConnection]

function watchStream(stream: SimStream, number: number, see: Parameters<typeof watchPdus>[1]): void {
  const connection = { number, fullFeature: false, headerDigest: false, dataDigest: false }
  const out = new Splitter(connection)
  const into = new Splitter(connection)
  const write = stream.write.bind(stream)
  const start = stream.start.bind(stream)
  stream.write = (pieces, sent) => {
    const bytes = new Uint8Array(Buffer.concat(pieces))
    for (const pdu of out.feed(bytes)) see(pdu, "to target", connection)
    write(pieces, sent)
  }
  stream.start = (receiver) => {
    let offered = NO_BYTES
    const watched: ByteReceiver = {
      buffer: () => (offered = receiver.buffer()),
      received: (bytes) => {
        for (const pdu of into.feed(offered.slice(0, bytes))) see(pdu, "to initiator", connection)
        receiver.received(bytes)
      },
      ended: () => receiver.ended(),
      closed: (error) => receiver.closed(error),
    }
    start(watched)
  }
}

/** A network whose connections made here are tapped. */
export class TappedNetwork implements Network {
  readonly #inner: Network
  readonly #clock: Clock
  readonly #hook: PduHook
  #connections = 0

  constructor(inner: Network, clock: Clock, hook: PduHook) {
    this.#inner = inner
    this.#clock = clock
    this.#hook = hook
  }

  async connect(to: { host: string; port: number }, options?: { signal?: AbortSignal }): Promise<ByteStream> {
    const stream = await this.#inner.connect(to, options)
    const number = ++this.#connections
    return new TappedStream(stream, this.#clock, this.#hook, number)
  }

  listen(at: { host: string; port: number }, accept: (stream: ByteStream) => void): Promise<Listener> {
    return this.#inner.listen(at, accept)
  }
}

class TappedStream implements ByteStream, ByteReceiver {
  readonly #inner: ByteStream
  readonly #clock: Clock
  readonly #hook: PduHook
  readonly #connection: TappedConnection
  readonly #out: Splitter
  readonly #in: Splitter
  readonly #scratch = new Uint8Array(65536)
  #receiver: ByteReceiver | undefined
  #waiting: Uint8Array[] = []
  #paused = false
  #pumping = false
  #ended = false
  #gone = false

  constructor(inner: ByteStream, clock: Clock, hook: PduHook, number: number) {
    this.#inner = inner
    this.#clock = clock
    this.#hook = hook
    this.#connection = { number, fullFeature: false, headerDigest: false, dataDigest: false }
    this.#out = new Splitter(this.#connection)
    this.#in = new Splitter(this.#connection)
  }

  get local(): Endpoint {
    return this.#inner.local
  }

  get remote(): Endpoint {
    return this.#inner.remote
  }

  get pendingBytes(): number {
    return this.#inner.pendingBytes
  }

  // ------------------------------------------------------------------------------------------ to the target

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    const passed: Uint8Array[] = []
    for (const pdu of this.#out.feed(new Uint8Array(Buffer.concat(pieces)))) {
      passed.push(...this.#hook(pdu, "to target", this.#connection))
    }
    this.#inner.write(passed, sent)
  }

  end(): void {
    this.#inner.end()
  }

  destroy(error?: Error): void {
    this.#gone = true
    this.#inner.destroy(error)
  }

  // ------------------------------------------------------------------------------------------ to the initiator

  start(receiver: ByteReceiver): void {
    this.#receiver = receiver
    this.#inner.start(this)
  }

  handOver(receiver: ByteReceiver): void {
    this.#receiver = receiver
  }

  pause(): void {
    this.#paused = true
    this.#inner.pause()
  }

  resume(): void {
    this.#paused = false
    this.#inner.resume()
    this.#clock.after(0, "tap: resume", () => this.#pump())
  }

  /** The receiver's buffers are asked for when they are filled. */
  refreshBuffer(): void {}

  buffer(): Uint8Array {
    return this.#scratch
  }

  received(bytes: number): void {
    for (const pdu of this.#in.feed(this.#scratch.slice(0, bytes))) {
      for (const piece of this.#hook(pdu, "to initiator", this.#connection)) {
        if (piece.length > 0) this.#waiting.push(piece)
      }
    }
    this.#pump()
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    while (this.#waiting.length > 0 && !this.#paused && !this.#gone) {
      const piece = this.#waiting.shift()!
      const into = this.#receiver!.buffer()
      const bytes = Math.min(into.length, piece.length)
      into.set(piece.subarray(0, bytes))
      if (bytes < piece.length) this.#waiting.unshift(piece.subarray(bytes))
      this.#receiver!.received(bytes)
    }
    this.#pumping = false
    if (this.#ended && this.#waiting.length === 0 && !this.#gone) {
      this.#ended = false
      this.#receiver!.ended()
    }
  }

  ended(): void {
    this.#ended = true
    this.#pump()
  }

  closed(error?: Error): void {
    this.#gone = true
    this.#waiting = []
    this.#receiver?.closed(error)
  }
}

/** One line for a trace. */
export function pduText(pdu: Uint8Array): string {
  const record = decodePdu(new DataView(pdu.buffer, pdu.byteOffset, pdu.byteLength), 0)
  if (!record) return `opcode 0x${opcodeOf(pdu).toString(16)}, ${pdu.length} bytes`
  const { pdu: title, ...fields } = record
  const told = Object.entries(fields)
    .filter(([name, value]) => value !== false && value !== 0 && name !== "opcode")
    .map(([name, value]) => {
      if (value === true) return name
      return `${name}=${value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value}`
    })
  return `${title} ${told.join(" ")}`
}
