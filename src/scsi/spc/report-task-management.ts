import type { Completion } from "../../base/completion.ts"
import { u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { supportedTaskManagementFunctions, TaskManagementFunction } from "../sam/transport-services.ts"
import { all, none } from "../sam/usage.ts"
import { MaintenanceIn, OperationCode } from "../spec/operation-code.ts"

const REPD = 0x80
const BASIC_BYTES = 4
const EXTENDED_BYTES = 16

/** The bit of byte 0 that tells of a function (SPC-4 table 277): both target resets are TRS. */
const BITS: Readonly<Record<TaskManagementFunction, number>> = {
  [TaskManagementFunction.abortTask]: 0x80,
  [TaskManagementFunction.abortTaskSet]: 0x40,
  [TaskManagementFunction.clearAca]: 0x20,
  [TaskManagementFunction.clearTaskSet]: 0x10,
  [TaskManagementFunction.logicalUnitReset]: 0x08,
  [TaskManagementFunction.targetWarmReset]: 0x02,
  [TaskManagementFunction.targetColdReset]: 0x02,
}

/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 §6.36). The extended form tells of no timeouts (TMTMOV is 0). */
function execute(task: Task): Completion {
  const { cdb } = task
  const allocationBytes = u32(cdb, 6)
  if (allocationBytes < BASIC_BYTES) throw invalidFieldInCdb("ALLOCATION LENGTH is at least 4", 6)
  const extended = (cdb[2]! & REPD) !== 0
  const data = new Uint8Array(extended ? EXTENDED_BYTES : BASIC_BYTES)
  for (const fn of supportedTaskManagementFunctions) data[0]! |= BITS[fn]
  if (extended) data[3] = EXTENDED_BYTES - BASIC_BYTES
  return sendParameterData(task, data, allocationBytes)
}

export const reportSupportedTaskManagementFunctions: Command = {
  name: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
  opcode: OperationCode.maintenanceIn,
  serviceAction: MaintenanceIn.reportSupportedTaskManagementFunctions,
  usage: [
    OperationCode.maintenanceIn,
    MaintenanceIn.reportSupportedTaskManagementFunctions,
    REPD,
    ...none(3),
    ...all(4),
    0,
    0,
  ],
  access: "none",
  execute,
}
