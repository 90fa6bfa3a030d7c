import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * SCSI Response PDU, target to initiator (RFC 7143 §11.4).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x21   |1|. .|o|u|O|U|.| Response      | Status        |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Reserved                                                    |
 *     16 | Initiator Task Tag        20 | SNACK Tag                    |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | ExpDataSN                    |
 *     40 | Bidirectional Read Residual Count   44 | Residual Count     |
 */
export class ScsiResponse extends defineHeader("SCSI Response", "RFC 7143 §11.4", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0110_0001),
  bidirectionalReadOverflow: flag(1, 4),
  bidirectionalReadUnderflow: flag(1, 3),
  overflow: flag(1, 2),
  underflow: flag(1, 1),
  response: u8(2),
  status: u8(3),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  reserved8: reservedBytes(8, 8),
  initiatorTaskTag: u32(16),
  snackTag: u32(20),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  expDataSn: u32(36),
  bidirectionalReadResidualCount: u32(40),
  residualCount: u32(44),
}) {
  static readonly opcode = 0x21
}
