import type { Clock } from "../base/clock.ts"
import {
  SYNCHRONOUS_IO_PAUSE_MS_MAX,
  SYNCHRONOUS_IO_PAUSE_MS_MIN,
  SYNCHRONOUS_IO_SLOW_MS,
} from "../base/limits.ts"

/**
 * Decides whether a file may be read or written on the event loop. A copy to or from the page cache takes a
 * microsecond and is worth no thread, but the kernel makes writers wait once too much of memory is dirty, and a
 * page that isn't cached comes from the disk: that would stop every other session. So each operation is timed,
 * and after a slow one the next go to the thread pool for a while: the pause doubles as long as the first ones
 * after it are slow again, and starts over once a whole pause's length went well.
 */
export class Governor {
  readonly #clock: Clock
  #resumeMs = Number.NEGATIVE_INFINITY
  #pauseMs = 0
  #startMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether the next operation may run on the event loop; if so, `finished` must follow it in the same turn. */
  begin(): boolean {
    this.#startMs = this.#clock.nowMs()
    return this.#startMs >= this.#resumeMs
  }

  finished(): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#startMs <= SYNCHRONOUS_IO_SLOW_MS) return
    const soon = this.#startMs - this.#resumeMs < this.#pauseMs
    this.#pauseMs = soon
      ? Math.min(this.#pauseMs * 2, SYNCHRONOUS_IO_PAUSE_MS_MAX)
      : SYNCHRONOUS_IO_PAUSE_MS_MIN
    this.#resumeMs = nowMs + this.#pauseMs
  }
}
