import { putU16 } from "../cdb/fields.ts"
import {
  Association,
  CodeSet,
  type Designator,
  DesignatorType,
  type LogicalUnitIdentity,
} from "./identity.ts"
import type { Nexus, NexusIdentity } from "./nexus.ts"

/** PROTOCOL IDENTIFIER of iSCSI (SPC-4 §7.6.1). */
const ISCSI = 0x5
const PIV = 0x80
const LOGICAL_UNIT_GROUP = 1

/**
 * Contents of the Device Identification VPD page (SPC-4 §7.8.6): the unit's designators, then those of the port and the
 * device asked through.
 */
export const deviceIdentificationOf = (
  unit: { readonly identity: LogicalUnitIdentity },
  nexus: Nexus,
): Uint8Array =>
  encoded([...unit.identity.designators, ...logicalUnitGroup(nexus), ...targetDesignators(nexus)], nexus)

/** The same of a well-known logical unit, which has no name and no access state of its own (SPC-4 §7.8.6.2.2). */
export const wellKnownIdentification = (nexus: Nexus): Uint8Array =>
  encoded(
    targetDesignators(nexus).filter(({ type }) => type !== DesignatorType.targetPortGroup),
    nexus,
  )

/** All units of a target device have the same asymmetric access states (SPC-4 §7.8.6.9). Said where there are several. */
const logicalUnitGroup = ({ inventory }: Nexus): Designator[] =>
  inventory?.portGroups.divided
    ? [numbered(Association.logicalUnit, DesignatorType.logicalUnitGroup, LOGICAL_UNIT_GROUP)]
    : []

function targetDesignators({ identity, inventory }: Nexus): Designator[] {
  const { relativeTargetPort } = identity
  const group = inventory?.portGroups.ofPort(relativeTargetPort)
  const deviceName = iscsiTargetName(identity)
  return [
    numbered(Association.targetPort, DesignatorType.relativeTargetPort, relativeTargetPort),
    ...(group ? [numbered(Association.targetPort, DesignatorType.targetPortGroup, group.id)] : []),
    scsiName(Association.targetPort, identity.targetPortName),
    ...(deviceName === undefined ? [] : [scsiName(Association.targetDevice, deviceName)]),
  ]
}

/** An iSCSI target port's name tells the name of its device: "<iSCSI name>,t,0x<portal group tag>" (RFC 7143 §3.4.1). */
const iscsiTargetName = ({ targetPortName }: NexusIdentity): string | undefined =>
  /^(.+),t,0x[0-9a-f]{1,4}$/i.exec(targetPortName)?.[1]

/** A designator that is a number of 16 bits behind 16 reserved ones (SPC-4 §7.8.6.7 to §7.8.6.9). */
function numbered(association: Association, type: DesignatorType, value: number): Designator {
  const bytes = new Uint8Array(4)
  putU16(bytes, 2, value)
  return { association, type, codeSet: CodeSet.binary, bytes }
}

const scsiName = (association: Association, name: string): Designator => ({
  association,
  type: DesignatorType.scsiName,
  codeSet: CodeSet.utf8,
  bytes: scsiNameString(name),
})

/** UTF-8 with at least one zero byte behind it, a multiple of four bytes long: a SCSI name string (SPC-4 §7.8.6.11). */
function scsiNameString(name: string): Uint8Array {
  const text = new TextEncoder().encode(name)
  const field = new Uint8Array(Math.ceil((text.length + 1) / 4) * 4)
  field.set(text)
  return field
}

function encoded(designators: readonly Designator[], { identity }: Nexus): Uint8Array {
  const protocol = iscsiTargetName(identity) === undefined ? undefined : ISCSI
  return joined(designators.map((designator) => descriptor(designator, protocol)))
}

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
