import type { DisconnectReason } from "../verbs/index.ts"
import { crc32c } from "../../wire/crc32c.ts"
import {
  CONTROL_LAST,
  CONTROL_UNTAGGED,
  FPDU_CRC_BYTES,
  FPDU_LENGTH_BYTES,
  QueueNumber,
  RdmapOpcode,
  READ_REQUEST_BYTES,
  TAGGED_BYTES,
  TerminateControl,
  trailerBytes,
  UNTAGGED_BYTES,
  UntaggedHeader,
} from "./wire.ts"

/** Why a stream is terminated: an error of a layer (RFC 5040 §4.8, RFC 5041 §7, RFC 5044 §8, RFC 6581 §9.3). */
export interface TerminateCode {
  /** 0 RDMAP, 1 DDP, 2 the LLP: MPA. */
  readonly layer: number
  readonly type: number
  readonly code: number
}

const REMOTE_PROTECTION = 1
const REMOTE_OPERATION = 2
const TAGGED = 1
const UNTAGGED = 2

const of = (layer: number, type: number, code: number): TerminateCode => ({ layer, type, code })

/** The errors we tell a peer of. */
export const Terminate = {
  localCatastrophe: of(0, 0, 0),
  badStag: of(0, REMOTE_PROTECTION, 0),
  bounds: of(0, REMOTE_PROTECTION, 1),
  accessRights: of(0, REMOTE_PROTECTION, 2),
  stagOfOtherStream: of(0, REMOTE_PROTECTION, 3),
  offsetWrap: of(0, REMOTE_PROTECTION, 4),
  cannotInvalidate: of(0, REMOTE_PROTECTION, 9),
  rdmapVersion: of(0, REMOTE_OPERATION, 5),
  unexpectedOpcode: of(0, REMOTE_OPERATION, 6),
  unspecifiedOperation: of(0, REMOTE_OPERATION, 0xff),
  taggedBadStag: of(1, TAGGED, 0),
  taggedBounds: of(1, TAGGED, 1),
  taggedStagOfOtherStream: of(1, TAGGED, 2),
  taggedOffsetWrap: of(1, TAGGED, 3),
  taggedVersion: of(1, TAGGED, 4),
  badQueueNumber: of(1, UNTAGGED, 1),
  noBuffer: of(1, UNTAGGED, 2),
  messageSequence: of(1, UNTAGGED, 3),
  messageOffset: of(1, UNTAGGED, 4),
  messageTooLong: of(1, UNTAGGED, 5),
  untaggedVersion: of(1, UNTAGGED, 6),
  mpaCrc: of(2, 0, 2),
  mpaLength: of(2, 0, 3),
  mpaFrame: of(2, 0, 4),
  insufficientIrd: of(2, 0, 6),
  noMatchingRtr: of(2, 0, 7),
} as const

const keyOf = ({ layer, type, code }: TerminateCode): number => (layer << 12) | (type << 8) | code

const TEXTS: ReadonlyMap<number, string> = new Map([
  ...Object.entries(Terminate).map(
    ([name, code]) => [keyOf(code), name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)] as const,
  ),
  [keyOf(of(0, REMOTE_PROTECTION, 0xff)), "remote protection error"],
  [keyOf(of(0, REMOTE_OPERATION, 7)), "catastrophe of the stream"],
  [keyOf(of(0, REMOTE_OPERATION, 8)), "catastrophe of all streams"],
  [keyOf(of(0, REMOTE_OPERATION, 9)), "cannot invalidate"],
  [keyOf(of(1, 0, 0)), "local catastrophe of DDP"],
  [keyOf(of(2, 0, 1)), "the connection is gone"],
  [keyOf(of(2, 0, 5)), "local catastrophe of MPA"],
])

const LAYERS = ["RDMAP", "DDP", "MPA"]

/** "DDP no buffer (1/2/2)", for people. */
export function terminateText(code: TerminateCode): string {
  const text = TEXTS.get(keyOf(code)) ?? "error"
  return `${LAYERS[code.layer] ?? "layer"} ${text} (${code.layer}/${code.type}/${code.code})`
}

/**
 * The payload of a Terminate, behind its untagged header. `ulpdu` is the segment that was wrong, or its beginning;
 * `ulpduBytes` its whole length. Which headers come back with it: RFC 5040 §4.8, figure 10.
 */
export function encodeTerminate(
  code: TerminateCode,
  ulpdu: Uint8Array | undefined,
  ulpduBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(6 + UNTAGGED_BYTES + READ_REQUEST_BYTES)
  const control = new TerminateControl(new DataView(bytes.buffer), 0)
  control.layer = code.layer
  control.errorType = code.type
  control.errorCode = code.code
  const quoted =
    ulpdu === undefined || code.layer === 2 || (code.type === 0 && code.layer < 2)
      ? 0
      : quotedBytes(code, ulpdu)
  if (ulpdu === undefined || quoted === 0) return bytes.subarray(0, 4)
  control.hasLength = true
  control.hasDdpHeader = true
  control.hasRdmapHeader = quoted > UNTAGGED_BYTES
  control.segmentBytes = ulpduBytes
  bytes.set(ulpdu.subarray(0, quoted), 6)
  return bytes.subarray(0, 6 + quoted)
}

/** How much of a segment a Terminate gives back: its DDP header, and a Read Request's own if that is the matter. */
function quotedBytes(code: TerminateCode, ulpdu: Uint8Array): number {
  if (ulpdu.length === 0) return 0
  const tagged = (ulpdu[0]! & 0x80) !== 0
  const header = tagged ? TAGGED_BYTES : UNTAGGED_BYTES
  if (ulpdu.length < header) return 0
  const request = !tagged && (ulpdu[1]! & 0x0f) === RdmapOpcode.readRequest
  const whole = UNTAGGED_BYTES + READ_REQUEST_BYTES
  const protection = code.layer === 0 && code.type === REMOTE_PROTECTION
  return request && protection && ulpdu.length >= whole ? whole : header
}

/** The FPDU of a Terminate: the last thing a side sends. */
export function terminateFpdu(payload: Uint8Array, crc: boolean): Uint8Array {
  const ulpduBytes = UNTAGGED_BYTES + payload.length
  const bytes = new Uint8Array(FPDU_LENGTH_BYTES + ulpduBytes + trailerBytes(ulpduBytes))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, ulpduBytes)
  view.setUint16(2, CONTROL_UNTAGGED | CONTROL_LAST | RdmapOpcode.terminate)
  const header = new UntaggedHeader(view, FPDU_LENGTH_BYTES)
  header.queueNumber = QueueNumber.terminate
  header.messageSequence = 1
  bytes.set(payload, FPDU_LENGTH_BYTES + UNTAGGED_BYTES)
  const crcAt = bytes.length - FPDU_CRC_BYTES
  if (crc) view.setUint32(crcAt, crc32c(bytes, 0, crcAt), true)
  return bytes
}

/**
 * What a peer's Terminate says. siw writes its first bytes with nibbles and bits the other way round
 * (type before layer, flags from bit 0 up), so both layouts are read: flags tell them apart, or else which of the
 * two is an error there is.
 */
export function decodeTerminate(payload: Uint8Array): TerminateCode | undefined {
  if (payload.length < 4) return undefined
  const [first, code, flags] = payload as unknown as [number, number, number]
  const high = first >>> 4
  const low = first & 0x0f
  const standard = of(high, low, code)
  const swapped = of(low, high, code)
  if ((flags & 0xe0) !== 0) return standard
  if ((flags & 0x07) !== 0) return swapped
  return TEXTS.has(keyOf(standard)) || !TEXTS.has(keyOf(swapped)) ? standard : swapped
}

/** What a peer's Terminate means to those who use the connection here. */
export function reasonOf({ layer, type }: TerminateCode): DisconnectReason {
  // MPA's own: the way has damaged what we sent.
  if (layer === 2) return "lost"
  return type === 0 ? "peer" : "request-failed"
}
