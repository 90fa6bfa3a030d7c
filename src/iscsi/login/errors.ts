import { SanletError } from "../../base/errors.ts"
import { LoginStatus, loginStatusText } from "../spec/login-status.ts"
import { nameOf } from "../spec/name-of.ts"

/**
 * A login that can't go on. `status` is the Login Response status (class in the high byte, detail in the low) that
 * a target answers with, or that an initiator has received. The code is made from it: ERR_LOGIN_NOT_FOUND,
 * ERR_LOGIN_AUTHENTICATION_FAILURE and so on; ERR_LOGIN_PROTOCOL when it is us who found the peer in breach of the
 * rules (an initiator finds status initiatorError there, too, though it received none).
 */
export class LoginError extends SanletError {
  readonly status: number

  constructor(status: number, reason?: string, code: string = codeOf(status)) {
    super(code, reason ?? loginStatusText(status))
    this.status = status
  }

  get statusClass(): number {
    return this.status >> 8
  }

  get statusDetail(): number {
    return this.status & 0xff
  }
}

/** A detail nobody knows is named by its class. */
function codeOf(status: number): string {
  const known = Object.values(LoginStatus).includes(status as LoginStatus) ? status : status & 0xff00
  const name = nameOf(LoginStatus, known)
  return `ERR_LOGIN_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}
