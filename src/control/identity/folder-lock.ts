import { readFile, readlink, symlink, unlink } from "node:fs/promises"
import { join } from "node:path"
import { type Clock, sleep } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import { STATE_LOCK_DEADLINE_MS } from "../../base/limits.ts"
import { absent } from "../durable-file.ts"
import { isAlive, ownStamp } from "./process-stamp.ts"

const RETRY_MS = 20

/** Locks this process has or is about to take, each with its stamp. One that is its own and isn't here couldn't be removed. */
const held = new Set<string>()

/**
 * Runs `work` while nobody else does so in this folder. A lock left behind by a process that is gone is broken.
 * Rejects with SanletError ERR_STATE_LOCKED when it isn't to be had in time.
 */
export async function withFolderLock<T>(folder: string, clock: Clock, work: () => Promise<T>): Promise<T> {
  const path = join(folder, "lock")
  const stamp = ownStamp()
  const own = `${stamp} ${path}`
  const deadlineMs = clock.nowMs() + STATE_LOCK_DEADLINE_MS
  while (held.has(own) || !(await tryLock(path, stamp, own))) {
    if (clock.nowMs() >= deadlineMs) {
      throw new SanletError("ERR_STATE_LOCKED", `${path} has been held by another process for too long`)
    }
    await sleep(clock, RETRY_MS, "folder lock")
  }
  try {
    return await work()
  } finally {
    await unlink(path).finally(() => held.delete(own))
  }
}

async function tryLock(path: string, stamp: string, own: string): Promise<boolean> {
  held.add(own)
  let locked = false
  try {
    locked = await seize(path, stamp)
    return locked
  } finally {
    if (!locked) held.delete(own)
  }
}

async function seize(path: string, stamp: string): Promise<boolean> {
  if (await place(path, stamp)) return true
  const holder = await holderOf(path)
  if (holder === undefined || (holder !== stamp && isAlive(holder))) return false
  await unlink(path).catch(() => {})
  return await place(path, stamp)
}

/** The lock is a symbolic link to its holder's stamp: unlike a file it can't be there without, whenever its maker goes down. */
async function place(path: string, stamp: string): Promise<boolean> {
  try {
    await symlink(stamp, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  }
}

/** Undefined: the lock has just been given back. */
async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    // A file: the lock of an earlier release, empty if that was killed at the wrong moment.
    if (code === "EINVAL") return await readFile(path, "utf8").catch(absent)
    throw error
  }
}
