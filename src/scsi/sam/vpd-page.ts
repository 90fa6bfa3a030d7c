import type { LogicalUnit } from "./logical-unit.ts"
import type { Task } from "./task.ts"

/** A vital product data page (SPC-4 §7.8): one row of a logical unit's table, which lists them by rising code. */
export interface VpdPage<Unit extends LogicalUnit = LogicalUnit> {
  readonly code: number
  /** What follows the four header bytes, for the nexus of `task`. */
  build(unit: Unit, task: Task): Uint8Array
}
