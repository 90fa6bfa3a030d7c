import { type Eventually, isPromise } from "./completion.ts"

/** Pieces of work of which one begins when the one before has ended, whether it failed or not. */
export class Turns {
  /** Resolves when nothing is under way any more. */
  #last: Promise<unknown> | undefined

  /** Runs `work` at once where nothing is under way. */
  take<T>(work: () => Eventually<T>): Eventually<T> {
    const result = this.#last === undefined ? work() : this.#last.then(work)
    if (isPromise(result)) this.#follow(result)
    return result
  }

  #follow(result: Promise<unknown>): void {
    const over = (): void => {
      if (this.#last === last) this.#last = undefined
    }
    const last: Promise<unknown> = result.then(over, over)
    this.#last = last
  }
}
