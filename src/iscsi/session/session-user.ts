import type { Eventually } from "../../base/completion.ts"
import type { ReceivedPdu } from "../da.ts"
import type { TargetConnection } from "./target-connection.ts"

/** A SCSI command under way, as the session knows it. */
export interface SessionTask {
  /** Initiator Task Tag: unique among the session's tasks. */
  readonly tag: number
  /** The connection the task's data and status go over (connection allegiance, RFC 7143 §4.2.5.1). */
  readonly connection: TargetConnection
  readonly cmdSn: number
  /** Unsolicited data has come for it. `damaged`: its data digest is wrong, only the header counts. */
  dataOutReceived(pdu: ReceivedPdu, damaged: boolean): void
}

/** A task management function as the request names it (RFC 7143 §11.5). */
export interface TaskManagement {
  readonly function: number
  readonly lunHigh: number
  readonly lunLow: number
  /** Only for ABORT TASK and TASK REASSIGN. */
  readonly referencedTaskTag: number
}

/** The SCSI side of a session: what the iSCSI layer hands commands to. It knows SCSI, the session doesn't. */
export interface SessionUser {
  /** A SCSI command, in CmdSN order. `pdu` is valid during the call only. */
  commandReceived(connection: TargetConnection, pdu: ReceivedPdu, cmdSn: number, immediate: boolean): void
  /** Resolves with a response code of RFC 7143 §11.6.1, once nothing of the aborted tasks can happen any more. */
  taskManagementReceived(request: TaskManagement): Promise<number>
  /** Its response has been sent. */
  taskManagementAnswered(request: TaskManagement, response: number): void
  /**
   * The connection is gone or leaving: its tasks end without a word. Resolves when none of them touches the medium
   * any more.
   */
  connectionEnded(connection: TargetConnection): Eventually<void>
  /** The session is gone, and the I_T nexus with it. */
  sessionEnded(): Eventually<void>
}

/** Answers SendTargets (RFC 7143 appendix C): "All", a target's name, or "" for the session's own. Undefined: not for this session. */
export type SendTargets = (which: string) => Uint8Array | undefined
