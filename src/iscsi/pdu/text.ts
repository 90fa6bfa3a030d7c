import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * Text Request PDU, initiator to target (RFC 7143 §11.10).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|I|  0x04   |F|C| Reserved                                  |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | Initiator Task Tag        20 | Target Transfer Tag or ~0    |
 *     24 | CmdSN                     28 | ExpStatSN                    |
 *     32 | Reserved                                                    |
 */
export class TextRequest extends defineHeader("Text Request", "RFC 7143 §11.10", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  immediate: flag(0, 6),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  continue: flag(1, 6),
  reservedFlags: reserved(1, 0b0011_1111),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20),
  cmdSn: u32(24),
  expStatSn: u32(28),
  reserved32: reservedBytes(32, 16),
}) {
  static readonly opcode = 0x04
}

/**
 * Text Response PDU, target to initiator (RFC 7143 §11.11).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x24   |F|C| Reserved                                  |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | Initiator Task Tag        20 | Target Transfer Tag or ~0    |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | Reserved                     |
 */
export class TextResponse extends defineHeader("Text Response", "RFC 7143 §11.11", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  continue: flag(1, 6),
  reservedFlags: reserved(1, 0b0011_1111),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  reserved36: reservedBytes(36, 12),
}) {
  static readonly opcode = 0x24
}
