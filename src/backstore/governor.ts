import type { Clock } from "../base/clock.ts"
import {
  SYNCHRONOUS_IO_PAUSE_MS_MAX,
  SYNCHRONOUS_IO_PAUSE_MS_MIN,
  SYNCHRONOUS_IO_STALL_MS,
  SYNCHRONOUS_IO_STALLED_MS_MAX,
} from "../base/limits.ts"

/** One part in so many of the time that passes makes up for stalls. */
const FORGIVEN = 8

/**
 * Decides whether a file may be read or written on the event loop. A copy to or from the page cache takes a
 * microsecond and is worth no thread, but the kernel makes writers wait once too much of memory is dirty, and a
 * page that isn't cached comes from the disk: that would stop every other session. So each operation is timed, and
 * after one long stall, or some short ones, the next go to the thread pool for a while: the pause doubles as long
 * as the first ones after it stall again, and starts over once a whole pause's length went well. A single short
 * stall means nothing, since on a busy machine it's just the scheduler.
 */
export class Governor {
  readonly #clock: Clock
  #startMs = 0
  #stalledMs = 0
  #stallEndMs = 0
  #pauseMs = 0
  #resumeMs = Number.NEGATIVE_INFINITY

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
    if (nowMs - this.#startMs > SYNCHRONOUS_IO_STALL_MS) this.#stalled(nowMs)
  }

  #stalled(nowMs: number): void {
    const forgivenMs = (this.#startMs - this.#stallEndMs) / FORGIVEN
    this.#stalledMs = Math.max(0, this.#stalledMs - forgivenMs) + nowMs - this.#startMs
    this.#stallEndMs = nowMs
    if (this.#stalledMs < SYNCHRONOUS_IO_STALLED_MS_MAX) return
    const again = this.#startMs - this.#resumeMs < this.#pauseMs
    this.#pauseMs = again
      ? Math.min(this.#pauseMs * 2, SYNCHRONOUS_IO_PAUSE_MS_MAX)
      : SYNCHRONOUS_IO_PAUSE_MS_MIN
    this.#resumeMs = nowMs + this.#pauseMs
    this.#stalledMs = 0
  }
}
