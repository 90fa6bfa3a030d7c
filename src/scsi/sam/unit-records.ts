/** What a logical unit may have to remember over a restart. */
export type UnitRecordName =
  | "medium-operation"
  | "identifying-information"
  | "identifying-text"
  | "mode-pages"

/** Small things a logical unit must not forget, each replaced as a whole or not at all. */
export interface UnitRecords {
  /** What was put last, also before a restart; undefined: nothing. Nobody changes the bytes. */
  get(name: UnitRecordName): Uint8Array | undefined
  /**
   * Resolves once the value is stable; undefined removes it. Rejects with SanletError ERR_STATE_FOLDER: then the old value
   * is there still, or the new one already.
   */
  put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void>
}

/** Records that end with the process: for a medium that does so too. */
export class VolatileRecords implements UnitRecords {
  readonly #values = new Map<UnitRecordName, Uint8Array>()

  get(name: UnitRecordName): Uint8Array | undefined {
    return this.#values.get(name)
  }

  async put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    if (value === undefined) this.#values.delete(name)
    else this.#values.set(name, value)
  }
}
