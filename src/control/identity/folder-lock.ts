import { open, readFile, unlink } from "node:fs/promises"
import { join } from "node:path"
import { type Clock, sleep } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import { STATE_LOCK_DEADLINE_MS } from "../../base/limits.ts"
import { isAlive, ownStamp } from "./process-stamp.ts"

const RETRY_MS = 20

/**
 * Runs `work` while no other process does so in this folder. A lock left behind by a process that is gone is broken.
 * Rejects with SanletError ERR_STATE_LOCKED when it isn't to be had in time.
 */
export async function withFolderLock<T>(folder: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const path = join(folder, "lock")
  const deadlineMs = clock.nowMs() + STATE_LOCK_DEADLINE_MS
  while (!(await tryLock(path))) {
    if (clock.nowMs() >= deadlineMs) {
      throw new SanletError("ERR_STATE_LOCKED", `${path} has been held by another process for too long`)
    }
    await sleep(clock, RETRY_MS, "folder lock")
  }
  try {
    return await work()
  } finally {
    await unlink(path)
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", 0o600)
    await file.writeFile(ownStamp())
    await file.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
  }
  const holder = await readFile(path, "utf8").catch(() => "")
  // An empty one has just been made.
  if (holder !== "" && !isAlive(holder)) await unlink(path).catch(() => {})
  return false
}
