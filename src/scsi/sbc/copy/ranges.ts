import { ROD_BYTES_MAX, ROD_RANGES_MAX } from "../../../base/limits.ts"
import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { u64 } from "../fields.ts"

const DESCRIPTOR_BYTES = 16

/** A run of a medium, in bytes. */
export interface ByteRange {
  readonly offsetBytes: number
  readonly lengthBytes: number
}

/**
 * The block device range descriptors (SBC-3 §5.7.3) behind the length field at `lengthAt`, without those of no blocks. The ones that
 * the parameter list cuts off are ignored. Throws SenseError.
 */
export function parseRanges(list: Uint8Array, lengthAt: number, unit: DiskUnit): ByteRange[] {
  const length = u16(list, lengthAt)
  if (length < DESCRIPTOR_BYTES) {
    throw invalidFieldInParameterList("there is no block device range descriptor", lengthAt)
  }
  const first = lengthAt + 2
  const count = Math.floor(Math.min(length, list.length - first) / DESCRIPTOR_BYTES)
  if (count > ROD_RANGES_MAX) {
    const message = `there are at most ${ROD_RANGES_MAX} block device range descriptors`
    throw new SenseError(SenseKey.illegalRequest, Asc.tooManySegmentDescriptors, message)
  }
  const ranges: ByteRange[] = []
  let total = 0
  for (let i = 0; i < count; i++) {
    const at = first + i * DESCRIPTOR_BYTES
    const blocks = u32(list, at + 8)
    const lba = u64(list, at)
    unit.checkRange(lba, blocks)
    const range = { offsetBytes: lba * unit.blockBytes, lengthBytes: blocks * unit.blockBytes }
    total += range.lengthBytes
    if (total > ROD_BYTES_MAX) {
      throw invalidFieldInParameterList(`all ranges have at most ${ROD_BYTES_MAX} bytes`, at + 8)
    }
    if (blocks === 0) continue
    if (ranges.some((other) => overlap(other, range))) {
      throw invalidFieldInParameterList("a block is in two ranges", at)
    }
    ranges.push(range)
  }
  return ranges
}

export const overlap = (a: ByteRange, b: ByteRange): boolean =>
  a.offsetBytes < b.offsetBytes + b.lengthBytes && b.offsetBytes < a.offsetBytes + a.lengthBytes

export const totalBytes = (ranges: readonly ByteRange[]): number =>
  ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)

/** What of the ranges, seen as one run of bytes, lies in [from, to). */
export function slice(ranges: readonly ByteRange[], from: number, to: number): ByteRange[] {
  const parts: ByteRange[] = []
  let at = 0
  for (const { offsetBytes, lengthBytes } of ranges) {
    const start = Math.max(from, at)
    const end = Math.min(to, at + lengthBytes)
    if (start < end) parts.push({ offsetBytes: offsetBytes + start - at, lengthBytes: end - start })
    at += lengthBytes
  }
  return parts
}
