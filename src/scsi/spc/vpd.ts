import { putU16 } from "../cdb/fields.ts"
import { deviceIdentificationOf } from "../sam/device-identification.ts"
import type { VpdPage } from "../sam/vpd-page.ts"
import { ascii } from "./ascii.ts"

/** Supported VPD Pages (SPC-4 §7.8.16). */
const supportedPages: VpdPage = {
  code: 0x00,
  build: (unit) => Uint8Array.from(unit.vpdPages, (page) => page.code),
}

/** Unit Serial Number (SPC-4 §7.8.15). */
const unitSerialNumber: VpdPage = {
  code: 0x80,
  build: ({ identity }) => ascii(identity.serial, identity.serial.length),
}

/** Device Identification (SPC-4 §7.8.6): the unit's designators, then those of the port and the device asked through. */
const deviceIdentification: VpdPage = {
  code: 0x83,
  build: (unit, task) => deviceIdentificationOf(unit, task.nexus),
}

const EXTENDED_INQUIRY_BYTES = 0x3c
/** HEADSUP, ORDSUP, SIMPSUP: the task attributes there are. */
const TASK_ATTRIBUTES = 0x07
const V_SUP = 0x01
/** LUICLR: REPORTED LUNS DATA HAS CHANGED ends on all units of a nexus at once. */
const LUICLR = 0x01

/** Extended INQUIRY Data (SPC-4 §7.8.7); offsets are counted without the header. */
const extendedInquiryData: VpdPage = {
  code: 0x86,
  build: (unit) => {
    const data = new Uint8Array(EXTENDED_INQUIRY_BYTES)
    data[1] = TASK_ATTRIBUTES
    data[2] = unit.volatileCache ? V_SUP : 0
    data[3] = LUICLR
    putU16(data, 6, Math.min(Math.ceil(unit.extendedSelfTestSeconds / 60), 0xffff))
    return data
  },
}

/** The VPD pages every logical unit has. A device type adds its own behind them. */
export const spcVpdPages: readonly VpdPage[] = [
  supportedPages,
  unitSerialNumber,
  deviceIdentification,
  extendedInquiryData,
]
