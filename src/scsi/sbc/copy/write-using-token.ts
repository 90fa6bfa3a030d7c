import { COPY_ZERO_STEP_BYTES, ROD_RANGES_MAX } from "../../../base/limits.ts"
import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { parameterListLengthError, receiveParameterList } from "../../sam/parameter-data.ts"
import type { Task } from "../../sam/task.ts"
import { ThirdPartyCopyOut } from "../../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import { ROD_TOKEN_BYTES, ROD_TOKEN_LENGTH, RodType } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { u64 } from "../fields.ts"
import { CopyEnd, CopyEndError } from "./copy-end.ts"
import { type CopyManager, copyManagerOf } from "./copy-manager.ts"
import { copyRun } from "./copy-run.ts"
import { parseCscd, unitNamed } from "./cscd.ts"
import type { CopyOperation } from "./operation.ts"
import { type ByteRange, parseRanges, slice, totalBytes } from "./ranges.ts"
import { hasCreator, ROD_TOKEN_CREATOR } from "./rod-token-format.ts"
import type { RodToken } from "./rod-tokens.ts"

const OFFSET_INTO_ROD = 8
const TOKEN = 16
const RANGES_LENGTH = TOKEN + ROD_TOKEN_BYTES + 6
const HEADER_BYTES = RANGES_LENGTH + 2
const RANGE_BYTES = 16
const LIST_BYTES_MAX = HEADER_BYTES + (ROD_RANGES_MAX + 1) * RANGE_BYTES
const DATA_LENGTH_MIN = 0x226
const IMMED = 0x01
const DEL_TKN = 0x02

/** A token that somebody has presented, and the copy manager that has made it. */
interface Presented {
  readonly token: RodToken
  readonly creator: CopyManager
}

/** WRITE USING TOKEN (SBC-3 §5.46): writes what a ROD token of any unit of the target stands for, or zeroes. */
export async function writeUsingToken(task: Task, unit: DiskUnit): Promise<void> {
  unit.counters.writeCommands++
  unit.checkWritable()
  const bytes = u32(task.cdb, 10)
  if (bytes === 0) return
  if (bytes < HEADER_BYTES) throw parameterListLengthError(`the header has ${HEADER_BYTES} bytes`)
  const list = await receiveParameterList(task, bytes, LIST_BYTES_MAX)
  checkLengths(list)
  const flags = list[2]!
  const ranges = parseRanges(list, RANGES_LENGTH, unit)
  const presented = tokenOf(task, list.subarray(TOKEN, TOKEN + ROD_TOKEN_BYTES))
  const request = {
    serviceAction: ThirdPartyCopyOut.writeUsingToken,
    listId: u32(task.cdb, 6),
    immediate: (flags & IMMED) !== 0,
  }
  if (presented === undefined) {
    return unit.copies.originate(task, request, (operation) => writeZeroes(operation, unit, ranges))
  }
  const { token, creator } = presented
  const offset = u64(list, OFFSET_INTO_ROD) * unit.blockBytes
  if (offset >= totalBytes(token.ranges)) {
    throw invalidFieldInParameterList(
      "OFFSET INTO ROD lies behind what the token stands for",
      OFFSET_INTO_ROD,
    )
  }
  await unit.copies.originate(task, request, async (operation) => {
    try {
      await creator.tokens.using(token, () => writeToken(operation, unit, ranges, presented, offset))
    } finally {
      if ((flags & DEL_TKN) !== 0) creator.tokens.delete(token)
    }
  })
}

function checkLengths(list: Uint8Array): void {
  const dataLength = u16(list, 0)
  if (dataLength < DATA_LENGTH_MIN || dataLength !== u16(list, RANGES_LENGTH) + RANGES_LENGTH) {
    throw invalidFieldInParameterList("WRITE USING TOKEN DATA LENGTH doesn't fit the ranges", 0)
  }
}

/** Undefined: the block device zero ROD token. Throws SenseError INVALID TOKEN OPERATION (SPC-4 §5.17.6.5.2.3). */
function tokenOf(task: Task, bytes: Uint8Array): Presented | undefined {
  if (u16(bytes, 6) !== ROD_TOKEN_LENGTH)
    throw invalidToken(Asc.invalidTokenLength, "ROD TOKEN LENGTH is 01F8h")
  switch (u32(bytes, 0)) {
    case RodType.blockDeviceZero:
      return undefined
    case RodType.pointInTimeChangeVulnerable:
      break
    default:
      throw invalidToken(Asc.invalidTokenUnsupportedType, "tokens of this type aren't known")
  }
  const unit = hasCreator(bytes)
    ? unitNamed(task.nexus, parseCscd(bytes, ROD_TOKEN_CREATOR).designator)
    : undefined
  const creator = unit && copyManagerOf(unit)
  const token = creator?.tokens.find(bytes)
  if (creator === undefined || token === undefined) {
    throw invalidToken(Asc.invalidTokenUnknown, "no logical unit of this target has made the token")
  }
  return { token, creator }
}

const invalidToken = (asc: Asc, message: string): SenseError =>
  new SenseError(SenseKey.illegalRequest, asc, message)

/**
 * As many whole blocks as the token has data for; the last may be filled up with zeroes, when the source's blocks are
 * shorter.
 */
async function writeToken(
  operation: CopyOperation,
  unit: DiskUnit,
  ranges: readonly ByteRange[],
  { token, creator }: Presented,
  offset: number,
): Promise<void> {
  const available = totalBytes(token.ranges) - offset
  operation.partial = totalBytes(ranges) > available
  const source = new CopyEnd(creator.unit, "source", operation)
  const destination = new CopyEnd(unit, "destination", operation)
  const check = () => token.check()
  let done = 0
  for (const range of ranges) {
    let at = range.offsetBytes
    const wanted = Math.min(range.lengthBytes, available - done)
    for (const part of slice(token.ranges, offset + done, offset + done + wanted)) {
      check()
      await attempt(() =>
        copyRun(operation, {
          source,
          sourceBytes: part.offsetBytes,
          destination,
          destinationBytes: at,
          lengthBytes: part.lengthBytes,
          rest:
            at + part.lengthBytes === range.offsetBytes + wanted && wanted < range.lengthBytes
              ? "zeroes"
              : "kept",
          check,
        }),
      )
      at += part.lengthBytes
      done += part.lengthBytes
    }
  }
}

/** The block device zero ROD token. Where the unit is thin the zeroes take no storage. */
async function writeZeroes(
  operation: CopyOperation,
  unit: DiskUnit,
  ranges: readonly ByteRange[],
): Promise<void> {
  const destination = new CopyEnd(unit, "destination", operation)
  for (const { offsetBytes, lengthBytes } of ranges) {
    for (let at = 0; at < lengthBytes; at += COPY_ZERO_STEP_BYTES) {
      const step = Math.min(COPY_ZERO_STEP_BYTES, lengthBytes - at)
      await attempt(() => destination.zero(offsetBytes + at, step))
      operation.bytes += step
    }
  }
}

/** What fails at the destination is the command's own failure, what fails at the source a third party's. */
async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof CopyEndError)) throw error
    if (error.role === "destination" && error.sense !== undefined) throw error.sense
    throw new SenseError(SenseKey.copyAborted, Asc.thirdPartyDeviceFailure, error.message, {
      forwarded: error.forwarded,
    })
  }
}
