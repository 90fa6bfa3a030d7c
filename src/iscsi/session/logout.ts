import { isPromise } from "../../base/completion.ts"
import type { ReceivedPdu } from "../da.ts"
import type { LogoutRequest } from "../pdu/index.ts"
import { LogoutReason, LogoutResponseCode, RejectReason } from "../spec/index.ts"
import type { TargetConnection } from "./target-connection.ts"

/**
 * A Logout Request (RFC 7143 §11.14). The response comes when the tasks of what is closed have ended; none of them is
 * answered any more.
 */
export function logOut(connection: TargetConnection, request: LogoutRequest, pdu: ReceivedPdu): void {
  const { initiatorTaskTag: tag, reasonCode: reason, cid } = request
  switch (reason) {
    case LogoutReason.closeSession:
      return leave(connection, tag, others(connection))
    case LogoutReason.closeConnection:
      return cid === connection.cid ? leave(connection, tag, []) : closeOther(connection, tag, cid)
    case LogoutReason.removeConnectionForRecovery:
      return respond(connection, tag, LogoutResponseCode.recoveryNotSupported)
    default:
      return connection.reject(RejectReason.invalidPduField, pdu)
  }
}

/** The session's other connections that are through with their login. */
const others = (connection: TargetConnection): TargetConnection[] =>
  [...connection.session!.connections.values()].filter((other) => other !== connection)

function leave(connection: TargetConnection, tag: number, withIt: readonly TargetConnection[]): void {
  connection.enter("in-logout")
  for (const other of withIt) other.close("logout")
  const left = (): void => {
    if (connection.over) return
    respond(connection, tag, LogoutResponseCode.closed)
    connection.loggedOut()
  }
  const ended = connection.session!.user.connectionEnded(connection)
  if (!isPromise(ended) && withIt.length === 0) return left()
  connection.inBackground(Promise.all([ended, ...withIt.map(({ freed }) => freed)]).then(left))
}

/** A connection may be closed from another one of its session. */
function closeOther(connection: TargetConnection, tag: number, cid: number): void {
  const other = connection.session!.connections.get(cid)
  if (other === undefined) return respond(connection, tag, LogoutResponseCode.cidNotFound)
  other.close("logout")
  connection.inBackground(other.freed.then(() => respond(connection, tag, LogoutResponseCode.closed)))
}

function respond(connection: TargetConnection, tag: number, response: number): void {
  if (connection.over) return
  const header = connection.header.logout(tag)
  header.response = response
  header.time2Wait = connection.keys.defaultTime2Wait
  header.time2Retain = connection.keys.defaultTime2Retain
  connection.send(header)
}
