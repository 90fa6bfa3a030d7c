import assert from "node:assert/strict"
import { setImmediate as turn } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** What a long run may leave behind in the process: warmed-up code, pools that were filled. */
const GROWTH_BYTES_MAX = 64 * 1024 * 1024

/** Bytes in use after collections of garbage: buffers that were found are let go of in turns that follow. */
async function usedBytes(): Promise<number> {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as () => void
  for (let i = 0; i < 3; i++) {
    collect()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Fails when `body` leaves more memory in use than there is a reason for. */
export async function boundedMemory(body: () => Promise<void>): Promise<void> {
  const before = await usedBytes()
  await body()
  const grown = (await usedBytes()) - before
  assert.ok(grown < GROWTH_BYTES_MAX, `${Math.round(grown / 1024)} KiB more are in use than before`)
}
