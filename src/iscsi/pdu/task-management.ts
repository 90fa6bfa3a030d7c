import { BHS_BYTES } from "./bhs.ts"
import { bits, defineHeader, flag, reserved, reservedBytes, span, u24, u32, u8 } from "../../wire/layout.ts"

/**
 * Task Management Function Request PDU, initiator to target (RFC 7143 §11.5).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|I|  0x02   |1| Function    | Reserved                      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Logical Unit Number (LUN)                                   |
 *     16 | Initiator Task Tag        20 | Referenced Task Tag          |
 *     24 | CmdSN                     28 | ExpStatSN                    |
 *     32 | RefCmdSN                  36 | ExpDataSN                    |
 *     40 | Reserved                                                    |
 */
export class TaskManagementRequest extends defineHeader(
  "Task Management Function Request",
  "RFC 7143 §11.5",
  BHS_BYTES,
  {
    reservedTop: reserved(0, 0b1000_0000),
    immediate: flag(0, 6),
    opcode: bits(0, 0, 6),
    final: flag(1, 7), // always 1
    function: bits(1, 0, 7),
    reserved2: reservedBytes(2, 2),
    totalAhsWords: u8(4), // in 4-byte words, as on the wire
    dataSegmentBytes: u24(5), // without padding
    lun: span(8, 8),
    initiatorTaskTag: u32(16),
    referencedTaskTag: u32(20),
    cmdSn: u32(24),
    expStatSn: u32(28),
    refCmdSn: u32(32),
    expDataSn: u32(36),
    reserved40: reservedBytes(40, 8),
  },
) {
  static readonly opcode = 0x02
}

/**
 * Task Management Function Response PDU, target to initiator (RFC 7143 §11.6).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x22   |1| Reserved    | Response      | Reserved      |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | Reserved                                                    |
 *     16 | Initiator Task Tag        20 | Reserved                     |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | Reserved                     |
 */
export class TaskManagementResponse extends defineHeader(
  "Task Management Function Response",
  "RFC 7143 §11.6",
  BHS_BYTES,
  {
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
    reserved36: reservedBytes(36, 12),
  },
) {
  static readonly opcode = 0x22
}
