import { IMMEDIATE_COMMANDS_MAX } from "../../base/limits.ts"
import type { ReceivedPdu } from "../da.ts"
import { ISCSI_RESERVED_TAG } from "../pdu/bhs.ts"
import type { TaskManagementRequest } from "../pdu/index.ts"
import {
  RejectReason,
  TaskManagementFunction,
  TaskManagementResponseCode,
  taskManagementFunctionName,
  taskManagementResponseName,
} from "../spec/index.ts"
import type { TaskManagement } from "./session-user.ts"
import type { TargetConnection } from "./target-connection.ts"
import type { TargetSession } from "./target-session.ts"

const { abortTask, abortTaskSet, clearTaskSet, logicalUnitReset } = TaskManagementFunction
const { targetWarmReset, targetColdReset, taskReassign } = TaskManagementFunction

/** Functions that act on every command numbered before them, which must have come first (RFC 7143 §4.2.3.3 b). */
const waitsForCommands = new Set<number>([abortTaskSet, clearTaskSet, logicalUnitReset])
/** Those that end all of the session's tasks anyhow: commands that are missing needn't be waited for (§4.2.3.4 a). */
const endsEverything = new Set<number>([targetWarmReset, targetColdReset])

/** A Task Management Function Request whose turn has come (RFC 7143 §11.5). */
export function taskManagementReceived(
  connection: TargetConnection,
  request: TaskManagementRequest,
  pdu: ReceivedPdu,
  immediate: boolean,
): void {
  const session = connection.session!
  const refusal = refusalOf(connection, session, request, immediate)
  if (refusal !== undefined) {
    if (!immediate) session.window.retire()
    if (!connection.over) connection.reject(refusal, pdu)
    return
  }
  if (immediate && session.window.lacksBefore(request.cmdSn)) {
    if (waitsForCommands.has(request.function)) return waitForCommands(connection, session, request, pdu)
    if (endsEverything.has(request.function)) {
      session.window.skipBefore(request.cmdSn)
      session.deliverDue()
    }
  }
  perform(connection, session, request, immediate)
}

function refusalOf(
  connection: TargetConnection,
  session: TargetSession,
  request: TaskManagementRequest,
  immediate: boolean,
): number | undefined {
  const { initiatorTaskTag: tag } = request
  const open = connection.state === "logged-in" || connection.state === "logout-requested"
  if (!open || session.identity.type === "Discovery") return RejectReason.protocolError
  if (tag === ISCSI_RESERVED_TAG) return RejectReason.invalidPduField
  if (session.functions.has(tag) || session.tasks.has(tag)) return RejectReason.taskInProgress
  if (immediate && session.functions.size >= IMMEDIATE_COMMANDS_MAX)
    return RejectReason.immediateCommandReject
  return undefined
}

function waitForCommands(
  connection: TargetConnection,
  session: TargetSession,
  request: TaskManagementRequest,
  pdu: ReceivedPdu,
): void {
  const held = session.hold(pdu, connection)
  if (held) session.window.keepUntil(request.cmdSn, held)
  else connection.reject(RejectReason.immediateCommandReject, pdu)
}

function perform(
  connection: TargetConnection,
  session: TargetSession,
  request: TaskManagementRequest,
  immediate: boolean,
): void {
  const { initiatorTaskTag: tag } = request
  // The header lies in receive memory: what is needed later is copied.
  const asked: TaskManagement = {
    function: request.function,
    lunHigh: request.bytes.getUint32(request.lun),
    lunLow: request.bytes.getUint32(request.lun + 4),
    referencedTaskTag: request.referencedTaskTag,
  }
  const respond = (response: number): void => {
    session.functions.delete(tag)
    if (!immediate) session.window.retire()
    report(connection, asked, response)
    if (connection.over) return
    const header = connection.header.taskManagement(tag)
    header.response = response
    connection.send(header)
    session.user.taskManagementAnswered(asked, response)
  }
  session.functions.add(tag)
  const known = withoutTask(session, request)
  if (known !== undefined) return respond(known)
  session.user.taskManagementReceived(asked).then(respond, (error: Error) => {
    connection.log.error({ ...connection.fields, error: error.message }, "task management failed")
    respond(TaskManagementResponseCode.functionRejected)
  })
}

/** The functions answered without the SCSI layer: those of iSCSI, and ABORT TASK of what is no task here. */
function withoutTask(session: TargetSession, request: TaskManagementRequest): number | undefined {
  const { function: wanted, referencedTaskTag, refCmdSn, cmdSn } = request
  if (wanted === taskReassign) return TaskManagementResponseCode.taskAllegianceReassignmentNotSupported
  if (wanted !== abortTask || session.tasks.has(referencedTaskTag)) return undefined
  // A function can't be aborted (RFC 7143 §11.5.1).
  if (session.functions.has(referencedTaskTag)) return TaskManagementResponseCode.functionRejected
  // The command may be on its way: then it counts as received, and is dropped if it comes (§11.5.5).
  if (!session.window.awaits(refCmdSn, cmdSn)) return TaskManagementResponseCode.taskDoesNotExist
  session.window.skip(refCmdSn)
  session.deliverDue()
  return TaskManagementResponseCode.functionComplete
}

function report(connection: TargetConnection, asked: TaskManagement, response: number): void {
  const fields = {
    ...connection.fields,
    function: taskManagementFunctionName(asked.function),
    response: taskManagementResponseName(response),
    lun: `${hex(asked.lunHigh)}${hex(asked.lunLow)}`,
    ...(asked.function === abortTask && { tag: asked.referencedTaskTag }),
  }
  connection.log.info(fields, "task management function")
}

const hex = (word: number): string => word.toString(16).padStart(8, "0")
