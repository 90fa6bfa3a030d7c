/**
 * iSER's own headers (RFC 7145 §9). Every message is an RDMA Send that begins with 28 bytes; behind those of
 * a control-type one stand BHS, AHS, data segment and padding, never a digest.
 */
import { DatamoverError } from "../../iscsi/da.ts"

export const ISER_HEADER_BYTES = 28

/** The first byte: the opcode in its upper half, flags in its lower. */
export const MessageType = { control: 0x10, hello: 0x20, helloReply: 0x30 } as const

const TYPE_MASK = 0xf0
/** Write STag valid: the memory that is written from, so the target reads it. */
export const WSV = 0x08
/** Read STag valid: the memory that is read into, so the target writes it. */
export const RSV = 0x04
const REJECT = 0x01

/**
 * The protocol's version. RFC 7145 §9.3 says 10, the example of its appendix shows 1; whoever speaks either
 * of them speaks the only version there has been.
 */
const VERSION = 10
const VERSION_OF_THE_EXAMPLE = 1

export const messageType = (first: number): number => first & TYPE_MASK

/** What one STag stands for at the initiator. */
export interface RemoteMemory {
  readonly rkey: number
  readonly addressHigh: number
  readonly addressLow: number
}

/** Writes the 28 bytes before a control-type PDU (§9.2). */
export function writeControlHeader(
  view: DataView,
  at: number,
  write?: RemoteMemory,
  read?: RemoteMemory,
): void {
  const flags = (write === undefined ? 0 : WSV) | (read === undefined ? 0 : RSV)
  view.setUint32(at, (MessageType.control | flags) << 24)
  writeRemoteMemory(view, at + 4, write)
  writeRemoteMemory(view, at + 16, read)
}

function writeRemoteMemory(view: DataView, at: number, memory: RemoteMemory | undefined): void {
  view.setUint32(at, memory === undefined ? 0 : memory.rkey)
  view.setUint32(at + 4, memory === undefined ? 0 : memory.addressHigh)
  view.setUint32(at + 8, memory === undefined ? 0 : memory.addressLow)
}

/**
 * The STag, and the Base Offset's upper and lower half, of a control-type header: where they stand behind its
 * start.
 */
export const WRITE_STAG_AT = 4
export const READ_STAG_AT = 16

/** How a Hello is answered: HelloReply, and whether the connection goes on. */
export interface HelloAnswer {
  readonly reply: Uint8Array
  readonly accepted: boolean
}

/**
 * Answers a Hello (§9.3, §9.4) at view[at, at + bytes); `readsMax`: RDMA Reads we would have under way at a
 * time. The reply says no when there is no version in common, or when the initiator serves reads and we would
 * never read. Throws DatamoverError when it isn't as long as a Hello is.
 */
export function answerHello(view: DataView, at: number, bytes: number, readsMax: number): HelloAnswer {
  if (bytes !== ISER_HEADER_BYTES) throw badMessage(`a Hello of ${bytes} bytes`)
  const versions = view.getUint8(at + 1)
  const max = versions >>> 4
  const min = versions & 0x0f
  const speaks = (version: number): boolean => min <= version && version <= max
  const version = speaks(VERSION) ? VERSION : VERSION_OF_THE_EXAMPLE
  const initiatorReads = view.getUint16(at + 2)
  const accepted = speaks(version) && !(initiatorReads > 0 && readsMax === 0)
  const reply = new Uint8Array(ISER_HEADER_BYTES)
  reply[0] = MessageType.helloReply | (accepted ? 0 : REJECT)
  reply[1] = (VERSION << 4) | version
  const reads = Math.min(initiatorReads, readsMax)
  reply[2] = reads >>> 8
  reply[3] = reads & 0xff
  return { reply, accepted }
}

/** The peer has sent what no iSER message is; the connection ends (§10.1.3.4). */
export const badMessage = (what: string): DatamoverError =>
  new DatamoverError("ERR_ISER_MESSAGE", `the peer has sent ${what}`)
