import type { Completion } from "../../base/completion.ts"
import { REASSIGNED_BLOCKS_MAX } from "../../base/limits.ts"
import { u16, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import { parameterListLengthError, receiveParameterList, sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { all } from "../sam/usage.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { u64 } from "./fields.ts"

/** REQ_PLIST and REQ_GLIST, answered by PLISTV and GLISTV in the same place. */
const LISTS = 0x18
const FORMAT = 0x07
/** 110b is vendor specific, 111b reserved. */
const FORMAT_MAX = 5
const LONGLBA = 0x02
const LONGLIST = 0x01
const HEADER_BYTES = 4

/**
 * READ DEFECT DATA (SBC-4 §5.22, §5.23): both lists are there and empty, since where the defects of a disk below a file are
 * isn't known here; in whatever format they are asked for.
 */
function readDefectData(
  task: Task,
  unit: DiskUnit,
  flagsAt: number,
  headerBytes: number,
  room: number,
): Completion {
  unit.checkReady()
  const flags = task.cdb[flagsAt]!
  if ((flags & FORMAT) > FORMAT_MAX) {
    throw invalidFieldInCdb("the DEFECT LIST FORMAT is 000b to 101b", flagsAt, 2)
  }
  const data = new Uint8Array(headerBytes)
  data[1] = flags
  return sendParameterData(task, data, room)
}

/**
 * REASSIGN BLOCKS (SBC-4 §5.24): each block is read and written again, which is what makes the disk below put it elsewhere;
 * one that can't be read becomes zeroes (RBWZ). It can't be told which physical block that was, so the GLIST stays empty.
 */
async function reassignBlocks(task: Task, unit: DiskUnit): Promise<void> {
  unit.checkWritable()
  const lbaBytes = (task.cdb[1]! & LONGLBA) !== 0 ? 8 : 4
  // The CDB doesn't say how long the list is: the initiator does, and the list itself.
  const listBytesMax = HEADER_BYTES + REASSIGNED_BLOCKS_MAX * lbaBytes
  if (task.dataOutBytesMax < HEADER_BYTES) throw parameterListLengthError("the list ends within its header")
  const list = await receiveParameterList(task, Math.min(task.dataOutBytesMax, listBytesMax), listBytesMax)
  for (const lba of lbasOf(list, lbaBytes, (task.cdb[1]! & LONGLIST) !== 0, unit)) {
    await reassign(task, unit, lba)
  }
}

/** All are checked before the first is reassigned. */
function lbasOf(list: Uint8Array, lbaBytes: 4 | 8, long: boolean, unit: DiskUnit): number[] {
  const bytes = long ? u32(list, 0) : u16(list, 2)
  const lengthAt = long ? 0 : 2
  if (bytes % lbaBytes !== 0) throw invalidFieldInParameterList(`an LBA has ${lbaBytes} bytes`, lengthAt)
  if (bytes / lbaBytes > REASSIGNED_BLOCKS_MAX) {
    throw invalidFieldInParameterList(`at most ${REASSIGNED_BLOCKS_MAX} blocks can be reassigned`, lengthAt)
  }
  if (HEADER_BYTES + bytes > list.length) throw parameterListLengthError("the list is shorter than it says")
  const lbas: number[] = []
  for (let at = HEADER_BYTES; at < HEADER_BYTES + bytes; at += lbaBytes) {
    const lba = lbaBytes === 8 ? u64(list, at) : u32(list, at)
    unit.checkRange(lba, 1)
    lbas.push(lba)
  }
  return lbas
}

async function reassign(task: Task, unit: DiskUnit, lba: number): Promise<void> {
  const offset = lba * unit.blockBytes
  const { medium } = unit
  await medium.alone(offset, unit.blockBytes, task, async () => {
    const block = new Uint8Array(unit.blockBytes)
    try {
      await medium.readHeld(offset, block, task)
    } catch (error) {
      if (!(error instanceof SenseError) || error.key !== SenseKey.mediumError) throw error
      block.fill(0)
    }
    try {
      await medium.writeHeld(offset, block, true, task)
    } catch (error) {
      if (!(error instanceof SenseError) || error.key !== SenseKey.mediumError) throw error
      const asc = Asc.noDefectSpareLocationAvailable
      throw new SenseError(SenseKey.hardwareError, asc, error.message, { commandSpecific: lba })
    }
  })
}

export const defectCommands: readonly Command<DiskUnit>[] = [
  {
    name: "REASSIGN BLOCKS",
    opcode: OperationCode.reassignBlocks,
    usage: [OperationCode.reassignBlocks, LONGLBA | LONGLIST, 0, 0, 0, 0],
    access: "write",
    execute: reassignBlocks,
  },
  {
    name: "READ DEFECT DATA (10)",
    opcode: OperationCode.readDefectData10,
    usage: [OperationCode.readDefectData10, 0, LISTS | FORMAT, 0, 0, 0, 0, 0xff, 0xff, 0],
    access: "read",
    execute: (task, unit) => readDefectData(task, unit, 2, 4, u16(task.cdb, 7)),
  },
  {
    // ADDRESS DESCRIPTOR INDEX: whichever it is, nothing comes from there on. GENERATION CODE 0: the list never changes.
    name: "READ DEFECT DATA (12)",
    opcode: OperationCode.readDefectData12,
    usage: [OperationCode.readDefectData12, LISTS | FORMAT, ...all(8), 0, 0],
    access: "read",
    execute: (task, unit) => readDefectData(task, unit, 1, 8, u32(task.cdb, 6)),
  },
]
