import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { removeFile, replaceFile } from "../durable-file.ts"

/** What tells a file from others. Numbers may need 64 bits, and are decimal text. */
export interface FileMark {
  readonly path: string
  readonly dev: string
  readonly ino: string
  readonly birthtimeNs: string
  readonly sizeBytes: string
  readonly mtimeNs: string
}

/** What is remembered of an identity: whose it is, and which process serves it now. */
export interface IdentityRecord {
  readonly serial: string
  readonly naa: string
  /** Of a unit that isn't a file: what it is called. */
  readonly name?: string
  /** Of a file: where it was seen last. */
  readonly file?: FileMark
  /** A process stamp. */
  readonly holder?: string
  /**
   * What is remembered of the unit hasn't come under its name yet: it may be under these NAA names still, the oldest first;
   * none: what is under its name is somebody else's, who is gone.
   */
  readonly movesFrom?: readonly string[]
}

/** Those of a folder. What can't be read as a record is passed to `onBroken` and left alone. */
export async function readRecords(
  folder: string,
  onBroken: (path: string) => void,
): Promise<IdentityRecord[]> {
  const names = (await readdir(folder))
    .filter((name) => name.endsWith(".json"))
    .sort((a, b) => (a < b ? -1 : 1))
  const records: IdentityRecord[] = []
  for (const name of names) {
    const path = join(folder, name)
    const record = parseRecord(await readFile(path, "utf8"))
    if (record) records.push(record)
    else onBroken(path)
  }
  return records
}

function parseRecord(text: string): IdentityRecord | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isNaa = (value: unknown): boolean => /^([0-9a-f]{16}){1,2}$/.test(String(value))
const isText = (value: unknown): boolean => typeof value === "string"
const isTextOrAbsent = (value: unknown): boolean => value === undefined || isText(value)

function isRecord(value: unknown): value is IdentityRecord {
  const record = value as Partial<IdentityRecord> | null
  if (typeof record !== "object" || record === null) return false
  if (record.movesFrom !== undefined && !Array.isArray(record.movesFrom)) return false
  const { serial, naa, name, file, holder, movesFrom = [] } = record
  if (!isText(serial) || ![naa, ...movesFrom].every(isNaa)) return false
  return isTextOrAbsent(name) && isTextOrAbsent(holder) && (file === undefined || isMark(file))
}

function isMark(mark: FileMark | null): boolean {
  if (typeof mark !== "object" || mark === null || !isText(mark.path)) return false
  const { dev, ino, birthtimeNs, sizeBytes, mtimeNs } = mark
  return [dev, ino, birthtimeNs, sizeBytes, mtimeNs].every((number) => /^-?\d+$/.test(String(number)))
}

const fileOf = (folder: string, record: IdentityRecord): string => join(folder, `${record.naa}.json`)

/** Replaces the record as a whole or not at all, whatever happens to the power. */
export const writeRecord = (folder: string, record: IdentityRecord): Promise<void> =>
  replaceFile(fileOf(folder, record), `${JSON.stringify(record, null, 2)}\n`)

export const removeRecord = (folder: string, record: IdentityRecord): Promise<void> =>
  removeFile(fileOf(folder, record))
