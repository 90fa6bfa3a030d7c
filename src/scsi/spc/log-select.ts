import { LOG_PARAMETERS_BYTES_MAX } from "../../base/limits.ts"
import { u16 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import type { CounterParameter, ListParameter, LogPage } from "../sam/log-page.ts"
import type { ThresholdCriterion } from "../sam/log-parameters.ts"
import type { LogicalUnit } from "../sam/logical-unit.ts"
import { parameterListLengthError, receiveParameterList } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc } from "../spec/sense.ts"
import {
  controlByteOf,
  DU,
  ETC,
  OBSOLETE,
  PAGE_HEADER_BYTES,
  PARAMETER_HEADER_BYTES,
  PageControl,
  TMC,
} from "./log-format.ts"
import { counterValue, logPagesOf } from "./log-sense.ts"

const PCR = 0x02
const SP = 0x01
const ALL_SUBPAGES = 0xff

type Change = () => void

/** A log parameter as it stands in the list. */
interface Given {
  readonly at: number
  readonly code: number
  readonly control: number
  readonly value: Uint8Array
}

/**
 * LOG SELECT (SPC-4 §6.11): resets data counters, has them stand still, sets thresholds. Counters can be set to 0 only, and
 * lists not at all. The whole list is checked before anything is changed. Nothing can be saved.
 */
async function logSelect(task: Task, unit: LogicalUnit): Promise<void> {
  const { cdb } = task
  const reset = (cdb[1]! & PCR) !== 0
  const control = cdb[2]! >> 6
  // Default values are never saved: with those SP is no error (SPC-4 tables 186 and 349).
  if ((cdb[1]! & SP) !== 0 && control <= PageControl.cumulative) {
    throw invalidFieldInCdb("log parameters can't be saved", 1, 0)
  }
  const listBytes = u16(cdb, 7)
  const changes =
    listBytes === 0
      ? changesToPages(unit, cdb, reset, control)
      : changesIn(await listOf(task, reset, listBytes), unit, control, await listsOf(unit, task))
  for (const change of changes) change()
  if (changes.length > 0) unit.establishUnitAttention(Asc.logParametersChanged, { except: task.nexus })
}

/** Without a list (SPC-4 §6.11): all parameters of the pages the CDB names. */
function changesToPages(unit: LogicalUnit, cdb: Uint8Array, reset: boolean, control: number): Change[] {
  const { logParameters } = unit
  const cumulative = reset || control === PageControl.defaultCumulative
  const threshold = reset || control === PageControl.defaultThreshold
  return pagesNamed(unit, cdb[2]! & 0x3f, cdb[3]!).flatMap((page) => [
    ...(page.counters ?? []).flatMap((parameter) => [
      ...(cumulative ? [() => logParameters.reset(parameter)] : []),
      ...(threshold ? [() => logParameters.setThreshold(parameter, undefined)] : []),
    ]),
    ...(reset ? [() => page.resetList?.(unit)] : []),
  ])
}

function pagesNamed(unit: LogicalUnit, code: number, subpage: number): LogPage[] {
  const pages = logPagesOf(unit)
  if (code === 0 && subpage === 0) return pages
  const named = pages.filter(
    (page) => page.code === code && (subpage === ALL_SUBPAGES || (page.subpage ?? 0) === subpage),
  )
  if (named.length > 0) return named
  if (code === 0 && subpage === ALL_SUBPAGES) return []
  throw invalidFieldInCdb(`there is no log page ${code.toString(16)}h/${subpage.toString(16)}h`, 2, 5)
}

async function listOf(task: Task, reset: boolean, listBytes: number): Promise<Uint8Array> {
  const { cdb } = task
  if (reset) throw invalidFieldInCdb("PCR resets whole pages: it goes with no parameter list", 1, 1)
  if ((cdb[2]! & 0x3f) !== 0) throw invalidFieldInCdb("the parameter list names its pages itself", 2, 5)
  if (cdb[3] !== 0) throw invalidFieldInCdb("the parameter list names its subpages itself", 3)
  return receiveParameterList(task, listBytes, LOG_PARAMETERS_BYTES_MAX)
}

/** What the list pages say now: all that a parameter list may say of them. */
async function listsOf(unit: LogicalUnit, task: Task): Promise<Map<LogPage, readonly ListParameter[]>> {
  const lists = new Map<LogPage, readonly ListParameter[]>()
  for (const page of logPagesOf(unit)) if (page.list) lists.set(page, await page.list(unit, task))
  return lists
}

function changesIn(
  list: Uint8Array,
  unit: LogicalUnit,
  control: number,
  lists: ReadonlyMap<LogPage, readonly ListParameter[]>,
): Change[] {
  const changes: Change[] = []
  let before = -1
  for (let at = 0; at < list.length; ) {
    if (at + PAGE_HEADER_BYTES > list.length)
      throw parameterListLengthError("the list ends within a page's header")
    const order = ((list[at]! & 0x3f) << 8) | list[at + 1]!
    const page = logPagesOf(unit).find((row) => ((row.code << 8) | (row.subpage ?? 0)) === order)
    if (page === undefined) throw invalidFieldInParameterList("there is no such log page", at, 5)
    if (order <= before) throw invalidFieldInParameterList("log pages come in rising order", at, 5)
    before = order
    const end = at + PAGE_HEADER_BYTES + u16(list, at + 2)
    if (end > list.length) throw parameterListLengthError("the list ends within a page")
    for (const given of parametersIn(list, at + PAGE_HEADER_BYTES, end)) {
      changes.push(...changesTo(page, given, unit, control, lists.get(page) ?? []))
    }
    at = end
  }
  return changes
}

function parametersIn(list: Uint8Array, from: number, end: number): Given[] {
  const given: Given[] = []
  for (let at = from; at < end; ) {
    const valueAt = at + PARAMETER_HEADER_BYTES
    const next = valueAt + (valueAt <= end ? list[at + 3]! : 0)
    if (next > end) throw invalidFieldInParameterList("PAGE LENGTH cuts a parameter short", from - 2)
    const code = u16(list, at)
    if (code <= (given.at(-1)?.code ?? -1)) {
      throw invalidFieldInParameterList("log parameters come in rising order", at)
    }
    given.push({ at, code, control: list[at + 2]!, value: list.subarray(valueAt, next) })
    at = next
  }
  return given
}

function changesTo(
  page: LogPage,
  given: Given,
  unit: LogicalUnit,
  control: number,
  list: readonly ListParameter[],
): Change[] {
  const counter = page.counters?.find(({ code }) => code === given.code)
  const item = list.find(({ code }) => code === given.code)
  const parameter = counter ?? item
  if (parameter === undefined) throw invalidFieldInParameterList("there is no such log parameter", given.at)
  const wrong = (given.control ^ controlByteOf(parameter)) & ~ignoredOf(parameter)
  if (wrong !== 0) {
    const bit = 31 - Math.clz32(wrong)
    throw invalidFieldInParameterList(
      `bit ${bit} of the parameter control byte can't be changed`,
      given.at + 2,
      bit,
    )
  }
  if (counter) return changesToCounter(counter, given, unit, control)
  if (Buffer.compare(item!.value, given.value) !== 0) {
    throw invalidFieldInParameterList("a list parameter can't be changed", given.at + PARAMETER_HEADER_BYTES)
  }
  return []
}

/** Bits of the parameter control byte that mean nothing, or are looked at later. */
const ignoredOf = (parameter: CounterParameter | ListParameter): number =>
  "counters" in parameter && parameter.bounded ? DU | OBSOLETE | ETC | TMC : DU | OBSOLETE | TMC

/** DU is looked at with cumulative values only, ETC and TMC with thresholds too (SPC-4 §7.3.2). */
function changesToCounter(
  parameter: CounterParameter,
  { at, control: flags, value }: Given,
  unit: LogicalUnit,
  control: number,
): Change[] {
  const { logParameters } = unit
  const current = counterValue(parameter, control, unit)
  if (value.length !== current.length) {
    throw invalidFieldInParameterList(`the parameter has ${current.length} bytes`, at + 3)
  }
  const same = Buffer.compare(value, current) === 0
  const criterion = (flags & ETC) === 0 ? undefined : (((flags & TMC) >> 2) as ThresholdCriterion)
  const comparison =
    criterion === logParameters.criterion(parameter)
      ? []
      : [() => logParameters.setCriterion(parameter, criterion)]
  switch (control) {
    case PageControl.threshold:
      return [
        ...(same ? [] : [() => logParameters.setThreshold(parameter, Uint8Array.from(value))]),
        ...comparison,
      ]
    case PageControl.cumulative: {
      const still = (flags & DU) !== 0
      const zero = value.every((byte) => byte === 0)
      if (!zero && !same) throw invalidFieldInParameterList("a counter can be set to 0 only", at + 4)
      return [
        ...(still === logParameters.isFrozen(parameter)
          ? []
          : [() => logParameters.freeze(parameter, still)]),
        ...(same ? [] : [() => logParameters.reset(parameter)]),
        ...comparison,
      ]
    }
    default:
      if (!same) throw invalidFieldInParameterList("a default value can't be changed", at + 4)
      return []
  }
}

export const logSelectCommand: Command = {
  name: "LOG SELECT",
  opcode: OperationCode.logSelect,
  usage: [OperationCode.logSelect, PCR | SP, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
  access: "write",
  execute: logSelect,
}
