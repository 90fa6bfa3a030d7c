import type { Completion } from "../../base/completion.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import type { Nexus } from "./nexus.ts"
import type { Task } from "./task.ts"

/**
 * One row of a device server's command table: what REPORT SUPPORTED OPERATION CODES tells of it, what the task
 * router asks before it runs, and what it does.
 */
export interface Command<Unit extends LogicalUnit = LogicalUnit> {
  /** As the standard writes it: "READ (10)". */
  readonly name: string
  readonly opcode: number
  /** Where one opcode carries several commands. */
  readonly serviceAction?: number
  /**
   * CDB usage data (SPC-4 §6.35.3): one mask per byte of the bits this device server looks at; its length is the
   * CDB's. A bit set outside them is refused: INVALID FIELD IN CDB, with the field pointer there.
   */
  readonly usage: readonly number[]
  /**
   * What it does to the medium, for reservations (SPC-2 §5.5.1, later SPC-4 §5.12): "none" is allowed whoever
   * holds a reservation.
   */
  readonly access: "none" | "read" | "write"
  /** Runs even while a unit attention is pending, and leaves it pending (INQUIRY, REPORT LUNS, REQUEST SENSE). */
  readonly passesUnitAttention?: true
  /** Processed as if it had the attribute HEAD OF QUEUE, whatever attribute it came with (SBC-3, SANITIZE). */
  readonly headOfQueue?: true
  /** Whether this nexus may know of it; what isn't offered isn't reported, and refuses to run. Absent: every nexus may. */
  offered?(nexus: Nexus): boolean
  /**
   * Carries it out. To return (or resolve) is GOOD with what was moved so far; a SenseError thrown is CHECK
   * CONDITION, a StatusError another status.
   */
  execute(task: Task, unit: Unit): Completion
}
