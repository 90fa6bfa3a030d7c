import type { Completion } from "../../base/completion.ts"
import { putU16, putU32, u16, u32 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import type { CdUnit } from "./cd-unit.ts"

const DISC_INFORMATION_BYTES = 34
const TRACK_INFORMATION_BYTES = 48
/** The last session is complete, and so is the disc; it can't be erased. */
const COMPLETE = 0b0_11_10
/** URU: whatever it is used for. */
const UNRESTRICTED_USE = 0x20
const NOWHERE = 0xffff_ffff

/** READ DISC INFORMATION (MMC-6): the standard type, of a finished disc of one session and one track. */
export function readDiscInformation(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  const type = cdb[1]! & 0x07
  if (type !== 0) throw invalidFieldInCdb(`there is no disc information of type ${type}`, 1, 2)
  unit.checkReady()
  const data = new Uint8Array(DISC_INFORMATION_BYTES)
  putU16(data, 0, data.length - 2)
  data[2] = COMPLETE
  data.fill(1, 3, 7) // first track, sessions, first and last track of the last session
  data[7] = UNRESTRICTED_USE
  putU32(data, 16, NOWHERE) // nothing can be added: the next session's lead-in ...
  putU32(data, 20, NOWHERE) // ... and its last possible lead-out
  return sendParameterData(task, data, u16(cdb, 7))
}

/** ADDRESS/NUMBER TYPE: by what a track is named. */
const TrackBy = { lba: 0, track: 1, session: 2 } as const
/** TRACK MODE: a data track, recorded without interruption. */
const TRACK_MODE = 0x04
/** DATA MODE 1. */
const DATA_MODE = 0x01

/** READ TRACK INFORMATION (MMC-6): there is one track, from the first sector to the last. */
export function readTrackInformation(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  unit.checkReady()
  checkTrack(unit, cdb[1]! & 0x03, u32(cdb, 2))
  const data = new Uint8Array(TRACK_INFORMATION_BYTES)
  putU16(data, 0, data.length - 2)
  data[2] = 1 // track
  data[3] = 1 // session
  data[5] = TRACK_MODE
  data[6] = DATA_MODE
  putU32(data, 24, unit.blocks) // from LBA 0 on
  return sendParameterData(task, data, u16(cdb, 7))
}

function checkTrack(unit: CdUnit, type: number, address: number): void {
  switch (type) {
    case TrackBy.lba:
      if (address >= unit.blocks) throw unit.outOfRange(address)
      return
    case TrackBy.track:
    case TrackBy.session:
      if (address !== 1) throw invalidFieldInCdb(`there is no track or session ${address}`, 2)
      return
    default:
      throw invalidFieldInCdb("ADDRESS/NUMBER TYPE 11b is reserved", 1, 1)
  }
}
