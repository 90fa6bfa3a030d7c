import assert from "node:assert/strict"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** What a long run may leave behind in the process: warmed-up code, pools that were filled. */
const GROWTH_BYTES_MAX = 64 * 1024 * 1024

/** Bytes in use after a collection of garbage. */
function usedBytes(): number {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Fails when `body` leaves more memory in use than there is a reason for. */
export async function boundedMemory(body: () => Promise<void>): Promise<void> {
  const before = usedBytes()
  await body()
  const grown = usedBytes() - before
  assert.ok(grown < GROWTH_BYTES_MAX, `${Math.round(grown / 1024)} KiB more are in use than before`)
}
