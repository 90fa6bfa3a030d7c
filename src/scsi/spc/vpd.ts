import { putU16 } from "../cdb/fields.ts"
import { deviceIdentificationOf } from "../sam/device-identification.ts"
import type { ProtectionInformation } from "../sam/protection-information.ts"
import type { VpdPage } from "../sam/vpd-page.ts"
import { SENSE_BYTES_MAX } from "../spec/sense.ts"
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
const GRD_CHK = 0x04
const APP_CHK = 0x02
const REF_CHK = 0x01
/** SPT of a unit that has this type of protection and no other (SPC-4 §7.8.7). */
const SUPPORTED_PROTECTION_TYPE = { 1: 0b000, 2: 0b010, 3: 0b100 } as const
/** LUICLR: REPORTED LUNS DATA HAS CHANGED ends on all units of a nexus at once. */
const LUICLR = 0x01

/** SPT, and what is checked: nobody knows the reference tags of type 3. */
function protectionBits({ type, checksApplicationTag }: ProtectionInformation): number {
  const spt = SUPPORTED_PROTECTION_TYPE[type] << 3
  return spt | GRD_CHK | (checksApplicationTag ? APP_CHK : 0) | (type === 3 ? 0 : REF_CHK)
}

/** Extended INQUIRY Data (SPC-4 §7.8.7); offsets are counted without the header. */
const extendedInquiryData: VpdPage = {
  code: 0x86,
  build: (unit) => {
    const data = new Uint8Array(EXTENDED_INQUIRY_BYTES)
    if (unit.protection) data[0] = protectionBits(unit.protection)
    data[1] = TASK_ATTRIBUTES
    data[2] = unit.volatileCache ? V_SUP : 0
    data[3] = LUICLR
    putU16(data, 6, Math.min(Math.ceil(unit.extendedSelfTestSeconds / 60), 0xffff))
    data[9] = SENSE_BYTES_MAX
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
