import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * SCSI Data-Out PDU, initiator to target (RFC 7143 §11.7).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x05   |F| Reserved                                    |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | Initiator Task Tag        20 | Target Transfer Tag or ~0    |
 *     24 | Reserved                  28 | ExpStatSN                    |
 *     32 | Reserved                  36 | DataSN                       |
 *     40 | Buffer Offset             44 | Reserved                     |
 */
export class DataOut extends defineHeader("SCSI Data-Out", "RFC 7143 §11.7", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  reservedFlags: reserved(1, 0b0111_1111),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20),
  reserved24: reservedBytes(24, 4), // not a CmdSN: data is no command
  expStatSn: u32(28),
  reserved32: reservedBytes(32, 4),
  dataSn: u32(36),
  bufferOffset: u32(40),
  reserved44: reservedBytes(44, 4),
}) {
  static readonly opcode = 0x05
}

/**
 * SCSI Data-In PDU, target to initiator (RFC 7143 §11.7).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x25   |F|A|0 0 0|O|U|S| Reserved      | Status        |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | Initiator Task Tag        20 | Target Transfer Tag or ~0    |
 *     24 | StatSN or Reserved        28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | DataSN                       |
 *     40 | Buffer Offset             44 | Residual Count               |
 */
export class DataIn extends defineHeader("SCSI Data-In", "RFC 7143 §11.7", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  acknowledge: flag(1, 6),
  reservedFlags: reserved(1, 0b0011_1000),
  overflow: flag(1, 2),
  underflow: flag(1, 1),
  statusPresent: flag(1, 0),
  reserved2: reservedBytes(2, 1),
  status: u8(3),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  dataSn: u32(36),
  bufferOffset: u32(40),
  residualCount: u32(44),
}) {
  static readonly opcode = 0x25
}
