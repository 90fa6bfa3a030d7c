import { constants } from "node:os"
import { blockErrorOf } from "./errors.ts"
import { type OpenFile, shortRead } from "./transfer.ts"

const { EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EINTR } = constants.errno

/** Results that say: not between these two. */
const UNSUPPORTED = [-EXDEV, -EINVAL, -ENOSYS, -EOPNOTSUPP]

/**
 * Copies a run from file to file within the kernel; the two don't overlap. False: it can't, and some of the run may have been copied.
 * Rejects with BlockError.
 */
export async function copyFileRange(
  from: OpenFile,
  fromBytes: number,
  to: OpenFile,
  toBytes: number,
  lengthBytes: number,
): Promise<boolean> {
  const { libc } = to.system
  if (libc?.copyFileRange === undefined) return false
  for (let done = 0; done < lengthBytes; ) {
    const result = await libc.copyFileRange(
      from.fd,
      fromBytes + done,
      to.fd,
      toBytes + done,
      lengthBytes - done,
    )
    if (UNSUPPORTED.includes(result)) return false
    if (result === -EINTR) continue
    if (result < 0) throw blockErrorOf(result, to.name, "copy", toBytes + done)
    if (result === 0) throw shortRead(from.name, fromBytes + done)
    done += result
  }
  return true
}
