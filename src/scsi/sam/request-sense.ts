import { OperationCode } from "../spec/operation-code.ts"
import { Asc, encodeSense, type Sense, SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import { sendParameterData } from "./parameter-data.ts"
import type { SelfTestRun } from "./self-tests.ts"
import type { Task } from "./task.ts"

/** DESC of REQUEST SENSE: which format the data comes in, whatever the control mode page says. */
const DESC = 0x01

/** What there is to tell while a self-test runs (SPC-4 §5.15.4.4). */
export const selfTestInProgress = ({ progress }: SelfTestRun): Sense => ({
  key: SenseKey.notReady,
  asc: Asc.selfTestInProgress,
  detail: { progress: Math.floor(progress * 0x1_0000) },
})

/** REQUEST SENSE (SPC-4 §6.39) of a logical unit that has `sense` to tell: it comes as data, with status GOOD. */
export const requestSenseCommand = (sense: (task: Task, unit: LogicalUnit) => Sense): Command => ({
  name: "REQUEST SENSE",
  opcode: OperationCode.requestSense,
  usage: [OperationCode.requestSense, DESC, 0, 0, 0xff, 0],
  access: "none",
  passesUnitAttention: true,
  execute: (task, unit) => {
    const format = (task.cdb[1]! & DESC) !== 0 ? "descriptor" : "fixed"
    return sendParameterData(task, encodeSense(sense(task, unit), format), task.cdb[4]!)
  },
})
