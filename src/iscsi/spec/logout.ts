import { nameOf } from "./name-of.ts"

/** Logout Request reason codes (RFC 7143 §11.14.1). */
export const LogoutReason = {
  closeSession: 0,
  closeConnection: 1,
  removeConnectionForRecovery: 2,
} as const

export type LogoutReason = (typeof LogoutReason)[keyof typeof LogoutReason]

/** Logout Response codes (RFC 7143 §11.15.1). */
export const LogoutResponseCode = {
  closed: 0,
  cidNotFound: 1,
  recoveryNotSupported: 2,
  cleanupFailed: 3,
} as const

export type LogoutResponseCode = (typeof LogoutResponseCode)[keyof typeof LogoutResponseCode]

export const logoutReasonName = (reason: number): string => nameOf(LogoutReason, reason)
export const logoutResponseName = (response: number): string => nameOf(LogoutResponseCode, response)
