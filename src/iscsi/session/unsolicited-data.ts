import type { ReceivedPdu } from "../da.ts"
import type { TargetConnection } from "./target-connection.ts"
import type { TargetSession } from "./target-session.ts"

/**
 * Data-Out with no Target Transfer Tag: what the initiator sends unasked after a command (RFC 7143 §4.2.5.2).
 * `damaged`: its data digest is wrong, only the header counts.
 */
export function unsolicitedDataReceived(
  connection: TargetConnection,
  pdu: ReceivedPdu,
  damaged: boolean,
): void {
  const session = connection.session!
  const tag = pdu.view.getUint32(pdu.at + 16)
  const task = session.tasks.get(tag)
  if (task?.connection === connection) return task.dataOutReceived(pdu, damaged)
  if (session.window.keepsAny) keepForItsCommand(connection, session, tag, pdu, damaged)
  // else: for a task that has ended already (refused, aborted) it is only late.
}

/** Its command may be one that waits for its turn. */
function keepForItsCommand(
  connection: TargetConnection,
  session: TargetSession,
  tag: number,
  pdu: ReceivedPdu,
  damaged: boolean,
): void {
  for (const held of session.window.kept()) {
    if (held.connection !== connection || held.initiatorTaskTag !== tag) continue
    const data = session.hold(pdu, connection)
    if (!data) return connection.fail("too much came ahead of its turn")
    data.damaged = damaged
    held.data.push(data)
    return
  }
}
