import { OperationCode, VariableLength } from "../spec/operation-code.ts"
import { SenseKey } from "../spec/sense.ts"
import type { Command } from "./command.ts"

const VERIFY: readonly number[] = [OperationCode.verify10, OperationCode.verify12, OperationCode.verify16]

const isVerify = ({ opcode, serviceAction }: Command): boolean =>
  VERIFY.includes(opcode) ||
  (opcode === OperationCode.variableLength && serviceAction === VariableLength.verify32)

/**
 * What a logical unit has done since it is there, counted as it happens: plain numbers that only rise. Log pages show
 * them (SPC-4 §7.3), and keep apart what LOG SELECT has made of them.
 */
export class Counters {
  /** Read commands and write commands (SPC-4 table 375), as they begin. */
  readCommands = 0
  writeCommands = 0
  /** Handed to the transport; taken from it. */
  readBytes = 0
  writtenBytes = 0
  verifiedBytes = 0
  /** Commands that failed for the medium's sake. */
  readErrors = 0
  writeErrors = 0
  verifyErrors = 0
  /** Those that failed for another reason that isn't the initiator's. */
  nonMediumErrors = 0
  /** Times the unit was stopped. */
  stops = 0

  /** A command has ended with this sense key. */
  failed(key: SenseKey, command: Command | undefined): void {
    if (key === SenseKey.hardwareError || key === SenseKey.abortedCommand) this.nonMediumErrors++
    if (key !== SenseKey.mediumError) return
    if (command !== undefined && isVerify(command)) this.verifyErrors++
    else if (command?.access === "write") this.writeErrors++
    else this.readErrors++
  }
}
