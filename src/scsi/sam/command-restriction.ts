import type { Sense } from "../spec/sense.ts"
import type { Command } from "./command.ts"
import type { Task } from "./task.ts"

/** What a logical unit is in the middle of, or suffers from, so that it processes some commands only. */
export interface CommandRestriction {
  /** What REQUEST SENSE tells of it now: pollable sense data (SPC-4 §6.39). Undefined: nothing. */
  readonly sense: Sense | undefined
  /** Throws SenseError unless the command may be processed. */
  check(task: Task, command: Command): void
}
