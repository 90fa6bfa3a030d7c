import { createHash } from "node:crypto"

/** The names a seed stands for. */
export interface DerivedNames {
  /** UNIT SERIAL NUMBER: 32 hexadecimal digits. */
  readonly serial: string
  /** NAA name: 16 hexadecimal digits, the first of them 3. */
  readonly naa: string
}

const UUID = /^[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}$/i

/**
 * Derives a logical unit's names from a seed that is stored with it: a UUID, or any other text that is unique. The same
 * seed always gives the same names; a UUID may be written with or without hyphens, in any case.
 *
 * The NAA name is of type 3h, locally assigned (SPC-4 §7.8.6.6.4): types 2h, 5h and 6h begin with an OUI that one has to
 * register with the IEEE, and to borrow another's would risk its names. 3h leaves 60 bits: among a million units two share
 * one with a probability of 4 in ten million. The serial number, and the T10 vendor ID designator made of it, have 128.
 */
export function deriveNames(seed: string): DerivedNames {
  const canonical = UUID.test(seed) ? seed.replaceAll("-", "").toLowerCase() : seed
  const digest = (what: string): Buffer =>
    createHash("sha256").update(`sanlet ${what}\n${canonical}`).digest()
  const naa = digest("naa").subarray(0, 8)
  naa[0] = 0x30 | (naa[0]! & 0x0f)
  return {
    serial: UUID.test(seed) ? canonical : digest("serial").toString("hex", 0, 16),
    naa: naa.toString("hex"),
  }
}
