import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * Ready To Transfer (R2T) PDU, target to initiator (RFC 7143 §11.8).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x31   |1| Reserved                                    |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN                                                         |
 *     16 | Initiator Task Tag        20 | Target Transfer Tag          |
 *     24 | StatSN (not advanced)     28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | R2TSN                        |
 *     40 | Buffer Offset             44 | Desired Data Transfer Length |
 */
export class ReadyToTransfer extends defineHeader("Ready To Transfer (R2T)", "RFC 7143 §11.8", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0111_1111),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  r2tSn: u32(36),
  bufferOffset: u32(40),
  desiredDataTransferLength: u32(44),
}) {
  static readonly opcode = 0x31
}
