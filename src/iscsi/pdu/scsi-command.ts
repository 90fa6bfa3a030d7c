import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * SCSI Command PDU, initiator to target (RFC 7143 §11.3).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|I|  0x01   |F|R|W|. .|ATTR | Reserved                      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Logical Unit Number (LUN)                                   |
 *     16 | Initiator Task Tag        20 | Expected Data Transfer Length|
 *     24 | CmdSN                     28 | ExpStatSN                    |
 *     32 | SCSI Command Descriptor Block (16 bytes)                    |
 */
export class ScsiCommand extends defineHeader("SCSI Command", "RFC 7143 §11.3", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  immediate: flag(0, 6),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  read: flag(1, 6),
  write: flag(1, 5),
  reservedFlags: reserved(1, 0b0001_1000),
  taskAttribute: bits(1, 0, 3),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16),
  expectedDataTransferLength: u32(20),
  cmdSn: u32(24),
  expStatSn: u32(28),
  cdb: span(32, 16), // a longer one goes on in an AHS
}) {
  static readonly opcode = 0x01
}
