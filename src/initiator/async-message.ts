import type { Clock } from "../base/clock.ts"
import { TaskAbortedError } from "../iscsi/da.ts"
import { AsyncEvent } from "../iscsi/spec/index.ts"
import { decodeSense } from "../scsi/spec/sense.ts"
import type { AsyncNotice, InitiatorConnection } from "./connection.ts"
import { exchangeText } from "./exchanges.ts"
import type { SessionEvent } from "./session-event.ts"

/** What an Async Message may make a session do. */
export interface AsyncActions {
  readonly clock: Clock
  tell(event: SessionEvent): void
  /** Logs out within that time, and comes back. */
  logOut(withinMs: number): void
  /** Takes the connection for lost; the next login is to wait. */
  drop(waitMs: number): void
  /** The target has ended the tasks of this LUN. */
  terminate(connection: InitiatorConnection, lun: number, error: Error): void
}

/** RFC 7143 §11.9.1, event by event. */
export function handleAsyncMessage(
  notice: AsyncNotice,
  connection: InitiatorConnection,
  actions: AsyncActions,
): void {
  switch (notice.event) {
    case AsyncEvent.scsiAsyncEvent: {
      const length = ((notice.data[0] ?? 0) << 8) | (notice.data[1] ?? 0)
      const sense = decodeSense(notice.data.subarray(2, 2 + length))
      return actions.tell({ kind: "scsi-event", lun: notice.lun, ...(sense && { sense }) })
    }
    case AsyncEvent.logoutRequest: {
      const withinMs = notice.parameter3 * 1000
      actions.tell({ kind: "logout-requested", withinMs })
      return actions.logOut(withinMs)
    }
    case AsyncEvent.connectionDrop:
    case AsyncEvent.sessionDrop:
      return actions.drop(notice.parameter2 * 1000)
    case AsyncEvent.negotiationRequest:
      // To be followed by a Text Request, which may be empty. Whether the target then says anything is its affair.
      return void exchangeText(connection, actions.clock, new Uint8Array(0)).catch(() => {})
    case AsyncEvent.taskTermination:
      connection.acknowledge()
      return actions.terminate(connection, notice.lun, new TaskAbortedError("ended by the target"))
    default:
      return actions.tell({ kind: "vendor-event", code: notice.vCode, data: notice.data })
  }
}
