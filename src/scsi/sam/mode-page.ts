import type { Completion } from "../../base/completion.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import type { Task } from "./task.ts"

/**
 * A mode page (SPC-4 §7.5): one row of a logical unit's table, which lists them by rising code and subpage.
 *
 * All values are whole pages without their header: what follows PAGE LENGTH, always of `bytes` bytes. The unit's
 * state is the truth; a page keeps no values of its own.
 */
export interface ModePage<Unit extends LogicalUnit = LogicalUnit> {
  readonly code: number
  /** Absent: 0, in the short format. */
  readonly subpage?: number
  /** PAGE LENGTH. */
  readonly bytes: number
  current(unit: Unit): Uint8Array
  /** What a reset brings back. */
  defaults(unit: Unit): Uint8Array
  /** What stands for saved values that can't be read any more. Absent: the defaults, since they protect no less. */
  cautious?(unit: Unit): Uint8Array
  /** The bits MODE SELECT may change, as a mask. Absent: none. */
  changeable?(unit: Unit): Uint8Array
  /** Throws SenseError for values that can't be set; `at` is where the page's values begin in the parameter list. */
  check?(unit: Unit, page: Uint8Array, at: number): void
  /**
   * Takes over a page that differs from the current one in changeable bits only. The framework establishes MODE
   * PARAMETERS CHANGED for the other nexuses afterwards. Throws SenseError. Without a task the page is a saved one: it
   * becomes the current one at power on or by a reset, and nothing is waited for.
   */
  select?(unit: Unit, page: Uint8Array, task?: Task): Completion
}
