import { EXTENTS_MAX, SCRATCH_BYTES } from "../../base/limits.ts"
import type { Random } from "../../base/random.ts"
import type { BlockDevice } from "../block-device.ts"
import { StoreOpenError } from "../errors.ts"
import {
  COPY_OFFSETS,
  encodeHeader,
  HEADER_BYTES,
  type HeaderState,
  inspectHeader,
  newMediaKey,
  unwrapMediaKey,
} from "./format.ts"

interface Copy {
  readonly offsetBytes: number
  readonly bytes: Buffer
  readonly state: HeaderState
}

/**
 * The two copies of an encrypted device's header. A change goes to one copy, and when that is stable to the other: whenever
 * it breaks off, one of them is whole. The next opening makes the other like it, so that an old key doesn't stay.
 */
export class EncryptionHeader {
  readonly #below: BlockDevice
  readonly #key: Uint8Array
  readonly #random: Random
  #sequence: number

  private constructor(below: BlockDevice, key: Uint8Array, random: Random, sequence = 0) {
    this.#below = below
    this.#key = key
    this.#random = random
    this.#sequence = sequence
  }

  /**
   * Finds the header and the media key in it; a device that holds nothing is given one. `key`: 32 bytes. Rejects with
   * StoreOpenError or BlockError.
   */
  static async open(
    below: BlockDevice,
    key: Uint8Array,
    random: Random,
  ): Promise<{ header: EncryptionHeader; mediaKey: Buffer }> {
    const copies = await Promise.all(COPY_OFFSETS.map((offsetBytes) => readCopy(below, offsetBytes)))
    const best = newest(copies)
    if (best === undefined) {
      await checkFormattable(below, copies)
      const header = new EncryptionHeader(below, key, random)
      return { header, mediaKey: await header.renew() }
    }
    const mediaKey = unwrapMediaKey(best.bytes, key)
    if (mediaKey === undefined) {
      throw new StoreOpenError("key", below.name, "is encrypted under another key than that of the key file")
    }
    if (!below.features.readOnly) {
      for (const { offsetBytes, bytes } of copies) {
        if (!bytes.equals(best.bytes)) await below.write(offsetBytes, best.bytes, true)
      }
    }
    return { header: new EncryptionHeader(below, key, random, sequenceOf(best)), mediaKey }
  }

  /**
   * Puts a new media key in the place of the old one, of which nothing is left then. Rejects with BlockError: which of the
   * two the next opening finds is uncertain.
   */
  async renew(): Promise<Buffer> {
    const mediaKey = newMediaKey(this.#random)
    this.#sequence++
    const bytes = encodeHeader(this.#sequence, mediaKey, this.#key, this.#random)
    for (const offsetBytes of COPY_OFFSETS) await this.#below.write(offsetBytes, bytes, true)
    return mediaKey
  }
}

async function readCopy(below: BlockDevice, offsetBytes: number): Promise<Copy> {
  const bytes = Buffer.alloc(HEADER_BYTES)
  await below.read(offsetBytes, bytes)
  return { offsetBytes, bytes, state: inspectHeader(bytes) }
}

const sequenceOf = ({ state }: Copy): number => (state.kind === "whole" ? state.sequence : -1)

const newest = (copies: readonly Copy[]): Copy | undefined =>
  copies
    .filter(({ state }) => state.kind === "whole")
    .reduce<Copy | undefined>(
      (best, copy) => (best !== undefined && sequenceOf(best) >= sequenceOf(copy) ? best : copy),
      undefined,
    )

/** Only where nothing can be lost: a header that broke off while it was made counts as nothing. */
async function checkFormattable(below: BlockDevice, copies: readonly Copy[]): Promise<void> {
  const wrong = (message: string) => new StoreOpenError("wrong-kind", below.name, message)
  for (const { state } of copies) {
    if (state.kind === "unknown")
      throw wrong(`has an encryption header of version ${state.version}, and only 1 is known`)
  }
  const damaged = copies.filter(({ state }) => state.kind === "damaged")
  if (!(await isBlank(below, damaged))) {
    throw wrong(
      damaged.length > 0
        ? "both copies of its encryption header are damaged: bring one back from a backup (4096 bytes at 0 or 524288)"
        : "holds data that isn't encrypted: give a new file, or a disk of zeroes, and copy the data to it (sanlet copy)",
    )
  }
  if (below.features.readOnly) throw wrong("has no encryption header yet, and can't be written")
}

/** Whether all of it is zeroes, but for these copies. Holes aren't read. */
async function isBlank(below: BlockDevice, besides: readonly Copy[]): Promise<boolean> {
  const scratch = Buffer.alloc(SCRATCH_BYTES)
  const zeroes = Buffer.alloc(SCRATCH_BYTES)
  for (let at = 0; at < below.sizeBytes; ) {
    const runs = await below.extents(at, below.sizeBytes - at, EXTENTS_MAX)
    if (runs.length === 0) return false
    for (const { offsetBytes, lengthBytes, allocated } of runs) {
      at = offsetBytes + lengthBytes
      if (!allocated) continue
      for (let from = offsetBytes; from < at; from += scratch.length) {
        const piece = scratch.subarray(0, at - from)
        await below.read(from, piece)
        for (const copy of besides) {
          const start = copy.offsetBytes - from
          if (start + HEADER_BYTES > 0 && start < piece.length)
            piece.fill(0, Math.max(0, start), start + HEADER_BYTES)
        }
        if (zeroes.compare(piece, 0, piece.length, 0, piece.length) !== 0) return false
      }
    }
  }
  return true
}
