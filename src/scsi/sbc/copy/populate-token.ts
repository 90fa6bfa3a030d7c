import { ROD_RANGES_MAX, ROD_TOKEN_INACTIVITY_MS, ROD_TOKEN_INACTIVITY_MS_MAX } from "../../../base/limits.ts"
import { u16, u32 } from "../../cdb/fields.ts"
import { invalidFieldInParameterList } from "../../sam/field-error.ts"
import { parameterListLengthError, receiveParameterList } from "../../sam/parameter-data.ts"
import type { Task } from "../../sam/task.ts"
import { ThirdPartyCopyOut } from "../../spec/operation-code.ts"
import { RodType } from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import type { CopyOperation } from "./operation.ts"
import { type ByteRange, parseRanges, totalBytes } from "./ranges.ts"
import { rodToken } from "./rod-token-format.ts"

const HEADER_BYTES = 16
const RANGE_BYTES = 16
const LIST_BYTES_MAX = HEADER_BYTES + (ROD_RANGES_MAX + 1) * RANGE_BYTES
const DATA_LENGTH_MIN = 0x1e
const IMMED = 0x01
const RTV = 0x02

interface Wish {
  readonly immediate: boolean
  readonly inactivityMs: number
  readonly ranges: readonly ByteRange[]
}

/**
 * POPULATE TOKEN (SBC-3 §5.7): a token for the blocks as they are now, which RECEIVE ROD TOKEN INFORMATION hands over. It costs
 * nothing, and is good until one of the blocks changes.
 */
export async function populateToken(task: Task, unit: DiskUnit): Promise<void> {
  unit.counters.readCommands++
  unit.checkReady()
  const bytes = u32(task.cdb, 10)
  if (bytes === 0) return
  if (bytes < HEADER_BYTES) throw parameterListLengthError("the header has 16 bytes")
  const list = await receiveParameterList(task, bytes, LIST_BYTES_MAX)
  const { immediate, inactivityMs, ranges } = parseWish(list, unit)
  const request = { serviceAction: ThirdPartyCopyOut.populateToken, listId: u32(task.cdb, 6), immediate }
  await unit.copies.originate(task, request, (operation) => populate(operation, unit, ranges, inactivityMs))
}

function parseWish(list: Uint8Array, unit: DiskUnit): Wish {
  if (u16(list, 0) < DATA_LENGTH_MIN) {
    throw invalidFieldInParameterList("POPULATE TOKEN DATA LENGTH is at least 001Eh", 0)
  }
  const flags = list[2]!
  const inactivityMs = u32(list, 4) * 1000
  if (inactivityMs > ROD_TOKEN_INACTIVITY_MS_MAX) {
    throw invalidFieldInParameterList(`INACTIVITY TIMEOUT is at most ${ROD_TOKEN_INACTIVITY_MS_MAX} ms`, 4)
  }
  if ((flags & RTV) !== 0 && u32(list, 8) !== RodType.pointInTimeChangeVulnerable) {
    throw invalidFieldInParameterList("tokens are of type 00800001h", 8)
  }
  return {
    immediate: (flags & IMMED) !== 0,
    inactivityMs: inactivityMs || ROD_TOKEN_INACTIVITY_MS,
    ranges: parseRanges(list, 14, unit),
  }
}

/**
 * A write that is under way when the token is made would change what it stands for without anybody noticing: it is waited
 * for, while one that begins later cancels the token.
 */
async function populate(
  operation: CopyOperation,
  unit: DiskUnit,
  ranges: readonly ByteRange[],
  inactivityMs: number,
): Promise<void> {
  const bytes = totalBytes(ranges)
  const token = unit.copies.tokens.create(ranges, inactivityMs, (identifier, random) =>
    rodToken(unit, operation.nexus.identity, identifier, bytes, random),
  )
  try {
    for (const { offsetBytes, lengthBytes } of ranges) {
      await unit.medium.alone(offsetBytes, lengthBytes, operation, async () => {})
    }
  } catch (error) {
    unit.copies.tokens.delete(token)
    throw error
  }
  operation.bytes = bytes
  operation.token = token.bytes
}
