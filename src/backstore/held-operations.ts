import type { Clock, Timer } from "../base/clock.ts"
import type { Completion } from "../base/completion.ts"
import { BlockError } from "./block-device.ts"
import { closedError } from "./range.ts"

interface Held {
  readonly task: object | undefined
  /** Ends the wait: goes on to the operation itself, or fails with the error. */
  end(error?: BlockError): void
}

/** Operations a device holds back on purpose, until their time has come, or they are cancelled or closed. */
export class HeldOperations {
  readonly #held = new Set<Held>()
  readonly #name: string

  constructor(name: string) {
    this.#name = name
  }

  get count(): number {
    return this.#held.size
  }

  /** Holds `perform` back until `release`, or for `delay.ms` when given. */
  hold(
    task: object | undefined,
    perform: () => Completion,
    delay?: { clock: Clock; ms: number },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const held: Held = {
        task,
        end: (error) => {
          this.#held.delete(held)
          timer?.cancel()
          if (error) return reject(error)
          try {
            resolve(perform())
          } catch (failure) {
            reject(failure as Error)
          }
        },
      }
      this.#held.add(held)
      const timer: Timer | undefined = delay?.clock.after(delay.ms, `${this.#name} delay`, () => held.end())
    })
  }

  /** Lets everything that is held go on. */
  release(): void {
    for (const held of [...this.#held]) held.end()
  }

  cancel(task: object): void {
    for (const held of [...this.#held])
      if (held.task === task) held.end(new BlockError("cancelled", `${this.#name}: cancelled while waiting`))
  }

  close(): void {
    for (const held of [...this.#held]) held.end(closedError(this.#name))
  }
}
