import { crcT10Dif } from "../../wire/crc-t10dif.ts"

/** Protection information of a logical block (SBC-3 §4.22.2): guard (2), application tag (2), reference tag (4). */
export const PROTECTION_BYTES = 8

/** Type 1, 2 or 3 protection (SBC-3 §4.22.2.2 to 4.22.2.4). */
export type ProtectionType = 1 | 2 | 3

export type ProtectionField = "guard" | "applicationTag" | "referenceTag"

/**
 * What is checked of protection information. A reference tag is expected to be the low 32 bits of the block's number plus
 * `referenceTagOffset`: 0 for type 1, whatever the command says for type 2.
 */
export interface ProtectionChecks {
  readonly guard: boolean
  /** Undefined: nobody knows what it should be. */
  readonly applicationTag: { readonly expected: number; readonly mask: number } | undefined
  /** Undefined: likewise. */
  readonly referenceTagOffset: number | undefined
}

export const noChecks: ProtectionChecks = {
  guard: false,
  applicationTag: undefined,
  referenceTagOffset: undefined,
}

/** What is written beside a generated guard. */
export interface GeneratedTags {
  readonly applicationTag: number
  /** Undefined: FFFFFFFFh (type 3). */
  readonly referenceTagOffset: number | undefined
}

const ESCAPE_APPLICATION_TAG = 0xffff
const ESCAPE_REFERENCE_TAG = 0xffff_ffff

/** The tag of a block: `blockNumber` may be beyond 32 bits. */
export const referenceTagOf = (blockNumber: number, referenceTagOffset: number): number =>
  ((blockNumber >>> 0) + referenceTagOffset) >>> 0

export const guardOf = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
export const applicationTagOf = (bytes: Uint8Array, at: number): number =>
  (bytes[at + 2]! << 8) | bytes[at + 3]!
export const storedReferenceTagOf = (bytes: Uint8Array, at: number): number =>
  ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0

function putGuard(bytes: Uint8Array, at: number, guard: number): void {
  bytes[at] = guard >> 8
  bytes[at + 1] = guard
}

export function putReferenceTag(bytes: Uint8Array, at: number, tag: number): void {
  bytes[at + 4] = tag >>> 24
  bytes[at + 5] = tag >>> 16
  bytes[at + 6] = tag >>> 8
  bytes[at + 7] = tag
}

/** Which field is wrong of the block at bytes[at, at + blockBytes + 8); undefined: none that was to be checked. */
export function wrongField(
  bytes: Uint8Array,
  at: number,
  blockBytes: number,
  blockNumber: number,
  type: ProtectionType,
  checks: ProtectionChecks,
): ProtectionField | undefined {
  const tuple = at + blockBytes
  const applicationTag = applicationTagOf(bytes, tuple)
  const referenceTag = storedReferenceTagOf(bytes, tuple)
  // Escape values: nothing of this block is checked (SBC-3 §4.22.3).
  if (applicationTag === ESCAPE_APPLICATION_TAG && (type !== 3 || referenceTag === ESCAPE_REFERENCE_TAG))
    return undefined
  if (checks.guard && crcT10Dif(bytes, at, tuple) !== guardOf(bytes, tuple)) return "guard"
  const wanted = checks.applicationTag
  if (wanted !== undefined && ((applicationTag ^ wanted.expected) & wanted.mask) !== 0)
    return "applicationTag"
  const offset = checks.referenceTagOffset
  if (offset !== undefined && referenceTag !== referenceTagOf(blockNumber, offset)) return "referenceTag"
  return undefined
}

/** Makes the guards of interleaved blocks anew, and leaves their tags. */
export function regenerateGuards(interleaved: Uint8Array, blockBytes: number): void {
  for (let at = 0; at < interleaved.length; at += blockBytes + PROTECTION_BYTES) {
    putGuard(interleaved, at + blockBytes, crcT10Dif(interleaved, at, at + blockBytes))
  }
}

/** Makes the protection information of interleaved blocks, of which the first is `firstBlock`. */
export function generate(
  interleaved: Uint8Array,
  blockBytes: number,
  firstBlock: number,
  { applicationTag, referenceTagOffset }: GeneratedTags,
): void {
  let block = firstBlock
  for (let at = 0; at < interleaved.length; at += blockBytes + PROTECTION_BYTES, block++) {
    const tuple = at + blockBytes
    putGuard(interleaved, tuple, crcT10Dif(interleaved, at, tuple))
    interleaved[tuple + 2] = applicationTag >> 8
    interleaved[tuple + 3] = applicationTag
    const tag =
      referenceTagOffset === undefined ? ESCAPE_REFERENCE_TAG : referenceTagOf(block, referenceTagOffset)
    putReferenceTag(interleaved, tuple, tag)
  }
}

/** Copies the blocks alone out of interleaved ones. */
export function strip(interleaved: Uint8Array, blockBytes: number, into: Uint8Array): void {
  const step = blockBytes + PROTECTION_BYTES
  for (let from = 0, to = 0; from < interleaved.length; from += step, to += blockBytes) {
    into.set(interleaved.subarray(from, from + blockBytes), to)
  }
}

/** Copies blocks to where they lie interleaved; what is between them stays as it is. */
export function spread(blocks: Uint8Array, blockBytes: number, into: Uint8Array): void {
  const step = blockBytes + PROTECTION_BYTES
  for (let from = 0, to = 0; from < blocks.length; from += blockBytes, to += step) {
    into.set(blocks.subarray(from, from + blockBytes), to)
  }
}
