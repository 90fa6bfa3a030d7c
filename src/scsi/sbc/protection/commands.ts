import type { Completion } from "../../../base/completion.ts"
import type { ProtectionType } from "../../../backstore/protection/tuple.ts"
import { WriteSameBit } from "../../cdb/block.ts"
import type { Command } from "../../sam/command.ts"
import type { Task } from "../../sam/task.ts"
import { OperationCode, VariableLength } from "../../spec/operation-code.ts"
import { type BlockCdb, parseBlockCdb } from "./block-cdb.ts"
import { compareAndWrite } from "./compare-and-write.ts"
import { protectedFormat } from "./format.ts"
import { orWrite, read, write } from "./read-write.ts"
import type { ProtectedUnit } from "./transfer.ts"
import { thirtyTwoByte } from "../variable-length.ts"
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

const PROTECT = 0xe0
const DPO = 0x10
const FUA = 0x08 | 0x02 // with FUA_NV
const BYTCHK = 0x06

/** For type 2 alone: its tags are told by CDBs of 32 bytes. */
const longCommands = (thin: boolean): readonly Command<ProtectedUnit>[] => [
  thirtyTwoByte(VariableLength.read32, { name: "READ", access: "read", flags: DPO | FUA, run: read }),
  thirtyTwoByte(VariableLength.verify32, {
    name: "VERIFY",
    access: "read",
    flags: DPO | BYTCHK,
    run: verify,
  }),
  thirtyTwoByte(VariableLength.write32, { name: "WRITE", access: "write", flags: DPO | FUA, run: write }),
  thirtyTwoByte(VariableLength.writeAndVerify32, {
    name: "WRITE AND VERIFY",
    access: "write",
    flags: DPO | BYTCHK,
    run: writeAndVerify,
  }),
  thirtyTwoByte(VariableLength.writeSame32, {
    name: "WRITE SAME",
    access: "write",
    flags: thin ? WriteSameBit.unmap | WriteSameBit.noDataOutBuffer : WriteSameBit.noDataOutBuffer,
    run: writeSame,
  }),
]

/**
 * The rows of a disk that keeps protection information: those that move blocks know their *PROTECT field, and carry out what it says. A disk
 * without keeps its own rows, so it is asked nothing for it.
 */
export function protectedCommands(
  rows: readonly Command[],
  type: ProtectionType,
  thin: boolean,
): readonly Command[] {
  const known = rows.map((row) => {
    const run = runs.get(row.opcode)
    if (run !== undefined) return protectedRow(row, run)
    return row.opcode === OperationCode.formatUnit ? protectedFormat(row) : row
  })
  return type === 2 ? [...known, ...longCommands(thin)] : known
}

function protectedRow(row: Command, run: ProtectedOperation): Command {
  const usage = [...row.usage]
  if (usage.length > 6) usage[1]! |= PROTECT // a 6-byte CDB has no such field
  return {
    ...row,
    usage,
    execute: (task, unit) => run(task, unit as ProtectedUnit, parseBlockCdb(task.cdb)),
  }
}
