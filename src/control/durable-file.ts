import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"

const DRAFT = ".tmp"

/**
 * Replaces a file as a whole or not at all, whatever happens to the power. Resolves when it is stable. Rejects with what node:fs
 * has to say: then the old content is there still, or the new one already.
 */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}${DRAFT}`
  try {
    const file = await open(draft, "w", 0o600)
    try {
      await file.writeFile(content)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await unlink(draft).catch(() => {})
    throw error
  }
  await syncFolder(dirname(path))
}

/**
 * Removes what crashes have left of replacements in a folder; of one file, if it is named. Nobody else may be replacing
 * any of them.
 */
export async function removeDrafts(folder: string, name?: string): Promise<void> {
  const start = name === undefined ? "" : `${basename(name)}.`
  for (const entry of await readdir(folder)) {
    if (entry.startsWith(start) && entry.endsWith(DRAFT)) await unlink(join(folder, entry))
  }
}

/** Resolves when there is no such file, whatever happens to the power. */
export async function removeFile(path: string): Promise<void> {
  await unlink(path).catch(absent)
  await syncFolder(dirname(path))
}

/** Undefined for a file that isn't there. Throws everything else. */
export function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined
  throw error
}

/** Folders this process has found stable in the folder above: by device and inode. */
const stable = new Set<string>()

/**
 * Makes a folder, for the user alone, and those above it. All stay where they are whatever happens to the power, also those
 * that were there: whoever made them may have gone down before they were stable.
 */
export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path)
  const first = await mkdir(folder, { recursive: true, mode: 0o700 })
  for (let at = folder; dirname(at) !== at; at = dirname(at)) {
    const made = first !== undefined && at.length >= first.length
    const { dev, ino } = await stat(at)
    const identity = `${dev}:${ino}`
    if (stable.has(identity) && !made) continue
    await syncFolder(dirname(at)).catch((error: NodeJS.ErrnoException) => {
      // Where we can't look we haven't made anything.
      if (made || error.code !== "EACCES") throw error
    })
    stable.add(identity)
  }
}

/** Those that can't sync a folder have nothing to sync: some network filesystems. */
const NO_SYNC: ReadonlySet<string | undefined> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP"])

/** A rename is stable once its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync().catch((error: NodeJS.ErrnoException) => {
      if (!NO_SYNC.has(error.code)) throw error
    })
  } finally {
    await handle.close()
  }
}
