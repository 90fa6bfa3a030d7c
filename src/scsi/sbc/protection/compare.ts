import { PROTECTION_BYTES, type ProtectionField } from "../../../backstore/protection/tuple.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import { protectionAsc } from "../block-sense.ts"
import type { ProtectPlan } from "./protect-field.ts"

/** Where interleaved blocks come from and go to, for what is said of a difference. */
export interface Comparison {
  readonly blockBytes: number
  /** Bytes of a block as the initiator sent it: with or without its protection information. */
  readonly transferredBytes: number
  readonly lba: number
}

/**
 * Compares interleaved blocks, sent and stored; `index` is the first one's in all that is compared. Throws MISCOMPARE: INFORMATION is the
 * offset in Data-Out of the first byte of a block that differs, or the LBA where protection information does (SBC-3 §5.29).
 */
export function compareInterleaved(
  sent: Uint8Array,
  stored: Uint8Array,
  index: number,
  plan: ProtectPlan,
  at: Comparison,
): void {
  const { compare } = plan
  const step = at.blockBytes + PROTECTION_BYTES
  if (Buffer.compare(sent, stored) === 0) return
  for (let from = 0, block = index; from < sent.length; from += step, block++) {
    const byte = firstDifference(sent, stored, from, from + at.blockBytes)
    if (byte >= 0) throw miscompare(block * at.transferredBytes + byte - from)
    const tuple = from + at.blockBytes
    if (compare.guard) sameField(sent, stored, tuple, tuple + 2, "guard", at.lba + block)
    if (compare.applicationTag)
      sameField(sent, stored, tuple + 2, tuple + 4, "applicationTag", at.lba + block)
    if (compare.referenceTag) sameField(sent, stored, tuple + 4, tuple + 8, "referenceTag", at.lba + block)
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return i
  return -1
}

function sameField(
  sent: Uint8Array,
  stored: Uint8Array,
  start: number,
  end: number,
  field: ProtectionField,
  lba: number,
): void {
  if (firstDifference(sent, stored, start, end) < 0) return
  const message = `the protection information of block ${lba} differs from what was sent`
  throw new SenseError(SenseKey.miscompare, protectionAsc[field], message, { information: lba })
}

const miscompare = (offset: number): SenseError =>
  new SenseError(SenseKey.miscompare, Asc.miscompareDuringVerify, `byte ${offset} differs`, {
    information: offset,
  })
