import { readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { SanletError } from "../base/errors.ts"
import type { Log } from "../base/log.ts"
import { Turns } from "../base/turns.ts"
import type { PageValues, SavedPages } from "../scsi/sam/saved-pages.ts"
import { makeFolder, replaceFile } from "./durable-file.ts"

/**
 * The saved mode pages of a logical unit, in a file of their own:
 *
 *     <state folder>/mode-pages/<NAA name>.json    { "0a/00": "0210…", … }    values in hexadecimal digits
 */
export class SavedPagesFile implements SavedPages {
  readonly #path: string
  #values: PageValues
  readonly #turns = new Turns()

  private constructor(path: string, values: PageValues) {
    this.#path = path
    this.#values = values
  }

  /**
   * A file that isn't there, or can't be understood, counts as none: the defaults apply, and the log says so. Rejects with
   * SanletError ERR_STATE_FOLDER when it can't be read.
   */
  static async open(stateFolder: string, naa: string, log: Log): Promise<SavedPagesFile> {
    const path = join(stateFolder, "mode-pages", `${naa}.json`)
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined
      throw new SanletError("ERR_STATE_FOLDER", `cannot read ${path}: ${error.message}`, { cause: error })
    })
    const values = text === undefined ? new Map() : parse(text)
    if (values === undefined) log.warn({ path }, "these are no saved mode pages; passed over")
    return new SavedPagesFile(path, values ?? new Map())
  }

  get values(): PageValues {
    return this.#values
  }

  /** One after the other. Rejects with what node:fs has to say. */
  async save(values: PageValues): Promise<void> {
    await this.#turns.take(async () => {
      await makeFolder(dirname(this.#path))
      const hex = [...values].map(([name, bytes]) => [name, Buffer.from(bytes).toString("hex")])
      await replaceFile(this.#path, `${JSON.stringify(Object.fromEntries(hex), null, 2)}\n`)
      this.#values = values
    })
  }
}

function parse(text: string): PageValues | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== "object" || value === null) return undefined
    const pages = Object.entries(value)
    if (!pages.every(([, hex]) => typeof hex === "string" && /^([0-9a-f]{2})*$/.test(hex))) return undefined
    return new Map(pages.map(([name, hex]) => [name, Uint8Array.from(Buffer.from(hex as string, "hex"))]))
  } catch {
    return undefined
  }
}
