import { SanletError } from "../../base/errors.ts"

/**
 * States of a connection, target side (RFC 7143 §8.1.2), and which may follow which. The labels are the RFC's
 * transitions; S1 and S2 (free, before the TCP connection) have no object here.
 */
export const CONNECTION_TRANSITIONS = {
  /** S3 XPT_UP: the transport is there, no Login Request yet. */
  "xpt-up": ["in-login", "free"], // T4; T6 the deadline, T8 the loss
  /** S4 IN_LOGIN. */
  "in-login": ["logged-in", "free"], // T5; T7
  /** S5 LOGGED_IN: full feature phase. */
  "logged-in": ["logout-requested", "in-logout", "cleanup-wait"], // T11, T9 and T10, T15
  /** S7 LOGOUT_REQUESTED: we have asked for a logout by Async Message. */
  "logout-requested": ["in-logout", "cleanup-wait"], // T10, T16
  /** S6 IN_LOGOUT: a Logout Request has come, its response hasn't gone. */
  "in-logout": ["cleanup-wait"], // T13, T14, T17
  /** S8 CLEANUP_WAIT: the transport has ended, tasks are being ended. */
  "cleanup-wait": ["free"], // M2, M4
  free: [],
} as const satisfies Record<string, readonly string[]>

export type ConnectionState = keyof typeof CONNECTION_TRANSITIONS

/** Throws when `to` may not follow `from`: a bug of ours, never of a peer. */
export function checkTransition(from: ConnectionState, to: ConnectionState): void {
  const allowed: readonly string[] = CONNECTION_TRANSITIONS[from]
  if (allowed.includes(to)) return
  throw new SanletError(
    "ERR_CONNECTION_STATE",
    `connection: ${from} -> ${to} is no transition (allowed: ${allowed.join(", ") || "none"})`,
  )
}
