import type { Eventually } from "../../base/completion.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import type { Task } from "./task.ts"

/** One number of a data counter parameter: `bytes` long, big-endian. */
export interface LogCounter<Unit extends LogicalUnit = LogicalUnit> {
  readonly bytes: number
  /** What was counted since the unit is there. Only rises. */
  count(unit: Unit): number
}

/** A data counter log parameter (SPC-4 §7.3.2): LOG SELECT may reset it, and have it stand still. */
export interface CounterParameter<Unit extends LogicalUnit = LogicalUnit> {
  readonly code: number
  /** Whether it stops, or is allowed to wrap, at its largest value. None of ours gets there. */
  readonly bounded: boolean
  readonly counters: readonly LogCounter<Unit>[]
}

/** A list parameter: LOG SELECT can't change it, at most reset it. */
export interface ListParameter {
  readonly code: number
  readonly ascii?: true
  readonly value: Uint8Array
}

/** A log page (SPC-4 §7.3): one row of a logical unit's table, which lists them by rising code and subpage. */
export interface LogPage<Unit extends LogicalUnit = LogicalUnit> {
  readonly code: number
  /** Absent: 0. */
  readonly subpage?: number
  /** Whether this unit has it. Absent: yes. */
  isSupported?(unit: Unit): boolean
  /** By rising code; a list comes behind them. */
  readonly counters?: readonly CounterParameter<Unit>[]
  list?(unit: Unit, task: Task): Eventually<readonly ListParameter[]>
  /** Brings a list to its default. Absent: it can't be reset. */
  resetList?(unit: Unit): void
}
