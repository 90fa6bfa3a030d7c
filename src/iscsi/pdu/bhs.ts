import { bits, defineHeader, flag, reserved, reservedBytes, u8, u24, u32 } from "../../wire/layout.ts"

/** The basic header segment every PDU begins with (RFC 7143 §11.2.1). */
export const BHS_BYTES = 48

/** "No tag": an Initiator or Target Transfer Tag that names nothing (RFC 7143 §11.2.1.7, §11.7.4). */
export const ISCSI_RESERVED_TAG = 0xffffffff

export const Opcode = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagementRequest: 0x02,
  loginRequest: 0x03,
  textRequest: 0x04,
  dataOut: 0x05,
  logoutRequest: 0x06,
  snackRequest: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  readyToTransfer: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const

/** What all PDUs share (RFC 7143 §11.2.1): enough to find their end and to whom they go. */
export class Bhs extends defineHeader("Basic Header Segment", "RFC 7143 §11.2.1", BHS_BYTES, {
  reservedTop: reserved(0, 0b1000_0000),
  immediate: flag(0, 6),
  opcode: bits(0, 0, 6),
  final: flag(1, 7),
  opcodeSpecific1: reserved(1, 0b0111_1111),
  opcodeSpecific2: reservedBytes(2, 2),
  totalAhsWords: u8(4), // in 4-byte words, as on the wire
  dataSegmentBytes: u24(5), // without padding
  lunOrOpcodeSpecific: reservedBytes(8, 8),
  initiatorTaskTag: u32(16),
  opcodeSpecific20: reservedBytes(20, 28),
}) {}
