import type { Command } from "../sam/command.ts"
import { reportLunsCommand } from "../sam/report-luns.ts"
import { inquiry } from "./inquiry.ts"
import { logSelectCommand } from "./log-select.ts"
import { logSenseCommand } from "./log-sense.ts"
import { modeSelectCommands } from "./mode-select.ts"
import { modeSenseCommands } from "./mode-sense.ts"
import { persistentReserveCommands } from "./persistent-reserve/index.ts"
import { preventAllowMediumRemoval } from "./prevent-allow.ts"
import { reportSupportedOperationCodes } from "./report-operation-codes.ts"
import { reportSupportedTaskManagementFunctions } from "./report-task-management.ts"
import { requestSense } from "./request-sense.ts"
import { reserveReleaseCommands } from "./reserve-release.ts"
import { sendDiagnostic } from "./send-diagnostic.ts"
import { testUnitReady } from "./test-unit-ready.ts"

/** The commands every logical unit knows. A device type adds its own. */
export const spcCommands: readonly Command[] = [
  testUnitReady,
  requestSense,
  inquiry,
  ...modeSelectCommands,
  ...modeSenseCommands,
  ...reserveReleaseCommands,
  ...persistentReserveCommands,
  sendDiagnostic,
  logSelectCommand,
  logSenseCommand,
  preventAllowMediumRemoval,
  reportLunsCommand,
  reportSupportedOperationCodes,
  reportSupportedTaskManagementFunctions,
]
