import { bits, defineHeader, flag, reserved, reservedBytes, u8, u16, u32 } from "../../wire/layout.ts"

/** RDMAP opcodes (RFC 5040 §4.1). */
export const RdmapOpcode = {
  write: 0,
  readRequest: 1,
  readResponse: 2,
  send: 3,
  sendInvalidate: 4,
  sendSolicited: 5,
  sendSolicitedInvalidate: 6,
  terminate: 7,
} as const

/** Untagged queues (RFC 5040 §4.1). */
export const QueueNumber = { send: 0, readRequest: 1, terminate: 2 } as const

/** MPA's length before each ULPDU and its CRC behind, in bytes (RFC 5044 §4.1). */
export const FPDU_LENGTH_BYTES = 2
export const FPDU_CRC_BYTES = 4
/** Most bytes of an FPDU that comes: length, the longest ULPDU its 16 bits can say, padding, CRC. */
export const FPDU_BYTES_MAX = 2 + 65535 + 3 + 4

/** Padding and CRC behind a ULPDU: an FPDU's length is a multiple of four (RFC 5044 §4.1). */
export const trailerBytes = (ulpduBytes: number): number =>
  (-(FPDU_LENGTH_BYTES + ulpduBytes) & 3) + FPDU_CRC_BYTES

/** Headers, in bytes. */
export const TAGGED_BYTES = 14
export const UNTAGGED_BYTES = 18
export const READ_REQUEST_BYTES = 28

/** The first two bytes of every segment: DDP and RDMAP version 1 (RFC 5041 §4.1, RFC 5040 §4.1). */
export const CONTROL_TAGGED = 0x8140
export const CONTROL_UNTAGGED = 0x0140
export const CONTROL_LAST = 0x4000
export const CONTROL_OPCODE = 0x000f
/** The bit of them that says which of the two headers it is. */
export const TAGGED = 0x8000

/** Length of the header that begins with these two bytes. */
export const headerBytes = (control: number): number =>
  (control & TAGGED) === 0 ? UNTAGGED_BYTES : TAGGED_BYTES

const control = {
  tagged: flag(0, 7),
  last: flag(0, 6),
  reservedDdp: reserved(0, 0x3c),
  ddpVersion: bits(0, 0, 2),
  rdmapVersion: bits(1, 6, 2),
  reservedRdmap: reserved(1, 0x30),
  opcode: bits(1, 0, 4),
}

/**
 * Tagged DDP segment (RFC 5041 §4.2): RDMA Write and RDMA Read Response.
 *
 *     Byte/     0       |       1       |       2       |       3       |
 *       0 |T|L| Res. |DV|RV |Res| Opcode| STag                          |
 *       4 | STag (cont.)                | TO                            |
 *       8 | TO (cont.)                                                  |
 *      12 | TO (cont.)                  | ULP payload
 */
export class TaggedHeader extends defineHeader("DDP tagged segment", "RFC 5041 §4.2", TAGGED_BYTES, {
  ...control,
  stag: u32(2),
  offsetHigh: u32(6),
  offsetLow: u32(10),
}) {}

/**
 * Untagged DDP segment (RFC 5041 §4.3): everything else. RDMAP uses the reserved bytes for the STag that a Send
 * with Invalidate names (RFC 5040 §4.1).
 *
 *     Byte/     0       |       1       |       2       |       3       |
 *       0 |T|L| Res. |DV|RV |Res| Opcode| Invalidate STag               |
 *       4 | Invalidate STag (cont.)     | QN                            |
 *       8 | QN (cont.)                  | MSN                           |
 *      12 | MSN (cont.)                 | MO                            |
 *      16 | MO (cont.)                  | ULP payload
 */
export class UntaggedHeader extends defineHeader("DDP untagged segment", "RFC 5041 §4.3", UNTAGGED_BYTES, {
  ...control,
  invalidateStag: u32(2),
  queueNumber: u32(6),
  messageSequence: u32(10),
  messageOffset: u32(14),
}) {}

/** RDMA Read Request, behind an untagged header (RFC 5040 §4.4). */
export class ReadRequestHeader extends defineHeader(
  "RDMA Read Request",
  "RFC 5040 §4.4",
  READ_REQUEST_BYTES,
  {
    sinkStag: u32(0),
    sinkHigh: u32(4),
    sinkLow: u32(8),
    readBytes: u32(12),
    sourceStag: u32(16),
    sourceHigh: u32(20),
    sourceLow: u32(24),
  },
) {}

/** What a Terminate begins with, behind an untagged header (RFC 5040 §4.8). */
export class TerminateControl extends defineHeader("RDMAP Terminate", "RFC 5040 §4.8", 6, {
  layer: bits(0, 4, 4),
  errorType: bits(0, 0, 4),
  errorCode: u8(1),
  hasLength: flag(2, 7),
  hasDdpHeader: flag(2, 6),
  hasRdmapHeader: flag(2, 5),
  reservedFlags: reserved(2, 0x1f),
  reserved: reservedBytes(3, 1),
  /** Of the segment that was wrong, when hasLength says it is here. */
  segmentBytes: u16(4),
}) {}
