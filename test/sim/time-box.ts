/** So many seeds, but no longer than that: a busy machine runs fewer of them, and says so. */
export class TimeBox {
  readonly #endMs: number
  /** Runs that were begun in time. */
  ran = 0
  skipped = 0

  constructor(forMs: number) {
    this.#endMs = performance.now() + forMs
  }

  /** Runs `body`, unless time is up. */
  async run(body: () => Promise<void>): Promise<void> {
    if (this.ran > 0 && performance.now() > this.#endMs) {
      this.skipped++
      return
    }
    this.ran++
    await body()
  }

  get text(): string {
    return this.skipped === 0
      ? `${this.ran} seeds`
      : `${this.ran} seeds, ${this.skipped} left out for lack of time`
  }
}
