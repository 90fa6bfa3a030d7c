import { bits, defineHeader, reserved, reservedBytes, u16 } from "../../wire/layout.ts"

/** Codes of additional header segments (RFC 7143 §11.2.2.1). */
export const AhsType = { extendedCdb: 1, bidirectionalReadLength: 2 } as const

/** AHSLength and AHSType: what it doesn't count. */
const UNCOUNTED_BYTES = 3

/**
 * What every additional header segment begins with (RFC 7143 §11.2.2).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 | AHSLength                 |. .| AHSType   | AHS-Specific  |
 *      4 | AHS-Specific, padded to a multiple of four bytes           |
 *
 * AHSLength counts the specific part in bytes, from byte 3 on and without the padding.
 */
export class AdditionalHeaderSegment extends defineHeader(
  "Additional Header Segment",
  "RFC 7143 §11.2.2",
  4,
  {
    ahsLength: u16(0),
    reservedType: reserved(2, 0b1100_0000),
    ahsType: bits(2, 0, 6),
    specific: reservedBytes(3, 1), // reserved in both types there are
  },
) {}

/** What the additional header segments of a SCSI Command say. */
export interface AdditionalHeaders {
  /** Bytes 16 and on of a CDB longer than 16 bytes (§11.2.2.3). */
  readonly extendedCdb?: Uint8Array
  /** Bidirectional Read Expected Data Transfer Length, in bytes (§11.2.2.4). */
  readonly bidirectionalReadBytes?: number
}

/**
 * Reads the additional header segments in bytes[at, at + length); `extendedCdb` lies in place. Undefined: they
 * don't fill that space, are of unknown type, have a wrong length, or one comes twice.
 */
export function parseAhs(bytes: Uint8Array, at: number, length: number): AdditionalHeaders | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = at + length
  const found: { extendedCdb?: Uint8Array; bidirectionalReadBytes?: number } = {}
  while (at < end) {
    if (end - at < AdditionalHeaderSegment.length) return undefined
    const segment = new AdditionalHeaderSegment(view, at)
    const specificBytes = segment.ahsLength
    const segmentBytes = (UNCOUNTED_BYTES + specificBytes + 3) & ~3
    if (specificBytes === 0 || segmentBytes > end - at) return undefined
    if (segment.ahsType === AhsType.extendedCdb && found.extendedCdb === undefined) {
      if (specificBytes === 1) return undefined
      found.extendedCdb = bytes.subarray(at + 4, at + UNCOUNTED_BYTES + specificBytes)
    } else if (
      segment.ahsType === AhsType.bidirectionalReadLength &&
      found.bidirectionalReadBytes === undefined
    ) {
      if (specificBytes !== 5) return undefined
      found.bidirectionalReadBytes = view.getUint32(at + 4)
    } else return undefined
    at += segmentBytes
  }
  return found
}

/** Makes additional header segments. */
export function encodeAhs(headers: AdditionalHeaders): Uint8Array {
  const { extendedCdb, bidirectionalReadBytes } = headers
  const cdbBytes = extendedCdb === undefined ? 0 : 4 + ((extendedCdb.length + 3) & ~3)
  const bytes = new Uint8Array(cdbBytes + (bidirectionalReadBytes === undefined ? 0 : 8))
  const view = new DataView(bytes.buffer)
  if (extendedCdb !== undefined) {
    const segment = new AdditionalHeaderSegment(view, 0)
    segment.ahsLength = extendedCdb.length + 1
    segment.ahsType = AhsType.extendedCdb
    bytes.set(extendedCdb, 4)
  }
  if (bidirectionalReadBytes !== undefined) {
    const segment = new AdditionalHeaderSegment(view, cdbBytes)
    segment.ahsLength = 5
    segment.ahsType = AhsType.bidirectionalReadLength
    view.setUint32(cdbBytes + 4, bidirectionalReadBytes)
  }
  return bytes
}
