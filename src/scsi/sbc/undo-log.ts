/** A run of the medium whose old content a log holds. */
export interface UndoRun {
  readonly offsetBytes: number
  readonly lengthBytes: number
}

/**
 * What a run of the medium held before a write that is to be atomic: room for one run at a time. It must outlive whatever
 * the medium outlives. Everything rejects with SanletError ERR_STATE_FOLDER when the log can't be kept.
 *
 *     append, append, ... commit     the run's old content is stable, and `pending`
 *     clear                          nothing is pending, and that is stable
 */
export interface UndoLog {
  /** What was committed and not cleared; undefined: nothing. */
  readonly pending: UndoRun | undefined
  /** The next piece of the run. The first one after `clear` begins it. */
  append(piece: Uint8Array): Promise<void>
  commit(run: UndoRun): Promise<void>
  /** Bytes of what is pending, from `at` in the run. */
  read(at: number, into: Uint8Array): Promise<void>
  clear(): Promise<void>
  /** Overwrites what a cleared log may still hold of old content. */
  wipe(): Promise<void>
}

/** A log that ends with the process: for a medium that does so too. */
export class VolatileUndoLog implements UndoLog {
  #pieces: Uint8Array[] = []
  #pending: UndoRun | undefined

  get pending(): UndoRun | undefined {
    return this.#pending
  }

  async append(piece: Uint8Array): Promise<void> {
    this.#pieces.push(Uint8Array.from(piece))
  }

  async commit(run: UndoRun): Promise<void> {
    this.#pending = run
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    into.set(Buffer.concat(this.#pieces).subarray(at, at + into.length))
  }

  async clear(): Promise<void> {
    this.#pieces = []
    this.#pending = undefined
  }

  async wipe(): Promise<void> {}
}
