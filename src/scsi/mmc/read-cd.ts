import type { Completion } from "../../base/completion.ts"
import { u32 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { Task } from "../sam/task.ts"
import { read } from "../sbc/read-write.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { CdUnit } from "./cd-unit.ts"
import { lbaOf } from "./msf.ts"

/** MAIN CHANNEL SELECTION: what of a sector is wanted. */
const USER_DATA = 0x10
/** EXPECTED SECTOR TYPE. */
const SectorType = { any: 0, mode1: 2 } as const

/** READ CD (MMC-6) by LBA. */
export function readCd(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  return readSectors(task, unit, u32(cdb, 2), u32(cdb, 5) & 0xff_ffff)
}

/** READ CD MSF (MMC-6): the sector at the ending address isn't read any more. */
export function readCdMsf(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  const start = lbaOf(cdb[3]!, cdb[4]!, cdb[5]!)
  const end = lbaOf(cdb[6]!, cdb[7]!, cdb[8]!)
  if (start === undefined || start < 0)
    throw invalidFieldInCdb("the starting address is none of the track", 3)
  if (end === undefined || end < start)
    throw invalidFieldInCdb("the ending address comes before the start", 6)
  return readSectors(task, unit, start, end - start)
}

/**
 * An image has the user data of its sectors and nothing of what surrounds it on a disc: headers, EDC, ECC and
 * subchannels are refused. With no main channel at all nothing is read.
 */
function readSectors(task: Task, unit: CdUnit, lba: number, blocks: number): Completion {
  const { cdb } = task
  const type = (cdb[1]! >> 2) & 0x07
  const channels = cdb[9]!
  if (channels !== 0 && channels !== USER_DATA) {
    throw invalidFieldInCdb("of a sector there is the user data only", 9, 7)
  }
  if (type !== SectorType.any && type !== SectorType.mode1) {
    throw new SenseError(SenseKey.illegalRequest, Asc.illegalModeForThisTrack, "the sectors are of mode 1")
  }
  if (channels === USER_DATA) return read(task, unit, lba, blocks, 0)
  unit.checkRead(task, lba, blocks)
}
