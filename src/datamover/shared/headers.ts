import { Opcode } from "../../iscsi/pdu/index.ts"

export const OPCODE_MASK = 0x3f

/** The opcodes a target takes (RFC 7143 §11.2.1.2), by number. */
export const IS_REQUEST = new Uint8Array(64)
for (const opcode of [
  Opcode.nopOut,
  Opcode.scsiCommand,
  Opcode.taskManagementRequest,
  Opcode.loginRequest,
  Opcode.textRequest,
  Opcode.dataOut,
  Opcode.logoutRequest,
  Opcode.snackRequest,
]) {
  IS_REQUEST[opcode] = 1
}

/** The opcodes an initiator takes (RFC 7143 §11.2.1.2), by number. */
export const IS_RESPONSE = new Uint8Array(64)
for (const opcode of [
  Opcode.nopIn,
  Opcode.scsiResponse,
  Opcode.taskManagementResponse,
  Opcode.loginResponse,
  Opcode.textResponse,
  Opcode.logoutResponse,
  Opcode.asyncMessage,
  Opcode.reject,
]) {
  IS_RESPONSE[opcode] = 1
}

/** A field of a header in memory nobody has a view on. */
export const uint32At = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
