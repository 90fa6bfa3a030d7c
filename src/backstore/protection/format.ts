import { crc32c } from "../../wire/crc32c.ts"
import { PROTECTION_BYTES, type ProtectionType } from "./tuple.ts"

/**
 * How blocks and their protection information lie on the device below. All numbers are big-endian.
 *
 *     0      header: "SANLETPI", version (4), type (4), block bytes (4), CRC-32C of these 20 (4); zeroes up to 4096
 *     4096   slot of block 0: block, protection information (8), seal (4), mark (4)
 *     ...    slot of block 1
 *
 * The seal is the CRC-32C of block and protection information, begun with the block's number: a slot that was torn by a
 * crash, or lies where it doesn't belong, doesn't fit it. A slot of zeroes was never written or was unmapped: its block is
 * zeroes, and its protection information FFh throughout (SBC-3 §4.22.3). So a new sparse file needs no formatting.
 */
export const HEADER_BYTES = 4096
export const FORMAT_VERSION = 1
const MAGIC = Buffer.from("SANLETPI", "latin1")
const SUMMED_BYTES = 20
const SEAL_BYTES = 8
const MARK = 0x50490001

export interface ProtectionFormat {
  readonly type: ProtectionType
  readonly blockBytes: number
}

/** Bytes of one block below. */
export const slotBytes = (blockBytes: number): number => blockBytes + PROTECTION_BYTES + SEAL_BYTES

export function encodeHeader({ type, blockBytes }: ProtectionFormat): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(MAGIC)
  putU32(header, 8, FORMAT_VERSION)
  putU32(header, 12, type)
  putU32(header, 16, blockBytes)
  putU32(header, SUMMED_BYTES, crc32c(header, 0, SUMMED_BYTES))
  return header
}

/** The format; "absent" where there is no header (zeroes), else a problem in words. */
export function decodeHeader(header: Uint8Array): ProtectionFormat | "absent" | { readonly problem: string } {
  if (isZero(header, 0, HEADER_BYTES)) return "absent"
  if (MAGIC.compare(header, 0, MAGIC.length) !== 0) {
    return { problem: "holds data without protection information" }
  }
  if (u32(header, SUMMED_BYTES) !== crc32c(header, 0, SUMMED_BYTES)) {
    return { problem: "has a damaged header of protection information" }
  }
  const version = u32(header, 8)
  if (version !== FORMAT_VERSION) {
    return {
      problem: `has protection information in version ${version} of the format, and only ${FORMAT_VERSION} is known`,
    }
  }
  return { type: u32(header, 12) as ProtectionType, blockBytes: u32(header, 16) }
}

/** Makes slots of interleaved blocks. */
export function packSlots(
  interleaved: Uint8Array,
  blockBytes: number,
  firstBlock: number,
  slots: Uint8Array,
): void {
  const unit = blockBytes + PROTECTION_BYTES
  let block = firstBlock
  for (let from = 0, to = 0; from < interleaved.length; from += unit, to += unit + SEAL_BYTES, block++) {
    slots.set(interleaved.subarray(from, from + unit), to)
    putU32(slots, to + unit, seal(slots, to, unit, block))
    putU32(slots, to + unit + 4, MARK)
  }
}

/**
 * Makes interleaved blocks of slots. Returns the index of the first slot that isn't whole, or -1: a crash tore it while it was
 * written, or somebody else wrote there.
 */
export function unpackSlots(
  slots: Uint8Array,
  blockBytes: number,
  firstBlock: number,
  interleaved: Uint8Array,
): number {
  const unit = blockBytes + PROTECTION_BYTES
  let block = firstBlock
  for (let from = 0, to = 0; to < interleaved.length; from += unit + SEAL_BYTES, to += unit, block++) {
    interleaved.set(slots.subarray(from, from + unit), to)
    const mark = u32(slots, from + unit + 4)
    if (mark === MARK) {
      if (u32(slots, from + unit) !== seal(slots, from, unit, block)) return block - firstBlock
    } else if (isZero(slots, from, from + unit + SEAL_BYTES)) {
      interleaved.fill(0xff, to + blockBytes, to + unit)
    } else {
      return block - firstBlock
    }
  }
  return -1
}

const seal = (slots: Uint8Array, at: number, bytes: number, block: number): number =>
  crc32c(slots, at, at + bytes, block >>> 0)

const zeroes = Buffer.alloc(HEADER_BYTES + PROTECTION_BYTES + SEAL_BYTES)

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  return zeroes.compare(bytes, start, end, 0, end - start) === 0
}

const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
