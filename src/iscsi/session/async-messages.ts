import { AsyncEvent } from "../spec/index.ts"
import type { TargetConnection } from "./target-connection.ts"

/** Asks the initiator to log out within `graceMs` (RFC 7143 §11.9.1, event 1). */
export function sendLogoutRequest(connection: TargetConnection, graceMs: number): void {
  const message = connection.header.async()
  message.asyncEvent = AsyncEvent.logoutRequest
  message.parameter3 = Math.max(1, Math.round(graceMs / 1000))
  connection.send(message)
}

/** Tells that the connection is about to be dropped (event 2). */
export function sendConnectionDrop(connection: TargetConnection): void {
  const message = connection.header.async()
  message.asyncEvent = AsyncEvent.connectionDrop
  message.parameter1 = connection.cid
  message.parameter2 = connection.keys.defaultTime2Wait
  message.parameter3 = connection.keys.defaultTime2Retain
  connection.send(message)
}

/** Passes a SCSI asynchronous event on: sense data that belongs to no command (event 0). */
export function sendScsiEvent(
  connection: TargetConnection,
  lunHigh: number,
  lunLow: number,
  sense: Uint8Array,
): void {
  if (connection.state !== "logged-in" || connection.session?.identity.type !== "Normal") return
  const message = connection.header.async()
  message.asyncEvent = AsyncEvent.scsiAsyncEvent
  message.bytes.setUint32(message.lun, lunHigh)
  message.bytes.setUint32(message.lun + 4, lunLow)
  const data = new Uint8Array(2 + sense.length)
  data[0] = sense.length >> 8
  data[1] = sense.length & 0xff
  data.set(sense, 2)
  connection.send(message, data)
}
