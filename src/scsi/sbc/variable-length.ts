import type { Completion } from "../../base/completion.ts"
import { u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import { all, none } from "../sam/usage.ts"
import { OperationCode } from "../spec/operation-code.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"

const CDB_BYTES = 32
/** ADDITIONAL CDB LENGTH: what follows byte 7. */
const ADDITIONAL_BYTES = 0x18
const GROUP = 0x1f

/** What a 32-byte command shares with its shorter ones. */
export interface LongCommand {
  readonly name: string
  readonly access: Command["access"]
  /** Bits that mean something in byte 10, which is the shorter ones' byte 1. */
  readonly flags: number
  readonly run: (task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number) => Completion
}

/**
 * A command of 32 bytes (SBC-3 §5.14, §5.36 and so on). The standard has them for protection information of type 2; without
 * any they do what the shorter ones do, as Linux's target does it with WRITE SAME (32). The fields for protection
 * information (RDPROTECT and its like, reference and application tags) have to be 0, since they aren't in the usage.
 */
export const thirtyTwoByte = (
  serviceAction: number,
  { name, access, flags, run }: LongCommand,
): Command<DiskUnit> => ({
  name: `${name} (32)`,
  opcode: OperationCode.variableLength,
  serviceAction,
  usage: [
    ...[OperationCode.variableLength, ...none(5), GROUP, ADDITIONAL_BYTES],
    ...[serviceAction >> 8, serviceAction & 0xff, flags, 0],
    ...all(8),
    ...none(8),
    ...all(4),
  ],
  access,
  execute: (task, unit) => {
    const { cdb } = task
    if (cdb[7] !== ADDITIONAL_BYTES || cdb.length < CDB_BYTES) {
      throw invalidFieldInCdb(`the ADDITIONAL CDB LENGTH is ${ADDITIONAL_BYTES}`, 7)
    }
    return run(task, unit, u64(cdb, 12), u32(cdb, 28), cdb[10]!)
  },
})
