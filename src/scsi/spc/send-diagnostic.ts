import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { selfTestInProgress } from "../sam/request-sense.ts"
import { SelfTestCode, SelfTestResult } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { SenseError } from "../spec/sense.ts"

const SELF_TEST_CODE = 0xe0
const PF = 0x10
const SELFTEST = 0x04
const DEVOFFL = 0x02
const UNITOFFL = 0x01

/**
 * SEND DIAGNOSTIC (SPC-4 §6.42): the default self-test, and short and extended ones in the background, whose results are
 * on log page 10h. Tests in the foreground by SELF-TEST CODE and diagnostic pages aren't known.
 */
function execute(task: Task, unit: LogicalUnit): Completion {
  const flags = task.cdb[1]!
  const code = (flags & SELF_TEST_CODE) >> 5
  const { selfTests } = unit
  if ((flags & SELFTEST) !== 0) {
    if (code !== 0) throw invalidFieldInCdb("SELFTEST goes with SELF-TEST CODE 000b", 1, 7)
    checkIdle(unit)
    return selfTests.inForeground((run) => unit.selfTest(run))
  }
  switch (code) {
    case SelfTestCode.default:
      return
    case SelfTestCode.backgroundShort:
    case SelfTestCode.backgroundExtended:
      checkIdle(unit)
      return selfTests.inBackground(code, (run) => unit.selfTest(run))
    case SelfTestCode.abortBackground:
      if (unit.abortSelfTest(SelfTestResult.abortedByCommand)) return
      throw invalidFieldInCdb("no self-test runs in the background", 1, 7)
    default:
      throw invalidFieldInCdb(`SELF-TEST CODE ${code} is not known`, 1, 7)
  }
}

function checkIdle({ selfTests: { running } }: LogicalUnit): void {
  if (running === undefined) return
  const { key, asc, detail } = selfTestInProgress(running)
  throw new SenseError(key, asc, "a self-test runs in the background", detail)
}

export const sendDiagnostic: Command = {
  name: "SEND DIAGNOSTIC",
  opcode: OperationCode.sendDiagnostic,
  usage: [OperationCode.sendDiagnostic, SELF_TEST_CODE | PF | SELFTEST | DEVOFFL | UNITOFFL, 0, 0, 0, 0],
  access: "read",
  execute,
}
