import type { Completion } from "../../base/completion.ts"
import { putU16, u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import { isSaveable, savedPage } from "../sam/saved-pages.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

const LLBAA = 0x10
const DBD = 0x08
const ALL_PAGES = 0x3f
const ALL_SUBPAGES = 0xff
const SPF = 0x40
const PS = 0x80
/** PC: which values are asked for. */
const SAVED = 3
const MODE_DATA_6_BYTES_MAX = 256

function modeSense6(task: Task, unit: LogicalUnit): Completion {
  const { cdb } = task
  const descriptor = (cdb[1]! & DBD) === 0 ? unit.modeBlockDescriptor(false) : new Uint8Array(0)
  const pages = pagesAskedFor(unit, cdb)
  const bytes = 4 + descriptor.length + totalBytes(pages)
  if (bytes > MODE_DATA_6_BYTES_MAX) throw invalidFieldInCdb("MODE SENSE (6) has no room for all pages", 2, 5)
  const data = new Uint8Array(bytes)
  data[0] = bytes - 1
  data[2] = unit.deviceSpecificParameter()
  data[3] = descriptor.length
  put(data, 4, descriptor, pages)
  return sendParameterData(task, data, cdb[4]!)
}

function modeSense10(task: Task, unit: LogicalUnit): Completion {
  const { cdb } = task
  const long = (cdb[1]! & LLBAA) !== 0
  const descriptor = (cdb[1]! & DBD) === 0 ? unit.modeBlockDescriptor(long) : new Uint8Array(0)
  const pages = pagesAskedFor(unit, cdb)
  const bytes = 8 + descriptor.length + totalBytes(pages)
  const data = new Uint8Array(bytes)
  putU16(data, 0, bytes - 2)
  data[3] = unit.deviceSpecificParameter()
  data[4] = long && descriptor.length > 0 ? 0x01 : 0 // LONGLBA
  putU16(data, 6, descriptor.length)
  put(data, 8, descriptor, pages)
  return sendParameterData(task, data, u16(cdb, 7))
}

/** The pages the CDB names, with their headers, by rising code and subpage (SPC-4 §6.11.1). */
function pagesAskedFor(unit: LogicalUnit, cdb: Uint8Array): Uint8Array[] {
  const control = cdb[2]! >> 6
  const code = cdb[2]! & 0x3f
  const subpage = cdb[3]!
  if (control === SAVED && unit.records === undefined) {
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.savingParametersNotSupported,
      "mode pages can't be saved",
    )
  }
  if (code === ALL_PAGES && subpage !== 0 && subpage !== ALL_SUBPAGES) {
    throw invalidFieldInCdb(`all mode pages go with subpage 00h or FFh, not ${subpage.toString(16)}h`, 3)
  }
  const rows = unit.modePages.filter(
    (page) =>
      (code === ALL_PAGES || page.code === code) &&
      (subpage === ALL_SUBPAGES || (page.subpage ?? 0) === subpage),
  )
  if (rows.length > 0) return rows.map((page) => wholePage(unit, page, control))
  // An unknown subpage of a page that is there is the subpage's fault.
  if (unit.modePages.some((page) => page.code === code)) {
    throw invalidFieldInCdb(`there is no subpage ${subpage.toString(16)}h`, 3)
  }
  throw invalidFieldInCdb(`there is no mode page ${code.toString(16)}h`, 2, 5)
}

const VALUES = [
  (page: ModePage, unit: LogicalUnit) => page.current(unit),
  (page: ModePage, unit: LogicalUnit) => page.changeable?.(unit) ?? new Uint8Array(page.bytes),
  (page: ModePage, unit: LogicalUnit) => page.defaults(unit),
  (page: ModePage, unit: LogicalUnit) => savedPage(unit, page) ?? page.defaults(unit),
] as const

/** PS: MODE SELECT can save the page. */
function wholePage(unit: LogicalUnit, page: ModePage, control: number): Uint8Array {
  const values = VALUES[control]!(page, unit)
  const code = (isSaveable(unit, page) ? PS : 0) | page.code
  if (page.subpage === undefined) return Uint8Array.of(code, page.bytes, ...values)
  return Uint8Array.of(SPF | code, page.subpage, page.bytes >> 8, page.bytes & 0xff, ...values)
}

const totalBytes = (pages: readonly Uint8Array[]): number => pages.reduce((sum, page) => sum + page.length, 0)

function put(data: Uint8Array, at: number, descriptor: Uint8Array, pages: readonly Uint8Array[]): void {
  let next = at
  for (const part of [descriptor, ...pages]) {
    data.set(part, next)
    next += part.length
  }
}

/** MODE SENSE (6) and (10) (SPC-4 §6.11, 6.12). Another nexus's reservation conflicts with them (SPC-2 table 10). */
export const modeSenseCommands: readonly Command[] = [
  {
    name: "MODE SENSE (6)",
    opcode: OperationCode.modeSense6,
    usage: [OperationCode.modeSense6, DBD, 0xff, 0xff, 0xff, 0],
    access: "read",
    execute: modeSense6,
  },
  {
    name: "MODE SENSE (10)",
    opcode: OperationCode.modeSense10,
    usage: [OperationCode.modeSense10, LLBAA | DBD, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
    access: "read",
    execute: modeSense10,
  },
]
