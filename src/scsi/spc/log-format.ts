import { putU16 } from "../cdb/fields.ts"
import type { CounterParameter, ListParameter } from "../sam/log-page.ts"

/** The format of log pages and their parameters (SPC-4 §7.3.2), as LOG SENSE gives and LOG SELECT takes them. */
export const PAGE_HEADER_BYTES = 4
export const PARAMETER_HEADER_BYTES = 4

/** DS: the page isn't saved by SP. */
export const DS = 0x80
export const SPF = 0x40

/** DU: the counter stands still. */
export const DU = 0x80
/** DS of old, of a single parameter. */
export const OBSOLETE = 0x40
/** ETC: the counter is compared with its threshold; TMC: for what. */
export const ETC = 0x10
export const TMC = 0x0c
/** TSD: the parameter isn't saved on the unit's own account. */
const TSD = 0x20
/** FORMAT AND LINKING. */
const Format = { boundedCounter: 0b00, asciiList: 0b01, unboundedCounter: 0b10, binaryList: 0b11 } as const

/** PC of LOG SENSE and LOG SELECT (SPC-4 §6.11, §6.12). */
export const PageControl = { threshold: 0, cumulative: 1, defaultThreshold: 2, defaultCumulative: 3 } as const

/** The parameter control byte but for DU, ETC and TMC: nothing is saved. */
export function controlByteOf(parameter: CounterParameter | ListParameter): number {
  if ("counters" in parameter)
    return TSD | (parameter.bounded ? Format.boundedCounter : Format.unboundedCounter)
  return TSD | (parameter.ascii ? Format.asciiList : Format.binaryList)
}

export function encodeParameter(code: number, control: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PARAMETER_HEADER_BYTES + value.length)
  putU16(bytes, 0, code)
  bytes[2] = control
  bytes[3] = value.length
  bytes.set(value, PARAMETER_HEADER_BYTES)
  return bytes
}

export function encodePage(
  flags: number,
  code: number,
  subpage: number,
  parts: readonly Uint8Array[],
): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, PAGE_HEADER_BYTES))
  bytes[0] = flags | (subpage === 0 ? 0 : SPF) | code
  bytes[1] = subpage
  putU16(bytes, 2, bytes.length - PAGE_HEADER_BYTES)
  let at = PAGE_HEADER_BYTES
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
