import { BHS_BYTES } from "./bhs.ts"
import {
  bits,
  defineHeader,
  flag,
  reserved,
  reservedBytes,
  span,
  u16,
  u24,
  u32,
  u8,
} from "../../wire/layout.ts"

/**
 * Asynchronous Message PDU, target to initiator (RFC 7143 §11.9).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x32   |1| Reserved                                    |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | LUN or Reserved                                             |
 *     16 | 0xffffffff                20 | Reserved                     |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | AsyncEvent | VCode | Param. 1|
 *     40 | Parameter2 | Parameter3   44 | Reserved                     |
 */
export class AsyncMessage extends defineHeader("Asynchronous Message", "RFC 7143 §11.9", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  final: flag(1, 7), // always 1
  reservedFlags: reserved(1, 0b0111_1111),
  reserved2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lun: span(8, 8),
  initiatorTaskTag: u32(16), // always ~0
  reserved20: reservedBytes(20, 4),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  asyncEvent: u8(36),
  asyncVCode: u8(37),
  parameter1: u16(38),
  parameter2: u16(40),
  parameter3: u16(42),
  reserved44: reservedBytes(44, 4),
}) {
  static readonly opcode = 0x32
}
