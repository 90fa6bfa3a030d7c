import type { Completion } from "../../../base/completion.ts"
import type { ProtectionType } from "../../../backstore/protection/tuple.ts"
import type { Command } from "../../sam/command.ts"
import type { Task } from "../../sam/task.ts"
import { OperationCode, VariableLength } from "../../spec/operation-code.ts"
import { type BlockCdb, parseBlockCdb } from "./block-cdb.ts"
import { compareAndWrite } from "./compare-and-write.ts"
import { protectedFormat } from "./format.ts"
import { orWrite, read, write } from "./read-write.ts"
import type { ProtectedUnit } from "./transfer.ts"
import { verify, writeAndVerify } from "./verify.ts"
import { writeSame } from "./write-same.ts"

type ProtectedOperation = (task: Task, unit: ProtectedUnit, cdb: BlockCdb) => Completion

const runs: ReadonlyMap<number, ProtectedOperation> = new Map([
  [OperationCode.read6, read],
  [OperationCode.read10, read],
  [OperationCode.read12, read],
  [OperationCode.read16, read],
  [OperationCode.write6, write],
  [OperationCode.write10, write],
  [OperationCode.write12, write],
  [OperationCode.write16, write],
  [OperationCode.verify10, verify],
  [OperationCode.verify12, verify],
  [OperationCode.verify16, verify],
  [OperationCode.writeAndVerify10, writeAndVerify],
  [OperationCode.writeAndVerify12, writeAndVerify],
  [OperationCode.writeAndVerify16, writeAndVerify],
  [OperationCode.orWrite16, orWrite],
  [OperationCode.writeSame10, writeSame],
  [OperationCode.writeSame16, writeSame],
  [OperationCode.compareAndWrite, compareAndWrite],
] as const)

/** Service actions of 32-byte CDBs (SBC-3 §5.14, 5.32, 5.36, 5.40, 5.45). */
const runs32: ReadonlyMap<number, ProtectedOperation> = new Map<number, ProtectedOperation>([
  [VariableLength.read32, read],
  [VariableLength.verify32, verify],
  [VariableLength.write32, write],
  [VariableLength.writeAndVerify32, writeAndVerify],
  [VariableLength.writeSame32, writeSame],
])

const PROTECT = 0xe0

/**
 * The rows of a disk that keeps protection information: those that move blocks know their *PROTECT field, and carry out what it says. A disk
 * without keeps its own rows, so it is asked nothing for it.
 * Those of 32 bytes are for type 2 alone (SBC-3 §4.22.2.3).
 */
export function protectedCommands(rows: readonly Command[], type: ProtectionType): readonly Command[] {
  const known = type === 2 ? rows : rows.filter((row) => !isLong(row))
  return known.map((row) => {
    const run = isLong(row) ? runs32.get(row.serviceAction ?? -1) : runs.get(row.opcode)
    if (run !== undefined) return protectedRow(row, run)
    return row.opcode === OperationCode.formatUnit ? protectedFormat(row) : row
  })
}

const isLong = ({ opcode }: Command): boolean => opcode === OperationCode.variableLength

function protectedRow(row: Command, run: ProtectedOperation): Command {
  const usage = [...row.usage]
  // A 6-byte CDB has no such field; a 32-byte one tells the tags as well.
  if (usage.length === 32) {
    usage[10]! |= PROTECT
    usage.fill(0xff, 20, 28)
  } else if (usage.length > 6) usage[1]! |= PROTECT
  return {
    ...row,
    usage,
    execute: (task, unit) => run(task, unit as ProtectedUnit, parseBlockCdb(task.cdb)),
  }
}
