import { invalidFieldInParameterList } from "../sam/field-error.ts"
import type { ModePage } from "../sam/mode-page.ts"

const BYTES = 0x1c

// Bytes 4 and 6 of the page.
const FLAGS = 0
const MAXIMUM_SENSE_DATA_LENGTH = 2
/** Access states may always change by themselves: TPGS of INQUIRY says so as well. */
const IALUAE = 0x01
/** With less, nobody learned what went wrong; and the page is one for all nexuses. */
const SENSE_BYTES_MIN = 18

/** No SCSIP and TCMOS, since no timestamp is kept, and no INITIAL COMMAND PRIORITY, since there are none. */
function pageOf(senseBytesMax: number): Uint8Array {
  const page = new Uint8Array(BYTES)
  page[FLAGS] = IALUAE
  page[MAXIMUM_SENSE_DATA_LENGTH] = senseBytesMax
  return page
}

/** Control Extension (SPC-4 §7.5.9). */
export const controlExtensionPage: ModePage = {
  code: 0x0a,
  subpage: 0x01,
  bytes: BYTES,
  current: ({ control }) => pageOf(control.senseBytesMax),
  defaults: () => pageOf(0),
  changeable: () => {
    const bits = new Uint8Array(BYTES)
    bits[MAXIMUM_SENSE_DATA_LENGTH] = 0xff
    return bits
  },
  check: (_, page, at) => {
    const bytes = page[MAXIMUM_SENSE_DATA_LENGTH]!
    if (bytes === 0 || bytes >= SENSE_BYTES_MIN) return
    const message = `MAXIMUM SENSE DATA LENGTH is 0, or at least ${SENSE_BYTES_MIN}`
    throw invalidFieldInParameterList(message, at + MAXIMUM_SENSE_DATA_LENGTH)
  },
  select: ({ control }, page) => {
    control.senseBytesMax = page[MAXIMUM_SENSE_DATA_LENGTH]!
  },
}
