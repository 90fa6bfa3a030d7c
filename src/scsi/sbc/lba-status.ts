import type { Extent } from "../../backstore/block-device.ts"
import { LBA_STATUS_DESCRIPTORS_MAX } from "../../base/limits.ts"
import { u32 } from "../cdb/fields.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"

const HEADER_BYTES = 8
const DESCRIPTOR_BYTES = 16

/** PROVISIONING STATUS of a descriptor (SBC-3 §5.4.2). */
export const ProvisioningStatus = { mapped: 0, deallocated: 1 } as const

interface LbaStatus {
  lba: number
  blocks: number
  status: number
}

/**
 * GET LBA STATUS (SBC-3 §5.4): what the device's extents say of the blocks from the LBA on, in as many descriptors as
 * the ALLOCATION LENGTH has room for, at least one.
 */
export async function getLbaStatus(task: Task, unit: DiskUnit): Promise<void> {
  unit.checkReady()
  const lba = u64(task.cdb, 2)
  const allocationBytes = u32(task.cdb, 10)
  if (lba >= unit.blocks) throw unit.outOfRange(lba)
  const room = Math.floor((allocationBytes - HEADER_BYTES) / DESCRIPTOR_BYTES)
  const countMax = Math.min(Math.max(room, 1), LBA_STATUS_DESCRIPTORS_MAX)
  const offset = lba * unit.blockBytes
  const length = unit.blocks * unit.blockBytes - offset
  const extents = unit.thin
    ? await unit.medium.extents(offset, length, countMax)
    : [{ offsetBytes: offset, lengthBytes: length, allocated: true }]
  const statuses = blockStatuses(extents, lba, unit.blocks, unit.blockBytes).slice(0, countMax)
  await sendParameterData(task, lbaStatusData(statuses), allocationBytes)
}

/**
 * Extents in logical blocks: a block is mapped when any byte of it is. Runs longer than the 32 bits a descriptor has are
 * split.
 */
export function blockStatuses(
  extents: readonly Extent[],
  lba: number,
  capacityBlocks: number,
  blockBytes: number,
): LbaStatus[] {
  const statuses: LbaStatus[] = []
  let next = lba
  for (const { offsetBytes, lengthBytes, allocated } of extents) {
    const end = (offsetBytes + lengthBytes) / blockBytes
    const until = Math.min(allocated ? Math.ceil(end) : Math.floor(end), capacityBlocks)
    if (until > next) append(statuses, next, until - next, allocated)
    next = Math.max(next, until)
  }
  // The answer ends with a hole within a block: what follows has storage, or the hole would have gone on.
  const last = extents.at(-1)
  const endBytes = last && !last.allocated ? last.offsetBytes + last.lengthBytes : 0
  if (endBytes > next * blockBytes && next < capacityBlocks) append(statuses, next, 1, true)
  return statuses
}

function append(statuses: LbaStatus[], lba: number, blocks: number, allocated: boolean): void {
  const status = allocated ? ProvisioningStatus.mapped : ProvisioningStatus.deallocated
  const last = statuses.at(-1)
  let from = lba
  if (last?.status === status) {
    const more = Math.min(blocks, 0xffff_ffff - last.blocks)
    last.blocks += more
    from += more
  }
  for (const end = lba + blocks; from < end; ) {
    const part = Math.min(end - from, 0xffff_ffff)
    statuses.push({ lba: from, blocks: part, status })
    from += part
  }
}

function lbaStatusData(statuses: readonly LbaStatus[]): Uint8Array {
  const data = new Uint8Array(HEADER_BYTES + statuses.length * DESCRIPTOR_BYTES)
  const view = new DataView(data.buffer)
  view.setUint32(0, data.length - 4)
  statuses.forEach(({ lba, blocks, status }, i) => {
    const at = HEADER_BYTES + i * DESCRIPTOR_BYTES
    view.setUint32(at, Math.floor(lba / 2 ** 32))
    view.setUint32(at + 4, lba >>> 0)
    view.setUint32(at + 8, blocks)
    view.setUint8(at + 12, status)
  })
  return data
}
