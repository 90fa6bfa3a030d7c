import type { Completion } from "../../base/completion.ts"
import { putU16, putU32, u16 } from "../cdb/fields.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { u16Bytes } from "./bytes.ts"
import type { CdUnit } from "./cd-unit.ts"
import { type Feature, features } from "./features.ts"

/** RT: which features are asked for. */
const RequestType = { all: 0, current: 1, one: 2 } as const
const PERSISTENT = 0x02
const CURRENT = 0x01
const HEADER_BYTES = 8

/** GET CONFIGURATION (MMC-6): what the drive can, and what of it with this disc. */
export function getConfiguration(task: Task, unit: CdUnit): Completion {
  const { cdb } = task
  const type = cdb[1]! & 0x03
  const first = u16(cdb, 2)
  if (type > RequestType.one) throw invalidFieldInCdb("RT 11b is reserved", 1, 1)
  const told = features.filter((feature) => {
    if (type === RequestType.one) return feature.code === first
    return feature.code >= first && (type === RequestType.all || feature.current(unit))
  })
  const descriptors = told.flatMap((feature) => descriptorOf(feature, unit))
  const data = new Uint8Array(HEADER_BYTES + descriptors.length)
  putU32(data, 0, data.length - 4)
  putU16(data, 6, unit.profile)
  data.set(descriptors, HEADER_BYTES)
  return sendParameterData(task, data, u16(cdb, 7))
}

function descriptorOf(feature: Feature, unit: CdUnit): number[] {
  const { code, version, persistent } = feature
  const contents = feature.contents(unit)
  const flags = (persistent ? PERSISTENT : 0) | (feature.current(unit) ? CURRENT : 0)
  return [...u16Bytes(code), (version << 2) | flags, contents.length, ...contents]
}
