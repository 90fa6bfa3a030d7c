import type { Field, Fields, HeaderType, HeaderView } from "../../wire/layout.ts"
import { AsyncMessage } from "./async-message.ts"
import { BHS_BYTES } from "./bhs.ts"
import { DataIn, DataOut } from "./data.ts"
import { LoginRequest, LoginResponse } from "./login.ts"
import { LogoutRequest, LogoutResponse } from "./logout.ts"
import { NopIn, NopOut } from "./nop.ts"
import { ReadyToTransfer } from "./ready-to-transfer.ts"
import { Reject } from "./reject.ts"
import { ScsiCommand } from "./scsi-command.ts"
import { ScsiResponse } from "./scsi-response.ts"
import { SnackRequest } from "./snack.ts"
import { TaskManagementRequest, TaskManagementResponse } from "./task-management.ts"
import { TextRequest, TextResponse } from "./text.ts"

/** A PDU's table with its opcode. */
export type PduType<F extends Fields> = HeaderType<F> & { readonly opcode: number }

/** The same of whichever PDU. */
export interface AnyPduType {
  new (bytes: DataView, at: number): HeaderView
  readonly title: string
  readonly spec: string
  readonly length: number
  readonly fields: Fields
  readonly opcode: number
}

/** Every PDU of RFC 7143, requests first. */
export const pduTypes: readonly AnyPduType[] = [
  NopOut,
  ScsiCommand,
  TaskManagementRequest,
  LoginRequest,
  TextRequest,
  DataOut,
  LogoutRequest,
  SnackRequest,
  NopIn,
  ScsiResponse,
  TaskManagementResponse,
  LoginResponse,
  TextResponse,
  DataIn,
  LogoutResponse,
  ReadyToTransfer,
  AsyncMessage,
  Reject,
]

const byOpcode = new Map(pduTypes.map((type) => [type.opcode, type]))

/** The PDU of that opcode (6 bits), if there is one. */
export const pduTypeOf = (opcode: number): AnyPduType | undefined => byOpcode.get(opcode)

/** A header as a value of its own: safe to keep, to queue, to log. Runs of bytes, as a CDB, are copies. */
export type PduRecord = { pdu: string } & Record<string, number | boolean | string | Uint8Array>

/** The fields a header is made of; what isn't named is zero. Runs of bytes are given as bytes. */
export type PduValues<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<never> ? never : K]?: F[K] extends Field<infer V>
    ? V | Uint8Array
    : never
}

/** Reads all fields of a header. Undefined: no PDU has that opcode. */
export function decodePdu(bytes: DataView, at: number): PduRecord | undefined {
  const type = pduTypeOf(bytes.getUint8(at) & 0x3f)
  if (!type) return undefined
  const view = new type(bytes, at) as unknown as Record<string, unknown>
  const record: PduRecord = { pdu: type.title }
  for (const [name, { claims, accessor }] of Object.entries(type.fields)) {
    if (!accessor) continue
    const value = view[name] as number | boolean
    // A run of bytes: its value is where it lies.
    const isSpan = accessor.set === undefined
    record[name] = isSpan
      ? new Uint8Array(bytes.buffer, bytes.byteOffset + (value as number), claims.length).slice()
      : value
  }
  return record
}

/** Makes a header, opcode included. For what is rare: login, text, logout, tests. */
export function encodePdu<F extends Fields>(type: PduType<F>, values: PduValues<F>): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BHS_BYTES)
  const view = new type(new DataView(header.buffer), 0) as unknown as Record<string, unknown>
  view["opcode"] = type.opcode
  for (const [name, value] of Object.entries(values)) {
    if (value instanceof Uint8Array) header.set(value, type.fields[name]?.offset)
    else view[name] = value
  }
  return header
}
