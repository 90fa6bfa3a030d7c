import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { Task } from "../sam/task.ts"
import { StatusError } from "../sam/task-failures.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Status } from "../spec/status.ts"

/** Of the whole unit, for the nexus itself: third-party and extent reservations are not in the usage. */
const inTurn =
  (act: (task: Task, unit: LogicalUnit) => boolean) =>
  (task: Task, unit: LogicalUnit): Completion =>
    unit.reservation.turns.take(() => {
      if (task.state === "aborted" || act(task, unit)) return
      throw new StatusError(Status.reservationConflict, "another nexus has reserved the unit")
    })

const reserve = inTurn((task, unit) => unit.reservation.reserve(task.nexus))
const release = inTurn((task, unit) => unit.reservation.release(task.nexus))

/** `access` is "none": they answer for themselves whoever holds the reservation. */
const row = (name: string, opcode: number, bytes: number, execute: Command["execute"]): Command => ({
  name,
  opcode,
  usage: [opcode, ...new Array<number>(bytes - 1).fill(0)],
  access: "none",
  execute,
})

/** RESERVE and RELEASE, (6) and (10) (SPC-2 §7.17 to 7.20). */
export const reserveReleaseCommands: readonly Command[] = [
  row("RESERVE (6)", OperationCode.reserve6, 6, reserve),
  row("RELEASE (6)", OperationCode.release6, 6, release),
  row("RESERVE (10)", OperationCode.reserve10, 10, reserve),
  row("RELEASE (10)", OperationCode.release10, 10, release),
]
