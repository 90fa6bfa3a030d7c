import type { Eventually } from "../../base/completion.ts"

/** A run of bytes somebody holds, or waits for. */
export interface HeldRange {
  readonly start: number
  /** Behind the last byte. */
  readonly end: number
  readonly exclusive: boolean
  /** Set while it waits. */
  grant: (() => void) | undefined
}

/**
 * Who is changing which bytes. Writers share a range with each other and exclude those who need it alone (COMPARE
 * AND WRITE, ORWRITE, WRITE AND VERIFY); all are served in the order they came, so nobody starves.
 *
 * As long as `contended` is false, a writer that ends at once needs no entry; one that goes on enters itself, so
 * that whoever wants the range alone waits for it.
 */
export class RangeLock {
  /** Holders and waiters, in the order they came. */
  readonly #ranges: HeldRange[] = []
  #exclusive = 0
  #waiting = 0

  /** Somebody holds, or waits for, a range of his own. */
  get contended(): boolean {
    return this.#exclusive !== 0
  }

  /** Ranges held or awaited. */
  get size(): number {
    return this.#ranges.length
  }

  /** Waits until no earlier range conflicts with [start, end). The result goes to `leave`, exactly once. */
  enter(start: number, end: number, exclusive: boolean): Eventually<HeldRange> {
    const range: HeldRange = { start, end, exclusive, grant: undefined }
    const free = !this.#conflicts(range, this.#ranges.length)
    this.#ranges.push(range)
    if (exclusive) this.#exclusive++
    if (free) return range
    this.#waiting++
    return new Promise((resolve) => {
      range.grant = () => resolve(range)
    })
  }

  leave(range: HeldRange): void {
    this.#ranges.splice(this.#ranges.indexOf(range), 1)
    if (range.exclusive) this.#exclusive--
    if (this.#waiting !== 0) this.#grantAll()
  }

  #grantAll(): void {
    for (let i = 0; i < this.#ranges.length; i++) {
      const range = this.#ranges[i]!
      if (range.grant === undefined || this.#conflicts(range, i)) continue
      this.#waiting--
      const grant = range.grant
      range.grant = undefined
      grant()
    }
  }

  /** Whether one of the first `count` ranges stands in the way; a waiting one does too, or order were lost. */
  #conflicts(range: HeldRange, count: number): boolean {
    for (let i = 0; i < count; i++) {
      const other = this.#ranges[i]!
      if (other.start < range.end && range.start < other.end && (other.exclusive || range.exclusive))
        return true
    }
    return false
  }
}
