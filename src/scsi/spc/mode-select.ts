import { MODE_PARAMETERS_BYTES_MAX } from "../../base/limits.ts"
import { u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import type { ModePage } from "../sam/mode-page.ts"
import { parameterListLengthError, receiveParameterList } from "../sam/parameter-data.ts"
import { savePages } from "../sam/saved-pages.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc } from "../spec/sense.ts"

const PF = 0x10
const SP = 0x01
const SPF = 0x40
const LONGLBA = 0x01

/** Where the parts of a mode parameter list are. */
interface Layout {
  readonly headerBytes: 4 | 8
  readonly descriptorAt: number
  readonly descriptorBytes: number
  readonly long: boolean
}

/** A page of the list that differs from the current one. */
interface Change {
  readonly page: ModePage
  readonly values: Uint8Array
}

/**
 * MODE SELECT (SPC-4 §6.9, 6.10). The whole list is checked before anything is changed. With SP all pages that can be are
 * saved, those of the list and the others.
 */
async function modeSelect(
  task: Task,
  unit: LogicalUnit,
  listBytes: number,
  headerBytes: 4 | 8,
): Promise<void> {
  if ((task.cdb[1]! & PF) === 0)
    throw invalidFieldInCdb("the parameter list is in page format only: set PF", 1, 4)
  if ((task.cdb[1]! & SP) !== 0 && unit.records === undefined)
    throw invalidFieldInCdb("mode pages can't be saved", 1, 0)
  const list = await receiveParameterList(task, listBytes, MODE_PARAMETERS_BYTES_MAX)
  if (list.length === 0) return (task.cdb[1]! & SP) !== 0 ? savePages(unit) : undefined
  const layout = layoutOf(list, headerBytes)
  const changes = changesIn(list, layout.descriptorAt + layout.descriptorBytes, unit)
  if (layout.descriptorBytes > 0) {
    const descriptor = list.subarray(layout.descriptorAt, layout.descriptorAt + layout.descriptorBytes)
    await unit.selectBlockDescriptor(descriptor, layout.long)
  }
  for (const { page, values } of changes) {
    await page.select?.(unit, values, task)
    unit.establishUnitAttention(Asc.modeParametersChanged, { except: task.nexus })
  }
  if ((task.cdb[1]! & SP) !== 0) await savePages(unit)
}

/** MODE DATA LENGTH is reserved here, MEDIUM TYPE and the DEVICE-SPECIFIC PARAMETER say nothing to a disk. */
function layoutOf(list: Uint8Array, headerBytes: 4 | 8): Layout {
  if (list.length < headerBytes) throw parameterListLengthError("the list ends within its header")
  const long = headerBytes === 8 && (list[4]! & LONGLBA) !== 0
  const descriptorBytes = headerBytes === 8 ? u16(list, 6) : list[3]!
  if (descriptorBytes !== 0 && descriptorBytes !== (long ? 16 : 8)) {
    const at = headerBytes === 8 ? 6 : 3
    throw invalidFieldInParameterList(`a block descriptor has ${long ? 16 : 8} bytes`, at)
  }
  if (headerBytes + descriptorBytes > list.length) {
    throw parameterListLengthError("the list ends within its block descriptor")
  }
  return { headerBytes, descriptorAt: headerBytes, descriptorBytes, long }
}

function changesIn(list: Uint8Array, pagesAt: number, unit: LogicalUnit): Change[] {
  const changes: Change[] = []
  for (let at = pagesAt; at < list.length; ) {
    const { page, valuesAt } = pageAt(list, at, unit)
    const values = list.subarray(valuesAt, valuesAt + page.bytes)
    if (differs(values, page.current(unit), changeableBits(page, unit), valuesAt)) {
      page.check?.(unit, values, valuesAt)
      changes.push({ page, values })
    }
    at = valuesAt + page.bytes
  }
  return changes
}

function pageAt(list: Uint8Array, at: number, unit: LogicalUnit): { page: ModePage; valuesAt: number } {
  const long = (list[at]! & SPF) !== 0
  const valuesAt = at + (long ? 4 : 2)
  if (valuesAt > list.length) throw parameterListLengthError("the list ends within a page's header")
  const code = list[at]! & 0x3f
  const subpage = long ? list[at + 1]! : 0
  const page = unit.modePages.find(
    (row) => row.code === code && (row.subpage ?? 0) === subpage && (row.subpage !== undefined) === long,
  )
  if (page === undefined) {
    throw invalidFieldInParameterList(
      `there is no mode page ${code.toString(16)}h/${subpage.toString(16)}h`,
      at,
      5,
    )
  }
  const bytes = long ? u16(list, at + 2) : list[at + 1]!
  if (bytes !== page.bytes) {
    throw invalidFieldInParameterList(`the page has ${page.bytes} bytes, not ${bytes}`, at + (long ? 2 : 1))
  }
  if (valuesAt + bytes > list.length) throw parameterListLengthError("the list ends within a page")
  return { page, valuesAt }
}

const changeableBits = (page: ModePage, unit: LogicalUnit): Uint8Array =>
  page.changeable?.(unit) ?? new Uint8Array(page.bytes)

/** Whether values differ from the current ones. Throws for a bit that can't be changed. */
function differs(values: Uint8Array, current: Uint8Array, changeable: Uint8Array, at: number): boolean {
  let different = 0
  for (let i = 0; i < values.length; i++) {
    const changed = values[i]! ^ current[i]!
    const fixed = changed & ~changeable[i]!
    if (fixed !== 0) {
      const bit = 31 - Math.clz32(fixed)
      throw invalidFieldInParameterList(`bit ${bit} of byte ${at + i} can't be changed`, at + i, bit)
    }
    different |= changed
  }
  return different !== 0
}

/** MODE SELECT (6) and (10). */
export const modeSelectCommands: readonly Command[] = [
  {
    name: "MODE SELECT (6)",
    opcode: OperationCode.modeSelect6,
    usage: [OperationCode.modeSelect6, PF | SP, 0, 0, 0xff, 0],
    access: "write",
    execute: (task, unit) => modeSelect(task, unit, task.cdb[4]!, 4),
  },
  {
    name: "MODE SELECT (10)",
    opcode: OperationCode.modeSelect10,
    usage: [OperationCode.modeSelect10, PF | SP, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
    access: "write",
    execute: (task, unit) => modeSelect(task, unit, u16(task.cdb, 7), 8),
  },
]
