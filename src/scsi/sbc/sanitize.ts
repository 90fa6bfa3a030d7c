import type { Completion } from "../../base/completion.ts"
import { u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import { receiveParameterList } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode, SanitizeAction } from "../spec/operation-code.ts"
import type { DiskUnit } from "./disk-unit.ts"
import type { Treatment } from "./operation-mark.ts"

const IMMED = 0x80
const AUSE = 0x20
const INVERT = 0x80
const TEST = 0x60
const COUNT = 0x1f
const HEADER_BYTES = 4

/** SANITIZE with OVERWRITE (SBC-4 §5.30.2.2). */
async function overwrite(task: Task, unit: DiskUnit): Promise<void> {
  const listBytes = u16(task.cdb, 7)
  if (listBytes <= HEADER_BYTES || listBytes > HEADER_BYTES + unit.blockBytes) {
    throw invalidFieldInCdb("OVERWRITE takes a pattern of one byte to one block", 7)
  }
  checkExit(task, unit)
  unit.checkWritable()
  const list = await receiveParameterList(task, listBytes, HEADER_BYTES + unit.blockBytes)
  await start(task, unit, overwriteOf(list, unit.blockBytes))
}

function overwriteOf(list: Uint8Array, blockBytes: number): Treatment {
  const count = list[0]! & COUNT
  const patternBytes = u16(list, 2)
  if ((list[0]! & TEST) !== 0) throw invalidFieldInParameterList("TEST is 00b", 0, 6)
  if (count === 0) throw invalidFieldInParameterList("OVERWRITE COUNT is 1 to 31", 0, 4)
  if (patternBytes === 0 || patternBytes > Math.min(blockBytes, list.length - HEADER_BYTES)) {
    throw invalidFieldInParameterList(`an initialization pattern can't have ${patternBytes} bytes here`, 2)
  }
  const pattern = list.subarray(HEADER_BYTES, HEADER_BYTES + patternBytes)
  return { method: "overwrite", pattern, count, invert: (list[0]! & INVERT) !== 0 }
}

/** SANITIZE with BLOCK ERASE (SBC-4 §5.30.2.3): all blocks are deallocated afterwards, and read as zeroes. */
function blockErase(task: Task, unit: DiskUnit): Completion {
  checkNoList(task)
  checkExit(task, unit)
  unit.checkWritable()
  return start(task, unit, { method: "erase" })
}

/**
 * SANITIZE with CRYPTOGRAPHIC ERASE (SBC-4 §5.30.2.4): the blocks hold what a new key makes of the old data, until they are written;
 * where the device can give storage back they are deallocated, and read as zeroes.
 */
function cryptographicErase(task: Task, unit: DiskUnit): Completion {
  checkNoList(task)
  checkExit(task, unit)
  unit.checkWritable()
  return start(task, unit, { method: "new-key" })
}

function exitFailureMode(task: Task, unit: DiskUnit): Completion {
  checkNoList(task)
  const { failure } = unit.operations
  if (failure?.operation !== "sanitize") return
  if (!failure.unrestrictedExit) {
    throw invalidFieldInCdb("the sanitize operation that failed was requested without AUSE", 1, 4)
  }
  return unit.operations.exitFailureMode()
}

const start = (task: Task, unit: DiskUnit, treatment: Treatment): Promise<void> =>
  unit.operations.start(
    task,
    { operation: "sanitize", treatment, failed: false, unrestrictedExit: (task.cdb[1]! & AUSE) !== 0 },
    (task.cdb[1]! & IMMED) !== 0,
  )

/** After a failure in restricted completion mode only another restricted operation may follow (SBC-4 §5.30.1). */
function checkExit(task: Task, unit: DiskUnit): void {
  const { failure } = unit.operations
  const restricted = failure?.operation === "sanitize" && !failure.unrestrictedExit
  if (restricted && (task.cdb[1]! & AUSE) !== 0) {
    throw invalidFieldInCdb("the sanitize operation that failed was requested without AUSE", 1, 5)
  }
}

function checkNoList(task: Task): void {
  if (u16(task.cdb, 7) !== 0)
    throw invalidFieldInCdb("there is no parameter list with this service action", 7)
}

const row = (
  name: string,
  serviceAction: number,
  execute: Command<DiskUnit>["execute"],
): Command<DiskUnit> => ({
  name: `SANITIZE (${name})`,
  opcode: OperationCode.sanitize,
  serviceAction,
  usage: [OperationCode.sanitize, IMMED | AUSE | serviceAction, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
  access: "write",
  headOfQueue: true,
  execute,
})

/** Any disk can be overwritten. */
export const sanitizeCommands: readonly Command<DiskUnit>[] = [
  row("OVERWRITE", SanitizeAction.overwrite, overwrite),
  row("EXIT FAILURE MODE", SanitizeAction.exitFailureMode, exitFailureMode),
]

/** What is erased is deallocated afterwards, so it takes a thin disk. */
export const blockEraseCommand: Command<DiskUnit> = row("BLOCK ERASE", SanitizeAction.blockErase, blockErase)

/** It takes a device that encrypts. */
export const cryptographicEraseCommand: Command<DiskUnit> = row(
  "CRYPTOGRAPHIC ERASE",
  SanitizeAction.cryptographicErase,
  cryptographicErase,
)
