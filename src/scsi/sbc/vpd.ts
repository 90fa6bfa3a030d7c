import { TRANSFER_STEP_BYTES, UNMAP_BLOCKS_MAX, UNMAP_DESCRIPTORS_MAX } from "../../base/limits.ts"
import type { VpdPage } from "../sam/vpd-page.ts"
import { spcVpdPages } from "../spc/index.ts"
import { thirdPartyCopyPage } from "./copy/vpd.ts"
import { OperationCode } from "../spec/operation-code.ts"
import type { DiskUnit } from "./disk-unit.ts"

/**
 * The VPD pages of SBC-3, without their four header bytes; offsets are written as the standard counts them, from the
 * start of the page.
 */
const page = (lengthBytes: number, write: (view: DataView) => void): Uint8Array => {
  const whole = new Uint8Array(4 + lengthBytes)
  write(new DataView(whole.buffer))
  return whole.subarray(4)
}

/** Block Limits, B0h (SBC-3). */
const blockLimitsPage = (unit: DiskUnit): Uint8Array =>
  page(0x3c, (view) => {
    const { limits, blockBytes, device } = unit
    view.setUint8(4, unit.writeSameToEnd ? 0 : 0x01) // WSNZ: WRITE SAME wants a number of blocks
    view.setUint8(5, limits.compareAndWriteBlocks)
    view.setUint16(6, Math.max(4096 / blockBytes, 1 << unit.physicalBlockExponent)) // a page of the system's cache
    view.setUint32(8, limits.transferBlocks)
    view.setUint32(12, TRANSFER_STEP_BYTES / blockBytes)
    setBlocks64(view, 36, limits.writeSameBlocks)
    // Any alignment, any length up to this; no atomic boundaries.
    view.setUint32(44, limits.atomicWriteBlocks)
    if (!unit.thin) return
    view.setUint32(20, UNMAP_BLOCKS_MAX)
    view.setUint32(24, UNMAP_DESCRIPTORS_MAX)
    const granularity = Math.max(1, Math.ceil(device.features.discardGranularityBytes / blockBytes))
    view.setUint32(28, Math.max(granularity, 1 << unit.physicalBlockExponent))
    view.setUint32(32, 0x8000_0000) // UGAVALID, and an alignment of 0
  })

/** Block Device Characteristics, B1h (SBC-3). */
const blockDeviceCharacteristicsPage = (unit: DiskUnit): Uint8Array =>
  page(0x3c, (view) => {
    view.setUint16(4, unit.rotationRate)
    // WABEREQ 01b: what was erased can be read. It means something where BLOCK ERASE is known.
    const renewable = unit.commandTable.ofOpcode(OperationCode.sanitize) !== undefined
    const erasable = renewable && unit.thin
    // WACEREQ 01b: the same of CRYPTOGRAPHIC ERASE.
    const encrypted = renewable && unit.device.encryption !== undefined
    view.setUint8(7, (erasable ? 0b0100_0000 : 0) | (encrypted ? 0b0001_0000 : 0))
    // RBWZ: REASSIGN BLOCKS writes zeroes for what it can't read.
    // FUAB: SYNCHRONIZE CACHE reaches the medium. VBULS: unmapped blocks can be verified, they are zeroes.
    view.setUint8(8, 0b0000_1011)
  })

/** Logical Block Provisioning, B2h (SBC-3). */
const logicalBlockProvisioningPage = (unit: DiskUnit): Uint8Array =>
  page(4, (view) => {
    if (!unit.thin) return
    view.setUint8(4, unit.thresholdExponent)
    view.setUint8(5, 0b1110_0100) // LBPU, LBPWS, LBPWS10; LBPRZ 001b: unmapped blocks read as zeroes
    view.setUint8(6, 0x02) // PROVISIONING TYPE: thin
  })

function setBlocks64(view: DataView, at: number, blocks: number): void {
  view.setUint32(at, Math.floor(blocks / 2 ** 32))
  view.setUint32(at + 4, blocks >>> 0)
}

const blockPages: readonly VpdPage<DiskUnit>[] = [
  { code: 0xb0, build: blockLimitsPage },
  { code: 0xb1, build: blockDeviceCharacteristicsPage },
  { code: 0xb2, build: logicalBlockProvisioningPage },
]

/** The VPD pages of a disk, by rising code. */
export const diskVpdPages: readonly VpdPage[] = [...spcVpdPages, thirdPartyCopyPage, ...blockPages]
