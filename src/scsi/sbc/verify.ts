import type { Completion } from "../../base/completion.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { flagsFieldOf, wrongDataOutLength } from "./fields.ts"
import { dataOutBytes, eachDataOut, eachPieceRead } from "./transfer.ts"

/** BYTCHK: what the medium is compared with. */
const byteCheckOf = (flags: number): number => (flags >> 1) & 3

/**
 * VERIFY (SBC-3 §5.29 to 5.31). BYTCHK 00b reads the blocks, 01b compares them with Data-Out, 11b each of them with
 * the one block of Data-Out. The cache is written back first: the medium is to be verified, not our memory.
 */
export function verify(task: Task, unit: DiskUnit, lba: number, blocks: number, flags: number): Completion {
  unit.checkRead(task, lba, blocks)
  const bytes = blocks * unit.blockBytes
  const offset = lba * unit.blockBytes
  switch (byteCheckOf(flags)) {
    case 0:
      return bytes === 0 ? undefined : readAll(task, unit, offset, bytes)
    case 1: {
      const compared = dataOutBytes(task, unit, bytes)
      return compared === 0 ? undefined : compareAll(task, unit, offset, compared)
    }
    case 3:
      return bytes === 0 ? undefined : compareEach(task, unit, offset, bytes)
    default:
      throw invalidFieldInCdb("BYTCHK 10b is reserved", flagsFieldOf(task.cdb), 2)
  }
}

async function readAll(task: Task, unit: DiskUnit, offset: number, bytes: number): Promise<void> {
  await unit.medium.settle(task)
  await eachPieceRead(task, unit, offset, bytes, (_at, { length }) => {
    unit.counters.verifiedBytes += length
  })
}

async function compareAll(task: Task, unit: DiskUnit, offset: number, bytes: number): Promise<void> {
  await unit.medium.settle(task)
  await eachDataOut(task, bytes, (at, data) => {
    unit.counters.verifiedBytes += data.length
    return unit.medium.steady(offset + at, data.length, task, () =>
      compareRun(task, unit, offset + at, data, at),
    )
  })
}

async function compareEach(task: Task, unit: DiskUnit, offset: number, bytes: number): Promise<void> {
  task.dataOutBytes = unit.blockBytes
  if (task.dataOutBytesMax < unit.blockBytes) throw wrongDataOutLength("VERIFY needs one whole block of data")
  await unit.medium.settle(task)
  const compareWith = (block: Uint8Array) => (at: number, stored: Uint8Array) => {
    unit.counters.verifiedBytes += stored.length
    for (let from = 0; from < stored.length; from += block.length) {
      compare(block, stored.subarray(from, from + block.length), at + from)
    }
  }
  await eachDataOut(task, unit.blockBytes, (_at, block) =>
    unit.medium.steady(offset, bytes, task, () =>
      eachPieceRead(task, unit, offset, bytes, compareWith(block)),
    ),
  )
}

/** Compares a run of the medium with `data`; `at` is where `data` begins in all that is compared. */
export const compareRun = (
  task: Task,
  unit: DiskUnit,
  offset: number,
  data: Uint8Array,
  at: number,
): Promise<void> =>
  eachPieceRead(task, unit, offset, data.length, (from, stored) =>
    compare(data.subarray(from, from + stored.length), stored, at + from),
  )

/**
 * WRITE AND VERIFY (SBC-3 §5.37 to 5.39): written to the medium, not to a cache, then read back; BYTCHK 01b compares
 * it with what was sent. Nobody else writes in between.
 */
export function writeAndVerify(
  task: Task,
  unit: DiskUnit,
  lba: number,
  blocks: number,
  flags: number,
): Completion {
  const byteCheck = byteCheckOf(flags)
  unit.counters.writeCommands++
  if (byteCheck > 1) {
    throw invalidFieldInCdb("WRITE AND VERIFY knows BYTCHK 00b and 01b only", flagsFieldOf(task.cdb), 2)
  }
  unit.checkWrite(task, lba, blocks)
  const bytes = dataOutBytes(task, unit, blocks * unit.blockBytes)
  if (bytes === 0) return
  const offset = lba * unit.blockBytes
  return eachDataOut(task, bytes, (at, data) =>
    unit.medium.alone(offset + at, data.length, task, async () => {
      unit.counters.writtenBytes += data.length
      await unit.medium.writeHeld(offset + at, data, true, task)
      if (byteCheck === 1) await compareRun(task, unit, offset + at, data, at)
      else await eachPieceRead(task, unit, offset + at, data.length, () => {})
    }),
  )
}

/**
 * Throws MISCOMPARE unless `stored` equals `sent`. INFORMATION is the offset of the first byte that differs, counted
 * from the first byte compared; `at` is where these bytes begin (SBC-3 §5.2 for COMPARE AND WRITE; used for all).
 */
function compare(sent: Uint8Array, stored: Uint8Array, at: number): void {
  if (Buffer.compare(sent, stored) === 0) return
  let first = 0
  while (sent[first] === stored[first]) first++
  throw new SenseError(SenseKey.miscompare, Asc.miscompareDuringVerify, `byte ${at + first} differs`, {
    information: at + first,
  })
}
