import { stat } from "node:fs/promises"
import { basename } from "node:path"
import type { FileMark, IdentityRecord } from "./record.ts"

/** What tells the file from others now. Rejects with what node:fs has to say. */
export async function markOf(path: string): Promise<FileMark> {
  const found = await stat(path, { bigint: true })
  return {
    path,
    dev: String(found.dev),
    ino: String(found.ino),
    birthtimeNs: String(found.birthtimeNs),
    sizeBytes: String(found.size),
    mtimeNs: String(found.mtimeNs),
  }
}

type FileRecord = IdentityRecord & { file: FileMark }

/**
 * The record of the file `mark` was taken of, wherever it was when it was last seen:
 *
 * - The same inode, born at the same moment, is the same file, moved or not. A snapshot of a file system has both in
 *   common with its original, so when the original is still in its place and on another device, this is a copy.
 * - A move to another file system is a copy whose original is gone: it keeps size and modification time (to the
 *   nanosecond), and the original isn't in its place any more. When two vanished files fit, the name decides.
 *
 * A path alone proves nothing: where an image was, another may be now.
 */
export async function findFile(
  mark: FileMark,
  records: readonly IdentityRecord[],
): Promise<IdentityRecord | undefined> {
  const files = records.filter((record): record is FileRecord => record.file !== undefined)
  const inodes = files.filter((record) => isSameInode(record.file, mark))
  const there = inodes.find((record) => record.file.path === mark.path)
  if (there) return there
  for (const record of inodes) {
    const original = await presentMark(record.file)
    if (!original || original.dev === mark.dev) return record
  }
  const vanished: FileRecord[] = []
  for (const record of files) {
    const { sizeBytes, mtimeNs } = record.file
    if (sizeBytes !== mark.sizeBytes || mtimeNs !== mark.mtimeNs) continue
    if (!(await presentMark(record.file))) vanished.push(record)
  }
  if (vanished.length === 1) return vanished[0]
  const namesakes = vanished.filter((record) => basename(record.file.path) === basename(mark.path))
  return namesakes.length === 1 ? namesakes[0] : undefined
}

/** Whether the file of the record is still where it was; its mark there. */
export async function presentMark(recorded: FileMark): Promise<FileMark | undefined> {
  try {
    const now = await markOf(recorded.path)
    return isSameInode(now, recorded) ? now : undefined
  } catch {
    return undefined
  }
}

/** A file system that doesn't know when a file was born (0) reuses inode numbers unseen: there the path must agree. */
export function isSameInode(a: FileMark, b: FileMark): boolean {
  if (a.ino !== b.ino || a.birthtimeNs !== b.birthtimeNs) return false
  return a.birthtimeNs !== "0" || (a.dev === b.dev && a.path === b.path)
}
