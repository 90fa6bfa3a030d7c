import { type BlockDevice, BlockError } from "../../backstore/block-device.ts"
import type { Completion } from "../../base/completion.ts"
import { DEALLOCATION_STEP_BYTES, TRANSFER_STEP_BYTES } from "../../base/limits.ts"
import type { Treatment } from "./operation-mark.ts"

/** One way over the medium from its beginning to its end. */
export interface Pass {
  readonly stepBytes: number
  /** Treats a run of at most `stepBytes`. */
  step(device: BlockDevice, offsetBytes: number, lengthBytes: number): Completion
}

/** The passes of a treatment; between two of them the medium is flushed, or the first would end in a cache. */
export function passesOf(treatment: Treatment, blockBytes: number): readonly Pass[] {
  switch (treatment.method) {
    case "overwrite":
      return overwritePasses(treatment.pattern, treatment.count, treatment.invert, blockBytes)
    case "erase":
      return [erase()]
    case "new-key":
      return [newKey, giveBack]
    case "zero":
      return [
        {
          stepBytes: DEALLOCATION_STEP_BYTES,
          step: (device, offset, length) => device.writeZeroes(offset, length, false),
        },
      ]
    case "unmap":
      return [
        {
          stepBytes: DEALLOCATION_STEP_BYTES,
          step: (device, offset, length) => device.discard(offset, length),
        },
      ]
    case "keep":
      return []
  }
}

/** The whole medium in one step, whatever its size. */
const newKey: Pass = {
  stepBytes: Infinity,
  step: (device) => {
    if (device.encryption === undefined)
      throw new BlockError("io", `${device.name} isn't encrypted any more: it has no key to renew`)
    return device.encryption.renewKey()
  },
}

/** What is left is noise, which nobody needs; where the device can't give it back it stays that. */
const giveBack: Pass = {
  stepBytes: DEALLOCATION_STEP_BYTES,
  step: (device, offset, length) => (device.features.discard ? device.discard(offset, length) : undefined),
}

function overwritePasses(pattern: Uint8Array, count: number, invert: boolean, blockBytes: number): Pass[] {
  const plain = repeated(pattern, blockBytes)
  const inverted = invert ? plain.map((byte) => ~byte) : plain
  return Array.from({ length: count }, (_, pass) => {
    const data = (count - 1 - pass) % 2 === 0 ? plain : inverted
    return {
      stepBytes: data.length,
      step: (device, offset, length) =>
        device.write(offset, length === data.length ? data : data.subarray(0, length), false),
    }
  })
}

/** A step of data in which each logical block holds the pattern, over and over, from its first byte on. */
function repeated(pattern: Uint8Array, blockBytes: number): Uint8Array {
  const block = Buffer.alloc(blockBytes, pattern)
  return Buffer.alloc(TRANSFER_STEP_BYTES, block)
}

/**
 * Real zeroes go to the medium first (FUA), and only then is the storage given back: to punch a hole alone would leave the
 * data where it was, in blocks of the filesystem that nobody owns. What copies the layers below keep (snapshots, the
 * spare blocks of flash) is out of reach from here.
 */
function erase(): Pass {
  const zeroes = new Uint8Array(TRANSFER_STEP_BYTES)
  return {
    stepBytes: TRANSFER_STEP_BYTES,
    step: async (device, offset, length) => {
      await device.write(offset, zeroes.subarray(0, length), true)
      await device.discard(offset, length)
    },
  }
}
