import { copyBytes } from "../../../base/buffers.ts"
import { Access } from "../access.ts"
import type { ProtectionDomain } from "../memory.ts"
import type { RegionTable, SoftwareRegion } from "./memory.ts"
import type { Piece, WorkPlace } from "./work-queue.ts"

/** The region of a piece, when it may be used; else undefined: a local protection error (IB spec §10.6). */
export function regionOf(
  table: RegionTable,
  pd: ProtectionDomain,
  piece: Piece,
  right: number,
): SoftwareRegion | undefined {
  const region = table.find(piece.lkey)
  if (region === undefined || region !== piece.mr || region.pd !== pd) return undefined
  if ((region.access & right) !== right) return undefined
  return piece.offset + piece.length <= region.bytes.byteLength ? region : undefined
}

/**
 * Whether every piece may be used; pieces of no length are not looked at. `right` is an Access flag, or 0 to
 * read.
 */
export function isAllowed(
  table: RegionTable,
  pd: ProtectionDomain,
  place: WorkPlace,
  right: number,
): boolean {
  for (let i = 0; i < place.pieceCount; i++) {
    const piece = place.pieces[i]!
    if (piece.length > 0 && regionOf(table, pd, piece, right) === undefined) return false
  }
  return true
}

/**
 * Copies bytes [offset, offset + into.length) of the message out of the pieces. False: not allowed any more.
 */
export function gather(
  table: RegionTable,
  pd: ProtectionDomain,
  place: WorkPlace,
  offset: number,
  into: Uint8Array,
): boolean {
  let skip = offset
  let at = 0
  for (let i = 0; i < place.pieceCount && at < into.length; i++) {
    const piece = place.pieces[i]!
    const count = Math.min(piece.length - skip, into.length - at)
    if (count > 0) {
      const region = regionOf(table, pd, piece, 0)
      if (region === undefined) return false
      const from = piece.offset + skip
      into.set(region.bytes.subarray(from, from + count), at)
      at += count
      skip = 0
    } else skip -= piece.length
  }
  return true
}

/**
 * Copies bytes[from, from + bytesCount) into the pieces, from byte `offset` of the message on. False: not allowed any
 * more, or too long.
 */
export function scatter(
  table: RegionTable,
  pd: ProtectionDomain,
  place: WorkPlace,
  offset: number,
  bytes: Uint8Array,
  from = 0,
  bytesCount = bytes.length,
): boolean {
  let skip = offset
  let at = 0
  for (let i = 0; i < place.pieceCount && at < bytesCount; i++) {
    const piece = place.pieces[i]!
    const count = Math.min(piece.length - skip, bytesCount - at)
    if (count > 0) {
      const region = regionOf(table, pd, piece, Access.LocalWrite)
      if (region === undefined) return false
      copyBytes(bytes, from + at, count, region.bytes, piece.offset + skip)
      at += count
      skip = 0
    } else skip -= piece.length
  }
  return at === bytesCount
}

/** Bytes of a region that are one run of memory. */
export interface Run {
  readonly region: SoftwareRegion
  readonly bytes: Uint8Array
}

/** Where bytes [from, to) of the message go, when that is one run of memory that may be written. */
export function runOf(
  table: RegionTable,
  pd: ProtectionDomain,
  place: WorkPlace,
  from: number,
  to: number,
): Run | undefined {
  let skip = from
  for (let i = 0; i < place.pieceCount; i++) {
    const piece = place.pieces[i]!
    if (skip < piece.length) {
      const region = regionOf(table, pd, piece, Access.LocalWrite)
      if (skip + to - from > piece.length || region === undefined) return undefined
      const at = piece.offset + skip
      return { region, bytes: region.bytes.subarray(at, at + to - from) }
    }
    skip -= piece.length
  }
  return undefined
}
