import { open, rename, unlink } from "node:fs/promises"
import { dirname } from "node:path"

/** Replaces the file as a whole or not at all, whatever happens to the power. Its folder must be there. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`
  const file = await open(draft, "w", 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, path)
  await syncFolder(dirname(path))
}

export async function removeFile(path: string): Promise<void> {
  await unlink(path)
  await syncFolder(dirname(path))
}

/** A name is stable once its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
