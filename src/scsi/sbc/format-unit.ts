import type { Completion } from "../../base/completion.ts"
import { u16, u32 } from "../cdb/fields.ts"
import type { Command } from "../sam/command.ts"
import { invalidFieldInCdb, invalidFieldInParameterList } from "../sam/field-error.ts"
import { parameterListLengthError, receiveParameterList } from "../sam/parameter-data.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { DiskUnit } from "./disk-unit.ts"
import type { Treatment } from "./operation-mark.ts"

const LONGLIST = 0x20
const FMTDATA = 0x10
const CMPLST = 0x08
const DEFECT_LIST_FORMAT = 0x07
/** 110b is vendor specific, 111b reserved. */
const DEFECT_LIST_FORMAT_MAX = 5
const FFMT = 0x03
const PROTECTION_FIELD_USAGE = 0x07
const FOV = 0x80
/** DPRY, DCRT, STPF and IP. */
const OPTIONS = 0x78
const IP = 0x08
const IMMED = 0x02
const PATTERN_HEADER_BYTES = 4
/** INITIALIZATION PATTERN TYPE: the default one, or one that is repeated. */
const PatternType = { byDefault: 0x00, repeated: 0x01 } as const

interface Format {
  readonly immediate: boolean
  /** Undefined: the default one, zeroes. */
  readonly pattern: Uint8Array | undefined
}

/**
 * FORMAT UNIT (SBC-4 §5.4): the blocks get an initialization pattern, the capacity stays as it is. With a fast format they
 * are only deallocated, where the unit is thin, or nothing is done to them. A file has no defects that anybody could list
 * or certify away, so a list of them is refused; and there is no protection information (FMTPINFO isn't in the usage).
 */
function formatUnit(task: Task, unit: DiskUnit): Completion {
  const { cdb } = task
  const fast = cdb[4]! & FFMT
  if (fast === FFMT) throw invalidFieldInCdb("FFMT 11b is reserved", 4, 1)
  unit.checkWritable()
  if ((cdb[1]! & FMTDATA) === 0)
    return start(task, unit, { immediate: false, pattern: undefined }, fast !== 0)
  if ((cdb[1]! & DEFECT_LIST_FORMAT) > DEFECT_LIST_FORMAT_MAX) {
    throw invalidFieldInCdb("the DEFECT LIST FORMAT is 000b to 101b", 1, 2)
  }
  return fetchAndStart(task, unit, fast !== 0)
}

async function fetchAndStart(task: Task, unit: DiskUnit, fast: boolean): Promise<void> {
  const headerBytes = (task.cdb[1]! & LONGLIST) !== 0 ? 8 : 4
  // The CDB doesn't say how long the list is: the initiator does, and the list itself.
  const listBytesMax = headerBytes + PATTERN_HEADER_BYTES + unit.blockBytes
  if (task.dataOutBytesMax < headerBytes) {
    throw parameterListLengthError("the list ends within its header")
  }
  const list = await receiveParameterList(task, Math.min(task.dataOutBytesMax, listBytesMax), listBytesMax)
  await start(task, unit, formatOf(list, headerBytes, unit.blockBytes), fast)
}

function formatOf(list: Uint8Array, headerBytes: 4 | 8, blockBytes: number): Format {
  const flags = list[1]!
  if ((list[0]! & PROTECTION_FIELD_USAGE) !== 0) {
    throw invalidFieldInParameterList("there is no protection information", 0, 2)
  }
  if (headerBytes === 8 && list[3] !== 0)
    throw invalidFieldInParameterList("there is no protection interval", 3)
  if ((flags & FOV) === 0 && (flags & OPTIONS) !== 0) {
    throw invalidFieldInParameterList("format options go with FOV", 1, 6)
  }
  const defectBytes = headerBytes === 8 ? u32(list, 4) : u16(list, 2)
  if (defectBytes !== 0)
    throw invalidFieldInParameterList("no defect list is taken", headerBytes === 8 ? 4 : 2)
  const pattern = (flags & IP) !== 0 ? patternAt(list, headerBytes, blockBytes) : undefined
  return { immediate: (flags & IMMED) !== 0, pattern }
}

/** The initialization pattern descriptor (SBC-4 §5.4.2.3). SI isn't taken: SANITIZE is there for what it asks. */
function patternAt(list: Uint8Array, at: number, blockBytes: number): Uint8Array | undefined {
  if (list.length < at + PATTERN_HEADER_BYTES) {
    throw parameterListLengthError("the list ends within its initialization pattern descriptor")
  }
  if (list[at] !== 0) throw invalidFieldInParameterList("SI and the IP MODIFIER are not known", at, 7)
  const type = list[at + 1]
  const bytes = u16(list, at + 2)
  if (type === PatternType.byDefault && bytes === 0) return undefined
  if (type !== PatternType.repeated) {
    throw invalidFieldInParameterList(
      "the initialization pattern is the default one or a repeated one",
      at + 1,
    )
  }
  if (bytes === 0 || bytes > blockBytes) {
    throw invalidFieldInParameterList(`an initialization pattern can't have ${bytes} bytes here`, at + 2)
  }
  const from = at + PATTERN_HEADER_BYTES
  if (from + bytes > list.length) throw parameterListLengthError("the list ends within its pattern")
  return list.subarray(from, from + bytes)
}

function start(task: Task, unit: DiskUnit, { immediate, pattern }: Format, fast: boolean): Promise<void> {
  if (fast && pattern !== undefined) {
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.invalidFastFormat,
      "a fast format writes no initialization pattern",
    )
  }
  const treatment = treatmentOf(unit, pattern, fast)
  return unit.operations.start(
    task,
    { operation: "format", treatment, failed: false, unrestrictedExit: false },
    immediate,
  )
}

/** What is all zeroes afterwards is unmapped where it can be (SBC-4 §4.33.3.1, LBPRZ xx1b). */
function treatmentOf(unit: DiskUnit, pattern: Uint8Array | undefined, fast: boolean): Treatment {
  const zeroes = pattern?.every((byte) => byte === 0) ?? true
  if (!zeroes) return { method: "overwrite", pattern: pattern!, count: 1, invert: false }
  if (unit.thin) return { method: "unmap" }
  return { method: fast ? "keep" : "zero" }
}

export const formatUnitCommand: Command<DiskUnit> = {
  name: "FORMAT UNIT",
  opcode: OperationCode.formatUnit,
  usage: [OperationCode.formatUnit, LONGLIST | FMTDATA | CMPLST | DEFECT_LIST_FORMAT, 0, 0, FFMT, 0],
  access: "write",
  execute: formatUnit,
}
