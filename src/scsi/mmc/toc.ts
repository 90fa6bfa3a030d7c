import type { Completion } from "../../base/completion.ts"
import { putU16, u16 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { u32Bytes } from "./bytes.ts"
import type { CdUnit } from "./cd-unit.ts"
import { msfOf } from "./msf.ts"

export const MSF = 0x02
/** Where ATAPI drives had FORMAT, in the CONTROL byte; initiators of that time still use it. */
export const ATAPI_FORMAT = 0xc0

const LEAD_OUT = 0xaa
/** ADR 1 (position), CONTROL 4: a data track, recorded without interruption. */
const DATA_TRACK = 0x14
const SESSION = 1
const TRACK = 1

/** READ TOC/PMA/ATIP (MMC-6) of a disc with one data track; there is neither PMA nor ATIP on a ROM. */
export function readTocPmaAtip(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  const format = cdb[2]! & 0x0f || cdb[9]! >> 6
  unit.checkReady()
  switch (format) {
    case 0:
      return send(task, [TRACK, TRACK, ...toc(unit, cdb[6]!, (cdb[1]! & MSF) !== 0)])
    case 1:
      return send(task, [SESSION, SESSION, ...sessionInformation((cdb[1]! & MSF) !== 0)])
    case 2:
      return send(task, [SESSION, SESSION, ...rawToc(unit, cdb[6]!)])
    default:
      throw invalidFieldInCdb(`format ${format} of the TOC is not known`, 2, 3)
  }
}

function send(task: Task, contents: readonly number[]): Completion {
  const data = Uint8Array.of(0, 0, ...contents)
  putU16(data, 0, contents.length)
  return sendParameterData(task, data, u16(task.cdb, 7))
}

const addressOf = (lba: number, msf: boolean): number[] => (msf ? msfOf(lba) : u32Bytes(lba))

/** Format 0000b: the tracks from `first` on, and the lead-out. */
function toc(unit: CdUnit, first: number, msf: boolean): number[] {
  if (first > TRACK && first !== LEAD_OUT) throw invalidFieldInCdb(`there is no track ${first}`, 6)
  const descriptor = (track: number, lba: number) => [0, DATA_TRACK, track, 0, ...addressOf(lba, msf)]
  return [...(first === LEAD_OUT ? [] : descriptor(TRACK, 0)), ...descriptor(LEAD_OUT, unit.blocks)]
}

/** Format 0001b: where the last session's first track is. */
const sessionInformation = (msf: boolean): number[] => [0, DATA_TRACK, TRACK, 0, ...addressOf(0, msf)]

/** Format 0010b: all of the lead-in's Q subchannel, from a session on; its addresses are always MSF. */
function rawToc(unit: CdUnit, session: number): number[] {
  if (session > SESSION) throw invalidFieldInCdb(`there is no session ${session}`, 6)
  const descriptor = (point: number, address: readonly number[]) => [
    ...[SESSION, DATA_TRACK, 0, point, 0, 0, 0],
    ...address,
  ]
  return [
    ...descriptor(0xa0, [0, TRACK, 0, 0]), // the first track, of a CD-ROM
    ...descriptor(0xa1, [0, TRACK, 0, 0]), // the last track
    ...descriptor(0xa2, msfOf(unit.blocks)),
    ...descriptor(TRACK, msfOf(0)),
  ]
}
