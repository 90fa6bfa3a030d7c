import { BHS_BYTES } from "./bhs.ts"
import {
  bits,
  defineHeader,
  flag,
  reserved,
  reservedBytes,
  u16,
  u24,
  u32,
  u48,
  u8,
} from "../../wire/layout.ts"

/**
 * Login Request PDU, initiator to target (RFC 7143 §11.12).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|1|  0x03   |T|C|. .|CSG|NSG| VersionMax    | VersionMin    |
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | ISID                                        14 | TSIH       |
 *     16 | Initiator Task Tag        20 | CID           | Reserved     |
 *     24 | CmdSN                     28 | ExpStatSN or Reserved        |
 *     32 | Reserved                                                    |
 */
export class LoginRequest extends defineHeader("Login Request", "RFC 7143 §11.12", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  immediate: flag(0, 6),
  opcode: bits(0, 0, 6),
  transit: flag(1, 7),
  continue: flag(1, 6),
  reservedFlags: reserved(1, 0b0011_0000),
  currentStage: bits(1, 2, 2),
  nextStage: bits(1, 0, 2),
  versionMax: u8(2),
  versionMin: u8(3),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  isid: u48(8),
  tsih: u16(14),
  initiatorTaskTag: u32(16),
  cid: u16(20),
  reserved22: reservedBytes(22, 2),
  cmdSn: u32(24),
  expStatSn: u32(28),
  reserved32: reservedBytes(32, 16),
}) {
  static readonly opcode = 0x03
}

/**
 * Login Response PDU, target to initiator (RFC 7143 §11.13).
 *
 *     Byte/  0      |       1       |       2       |       3       |
 *      0 |.|.|  0x23   |T|C|. .|CSG|NSG| VersionMax    | Version-active|
 *      4 |TotalAHSLength | DataSegmentLength                           |
 *      8 | ISID                                        14 | TSIH       |
 *     16 | Initiator Task Tag        20 | Reserved                     |
 *     24 | StatSN                    28 | ExpCmdSN                     |
 *     32 | MaxCmdSN                  36 | Class | Detail | Reserved    |
 *     40 | Reserved                                                    |
 */
export class LoginResponse extends defineHeader("Login Response", "RFC 7143 §11.13", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  reservedImmediate: reserved(0, 0b0100_0000),
  opcode: bits(0, 0, 6),
  transit: flag(1, 7),
  continue: flag(1, 6),
  reservedFlags: reserved(1, 0b0011_0000),
  currentStage: bits(1, 2, 2),
  nextStage: bits(1, 0, 2),
  versionMax: u8(2),
  versionActive: u8(3),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  isid: u48(8),
  tsih: u16(14),
  initiatorTaskTag: u32(16),
  reserved20: reservedBytes(20, 4),
  statSn: u32(24),
  expCmdSn: u32(28),
  maxCmdSn: u32(32),
  statusClass: u8(36),
  statusDetail: u8(37),
  reserved38: reservedBytes(38, 10),
}) {
  static readonly opcode = 0x23
}
