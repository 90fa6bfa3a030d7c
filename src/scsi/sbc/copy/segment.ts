import { u16, u32 } from "../../cdb/fields.ts"
import { CopyDescriptor } from "../../spec/third-party-copy.ts"
import { u64 } from "../fields.ts"

const DC = 0x02
const CAT = 0x01

/** Lengths of the segment descriptors we know, with their first four bytes. */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [CopyDescriptor.blockToBlock, 28],
  [CopyDescriptor.blockToBlockWithOffset, 32],
])

/** The place of a source or a destination, as a segment descriptor tells it. */
export interface SegmentPlace {
  readonly cscdId: number
  readonly lba: number
  /** Within the first block. */
  readonly byteOffset: number
  /** Where in the descriptor the fields are: for the segment pointer of sense data. */
  readonly cscdIdAt: number
  readonly lbaAt: number
  readonly byteOffsetAt: number
}

/** A segment descriptor that moves data from block device to block device (SPC-4 §6.4.6.4, §6.4.6.12). */
export interface Segment {
  readonly source: SegmentPlace
  readonly destination: SegmentPlace
  /** Blocks or bytes: see `unit`. */
  readonly count: number
  readonly unit: "source blocks" | "destination blocks" | "bytes"
  /** CAT: what doesn't fill a block is for the next segment (SPC-4 §5.17.7.2). */
  readonly cat: boolean
}

/** The length of the descriptor at `at` by its type code; undefined for a type we don't know. */
export const segmentBytes = (list: Uint8Array, at: number): number | undefined => LENGTHS.get(list[at]!)

/** Of a descriptor whose length is right. */
export function parseSegment(list: Uint8Array, at: number): Segment {
  const withOffset = list[at] === CopyDescriptor.blockToBlockWithOffset
  const flags = list[at + 1]!
  const place = (cscdIdAt: number, lbaAt: number, byteOffsetAt: number): SegmentPlace => ({
    cscdId: u16(list, at + cscdIdAt),
    lba: u64(list, at + lbaAt),
    byteOffset: withOffset ? u16(list, at + byteOffsetAt) : 0,
    cscdIdAt,
    lbaAt,
    byteOffsetAt,
  })
  return {
    source: place(4, 12, 28),
    destination: place(6, 20, 30),
    count: withOffset ? u32(list, at + 8) : u16(list, at + 10),
    unit: withOffset ? "bytes" : (flags & DC) !== 0 ? "destination blocks" : "source blocks",
    cat: (flags & CAT) !== 0,
  }
}
