import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"

/** PREVENT: 00b allow, 01b prevent; the others were for medium changers. */
const PREVENT = 0x03

/**
 * PREVENT ALLOW MEDIUM REMOVAL (SPC-4 §6.18). The medium stays in as long as one nexus prevents its removal.
 */
function execute(task: Task, unit: LogicalUnit): Completion {
  const prevent = task.cdb[4]! & PREVENT
  if (prevent > 1) throw invalidFieldInCdb("PREVENT is 0 or 1", 4, 1)
  if (prevent === 0) {
    unit.preventingRemoval.delete(task.nexus)
    return
  }
  unit.preventingRemoval.add(task.nexus)
}

export const preventAllowMediumRemoval: Command = {
  name: "PREVENT ALLOW MEDIUM REMOVAL",
  opcode: OperationCode.preventAllowMediumRemoval,
  usage: [OperationCode.preventAllowMediumRemoval, 0, 0, 0, PREVENT, 0],
  access: "none",
  execute,
}
