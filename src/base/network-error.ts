import { SanletError } from "./errors.ts"

/** A connection could not be made, accepted or kept. `systemCode` is the operating system's name for it, as "ECONNREFUSED". */
export class NetworkError extends SanletError {
  readonly systemCode: string | undefined

  constructor(code: string, message: string, systemCode?: string, options?: ErrorOptions) {
    super(code, message, options)
    this.systemCode = systemCode
  }
}

/** What the system's codes mean to people; the codes of NetworkError are listed here and in docs/errors.md. */
const MEANINGS: Readonly<Record<string, readonly [code: string, text: string]>> = {
  EADDRINUSE: ["ERR_ADDRESS_IN_USE", "the address is in use"],
  EADDRNOTAVAIL: ["ERR_ADDRESS_NOT_AVAILABLE", "the address is not one of this machine"],
  EACCES: ["ERR_NETWORK_PERMISSION", "no permission"],
  EPERM: ["ERR_NETWORK_PERMISSION", "no permission"],
  ENOTFOUND: ["ERR_HOST_NOT_FOUND", "no host of that name is known"],
  EAI_AGAIN: ["ERR_HOST_NOT_FOUND", "the name can't be looked up at the moment"],
  ECONNREFUSED: ["ERR_CONNECTION_REFUSED", "nobody listens there"],
  EHOSTUNREACH: ["ERR_HOST_UNREACHABLE", "no way to that host"],
  ENETUNREACH: ["ERR_HOST_UNREACHABLE", "no way to that network"],
  ETIMEDOUT: ["ERR_CONNECTION_TIMED_OUT", "no answer in time"],
  ECONNRESET: ["ERR_CONNECTION_LOST", "the peer has dropped the connection"],
  EPIPE: ["ERR_CONNECTION_LOST", "the peer has dropped the connection"],
}

/** Puts an error of the operating system in one readable line: `what`, then why. */
export function networkError(what: string, error: unknown): NetworkError {
  if (error instanceof NetworkError) return error
  // Several addresses were tried and each failed: the first failure tells enough.
  const cause = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error
  const systemCode =
    cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : ""
  const [code, text] = MEANINGS[systemCode] ?? ["ERR_NETWORK", systemCode || "it failed"]
  return new NetworkError(code, `${what}: ${text}${systemCode ? ` (${systemCode})` : ""}`, systemCode, {
    cause: error,
  })
}

/** "host:port", an IPv6 address in brackets. */
export const hostAndPort = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
