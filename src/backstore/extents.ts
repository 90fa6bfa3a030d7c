import { constants } from "node:os"
import type { Extent } from "./block-device.ts"
import { blockErrorOf } from "./errors.ts"
import { type Libc, SEEK_DATA, SEEK_HOLE } from "./libc.ts"
import type { OpenFile } from "./transfer.ts"

/** The data and holes of [offset, offset + length), at most `countMax` of them; throws BlockError. */
export async function readExtents(
  file: OpenFile,
  libc: Libc,
  offsetBytes: number,
  lengthBytes: number,
  countMax: number,
): Promise<Extent[]> {
  const end = offsetBytes + lengthBytes
  const extents: Extent[] = []
  // SEEK_DATA finds `at` itself when there's data there, else the end of the hole; SEEK_HOLE the reverse.
  let allocated = true
  for (let at = offsetBytes; at < end && extents.length < countMax; ) {
    const next = await nextAfter(file, libc, at, end, allocated)
    if (next > at) extents.push({ offsetBytes: at, lengthBytes: next - at, allocated })
    allocated = !allocated
    at = next
  }
  return extents
}

/** Where the run of data (or of hole) that begins at `at` ends; `at` itself when the other begins there. */
async function nextAfter(
  file: OpenFile,
  libc: Libc,
  at: number,
  end: number,
  allocated: boolean,
): Promise<number> {
  const result = await libc.lseek(file.fd, at, allocated ? SEEK_HOLE : SEEK_DATA)
  if (result === -constants.errno.ENXIO) return end // no data up to the end of the file
  if (result < 0) throw blockErrorOf(result, file.name, "looking for holes", at)
  return Math.min(result, end)
}
