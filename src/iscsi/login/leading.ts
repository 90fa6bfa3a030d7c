import { parseIscsiName, type TextPair } from "../../wire/text.ts"
import { LoginStatus } from "../spec/login-status.ts"
import { LoginError } from "./errors.ts"
import type { LoginRequestFields } from "./login-headers.ts"
import type { LeadingLogin } from "./policy.ts"

const initiatorError = (reason: string) => new LoginError(LoginStatus.initiatorError, reason)

/** Who wants what: the names in the leading text (RFC 7143 §6.3.1). Throws LoginError. */
export function leadingLogin(request: LoginRequestFields, pairs: readonly TextPair[]): LeadingLogin {
  const value = (key: string) => pairs.find((pair) => pair.key === key)?.value
  const initiatorName = parseName(value("InitiatorName"), "InitiatorName")
  if (initiatorName === undefined)
    throw new LoginError(LoginStatus.missingParameter, "InitiatorName is missing")
  const sessionType = value("SessionType") ?? "Normal"
  if (sessionType !== "Normal" && sessionType !== "Discovery") {
    throw new LoginError(LoginStatus.sessionTypeNotSupported, `SessionType=${sessionType}`)
  }
  const targetName = value("TargetName") === undefined ? undefined : parseTargetName(value("TargetName")!)
  if (targetName === undefined && sessionType === "Normal") {
    throw new LoginError(LoginStatus.missingParameter, "TargetName is missing")
  }
  const { isid, tsih: tsihRequested, cid } = request
  const initiatorAlias = value("InitiatorAlias")
  return { initiatorName, initiatorAlias, sessionType, targetName, isid, tsihRequested, cid }
}

function parseName(value: string | undefined, key: string): string | undefined {
  if (value === undefined) return undefined
  const name = parseIscsiName(value)
  if (name === undefined) throw initiatorError(`${key}=${value} is not an iSCSI name`)
  return name
}

/** What isn't a name can't be a target's. */
function parseTargetName(value: string): string {
  const name = parseIscsiName(value)
  if (name === undefined)
    throw new LoginError(LoginStatus.notFound, `TargetName=${value} is not an iSCSI name`)
  return name
}
