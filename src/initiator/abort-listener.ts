import type { Command } from "./command.ts"

/** Hears one signal for all commands that have it: a thousand of them are one listener. */
export class AbortListener {
  readonly #signal: AbortSignal
  readonly #commands = new Set<Command>()
  readonly #listeners: Map<AbortSignal, AbortListener>
  readonly #onAbort: () => void

  constructor(
    signal: AbortSignal,
    listeners: Map<AbortSignal, AbortListener>,
    abort: (command: Command, reason: Error) => void,
  ) {
    this.#signal = signal
    this.#listeners = listeners
    this.#onAbort = () => {
      for (const command of [...this.#commands]) abort(command, signal.reason as Error)
    }
    signal.addEventListener("abort", this.#onAbort, { once: true })
    listeners.set(signal, this)
  }

  add(command: Command): void {
    this.#commands.add(command)
    command.listener = this
  }

  delete(command: Command): void {
    if (!this.#commands.delete(command) || this.#commands.size > 0) return
    this.#signal.removeEventListener("abort", this.#onAbort)
    this.#listeners.delete(this.#signal)
  }
}
