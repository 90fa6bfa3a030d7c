/**
 * Login Response status (RFC 7143 §11.13.5): Status-Class in the high byte, Status-Detail in the low one. Class 1
 * redirects, 2 blames the initiator (it shouldn't try again), 3 the target (it may).
 */
export const LoginStatus = {
  success: 0x0000,
  targetMovedTemporarily: 0x0101,
  targetMovedPermanently: 0x0102,
  initiatorError: 0x0200,
  authenticationFailure: 0x0201,
  authorizationFailure: 0x0202,
  notFound: 0x0203,
  targetRemoved: 0x0204,
  unsupportedVersion: 0x0205,
  tooManyConnections: 0x0206,
  missingParameter: 0x0207,
  cannotIncludeInSession: 0x0208,
  sessionTypeNotSupported: 0x0209,
  sessionDoesNotExist: 0x020a,
  invalidDuringLogin: 0x020b,
  targetError: 0x0300,
  serviceUnavailable: 0x0301,
  outOfResources: 0x0302,
} as const

export type LoginStatus = (typeof LoginStatus)[keyof typeof LoginStatus]

const texts: Readonly<Record<number, string>> = {
  [LoginStatus.success]: "success",
  [LoginStatus.targetMovedTemporarily]: "target moved temporarily",
  [LoginStatus.targetMovedPermanently]: "target moved permanently",
  [LoginStatus.initiatorError]: "initiator error",
  [LoginStatus.authenticationFailure]: "authentication failure",
  [LoginStatus.authorizationFailure]: "authorization failure",
  [LoginStatus.notFound]: "target not found",
  [LoginStatus.targetRemoved]: "target removed",
  [LoginStatus.unsupportedVersion]: "unsupported version",
  [LoginStatus.tooManyConnections]: "too many connections",
  [LoginStatus.missingParameter]: "missing parameter",
  [LoginStatus.cannotIncludeInSession]: "can't include in session",
  [LoginStatus.sessionTypeNotSupported]: "session type not supported",
  [LoginStatus.sessionDoesNotExist]: "session does not exist",
  [LoginStatus.invalidDuringLogin]: "invalid during login",
  [LoginStatus.targetError]: "target error",
  [LoginStatus.serviceUnavailable]: "service unavailable",
  [LoginStatus.outOfResources]: "out of resources",
}

const classes = ["success", "redirection", "initiator error", "target error"]

/** A few words for people; an unknown detail is named by its class, as RFC 7143 §11.13.5 asks of initiators. */
export function loginStatusText(status: number): string {
  const hex = `0x${status.toString(16).padStart(4, "0")}`
  return `${texts[status] ?? classes[status >> 8] ?? "unknown status"} (${hex})`
}
