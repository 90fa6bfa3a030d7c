import { parseIscsiName } from "../../../wire/text.ts"
import { putU16, u16 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"

/** FORMAT CODE and PROTOCOL IDENTIFIER of iSCSI. */
const DEVICE = 0x05
const PORT = 0x45
const HEADER_BYTES = 4
const ADDITIONAL_BYTES_MIN = 20
const ISID_DIGITS = 12
const PORT_NAME = /^(.+),i,0x([0-9a-f]{1,12})$/i

/** Initiator ports, as a TransportID names them. */
export interface TransportId {
  /** SCSI device name: an iSCSI name. */
  readonly initiatorName: string
  /** SCSI port name. Absent (format code 00b): every port of the device. */
  readonly initiatorPortName?: string
  /** With the header. */
  readonly bytes: number
}

/**
 * The TransportID of an initiator port (SPC-4 §7.6.4.6): format code 01b, which is its SCSI port name,
 * "<iSCSI name>,i,0x<ISID>". A name without ISID is that of a device, and makes format code 00b.
 */
export function encodeTransportId(name: string): Uint8Array {
  const text = new TextEncoder().encode(name)
  // At least one null behind it.
  const additional = Math.max(ADDITIONAL_BYTES_MIN, (text.length + 4) & ~3)
  const id = new Uint8Array(HEADER_BYTES + additional)
  id[0] = PORT_NAME.test(name) ? PORT : DEVICE
  putU16(id, 2, additional)
  id.set(text, HEADER_BYTES)
  return id
}

/**
 * The TransportID at `at` of a parameter list, of which `end` is the end. Throws SenseError INVALID FIELD IN PARAMETER
 * LIST where there is none that we know, or not all of it.
 */
export function decodeTransportId(list: Uint8Array, at: number, end: number): TransportId {
  const wrong = (message: string, byte = at) => invalidFieldInParameterList(message, byte)
  if (end - at < HEADER_BYTES + ADDITIONAL_BYTES_MIN) throw wrong("a TransportID has at least 24 bytes")
  const format = list[at]!
  if (format !== DEVICE && format !== PORT) throw wrong("this is no TransportID of iSCSI")
  const additional = u16(list, at + 2)
  if (additional < ADDITIONAL_BYTES_MIN || additional % 4 !== 0) {
    throw wrong("ADDITIONAL LENGTH is a multiple of 4 from 20 on", at + 2)
  }
  const bytes = HEADER_BYTES + additional
  if (at + bytes > end) throw wrong("a TransportID is cut off", at + 2)
  const name = textOf(list.subarray(at + HEADER_BYTES, at + bytes))
  const [, nodeName = name, isid] = format === PORT ? (PORT_NAME.exec(name) ?? []) : []
  const initiatorName = parseIscsiName(nodeName)
  if (initiatorName === undefined || (format === PORT && isid === undefined)) {
    throw wrong("this names no iSCSI initiator", at + HEADER_BYTES)
  }
  if (isid === undefined) return { initiatorName, bytes }
  const digits = isid.toLowerCase().padStart(ISID_DIGITS, "0")
  return { initiatorName, initiatorPortName: `${initiatorName},i,0x${digits}`, bytes }
}

/** Up to the first null, whatever follows. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0)
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end))
}
