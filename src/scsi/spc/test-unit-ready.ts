import type { Command } from "../sam/command.ts"
import { OperationCode } from "../spec/operation-code.ts"

/** TEST UNIT READY (SPC-4 §6.47). A reservation of another nexus conflicts with it (SPC-2 table 10). */
export const testUnitReady: Command = {
  name: "TEST UNIT READY",
  opcode: OperationCode.testUnitReady,
  usage: [OperationCode.testUnitReady, 0, 0, 0, 0, 0],
  access: "read",
  execute: (_task, unit) => unit.checkReady(),
}
