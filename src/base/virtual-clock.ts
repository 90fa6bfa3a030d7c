import type { Clock, Timer } from "./clock.ts"

interface Entry {
  atMs: number
  order: number
  name: string
  fire: () => void
  cancelled: boolean
}

/**
 * Time that moves only when told to: timers fire in order of their moment, then of their making. Between two
 * of them all promise callbacks run, so a run is a pure function of its inputs.
 */
export class VirtualClock implements Clock {
  #nowMs = 0
  #order = 0
  /** Calls of `advance` under way. */
  #advancing = 0
  readonly #entries: Entry[] = []

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, name: string, fire: () => void): Timer {
    const entry = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      name,
      fire,
      cancelled: false,
    }
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#entries[middle]!.atMs <= entry.atMs) low = middle + 1
      else high = middle
    }
    this.#entries.splice(low, 0, entry)
    return {
      cancel: () => {
        entry.cancelled = true
      },
    }
  }

  /** The names of the timers still set, earliest first. */
  pending(): string[] {
    return this.#entries.filter((entry) => !entry.cancelled).map((entry) => entry.name)
  }

  /** Runs timers up to `untilMs` from now, or until `done` says so. Returns whether `done` did. */
  async advance(untilMs: number, done: () => boolean = () => false): Promise<boolean> {
    const endMs = this.#nowMs + untilMs
    this.#advancing++
    try {
      for (;;) {
        await settle()
        if (done()) return true
        // Somebody else who has waited for this moment goes on before time does, and may set a nearer timer.
        if (this.#advancing > 1) {
          await settle()
          if (done()) return true
        }
        const next = this.#entries[0]
        if (!next || next.atMs > endMs) {
          this.#nowMs = endMs
          return done()
        }
        this.#entries.shift()
        if (next.cancelled) continue
        this.#nowMs = next.atMs
        next.fire()
      }
    } finally {
      this.#advancing--
    }
  }
}

/** Lets every promise callback that is ready run: they all come before the next immediate. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
