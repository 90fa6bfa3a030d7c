import { type Completion, type Eventually, isPromise } from "../../base/completion.ts"
import { u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb } from "../sam/field-error.ts"
import type { CounterParameter, ListParameter, LogPage } from "../sam/log-page.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { sendParameterData } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { controlByteOf, DS, DU, ETC, encodePage, encodeParameter, PageControl } from "./log-format.ts"

const SUPPORTED_PAGES = 0x00
const SUBPAGES = 0xff

/** A log parameter ready to be sent. */
interface Encoded {
  readonly code: number
  readonly bytes: Uint8Array
}

/** The log pages this unit has, without those that list them. */
export const logPagesOf = (unit: LogicalUnit): LogPage[] =>
  unit.logPages.filter((page) => page.isSupported?.(unit) ?? true)

/** LOG SENSE (SPC-4 §6.12). SP isn't in the usage: nothing can be saved. */
function logSense(task: Task, unit: LogicalUnit): Completion {
  const { cdb } = task
  const code = cdb[2]! & 0x3f
  const subpage = cdb[3]!
  const allocationBytes = u16(cdb, 7)
  if (code === SUPPORTED_PAGES && (subpage === 0 || subpage === SUBPAGES)) {
    checkPointer(u16(cdb, 5), 0)
    return sendParameterData(task, supportedPages(unit, subpage), allocationBytes)
  }
  const page = pageAskedFor(unit, code, subpage)
  const send = (parameters: readonly Encoded[]): Completion => {
    const pointer = u16(cdb, 5)
    checkPointer(pointer, parameters.at(-1)?.code ?? 0)
    const parts = parameters.filter((parameter) => parameter.code >= pointer).map(({ bytes }) => bytes)
    return sendParameterData(task, encodePage(DS, code, subpage, parts), allocationBytes)
  }
  const parameters = parametersOf(page, cdb[2]! >> 6, unit, task)
  return isPromise(parameters) ? parameters.then(send) : send(parameters)
}

/** Supported Log Pages, and Supported Log Pages and Subpages (SPC-4 §7.3): they list themselves too. */
function supportedPages(unit: LogicalUnit, subpage: number): Uint8Array {
  const pages = [
    { code: SUPPORTED_PAGES, subpage: 0 },
    { code: SUPPORTED_PAGES, subpage: SUBPAGES },
  ].concat(logPagesOf(unit).map((page) => ({ code: page.code, subpage: page.subpage ?? 0 })))
  const list =
    subpage === SUBPAGES
      ? pages.flatMap((page) => [page.code, page.subpage])
      : [...new Set(pages.map((page) => page.code))]
  return encodePage(0, SUPPORTED_PAGES, subpage, [Uint8Array.from(list)])
}

function pageAskedFor(unit: LogicalUnit, code: number, subpage: number): LogPage {
  const pages = logPagesOf(unit).filter((page) => page.code === code)
  if (pages.length === 0) throw invalidFieldInCdb(`there is no log page ${code.toString(16)}h`, 2, 5)
  const page = pages.find((row) => (row.subpage ?? 0) === subpage)
  // An unknown subpage of a page that is there is the subpage's fault.
  if (page === undefined) throw invalidFieldInCdb(`there is no subpage ${subpage.toString(16)}h`, 3)
  return page
}

function checkPointer(pointer: number, last: number): void {
  if (pointer > last) throw invalidFieldInCdb("PARAMETER POINTER is beyond the last parameter", 5)
}

function parametersOf(
  page: LogPage,
  control: number,
  unit: LogicalUnit,
  task: Task,
): Eventually<readonly Encoded[]> {
  const counters = (page.counters ?? []).map((counter) => encodeCounter(counter, control, unit))
  const list = page.list?.(unit, task) ?? []
  const all = (items: readonly ListParameter[]): Encoded[] => [...counters, ...items.map(encodeItem)]
  return isPromise(list) ? list.then(all) : all(list)
}

/** PC means nothing to it. */
const encodeItem = (item: ListParameter): Encoded => ({
  code: item.code,
  bytes: encodeParameter(item.code, controlByteOf(item), item.value),
})

function encodeCounter(parameter: CounterParameter, control: number, unit: LogicalUnit): Encoded {
  const { logParameters } = unit
  const still = control === PageControl.cumulative && logParameters.isFrozen(parameter)
  const criterion = control <= PageControl.cumulative ? logParameters.criterion(parameter) : undefined
  const compared = criterion === undefined ? 0 : ETC | (criterion << 2)
  const flags = controlByteOf(parameter) | (still ? DU : 0) | compared
  return {
    code: parameter.code,
    bytes: encodeParameter(parameter.code, flags, counterValue(parameter, control, unit)),
  }
}

/** What PC asks for of a data counter parameter. The default cumulative value is 0. */
export function counterValue(parameter: CounterParameter, control: number, unit: LogicalUnit): Uint8Array {
  const { logParameters } = unit
  switch (control) {
    case PageControl.threshold:
      return logParameters.threshold(parameter)
    case PageControl.cumulative:
      return logParameters.cumulative(parameter)
    case PageControl.defaultThreshold:
      return logParameters.defaultThreshold(parameter)
    default:
      return logParameters.defaultThreshold(parameter).fill(0)
  }
}

export const logSenseCommand: Command = {
  name: "LOG SENSE",
  opcode: OperationCode.logSense,
  usage: [OperationCode.logSense, 0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0],
  access: "none",
  execute: logSense,
}
