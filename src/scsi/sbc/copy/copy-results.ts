import type { Completion } from "../../../base/completion.ts"
import {
  COPIES_MAX,
  COPY_DESCRIPTORS_BYTES_MAX,
  CSCD_DESCRIPTORS_MAX,
  SEGMENT_DESCRIPTORS_MAX,
} from "../../../base/limits.ts"
import { putU16, putU32, putU64, u32 } from "../../cdb/fields.ts"
import { invalidFieldInCdb } from "../../sam/field-error.ts"
import { sendParameterData } from "../../sam/parameter-data.ts"
import type { Task } from "../../sam/task.ts"
import { ThirdPartyCopyOut } from "../../spec/operation-code.ts"
import { encodeSense } from "../../spec/sense.ts"
import { Status } from "../../spec/status.ts"
import {
  CopyCommandStatus,
  CopyDescriptor,
  CopyOperationStatus,
  TransferCountUnits,
} from "../../spec/third-party-copy.ts"
import type { DiskUnit } from "../disk-unit.ts"
import type { CopyOperation } from "./operation.ts"

const LIST_ID = 2
const ALLOCATION_LENGTH = 10
const STATUS_HEADER_BYTES = 32
/** No need to ask again, and: who knows when (SPC-4 §6.24). */
const ENDED_DELAY = 0xffff_fffe
const UNKNOWN_DELAY = 0xffff_ffff
const SNLID = 0x01

/** The descriptor type codes there are, rising: OPERATING PARAMETERS and VPD page 8Fh tell the same. */
export const IMPLEMENTED_DESCRIPTORS: readonly number[] = Object.values(CopyDescriptor)

function operationOf(task: Task, unit: DiskUnit, listId: number): CopyOperation {
  const operation = unit.copies.find(task.nexus, listId)
  if (operation === undefined)
    throw invalidFieldInCdb(`no copy operation has list identifier ${listId}`, LIST_ID)
  return operation
}

const allocationOf = (task: Task): number => u32(task.cdb, ALLOCATION_LENGTH)

/** RECEIVE COPY STATUS (LID1) (SPC-4 §6.25). Of a failure the details remain to be asked for. */
export function receiveCopyStatusLid1(task: Task, unit: DiskUnit): Completion {
  const listId = task.cdb[LIST_ID]!
  const operation = operationOf(task, unit, listId)
  const { outcome } = operation
  const data = new Uint8Array(12)
  putU32(data, 0, 8)
  data[4] =
    outcome === undefined
      ? CopyCommandStatus.inProgress
      : outcome.kind === "completed"
        ? CopyCommandStatus.completed
        : CopyCommandStatus.completedWithErrors
  putU16(data, 5, operation.segments)
  const short = operation.bytes < 2 ** 32
  data[7] = short ? TransferCountUnits.bytes : TransferCountUnits.kibibytes
  putU32(data, 8, short ? operation.bytes : Math.floor(operation.bytes / 1024))
  if (outcome?.kind === "completed") unit.copies.forget(task.nexus, listId)
  return sendParameterData(task, data, allocationOf(task))
}

/** Of an operation that has ended; LID1. Throws SenseError. */
function endedOperationOf(task: Task, unit: DiskUnit): CopyOperation {
  const operation = operationOf(task, unit, task.cdb[LIST_ID]!)
  if (operation.outcome === undefined) throw invalidFieldInCdb("the copy operation is under way", LIST_ID)
  return operation
}

/** RECEIVE COPY DATA (LID1) (SPC-4 §6.21): the segment descriptors we know hold no data for the initiator. */
export function receiveCopyDataLid1(task: Task, unit: DiskUnit): Completion {
  endedOperationOf(task, unit)
  return sendParameterData(task, new Uint8Array(4), allocationOf(task))
}

/** RECEIVE COPY FAILURE DETAILS (LID1) (SPC-4 §6.23). Once they were handed over whole they are forgotten. */
export function receiveCopyFailureDetailsLid1(task: Task, unit: DiskUnit): Completion {
  const operation = endedOperationOf(task, unit)
  if (operation.request.serviceAction !== ThirdPartyCopyOut.extendedCopyLid1) {
    throw invalidFieldInCdb("that was no EXTENDED COPY (LID1)", LIST_ID)
  }
  const allocation = allocationOf(task)
  const sense = senseOf(operation)
  if (sense === undefined) return sendParameterData(task, new Uint8Array(4), allocation)
  const data = new Uint8Array(60 + sense.length)
  putU32(data, 0, data.length - 4)
  data[56] = Status.checkCondition
  putU16(data, 58, sense.length)
  data.set(sense, 60)
  if (allocation === 0 || allocation >= data.length) unit.copies.forget(task.nexus, task.cdb[LIST_ID]!)
  return sendParameterData(task, data, allocation)
}

/** In descriptor format, which has room for all of it. */
function senseOf({ outcome }: CopyOperation): Uint8Array | undefined {
  return outcome?.kind === "failed" ? encodeSense(outcome.sense, "descriptor") : undefined
}

/** RECEIVE COPY STATUS (LID4) (SPC-4 §6.24). */
export function receiveCopyStatusLid4(task: Task, unit: DiskUnit): Completion {
  const operation = operationOf(task, unit, u32(task.cdb, LIST_ID))
  const data = statusHeader(operation, 0)
  data[15] = TransferCountUnits.bytes
  putU64(data, 16, operation.bytes)
  return sendParameterData(task, data, allocationOf(task))
}

/** RECEIVE ROD TOKEN INFORMATION (SPC-4 §6.26, SBC-3 §5.22): counts blocks, and has the token behind the status. */
export function receiveRodTokenInformation(task: Task, unit: DiskUnit): Completion {
  const listId = u32(task.cdb, LIST_ID)
  const operation = operationOf(task, unit, listId)
  const allocation = allocationOf(task)
  const { outcome, token } = operation
  const tokenBytes = token === undefined ? 0 : 2 + token.length
  const data = statusHeader(operation, 4 + tokenBytes)
  data[15] = TransferCountUnits.destinationBlocks
  putU64(data, 16, Math.ceil(operation.bytes / unit.blockBytes))
  putU32(data, data.length - tokenBytes - 4, tokenBytes)
  if (token !== undefined) data.set(token, data.length - token.length)
  if (outcome !== undefined && (allocation === 0 || allocation >= data.length)) operation.token = undefined
  return sendParameterData(task, data, allocation)
}

/** The shared third-party copy status header (SPC-4 §5.17.4.4) with its sense data, and `moreBytes` behind it. */
function statusHeader(operation: CopyOperation, moreBytes: number): Uint8Array {
  const sense = senseOf(operation)
  const senseBytes = Math.ceil((sense?.length ?? 0) / 4) * 4
  const data = new Uint8Array(STATUS_HEADER_BYTES + senseBytes + moreBytes)
  putU32(data, 0, data.length - 4)
  data[4] = operation.request.serviceAction
  data[5] = operationStatusOf(operation)
  putU16(data, 6, operation.transfers & 0xffff)
  putU32(data, 8, operation.outcome === undefined ? UNKNOWN_DELAY : ENDED_DELAY)
  data[12] = completionStatusOf(operation)
  data[13] = senseBytes
  data[14] = sense?.length ?? 0
  putU16(data, 24, operation.segments)
  if (sense !== undefined) data.set(sense, STATUS_HEADER_BYTES)
  return data
}

function operationStatusOf({ outcome, request }: CopyOperation): number {
  switch (outcome?.kind) {
    case undefined:
      return request.immediate ? CopyOperationStatus.inBackground : CopyOperationStatus.inForeground
    case "failed":
      return CopyOperationStatus.completedWithErrors
    case "terminated":
      return CopyOperationStatus.terminated
    case "completed":
      return outcome?.partial ? CopyOperationStatus.completedWithPartialToken : CopyOperationStatus.completed
  }
}

function completionStatusOf({ outcome }: CopyOperation): Status {
  if (outcome?.kind === "failed") return Status.checkCondition
  return outcome?.kind === "terminated" ? Status.taskAborted : Status.good
}

/** RECEIVE COPY OPERATING PARAMETERS (SPC-4 §6.22). */
export function receiveCopyOperatingParameters(task: Task): Completion {
  const data = new Uint8Array(44 + IMPLEMENTED_DESCRIPTORS.length)
  putU32(data, 0, data.length - 4)
  data[4] = SNLID
  putU16(data, 8, CSCD_DESCRIPTORS_MAX)
  putU16(data, 10, SEGMENT_DESCRIPTORS_MAX)
  putU32(data, 12, COPY_DESCRIPTORS_BYTES_MAX)
  putU16(data, 34, COPIES_MAX)
  data[36] = COPIES_MAX
  data[43] = IMPLEMENTED_DESCRIPTORS.length
  data.set(IMPLEMENTED_DESCRIPTORS, 44)
  return sendParameterData(task, data, allocationOf(task))
}
