import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import type { CommandRestriction } from "../sam/command-restriction.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { selfTestInProgress } from "../sam/request-sense.ts"
import { SelfTestCode, SelfTestResult, type SelfTestRun } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { SenseError } from "../spec/sense.ts"

const SELF_TEST_CODE = 0xe0
const PF = 0x10
const SELFTEST = 0x04
const DEVOFFL = 0x02
const UNITOFFL = 0x01

/**
 * SEND DIAGNOSTIC (SPC-4 §6.42): the default self-test, and short and extended ones, in the foreground and in the background;
 * their results are on log page 10h. Diagnostic pages aren't known.
 */
function execute(task: Task, unit: LogicalUnit): Completion {
  const flags = task.cdb[1]!
  const code = (flags & SELF_TEST_CODE) >> 5
  const { selfTests } = unit
  if ((flags & SELFTEST) !== 0) {
    if (code !== 0) throw invalidFieldInCdb("SELFTEST goes with SELF-TEST CODE 000b", 1, 7)
    checkIdle(unit)
    return selfTests.inForeground(task, SelfTestCode.default, (run) => unit.selfTest(run))
  }
  switch (code) {
    case SelfTestCode.default:
      return
    case SelfTestCode.backgroundShort:
    case SelfTestCode.backgroundExtended:
      checkIdle(unit)
      return selfTests.inBackground(code, (run) => unit.selfTest(run))
    case SelfTestCode.foregroundShort:
    case SelfTestCode.foregroundExtended:
      checkIdle(unit)
      return selfTests.inForeground(task, code, (run) => alone(unit, run))
    case SelfTestCode.abortBackground:
      if (unit.selfTests.abort(SelfTestResult.abortedByCommand)) return
      throw invalidFieldInCdb("no self-test runs in the background", 1, 7)
    default:
      throw invalidFieldInCdb(`SELF-TEST CODE ${code} is not known`, 1, 7)
  }
}

/** Commands that are processed during a self-test in the foreground (SPC-4 §5.15.4.2). */
const ALLOWED: readonly number[] = [
  OperationCode.inquiry,
  OperationCode.reportLuns,
  OperationCode.requestSense,
]

/** Tests while commands that arrive are refused. Those under way before go on. */
async function alone(unit: LogicalUnit, run: SelfTestRun): Promise<void> {
  const before = unit.restriction
  const inProgress: CommandRestriction = {
    get sense() {
      return selfTestInProgress(run)
    },
    check: (_, { opcode }) => {
      if (!ALLOWED.includes(opcode)) throw refusal(run, "a self-test runs in the foreground")
    },
  }
  unit.restriction = inProgress
  try {
    await unit.selfTest(run)
  } finally {
    if (unit.restriction === inProgress) unit.restriction = before
  }
}

/** During a self-test in the background (SPC-4 §5.15.4.3). */
function checkIdle({ selfTests: { running } }: LogicalUnit): void {
  if (running !== undefined) throw refusal(running, "a self-test runs in the background")
}

function refusal(run: SelfTestRun, why: string): SenseError {
  const { key, asc, detail } = selfTestInProgress(run)
  return new SenseError(key, asc, why, detail)
}

export const sendDiagnostic: Command = {
  name: "SEND DIAGNOSTIC",
  opcode: OperationCode.sendDiagnostic,
  usage: [OperationCode.sendDiagnostic, SELF_TEST_CODE | PF | SELFTEST | DEVOFFL | UNITOFFL, 0, 0, 0, 0],
  access: "read",
  execute,
}
