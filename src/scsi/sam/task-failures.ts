import { SanletError } from "../../base/errors.ts"
import type { Log } from "../../base/log.ts"
import { Asc, type Sense, type SenseDetail, SenseError, SenseKey } from "../spec/sense.ts"
import { Status } from "../spec/status.ts"
import type { Task } from "./task.ts"

/** With what a logical unit ends tasks that it doesn't carry out, or that fail in a way their command hasn't foreseen. */

export const unitAttention = (asc: number, detail: SenseDetail): SenseError =>
  new SenseError(SenseKey.unitAttention, asc, "a unit attention condition is pending", detail)

export const acaWithoutAca: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.invalidMessageError,
  detail: {},
}
export const notSupported: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.logicalUnitNotSupported,
  detail: {},
}
export const overlappedCommands: Sense = {
  key: SenseKey.abortedCommand,
  asc: Asc.overlappedCommandsAttempted,
  detail: {},
}
const dataLost: Sense = { key: SenseKey.abortedCommand, asc: Asc.noAdditionalSense, detail: {} }
const internalFailure: Sense = { key: SenseKey.hardwareError, asc: Asc.internalTargetFailure, detail: {} }

/** What the initiator is told of an error. What is no answer to its doing goes to the log. */
export function senseOf(task: Task, error: unknown, log: Log): Sense {
  if (error instanceof SenseError) return error
  // The transport has lost the task's data, and most likely the way to answer with it.
  if (error instanceof SanletError && error.code === "ERR_TASK_ABORTED") return dataLost
  const { message } = error instanceof Error ? error : { message: String(error) }
  log.error(
    { initiator: task.nexus.identity.initiatorName, operationCode: task.cdb[0] },
    `a command failed for no reason of the initiator's: ${message}`,
  )
  return internalFailure
}

/**
 * Ends a command with a status that is neither GOOD nor CHECK CONDITION. Thrown like a SenseError, since a command that an ACA
 * condition blocks meanwhile is not to answer before that is cleared.
 */
export class StatusError extends SanletError {
  readonly status: Status

  constructor(status: Status, message: string) {
    super("ERR_STATUS", message)
    this.status = status
  }
}

/** The unit attention that tells of a status (UA_INTLCK_CTRL 11b). */
export const previousStatus: Readonly<Record<number, number>> = {
  [Status.busy]: Asc.previousBusyStatus,
  [Status.taskSetFull]: Asc.previousTaskSetFullStatus,
  [Status.reservationConflict]: Asc.previousReservationConflictStatus,
}
