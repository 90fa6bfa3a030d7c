import { putU16 } from "../../cdb/fields.ts"
import { Association, type Designator, DesignatorType } from "../../sam/identity.ts"
import type { LogicalUnit } from "../../sam/logical-unit.ts"
import type { Nexus } from "../../sam/nexus.ts"
import { CopyDescriptor } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"

export const CSCD_DESCRIPTOR_BYTES = 32
const DESIGNATOR_BYTES_MAX = 20
const PAD = 0x04

/** An identification descriptor CSCD descriptor (SPC-4 §6.4.5.6): it names a logical unit as VPD page 83h does. */
export interface Cscd {
  /** Where it begins in the parameter list. */
  readonly at: number
  readonly peripheralDeviceType: number
  readonly designator: Designator
  /** PAD: what doesn't fill a block is padded (SPC-4 §5.17.7.2). */
  readonly pad: boolean
  /** DISK BLOCK LENGTH; 0: whatever the unit has. */
  readonly blockBytes: number
}

/** LU ID TYPE and RELATIVE INITIATOR PORT IDENTIFIER mean nothing here. A designator that is too long matches no unit. */
export function parseCscd(list: Uint8Array, at: number): Cscd {
  const length = list[at + 7]!
  return {
    at,
    peripheralDeviceType: list[at + 1]! & 0x1f,
    designator: {
      codeSet: (list[at + 4]! & 0x0f) as Designator["codeSet"],
      association: ((list[at + 5]! >> 4) & 0x03) as Designator["association"],
      type: (list[at + 5]! & 0x0f) as Designator["type"],
      bytes: length > DESIGNATOR_BYTES_MAX ? new Uint8Array(0) : list.slice(at + 8, at + 8 + length),
    },
    pad: (list[at + 28]! & PAD) !== 0,
    blockBytes: (list[at + 29]! << 16) | (list[at + 30]! << 8) | list[at + 31]!,
  }
}

/** The unit of the nexus' target that has the designator, whether or not it can be copied. */
export function unitNamed(nexus: Nexus, wanted: Designator): LogicalUnit | undefined {
  if (wanted.association !== Association.logicalUnit) return undefined
  for (const unit of nexus.inventory?.logicalUnits.values() ?? []) {
    if (unit.identity.designators.some((designator) => equals(designator, wanted))) return unit
  }
  return undefined
}

const equals = (a: Designator, b: Designator): boolean =>
  a.association === b.association &&
  a.type === b.type &&
  a.codeSet === b.codeSet &&
  Buffer.compare(a.bytes, b.bytes) === 0

/** Writes the descriptor that names `unit`, by its NAA name as ROD tokens want it (SPC-4 §5.17.6.4). */
export function putIdentificationDescriptor(list: Uint8Array, at: number, unit: DiskUnit): void {
  const naa = unit.identity.designators.find(({ type }) => type === DesignatorType.naa)
  list[at] = CopyDescriptor.identification
  list[at + 1] = unit.peripheralDeviceType
  if (naa !== undefined) {
    list[at + 4] = naa.codeSet
    list[at + 5] = (naa.association << 4) | naa.type
    list[at + 7] = naa.bytes.length
    list.set(naa.bytes, at + 8)
  }
  putU16(list, at + 30, unit.blockBytes)
}
