import type { Clock, Timer } from "../../base/clock.ts"

/**
 * Asks a silent peer whether it is still there (NOP-In ping, RFC 7143 §11.19), and gives it up when it doesn't answer.
 * Any PDU is a sign of life; hearing costs one store, no clock is read.
 */
export class Keepalive {
  heard = true
  #timer: Timer | undefined
  #pinged = false
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #deadlineMs: number
  readonly #ping: () => void
  readonly #lost: () => void

  constructor(clock: Clock, intervalMs: number, deadlineMs: number, ping: () => void, lost: () => void) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#deadlineMs = deadlineMs
    this.#ping = ping
    this.#lost = lost
  }

  start(): void {
    if (this.#intervalMs > 0) this.#wait(this.#intervalMs)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #wait(delayMs: number): void {
    this.heard = false
    this.#timer = this.#clock.after(delayMs, "keepalive", () => this.#fire())
  }

  #fire(): void {
    if (this.heard) {
      this.#pinged = false
      this.#wait(this.#intervalMs)
    } else if (this.#pinged) {
      this.#lost()
    } else {
      this.#pinged = true
      this.#ping()
      this.#wait(this.#deadlineMs)
    }
  }
}
