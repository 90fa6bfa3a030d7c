import type { Clock, Timer } from "../base/clock.ts"
import { COMMAND_DEADLINE_MS } from "../base/limits.ts"
import type { Command } from "./command.ts"

/** A command is overdue when it has been seen under way so often. */
const LOOKS = 4

/**
 * Finds commands that nobody has given a time and that take far too long: a target that answers pings but never a command
 * would otherwise be waited for without end. All are looked at together, now and then, because a timer for each would cost
 * what a small read does.
 */
export class Overdue {
  readonly #clock: Clock
  readonly #underWay: () => Iterable<Command>
  readonly #found: (command: Command) => void
  #timer: Timer | undefined

  constructor(clock: Clock, underWay: () => Iterable<Command>, found: (command: Command) => void) {
    this.#clock = clock
    this.#underWay = underWay
    this.#found = found
  }

  /** There is something to look at. */
  watch(): void {
    this.#timer ??= this.#clock.after(COMMAND_DEADLINE_MS / LOOKS, "overdue commands", this.#look)
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  readonly #look = () => {
    this.#timer = undefined
    for (const command of [...this.#underWay()]) {
      this.watch()
      if (command.request.timeoutMs === undefined && ++command.looks > LOOKS) this.#found(command)
    }
  }
}
