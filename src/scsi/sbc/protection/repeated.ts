import { putReferenceTag, storedReferenceTagOf } from "../../../backstore/protection/tuple.ts"
import { type ProtectedUnit, scratchBlocks } from "./transfer.ts"

/**
 * One block for many (WRITE SAME, SBC-3 §5.43; VERIFY with BYTCHK 11b), in pieces of scratch memory that is used again.
 * Guard and application tag are the same for all. Reference tags rise by one from that of the first; type 3 keeps the one sent.
 */
export function* repeated(
  unit: ProtectedUnit,
  block: Uint8Array,
  blocks: number,
): Generator<{ readonly index: number; readonly interleaved: Uint8Array }> {
  const { protection, blockBytes } = unit
  const { interleavedBytes, type } = protection
  const initial = storedReferenceTagOf(block, blockBytes)
  const pieceBlocks = Math.min(blocks, scratchBlocks(unit))
  const scratch = Buffer.allocUnsafe(pieceBlocks * interleavedBytes).fill(block)
  for (let index = 0; index < blocks; index += pieceBlocks) {
    const interleaved = scratch.subarray(0, Math.min(pieceBlocks, blocks - index) * interleavedBytes)
    if (type !== 3) {
      for (let at = 0, tag = initial + index; at < interleaved.length; at += interleavedBytes, tag++) {
        putReferenceTag(interleaved, at + blockBytes, tag)
      }
    }
    yield { index, interleaved }
  }
}
