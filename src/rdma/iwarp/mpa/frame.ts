import { MPA_PRIVATE_DATA_RECEIVED_BYTES_MAX } from "../../../base/limits.ts"
import { bits, defineHeader, flag, reserved, span, u8, u16 } from "../../../wire/layout.ts"

/** Bytes of an MPA Request or Reply without its private data. */
export const MPA_FRAME_BYTES = 20
/** Bytes of the key both begin with. */
export const MPA_KEY_BYTES = 16
/** Bytes RFC 6581 puts in front of the private data. */
export const ENHANCED_BYTES = 4
/** A read depth that says: not negotiated (RFC 6581 §9.1). */
export const DEPTH_UNKNOWN = 0x3fff

const REQUEST_KEY = "MPA ID Req Frame"
const REPLY_KEY = "MPA ID Rep Frame"

/**
 * MPA Request and Reply Frame (RFC 5044 §7.1.1, with RFC 6581 §9's flag S).
 *
 *     Byte/     0       |       1       |       2       |       3       |
 *       0 | Key: "MPA ID Req Frame" or "MPA ID Rep Frame"               |
 *      16 |M|C|R|S| Res.  | Rev           | PD_Length                   |
 *      20 | Private data
 */
export class MpaFrameHeader extends defineHeader("MPA Request/Reply Frame", "RFC 5044 §7.1.1", 20, {
  key: span(0, MPA_KEY_BYTES),
  markers: flag(16, 7),
  crc: flag(16, 6),
  rejected: flag(16, 5),
  enhanced: flag(16, 4),
  reservedFlags: reserved(16, 0x0f),
  revision: u8(17),
  privateDataBytes: u16(18),
}) {}

/**
 * Enhanced connection data (RFC 6581 §9.1), the first bytes of the private data when flag S is set.
 *
 *     |A|B| IRD (14 bits) |C|D| ORD (14 bits) |
 */
class EnhancedData extends defineHeader("MPA enhanced data", "RFC 6581 §9.1", ENHANCED_BYTES, {
  peerToPeer: flag(0, 7),
  rtrSend: flag(0, 6),
  irdHigh: bits(0, 0, 6),
  irdLow: u8(1),
  rtrWrite: flag(2, 7),
  rtrRead: flag(2, 6),
  ordHigh: bits(2, 0, 6),
  ordLow: u8(3),
}) {}

/** What a side says of read depths and of how it begins (RFC 6581 §9). */
export interface Enhanced {
  /** RDMA Reads of the peer it serves at a time; DEPTH_UNKNOWN: it doesn't say. */
  readonly ird: number
  /** RDMA Reads it has under way at a time. */
  readonly ord: number
  /** The peer-to-peer model: the asking side sends a message of no bytes first, of a kind both know. */
  readonly peerToPeer: boolean
  readonly rtrSend: boolean
  readonly rtrWrite: boolean
  readonly rtrRead: boolean
}

/** An MPA Request or Reply. */
export interface MpaFrame {
  readonly kind: "request" | "reply"
  readonly markers: boolean
  readonly crc: boolean
  readonly rejected: boolean
  readonly revision: number
  readonly enhanced: Enhanced | undefined
  /** The ULP's. */
  readonly privateData: Uint8Array
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

/** Bytes of private data that follow the first 20 of a frame, or why it is none of `kind`. */
export function privateDataBytes(head: Uint8Array, kind: MpaFrame["kind"]): number | string {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  const header = new MpaFrameHeader(view, 0)
  const key = latin1(head.subarray(0, MPA_KEY_BYTES))
  const wanted = kind === "request" ? REQUEST_KEY : REPLY_KEY
  if (key !== wanted) {
    // Both sides have connected to each other (RFC 5044 §7.1.2).
    if (key === REQUEST_KEY) return "the peer asks for a connection as well"
    return `it doesn't begin with "${wanted}"`
  }
  const bytes = header.privateDataBytes
  if (bytes > MPA_PRIVATE_DATA_RECEIVED_BYTES_MAX)
    return `${bytes} bytes of private data are more than ${MPA_PRIVATE_DATA_RECEIVED_BYTES_MAX}`
  return bytes
}

/** A whole frame whose first 20 bytes `privateDataBytes` has found good. A string says what is wrong with it. */
export function decodeMpaFrame(bytes: Uint8Array, kind: MpaFrame["kind"]): MpaFrame | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = new MpaFrameHeader(view, 0)
  const { markers, crc, rejected, revision } = header
  let enhanced: Enhanced | undefined
  let from = MPA_FRAME_BYTES
  // The flag was reserved before revision 2, so nobody looked at it.
  if (header.enhanced && revision >= 2) {
    if (bytes.length < from + ENHANCED_BYTES) return "its private data is too short for read depths"
    enhanced = decodeEnhanced(view, from)
    from += ENHANCED_BYTES
  }
  return { kind, markers, crc, rejected, revision, enhanced, privateData: bytes.slice(from) }
}

function decodeEnhanced(view: DataView, at: number): Enhanced {
  const data = new EnhancedData(view, at)
  const { peerToPeer, rtrSend, rtrWrite, rtrRead } = data
  return {
    ird: (data.irdHigh << 8) | data.irdLow,
    ord: (data.ordHigh << 8) | data.ordLow,
    peerToPeer,
    rtrSend,
    rtrWrite,
    rtrRead,
  }
}

/** The frame's bytes, to be sent with one write: older siw can't put one together. */
export function encodeMpaFrame(frame: MpaFrame): Uint8Array {
  const { enhanced, privateData } = frame
  const front = MPA_FRAME_BYTES + (enhanced ? ENHANCED_BYTES : 0)
  const bytes = new Uint8Array(front + privateData.length)
  const view = new DataView(bytes.buffer)
  const header = new MpaFrameHeader(view, 0)
  const key = frame.kind === "request" ? REQUEST_KEY : REPLY_KEY
  for (let i = 0; i < MPA_KEY_BYTES; i++) bytes[i] = key.charCodeAt(i)
  header.markers = frame.markers
  header.crc = frame.crc
  header.rejected = frame.rejected
  header.enhanced = enhanced !== undefined
  header.revision = frame.revision
  header.privateDataBytes = bytes.length - MPA_FRAME_BYTES
  if (enhanced) {
    const data = new EnhancedData(view, MPA_FRAME_BYTES)
    data.peerToPeer = enhanced.peerToPeer
    data.rtrSend = enhanced.rtrSend
    data.irdHigh = enhanced.ird >>> 8
    data.irdLow = enhanced.ird & 0xff
    data.rtrWrite = enhanced.rtrWrite
    data.rtrRead = enhanced.rtrRead
    data.ordHigh = enhanced.ord >>> 8
    data.ordLow = enhanced.ord & 0xff
  }
  bytes.set(privateData, front)
  return bytes
}
