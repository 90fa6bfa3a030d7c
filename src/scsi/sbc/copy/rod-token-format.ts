import type { Random } from "../../../base/random.ts"
import { putU16, putU32, putU64 } from "../../cdb/fields.ts"
import { CodeSet, DesignatorType } from "../../sam/identity.ts"
import type { NexusIdentity } from "../../sam/nexus.ts"
import { CopyDescriptor, ROD_TOKEN_BYTES, ROD_TOKEN_LENGTH, RodType } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { putIdentificationDescriptor } from "./cscd.ts"

/** Where the fields of a generic ROD token are (SPC-4 §5.17.6.5.1). */
const Field = {
  type: 0,
  length: 6,
  identifier: 8,
  creator: 16,
  bytesRepresented: 48,
  deviceTypeSpecific: 96,
  targetDevice: 128,
  extended: 256,
} as const
export const ROD_TOKEN_CREATOR = Field.creator
const ASSOCIATION_TARGET_DEVICE = 0x20

/** COPY MANAGER ROD TOKEN IDENTIFIER. */
export const identifierOf = (token: Uint8Array): bigint =>
  new DataView(token.buffer, token.byteOffset, token.length).getBigUint64(Field.identifier)

/**
 * A ROD token for data of `unit` (SPC-4 §5.17.6.5): who has made it, how much it stands for, and 256 bytes nobody can
 * guess.
 */
export function rodToken(
  unit: DiskUnit,
  identity: NexusIdentity,
  identifier: bigint,
  bytesRepresented: number,
  random: Random,
): Uint8Array {
  const token = new Uint8Array(ROD_TOKEN_BYTES)
  putU32(token, Field.type, RodType.pointInTimeChangeVulnerable)
  putU16(token, Field.length, ROD_TOKEN_LENGTH)
  new DataView(token.buffer).setBigUint64(Field.identifier, identifier)
  putIdentificationDescriptor(token, Field.creator, unit)
  putU64(token, Field.bytesRepresented + 8, bytesRepresented)
  putBlockDeviceData(token, Field.deviceTypeSpecific, unit)
  putTargetDevice(token, identity)
  random.fill(token.subarray(Field.extended))
  return token
}

/** Device type specific data of a block device: READ CAPACITY (16) data but for its first field. */
function putBlockDeviceData(token: Uint8Array, at: number, unit: DiskUnit): void {
  putU32(token, at, unit.blockBytes)
  token[at + 5] = unit.physicalBlockExponent
  token[at + 6] = unit.thin ? 0xc0 : 0
}

/** TARGET DEVICE DESCRIPTOR: the name of the SCSI device, cut where it is longer than the field. */
function putTargetDevice(token: Uint8Array, { targetPortName }: NexusIdentity): void {
  const room = Field.extended - Field.targetDevice - 4
  const deviceName = targetPortName.replace(/,t,0x[0-9a-f]{1,4}$/i, "")
  const name = new TextEncoder().encode(deviceName).subarray(0, room)
  token[Field.targetDevice] = CodeSet.utf8
  token[Field.targetDevice + 1] = ASSOCIATION_TARGET_DEVICE | DesignatorType.scsiName
  token[Field.targetDevice + 3] = Math.min(Math.ceil(name.length / 4) * 4, room)
  token.set(name, Field.targetDevice + 4)
}

/** Whether the CREATOR LOGICAL UNIT DESCRIPTOR is one at all. */
export const hasCreator = (token: Uint8Array): boolean =>
  token[Field.creator] === CopyDescriptor.identification
