import type { Command } from "../sam/command.ts"
import { OperationCode } from "../spec/operation-code.ts"

const PF = 0x10
const SELFTEST = 0x04
const DEVOFFL = 0x02
const UNITOFFL = 0x01

/**
 * SEND DIAGNOSTIC (SPC-4 §6.42): the default self-test. Self-test codes and diagnostic pages are not in the usage: their
 * results would have to be told by LOG SENSE and RECEIVE DIAGNOSTIC RESULTS.
 */
export const sendDiagnostic: Command = {
  name: "SEND DIAGNOSTIC",
  opcode: OperationCode.sendDiagnostic,
  usage: [OperationCode.sendDiagnostic, PF | SELFTEST | DEVOFFL | UNITOFFL, 0, 0, 0, 0],
  access: "read",
  execute: (task, unit) => {
    if ((task.cdb[1]! & SELFTEST) !== 0) return unit.selfTest(task)
  },
}
