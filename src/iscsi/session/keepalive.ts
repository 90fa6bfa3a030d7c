import type { Clock, Timer } from "../../base/clock.ts"

export interface KeepaliveOptions {
  /** How long the peer may be silent before it is asked, in ms; 0: it is never asked. */
  readonly intervalMs: number
  /** How long it may take to answer, in ms. */
  readonly deadlineMs: number
  /** A number that changes with every sign of life. */
  readonly activity: () => number
  readonly ping: () => void
  readonly lost: () => void
}

/**
 * Asks a silent peer whether it is still there (NOP-In ping, RFC 7143 §11.19), and gives it up when it doesn't answer.
 * Signs of life are counted where they are seen; no clock is read for them.
 */
export class Keepalive {
  #timer: Timer | undefined
  #seen = 0
  #pinged = false
  readonly #clock: Clock
  readonly #options: KeepaliveOptions

  constructor(clock: Clock, options: KeepaliveOptions) {
    this.#clock = clock
    this.#options = options
  }

  start(): void {
    if (this.#options.intervalMs > 0) this.#wait(this.#options.intervalMs)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #wait(delayMs: number): void {
    this.#seen = this.#options.activity()
    this.#timer = this.#clock.after(delayMs, "keepalive", () => this.#fire())
  }

  #fire(): void {
    const { activity, intervalMs, deadlineMs, ping, lost } = this.#options
    if (activity() !== this.#seen) {
      this.#pinged = false
      this.#wait(intervalMs)
    } else if (this.#pinged) {
      lost()
    } else {
      this.#pinged = true
      ping()
      this.#wait(deadlineMs)
    }
  }
}
