import type { Completion } from "../../base/completion.ts"
import { putU32, u16, u32 } from "../cdb/fields.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import { parameterListLengthError, receiveParameterList, sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { CdUnit } from "./cd-unit.ts"

/** What a drive of the fastest kind reads at, in 1000 bytes per second: 16 times a DVD. Ours knows no speed. */
export const READ_KILOBYTES_PER_SECOND = 22_160

const DOOR_OPEN = 0x10
const SLOTS = 1

/** MECHANISM STATUS (MMC-6) of a drive that is no changer, and idle. */
export function mechanismStatus(task: Task, { drive }: CdUnit): Completion {
  const data = new Uint8Array(8)
  data[1] = drive.open ? DOOR_OPEN : 0
  data[5] = SLOTS
  return sendParameterData(task, data, u16(task.cdb, 8))
}

/** SET CD SPEED (MMC-6): whatever is wished for is rounded to the one speed there is. */
export function setCdSpeed(): void {}

/** TYPE of GET PERFORMANCE: performance data. */
const PERFORMANCE = 0x00
/** EXCEPT and WRITE. */
const EXCEPTIONS = 0x03
const WRITE = 0x04

/** GET PERFORMANCE (MMC-6): one nominal descriptor, the same speed all over; there are no exceptions. */
export function getPerformance(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  if (cdb[10] !== PERFORMANCE) throw invalidFieldInCdb(`performance of type ${cdb[10]} isn't known`, 10)
  if ((cdb[1]! & WRITE) !== 0) throw invalidFieldInCdb("the drive doesn't write", 1, 2)
  unit.checkReady()
  const lba = u32(cdb, 2)
  if (lba >= unit.blocks) throw unit.outOfRange(lba)
  const nominal = (cdb[1]! & EXCEPTIONS) === 0
  const room = u16(cdb, 8) > 0
  const data = new Uint8Array(nominal && room ? 24 : 8)
  putU32(data, 0, nominal ? 20 : 4) // all there is, also where there is no room for it
  data[4] = cdb[1]! & EXCEPTIONS & 0x01
  if (data.length > 8) {
    putU32(data, 8, lba)
    putU32(data, 12, READ_KILOBYTES_PER_SECOND)
    putU32(data, 16, unit.blocks - 1)
    putU32(data, 20, READ_KILOBYTES_PER_SECOND)
  }
  return sendParameterData(task, data, data.length)
}

const STREAMING_BYTES = 28

/** SET STREAMING (MMC-6): a performance descriptor, of sectors there are; as SET CD SPEED it changes nothing. */
export async function setStreaming(task: Task, unit: CdUnit): Promise<void> {
  const { cdb } = task
  if (cdb[8] !== 0) throw invalidFieldInCdb("only performance descriptors are known", 8)
  unit.checkReady()
  const list = await receiveParameterList(task, u16(cdb, 9), STREAMING_BYTES)
  if (list.length === 0) return
  if (list.length < STREAMING_BYTES) throw parameterListLengthError("a performance descriptor has 28 bytes")
  const [start, end] = [u32(list, 4), u32(list, 8)]
  if (start >= unit.blocks) throw invalidFieldInParameterList("the start is beyond the disc", 4)
  if (end < start) throw invalidFieldInParameterList("the end comes before the start", 8)
}
