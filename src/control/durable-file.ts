import { mkdir, open, rename, unlink } from "node:fs/promises"
import { dirname, resolve } from "node:path"

/** Replaces a file as a whole or not at all, whatever happens to the power. Resolves when it is stable. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`
  const file = await open(draft, "w", 0o600)
  try {
    await file.writeFile(content)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await syncFolder(dirname(path))
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

/** Makes a folder, for the user alone, and those above it, which stay where they are whatever happens to the power. */
export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path)
  const first = await mkdir(folder, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

/** A rename is stable once its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
