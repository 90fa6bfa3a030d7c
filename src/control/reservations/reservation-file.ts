import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { SanletError } from "../../base/errors.ts"
import { type Log, silentLog } from "../../base/log.ts"
import type { PersistentState } from "../../scsi/sam/persistent-state.ts"
import type { ReservationStore } from "../../scsi/sam/reservation-store.ts"
import { absent, makeFolder, removeDrafts, removeFile, replaceFile, syncFolder } from "../durable-file.ts"
import { decodeState, encodeState } from "./format.ts"

/**
 * Keeps the persistent reservations of one logical unit in a file, which is there while they are to outlive a loss of
 * power. It is replaced as a whole, so that a crash leaves the state before or the one after; what it says it says with
 * a checksum, so that damage isn't taken for either.
 */
export class ReservationFile implements ReservationStore {
  readonly found: PersistentState | "lost" | undefined
  readonly #path: string
  /** The file is there, as far as we know. */
  #present: boolean

  private constructor(path: string, found: PersistentState | "lost" | undefined) {
    this.#path = path
    this.found = found
    this.#present = found !== undefined
  }

  /** `naa`: the name the unit has for as long as its data lives. Rejects with SanletError ERR_STATE_FOLDER. */
  static async open(folder: string, naa: string, log: Log = silentLog): Promise<ReservationFile> {
    const path = join(folder, `${naa}.json`)
    try {
      await makeFolder(folder)
      await removeDrafts(folder, path) // only one process at a time serves the unit
      // What is found is to be found again, also if whoever saved it was killed before it was stable.
      await syncFolder(folder)
      const text = await readFile(path, "utf8").catch(absent)
      if (text === undefined) return new ReservationFile(path, undefined)
      const state = decodeState(text)
      if (state === undefined) {
        const message =
          "the persistent reservations of this unit are damaged: it is closed until an initiator replaces them (REPLACE LOST RESERVATION), or the file is removed"
        log.warn({ path, naa }, message)
      }
      return new ReservationFile(path, state ?? "lost")
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      const why = `cannot keep persistent reservations in ${folder} (${code ?? message})`
      throw new SanletError("ERR_STATE_FOLDER", why, { cause: error as Error })
    }
  }

  async save(state: PersistentState | undefined): Promise<void> {
    if (state !== undefined) {
      this.#present = true // also if it fails: nobody knows
      await replaceFile(this.#path, encodeState(state))
    } else if (this.#present) {
      await removeFile(this.#path)
      this.#present = false
    }
  }
}
