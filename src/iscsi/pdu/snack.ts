import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * SNACK Request PDU, initiator to target (RFC 7143 §11.16).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x10   |1|. . .| Type  | Reserved                      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | Initiator Task Tag or ~0  20 | TTT, SNACK Tag or ~0         |
 *     24 | Reserved                  28 | ExpStatSN                    |
 *     32 | Reserved                                                    |
 *     40 | BegRun                    44 | RunLength                    |
 */
export class SnackRequest extends defineHeader("SNACK Request", "RFC 7143 §11.16", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0111_0000),
  type: bits(1, 0, 4),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  targetTransferTag: u32(20), // or SNACK Tag
  reserved24: reservedBytes(24, 4),
  expStatSn: u32(28),
  reserved32: reservedBytes(32, 8),
  begRun: u32(40),
  runLength: u32(44),
}) {
  static readonly opcode = 0x10
}
