import { readdir, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { SanletError } from "../../base/errors.ts"
import { Turns } from "../../base/turns.ts"
import type { UnitRecordName, UnitRecords } from "../../scsi/sam/unit-records.ts"
import { makeFolder, removeDrafts, removeFile, replaceFile, syncFolder } from "../durable-file.ts"
import type { IdentityClaim, Move } from "./identity-store.ts"

const SUFFIX = ".record"

/**
 * The folder below `folder` in which a logical unit keeps what it must not forget, named by its NAA name. It moves with
 * the identity when that is renamed, wherever a crash interrupts it; what somebody left who had the name before is removed,
 * since to carry on with it (a sanitize operation, say) would harm the wrong medium. Rejects with SanletError
 * ERR_STATE_FOLDER.
 */
export async function claimUnitFolder(folder: string, claim: IdentityClaim): Promise<string> {
  const own = join(folder, claim.naa)
  try {
    await makeFolder(folder)
    if (claim.move !== undefined) await moveFolder(folder, own, claim.move)
    await makeFolder(own)
    await syncFolder(folder)
  } catch (error) {
    throw unusable(own, error as NodeJS.ErrnoException)
  }
  await claim.settle()
  return own
}

async function moveFolder(folder: string, own: string, { from, resumed }: Move): Promise<void> {
  const present = await readdir(folder)
  const source = from.find((name) => present.includes(name))
  // What is there already was moved there before the crash.
  if (source === undefined && resumed && from.length > 0) return
  await rm(own, { recursive: true, force: true })
  if (source !== undefined) await rename(join(folder, source), own)
}

/** UnitRecords in files of a folder, one each. */
export class FileRecords implements UnitRecords {
  readonly #folder: string
  readonly #values: Map<string, Uint8Array>
  readonly #turns = new Turns()

  private constructor(folder: string, values: Map<string, Uint8Array>) {
    this.#folder = folder
    this.#values = values
  }

  /** Rejects with SanletError ERR_STATE_FOLDER. */
  static async open(folder: string): Promise<FileRecords> {
    const values = new Map<string, Uint8Array>()
    try {
      await removeDrafts(folder)
      // What is found is to be found again, also if whoever put it was killed before it was stable.
      await syncFolder(folder)
      for (const file of await readdir(folder)) {
        if (!file.endsWith(SUFFIX)) continue
        values.set(file.slice(0, -SUFFIX.length), await readFile(join(folder, file)))
      }
    } catch (error) {
      throw unusable(folder, error as NodeJS.ErrnoException)
    }
    return new FileRecords(folder, values)
  }

  get(name: UnitRecordName): Uint8Array | undefined {
    return this.#values.get(name)
  }

  /** One after the other: the last one asked for is the one that stays. */
  async put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    await this.#turns.take(() => this.#put(name, value))
  }

  async #put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    const path = join(this.#folder, `${name}${SUFFIX}`)
    try {
      if (value !== undefined) await replaceFile(path, value)
      else if (this.#values.has(name)) await removeFile(path)
    } catch (error) {
      throw unusable(this.#folder, error as NodeJS.ErrnoException)
    }
    if (value === undefined) this.#values.delete(name)
    else this.#values.set(name, value)
  }
}

export function unusable(folder: string, error: NodeJS.ErrnoException): SanletError {
  const why = error.code ?? error.message
  return new SanletError("ERR_STATE_FOLDER", `cannot keep a unit's records in ${folder} (${why})`, {
    cause: error,
  })
}
