import type { Clock } from "../base/clock.ts"
import { EXCHANGE_DEADLINE_MS, SEND_TARGETS_BYTES_MAX } from "../base/limits.ts"
import type { ReceivedPdu } from "../iscsi/da.ts"
import {
  ISCSI_RESERVED_TAG,
  LogoutResponse,
  Opcode,
  TaskManagementResponse,
  TextResponse,
} from "../iscsi/pdu/index.ts"
import { type LogoutReason, LogoutResponseCode, logoutResponseName } from "../iscsi/spec/index.ts"
import type { Command } from "./command.ts"
import type { Exchange, InitiatorConnection } from "./connection.ts"
import { ConnectionError, LogoutError } from "./errors.ts"

/**
 * A request other than a SCSI command and the wait for its answer. A target that doesn't answer in time is given up:
 * the connection is dropped, and the promise rejects with ConnectionError. A signal ends the wait only.
 */
function exchange<T>(
  title: string,
  opcode: number,
  connection: InitiatorConnection,
  clock: Clock,
  signal: AbortSignal | undefined,
  send: (exchange: Exchange) => void,
  read: (pdu: ReceivedPdu, exchange: Exchange) => T | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error)
    if (connection.over) return reject(new ConnectionError(`${title}: there is no connection`))
    const timer = clock.after(EXCHANGE_DEADLINE_MS, title, () => {
      connection.fail(new ConnectionError(`${title}: no answer within ${EXCHANGE_DEADLINE_MS} ms`))
    })
    const end = () => {
      timer.cancel()
      signal?.removeEventListener("abort", onAbort)
    }
    const onAbort = () => {
      signal?.removeEventListener("abort", onAbort)
      reject(signal?.reason as Error)
    }
    signal?.addEventListener("abort", onAbort, { once: true })
    send({
      title,
      opcode,
      answered(pdu) {
        try {
          const answer = read(pdu, this)
          if (answer === undefined) return // it goes on
          end()
          resolve(answer)
        } catch (error) {
          end()
          reject(error as Error)
        }
      },
      failed(error) {
        end()
        reject(error)
      },
    })
  })
}

/** Resolves with the response code (RFC 7143 §11.6.1). */
export function manageTask(
  connection: InitiatorConnection,
  clock: Clock,
  fn: number,
  lun: number,
  referenced: Command | undefined,
  signal?: AbortSignal,
): Promise<number> {
  return exchange(
    "Task Management Function Request",
    Opcode.taskManagementResponse,
    connection,
    clock,
    signal,
    (waiting) => connection.sendTaskManagement(fn, lun, referenced, waiting),
    (pdu) => new TaskManagementResponse(pdu.view, pdu.at).response,
  )
}

/** Resolves with how long to wait before the next login, in ms; rejects with LogoutError when it wasn't a success. */
export function logOut(
  connection: InitiatorConnection,
  clock: Clock,
  reason: LogoutReason,
  signal?: AbortSignal,
): Promise<number> {
  return exchange(
    "Logout Request",
    Opcode.logoutResponse,
    connection,
    clock,
    signal,
    (waiting) => connection.sendLogout(reason, waiting),
    (pdu) => {
      const view = new LogoutResponse(pdu.view, pdu.at)
      if (view.response !== LogoutResponseCode.closed) {
        throw new LogoutError(`Logout Request: ${logoutResponseName(view.response)}`)
      }
      return view.time2Wait * 1000
    },
  )
}

/** Sends a text and gathers the answer over as many PDUs as it takes (RFC 7143 §11.10, §11.11). */
export function exchangeText(
  connection: InitiatorConnection,
  clock: Clock,
  text: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  return exchange(
    "Text Request",
    Opcode.textResponse,
    connection,
    clock,
    signal,
    (waiting) => connection.sendText(text, waiting),
    (pdu, waiting) => {
      const view = new TextResponse(pdu.view, pdu.at)
      // Empty pieces must not pile up either: a target could send them for ever.
      bytes += Math.max(pdu.dataBytes, 1)
      if (bytes > SEND_TARGETS_BYTES_MAX) throw new ConnectionError("Text Response: it doesn't end")
      pieces.push(pdu.bytes.slice(pdu.dataAt, pdu.dataAt + pdu.dataBytes))
      if (view.final) return new Uint8Array(Buffer.concat(pieces))
      const tag = view.targetTransferTag
      if (tag === ISCSI_RESERVED_TAG) throw new ConnectionError("Text Response: it goes on, but has no tag")
      connection.sendText(new Uint8Array(0), waiting, view.initiatorTaskTag, tag)
      return undefined
    },
  )
}

/** Resolves when the target has answered a NOP-Out. */
export function ping(connection: InitiatorConnection, clock: Clock, signal?: AbortSignal): Promise<true> {
  return exchange(
    "NOP-Out",
    Opcode.nopIn,
    connection,
    clock,
    signal,
    (waiting) => connection.ping(waiting),
    () => true as const,
  )
}
