import { sleep } from "../../base/clock.ts"
import { SCRATCH_BYTES, SELF_TEST_BYTES_PER_SECOND } from "../../base/limits.ts"
import type { SelfTestRun } from "../sam/self-tests.ts"
import { senseFromBlockError } from "./block-sense.ts"
import type { DiskUnit } from "./disk-unit.ts"

/** Between two looks at the clock. */
const PACE_BYTES = 1024 * 1024

/**
 * The self-test of a disk: what was acknowledged can be made stable, and the first, the middle and the last block can be
 * read; an extended one reads all of them, no faster than SELF_TEST_BYTES_PER_SECOND. Rejects with the SenseError of
 * what failed.
 */
export async function selfTest(unit: DiskUnit, run: SelfTestRun): Promise<void> {
  const { device, blockBytes, blocks } = unit
  const { features } = device
  await mapped(unit, 0, () => (features.readOnly ? undefined : device.flush(run)))
  const block = Buffer.allocUnsafe(blockBytes)
  for (const lba of new Set([0, Math.floor(blocks / 2), Math.max(0, blocks - 1)])) {
    if (run.aborted || lba >= blocks) return
    await mapped(unit, lba * blockBytes, () => device.read(lba * blockBytes, block, run))
  }
  if (run.extended) await readAll(unit, run)
}

async function readAll(unit: DiskUnit, run: SelfTestRun): Promise<void> {
  const { clock } = run
  const startMs = clock?.nowMs() ?? 0
  const totalBytes = unit.blocks * unit.blockBytes
  const scratch = Buffer.allocUnsafe(Math.min(SCRATCH_BYTES, totalBytes))
  for (let at = 0; at < totalBytes && !run.aborted; at += scratch.length) {
    const piece = totalBytes - at < scratch.length ? scratch.subarray(0, totalBytes - at) : scratch
    await mapped(unit, at, () => unit.device.read(at, piece, run))
    run.progress = at / totalBytes
    if (clock === undefined || at % PACE_BYTES !== 0) continue
    const dueMs = startMs + (at * 1000) / SELF_TEST_BYTES_PER_SECOND
    await sleep(clock, Math.max(0, dueMs - clock.nowMs()), "self-test")
  }
}

async function mapped(unit: DiskUnit, offsetBytes: number, work: () => void | Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw senseFromBlockError(error, "read", unit.blockBytes, offsetBytes)
  }
}
