import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * Reject PDU, target to initiator (RFC 7143 §11.17).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x3f   |1| Reserved    | Reason        | Reserved      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Reserved                                                    |
 *     16 | 0xffffffff                20 | Reserved                     |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | DataSN/R2TSN or Reserved     |
 *     40 | Reserved                                                    |
 *     48 | the header of the rejected PDU, as the data segment         |
 */
export class Reject extends defineHeader("Reject", "RFC 7143 §11.17", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0111_1111),
  reason: u8(2),
  reserved3: reservedBytes(3, 1),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  reserved8: reservedBytes(8, 8),
  initiatorTaskTag: u32(16), // always ~0
  reserved20: reservedBytes(20, 4),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  dataSn: u32(36), // or R2TSN
  reserved40: reservedBytes(40, 8),
}) {
  static readonly opcode = 0x3f
}
