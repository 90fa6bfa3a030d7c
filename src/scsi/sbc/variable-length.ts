import type { Completion } from "../../base/completion.ts"
import type { Command } from "../sam/command.ts"
import type { Task } from "../sam/task.ts"
import { all, none } from "../sam/usage.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { type BlockCdb, parseBlockCdb } from "./protection/block-cdb.ts"
import type { ProtectedUnit } from "./protection/transfer.ts"

/** ADDITIONAL CDB LENGTH: what follows byte 7. */
const ADDITIONAL_BYTES = 0x18
const GROUP = 0x1f
const PROTECT = 0xe0

/** What a 32-byte command shares with its shorter ones. */
export interface LongCommand {
  readonly name: string
  readonly access: Command["access"]
  /** Bits that mean something in byte 10, which is the shorter ones' byte 1; its *PROTECT field is added. */
  readonly flags: number
  readonly run: (task: Task, unit: ProtectedUnit, cdb: BlockCdb) => Completion
}

/**
 * A command of 32 bytes (SBC-3 §5.14, 5.32, 5.36, 5.40, 5.45): it tells the tags of protection information of type 2, and
 * is processed where that is enabled only; elsewhere it is an INVALID COMMAND OPERATION CODE (§4.22.2.2, 4.22.2.3).
 */
export const thirtyTwoByte = (
  serviceAction: number,
  { name, access, flags, run }: LongCommand,
): Command<ProtectedUnit> => ({
  name: `${name} (32)`,
  opcode: OperationCode.variableLength,
  serviceAction,
  usage: [
    ...[OperationCode.variableLength, ...none(5), GROUP, ADDITIONAL_BYTES],
    ...[serviceAction >> 8, serviceAction & 0xff, flags | PROTECT, 0],
    ...all(8), // LOGICAL BLOCK ADDRESS
    ...all(8), // reference tag, application tag and its mask
    ...all(4),
  ],
  access,
  execute: (task, unit) => run(task, unit, parseBlockCdb(task.cdb)),
})
