import { SanletError } from "../base/errors.ts"
import { rejectReasonName } from "../iscsi/spec/index.ts"

/** The session has ended for good: closed by its user, or not to be had again. Codes: ERR_SESSION_CLOSED, ERR_SESSION_LOST. */
export class SessionError extends SanletError {}

/** The connection of a session was dropped by us: the target is silent or breaks the protocol. Code: ERR_CONNECTION. */
export class ConnectionError extends SanletError {
  constructor(message: string, options?: ErrorOptions) {
    super("ERR_CONNECTION", message, options)
  }
}

/**
 * The connection was lost before the answer to a command that isn't safe to send twice. The target may have carried
 * it out, or not. Code: ERR_OUTCOME_UNKNOWN.
 */
export class OutcomeUnknownError extends SanletError {
  constructor(command: string, options?: ErrorOptions) {
    super(
      "ERR_OUTCOME_UNKNOWN",
      `${command}: the connection was lost before the answer; it may have been carried out`,
      options,
    )
  }
}

/** A command took longer than its `timeoutMs`; it was aborted. Code: ERR_COMMAND_TIMEOUT. */
export class CommandTimeoutError extends SanletError {
  constructor(command: string, timeoutMs: number) {
    super("ERR_COMMAND_TIMEOUT", `${command}: no answer within ${timeoutMs} ms`)
  }
}

/** The target won't have a PDU of ours (Reject, RFC 7143 §11.17). Code: ERR_REJECTED. */
export class RejectedError extends SanletError {
  readonly reason: number

  constructor(what: string, reason: number) {
    super("ERR_REJECTED", `${what}: rejected by the target (${rejectReasonName(reason)})`)
    this.reason = reason
  }
}

/** A SCSI Response that says the target itself failed (response code other than 0, RFC 7143 §11.4.3). Code: ERR_TARGET_FAILURE. */
export class TargetFailureError extends SanletError {
  constructor(command: string, response: number) {
    super("ERR_TARGET_FAILURE", `${command}: target failure (response code ${response})`)
  }
}

/** A task management function wasn't carried out; `response` is that of RFC 7143 §11.6.1. Code: ERR_TASK_MANAGEMENT. */
export class TaskManagementError extends SanletError {
  readonly response: number

  constructor(message: string, response: number) {
    super("ERR_TASK_MANAGEMENT", message)
    this.response = response
  }
}

/** A Logout Request wasn't answered with success. Code: ERR_LOGOUT. */
export class LogoutError extends SanletError {
  constructor(message: string) {
    super("ERR_LOGOUT", message)
  }
}

/** What answers at this LUN is not the logical unit it was. Code: ERR_UNIT_CHANGED. */
export class UnitChangedError extends SanletError {
  constructor(message: string) {
    super("ERR_UNIT_CHANGED", message)
  }
}

/**
 * What a caller asks of a Disk can't be asked of it. Codes: ERR_RANGE (beyond its end), ERR_ALIGNMENT (no whole
 * blocks), ERR_ARGUMENT, ERR_NOT_SUPPORTED (the logical unit doesn't have it).
 */
export class DiskError extends SanletError {}

/** A command ended GOOD with fewer bytes moved than it had to. Code: ERR_SHORT_TRANSFER. */
export class ShortTransferError extends SanletError {
  constructor(command: string, movedBytes: number, wantedBytes: number) {
    super("ERR_SHORT_TRANSFER", `${command}: ${movedBytes} of ${wantedBytes} bytes were moved`)
  }
}
