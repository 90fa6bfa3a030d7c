/** Disks with protection information, and protection information made by hand. */
import { HEADER_BYTES, slotBytes } from "../../../../../src/backstore/protection/format.ts"
import { ProtectedStore } from "../../../../../src/backstore/protection/protected-store.ts"
import { noChecks, type ProtectionType } from "../../../../../src/backstore/protection/tuple.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../../src/scsi/sbc/disk-unit.ts"
import { crcT10Dif } from "../../../../../src/wire/crc-t10dif.ts"
import { Disk } from "../disk.ts"
import { TestDevice } from "../test-device.ts"

export interface ProtectedDisk {
  readonly disk: Disk
  readonly store: ProtectedStore
  /** What is below the store. */
  readonly below: TestDevice
}

export async function makeProtectedDisk(
  type: ProtectionType,
  options: DiskUnitOptions & { blocks?: number } = {},
): Promise<ProtectedDisk> {
  const { blocks = 64, ...rest } = options
  const blockBytes = rest.logicalBlockBytes ?? 512
  const below = new TestDevice(HEADER_BYTES + blocks * slotBytes(blockBytes))
  const store = await ProtectedStore.open(below, { type, blockBytes })
  return { disk: new Disk(new DiskUnit(store, rest), below), store, below }
}

export interface Tuple {
  readonly guard?: number
  readonly applicationTag?: number
  readonly referenceTag?: number
}

/** Blocks with protection information: the guard is right, the application tag 0 and the reference tag the LBA, unless said otherwise. */
export function interleave(blocks: Uint8Array, lba: number, blockBytes: number, tuple: Tuple = {}): Buffer {
  const parts: Uint8Array[] = []
  for (let at = 0; at < blocks.length; at += blockBytes) {
    const block = blocks.subarray(at, at + blockBytes)
    const information = Buffer.alloc(8)
    information.writeUInt16BE(tuple.guard ?? crcT10Dif(block), 0)
    information.writeUInt16BE(tuple.applicationTag ?? 0, 2)
    information.writeUInt32BE(tuple.referenceTag ?? (lba + at / blockBytes) % 2 ** 32, 4)
    parts.push(block, information)
  }
  return Buffer.concat(parts)
}

/** Puts interleaved blocks on the medium as they are. */
export const store = (on: ProtectedStore, lba: number, interleaved: Uint8Array): Promise<void> =>
  on.writeProtected(lba, interleaved, noChecks, false)

export interface LongCdb {
  readonly flags?: number
  readonly initialReferenceTag?: number
  readonly applicationTag?: number
  readonly applicationTagMask?: number
}

/** A 32-byte CDB (SBC-3 §5.14 and its like). */
export function cdb32(action: number, lba: number, blocks: number, rest: LongCdb = {}): Uint8Array {
  const cdb = Buffer.alloc(32)
  cdb[0] = 0x7f
  cdb[7] = 0x18
  cdb.writeUInt16BE(action, 8)
  cdb[10] = rest.flags ?? 0
  cdb.writeBigUInt64BE(BigInt(lba), 12)
  cdb.writeUInt32BE(rest.initialReferenceTag ?? lba % 2 ** 32, 20)
  cdb.writeUInt16BE(rest.applicationTag ?? 0, 24)
  cdb.writeUInt16BE(rest.applicationTagMask ?? 0, 26)
  cdb.writeUInt32BE(blocks, 28)
  return cdb
}
