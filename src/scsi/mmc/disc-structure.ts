import type { Completion } from "../../base/completion.ts"
import { putU16, u16 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import { u16Bytes, u32Bytes } from "./bytes.ts"
import type { CdUnit } from "./cd-unit.ts"
import { Profile } from "./profile.ts"

/** PHYSICAL SECTOR NUMBER of the first sector of a DVD's data area. */
const DATA_AREA_START = 0x03_0000
const SECTOR_NUMBER_MAX = 0xff_ffff
const STRUCTURE_BYTES = 2048
/** RDS of the list: the structure can be read. */
const READABLE = 0x40

/** Formats (MMC-6), and how each is made. */
const formats: ReadonlyMap<number, (unit: CdUnit) => Uint8Array> = new Map([
  [0x00, physicalFormatInformation],
  [0x01, () => new Uint8Array(4)], // copyright: no protection, no region
  [0x04, () => new Uint8Array(STRUCTURE_BYTES)], // manufacturing information: nobody's
])
const LIST = 0xff

/** READ DISC STRUCTURE (MMC-6) of a DVD-ROM of one layer; format FFh lists the structures there are. */
export function readDiscStructure(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  const mediaType = cdb[1]! & 0x0f
  const format = cdb[7]!
  if (mediaType !== 0) throw invalidFieldInCdb("there are structures of a DVD only", 1, 3)
  const make = format === LIST ? () => structureList(unit) : formats.get(format)
  if (make === undefined) throw invalidFieldInCdb(`there is no structure ${format.toString(16)}h`, 7)
  unit.checkReady()
  if (unit.profile !== Profile.dvdRom) {
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.cannotReadMediumIncompatibleFormat,
      "the disc is no DVD",
    )
  }
  if (cdb[6] !== 0) throw invalidFieldInCdb("the disc has one layer", 6)
  const structure = make(unit)
  const data = new Uint8Array(4 + structure.length)
  putU16(data, 0, 2 + structure.length)
  data.set(structure, 4)
  return sendParameterData(task, data, u16(cdb, 8))
}

/** A DVD-ROM, part version 1, 120 mm, no rate specified, one embossed layer, of this many sectors. */
function physicalFormatInformation({ blocks }: CdUnit): Uint8Array {
  const data = new Uint8Array(STRUCTURE_BYTES)
  const last = Math.min(DATA_AREA_START + blocks - 1, SECTOR_NUMBER_MAX)
  data.set([0x01, 0x0f, 0x01, 0x00, ...u32Bytes(DATA_AREA_START), ...u32Bytes(last)])
  return data
}

const structureList = (unit: CdUnit): Uint8Array =>
  Uint8Array.from(
    [...formats].flatMap(([code, make]) => [code, READABLE, ...u16Bytes(4 + make(unit).length)]),
  )
