import { LUNS_MAX } from "../../base/limits.ts"

/** What decodeLun gives for a LUN field that can't name a logical unit here. */
export const NO_LUN = -1
/** The well-known logical unit REPORT LUNS (SPC-4 §8.2): extended addressing C1h, number 01h. */
export const REPORT_LUNS_WELL_KNOWN = 0x1_0001

const PERIPHERAL = 0b00
const FLAT_SPACE = 0b01
/** Above it a peripheral address has no room: its LUN field is one byte. */
const PERIPHERAL_LUN_MAX = 0xff

/**
 * The logical unit number of a LUN field given as two big-endian words (SAM-5 §4.7): 0 to LUNS_MAX - 1,
 * REPORT_LUNS_WELL_KNOWN, or NO_LUN. Of the addressing methods it takes the single-level peripheral (bus 0) and flat
 * space ones; either form of a number names the same unit.
 */
export function decodeLun(high: number, low: number): number {
  if (high === 0 && low === 0) return 0
  if (low !== 0 || (high & 0xffff) !== 0) return NO_LUN
  const first = high >>> 16
  if (first === 0xc101) return REPORT_LUNS_WELL_KNOWN
  switch (first >> 14) {
    case PERIPHERAL:
      return first <= PERIPHERAL_LUN_MAX ? first : NO_LUN
    case FLAT_SPACE:
      return first & 0x3fff
    default:
      return NO_LUN
  }
}

/** The first two bytes of the LUN field for a logical unit number; the other six are zero. */
export function lunFieldHead(lun: number): number {
  if (lun === REPORT_LUNS_WELL_KNOWN) return 0xc101
  return lun <= PERIPHERAL_LUN_MAX ? lun : (FLAT_SPACE << 14) | lun
}

export const isLun = (lun: number): boolean => Number.isInteger(lun) && lun >= 0 && lun < LUNS_MAX
