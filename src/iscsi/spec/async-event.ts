import { nameOf } from "./name-of.ts"

/** AsyncEvent codes of an Async Message (RFC 7143 §11.9.1). */
export const AsyncEvent = {
  /** Sense data is in the data segment. */
  scsiAsyncEvent: 0,
  /** Parameter3: seconds the initiator has to log out. */
  logoutRequest: 1,
  /** Parameter1: CID; Parameter2: Time2Wait; Parameter3: Time2Retain. */
  connectionDrop: 2,
  /** Parameter2: Time2Wait; Parameter3: Time2Retain. */
  sessionDrop: 3,
  /** Parameter3: seconds the initiator has to begin a text negotiation. */
  negotiationRequest: 4,
  /** All active tasks of the LUN are being terminated; Parameter1: whether FastAbort semantics apply. */
  taskTermination: 5,
  vendorSpecific: 255,
} as const

export type AsyncEvent = (typeof AsyncEvent)[keyof typeof AsyncEvent]

export const asyncEventName = (event: number): string => nameOf(AsyncEvent, event)
