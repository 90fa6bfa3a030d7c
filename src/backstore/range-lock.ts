import type { Completion } from "../base/completion.ts"

/** A run of bytes held, or waited for, by one operation. */
export class RangeHold {
  readonly start: number
  readonly end: number
  readonly exclusive: boolean
  granted: (() => void) | undefined

  constructor(start: number, end: number, exclusive: boolean) {
    this.start = start
    this.end = end
    this.exclusive = exclusive
  }

  conflicts(other: RangeHold): boolean {
    return (this.exclusive || other.exclusive) && this.start < other.end && other.start < this.end
  }
}

/** Reader-writer locks on runs of bytes, granted in the order they're asked for where they overlap. */
export class RangeLock {
  #held: RangeHold[] = []
  #waiting: RangeHold[] = []

  /** Nobody holds anything, or waits. */
  get idle(): boolean {
    return this.#held.length === 0 && this.#waiting.length === 0
  }

  /** Ends when `hold` may go on; `release` it in any case afterwards. */
  acquire(hold: RangeHold): Completion {
    const conflict = (other: RangeHold) => other.conflicts(hold)
    if (!this.#held.some(conflict) && !this.#waiting.some(conflict)) {
      this.#held.push(hold)
      return
    }
    return new Promise((resolve) => {
      hold.granted = resolve
      this.#waiting.push(hold)
    })
  }

  release(hold: RangeHold): void {
    const at = this.#held.indexOf(hold)
    this.#held.splice(at, 1)
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const next of waiting) {
      const conflict = (other: RangeHold) => other.conflicts(next)
      if (this.#held.some(conflict) || this.#waiting.some(conflict)) this.#waiting.push(next)
      else {
        this.#held.push(next)
        next.granted?.()
      }
    }
  }
}
