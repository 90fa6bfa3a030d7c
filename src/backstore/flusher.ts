import type { Completion } from "../base/completion.ts"
import { BlockError } from "./block-device.ts"
import { errnoName } from "./errors.ts"

/**
 * Makes what was written stable, with as few fdatasync calls as the promise allows: a flush that comes while one
 * runs waits for the next, which serves all that came meanwhile; one with nothing written since ends at once.
 *
 * After a failure nobody knows which pages the system dropped, and a second fdatasync would say that all is
 * well; so the failure is final.
 */
export class Flusher {
  readonly #name: string
  readonly #sync: () => Promise<number>
  #dirty = true // what an earlier process wrote may not be stable yet
  #cause: string | undefined
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  /** `sync` makes everything stable; returns a negative errno when it fails. */
  constructor(name: string, sync: () => Promise<number>) {
    this.#name = name
    this.#sync = sync
  }

  /** To be called before a write is acknowledged: a flush from then on has something to do. */
  wrote(): void {
    this.#dirty = true
  }

  /** Declares acknowledged writes lost, because of `cause` (an errno's name). Returns the error to report. */
  lose(cause: string): BlockError {
    this.#cause ??= cause
    return this.#lostError(this.#cause)
  }

  /** Throws "write-lost" once a flush has failed. */
  check(): void {
    if (this.#cause !== undefined) throw this.#lostError(this.#cause)
  }

  flush(): Completion {
    this.check()
    if (this.#running === undefined) return this.#dirty ? this.#start() : undefined
    // The running one began before the write that made it dirty again, so it doesn't cover that.
    if (!this.#dirty) return this.#running
    this.#next ??= this.#afterRunning(this.#running)
    return this.#next
  }

  #start(): Promise<void> {
    this.#dirty = false
    this.#running = this.#run()
    return this.#running
  }

  async #run(): Promise<void> {
    const result = await this.#sync()
    this.#running = undefined
    if (result < 0) throw this.lose(errnoName(result))
  }

  async #afterRunning(running: Promise<void>): Promise<void> {
    try {
      await running
    } catch {
      // Its own callers are told; here the check below fails.
    }
    this.#next = undefined
    await this.flush()
  }

  #lostError(cause: string): BlockError {
    const message = `${this.#name}: a flush failed (${cause}), acknowledged writes may be lost; open it anew to write`
    return new BlockError("write-lost", message)
  }
}
