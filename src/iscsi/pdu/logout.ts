import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, u16, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * Logout Request PDU, initiator to target (RFC 7143 §11.14).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|I|  0x06   |1| Reason Code | Reserved                      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Reserved                                                    |
 *     16 | Initiator Task Tag        20 | CID or Reserved | Reserved   |
 *     24 | CmdSN                     28 | ExpStatSN                    |
 *     32 | Reserved                                                    |
 */
export class LogoutRequest extends defineHeader("Logout Request", "RFC 7143 §11.14", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  immediate: flag(0, 6),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reasonCode: bits(1, 0, 7),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  reserved8: reservedBytes(8, 8),
  initiatorTaskTag: u32(16),
  cid: u16(20),
  reserved22: reservedBytes(22, 2),
  cmdSn: u32(24),
  expStatSn: u32(28),
  reserved32: reservedBytes(32, 16),
}) {
  static readonly opcode = 0x06
}

/**
 * Logout Response PDU, target to initiator (RFC 7143 §11.15).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x26   |1| Reserved    | Response      | Reserved      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Reserved                                                    |
 *     16 | Initiator Task Tag        20 | Reserved                     |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | Reserved                     |
 *     40 | Time2Wait | Time2Retain   44 | Reserved                     |
 */
export class LogoutResponse extends defineHeader("Logout Response", "RFC 7143 §11.15", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0111_1111),
  response: u8(2),
  reserved3: reservedBytes(3, 1),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  reserved8: reservedBytes(8, 8),
  initiatorTaskTag: u32(16),
  reserved20: reservedBytes(20, 4),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  reserved36: reservedBytes(36, 4),
  time2Wait: u16(40),
  time2Retain: u16(42),
  reserved44: reservedBytes(44, 4),
}) {
  static readonly opcode = 0x26
}
