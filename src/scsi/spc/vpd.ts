import { putU16 } from "../cdb/fields.ts"
import { Association, CodeSet, type Designator, DesignatorType } from "../sam/identity.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { NexusIdentity } from "../sam/nexus.ts"
import type { Task } from "../sam/task.ts"
import type { VpdPage } from "../sam/vpd-page.ts"
import { ascii, scsiNameString } from "./ascii.ts"

/** PROTOCOL IDENTIFIER of iSCSI (SPC-4 §7.6.1). */
const ISCSI = 0x5
const PIV = 0x80

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
  build: (unit: LogicalUnit, task: Task) => {
    const { identity } = task.nexus
    const protocol = iscsiTargetName(identity) === undefined ? undefined : ISCSI
    const designators = [...unit.identity.designators, ...targetDesignators(identity)]
    return joined(designators.map((designator) => descriptor(designator, protocol)))
  },
}

function targetDesignators(identity: NexusIdentity): Designator[] {
  const port = new Uint8Array(4)
  putU16(port, 2, identity.relativeTargetPort)
  const deviceName = iscsiTargetName(identity)
  return [
    {
      association: Association.targetPort,
      type: DesignatorType.relativeTargetPort,
      codeSet: CodeSet.binary,
      bytes: port,
    },
    scsiName(Association.targetPort, identity.targetPortName),
    ...(deviceName === undefined ? [] : [scsiName(Association.targetDevice, deviceName)]),
  ]
}

/** An iSCSI target port's name tells the name of its device: "<iSCSI name>,t,0x<portal group tag>" (RFC 7143 §3.4.1). */
const iscsiTargetName = ({ targetPortName }: NexusIdentity): string | undefined =>
  /^(.+),t,0x[0-9a-f]{1,4}$/i.exec(targetPortName)?.[1]

const scsiName = (association: Association, name: string): Designator => ({
  association,
  type: DesignatorType.scsiName,
  codeSet: CodeSet.utf8,
  bytes: scsiNameString(name),
})

/** A designation descriptor. PROTOCOL IDENTIFIER means something for ports and target devices only. */
function descriptor(
  { association, type, codeSet, bytes }: Designator,
  protocol: number | undefined,
): Uint8Array {
  const named = protocol !== undefined && association !== Association.logicalUnit
  const data = new Uint8Array(4 + bytes.length)
  data[0] = (named ? protocol << 4 : 0) | codeSet
  data[1] = (named ? PIV : 0) | (association << 4) | type
  data[3] = bytes.length
  data.set(bytes, 4)
  return data
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
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
