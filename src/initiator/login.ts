import type { ByteStream } from "../base/byte-stream.ts"
import { LOGIN_DEADLINE_MS, LOGIN_REDIRECTS_MAX } from "../base/limits.ts"
import { TcpInitiatorDatamover } from "../datamover/tcp/index.ts"
import { ISCSI_PORT, parseHostPort } from "../discovery/send-targets.ts"
import {
  type ChapProof,
  type EstablishedLogin,
  InitiatorLogin,
  type InitiatorLoginStep,
  type KeyPreferences,
  LoginError,
  type SessionType,
} from "../iscsi/login/index.ts"
import { LoginStatus } from "../iscsi/spec/index.ts"
import { type ConnectionTimes, InitiatorConnection, type LoginReceiver } from "./connection.ts"
import { ConnectionError } from "./errors.ts"
import type { InitiatorServices } from "./services.ts"

export interface PortalAddress {
  readonly host: string
  readonly port: number
}

export interface LoginParameters {
  readonly portal: PortalAddress
  readonly initiatorName: string
  readonly initiatorAlias?: string
  readonly sessionType: SessionType
  readonly targetName?: string
  /** 48 bits. The same again means the same session, which the target then reinstates (RFC 7143 §6.3.5). */
  readonly isid: number
  readonly keys: KeyPreferences
  readonly chap?: ChapProof
  readonly times: ConnectionTimes
  readonly deadlineMs?: number
}

/** A connection through its login; enterFullFeaturePhase is still to be called, in the same turn. */
export interface LoggedIn {
  readonly connection: InitiatorConnection
  readonly login: EstablishedLogin
  /** Where the login ended up, after redirections. */
  readonly portal: PortalAddress
  /** Where the next login should go: the address asked for, or where the target has moved for good. */
  readonly home: PortalAddress
}

/** The CmdSN a session begins with. */
export const FIRST_CMD_SN = 1

/**
 * Connects and logs in, to wherever the target redirects. Rejects with NetworkError, LoginError, DatamoverError,
 * ConnectionError (deadline) or the signal's reason; the connection is gone then.
 */
export async function logIn(
  parameters: LoginParameters,
  services: InitiatorServices,
  enter: (loggedIn: LoggedIn) => void,
  signal?: AbortSignal,
): Promise<void> {
  let { portal } = parameters
  let home = portal
  for (let redirects = 0; redirects <= LOGIN_REDIRECTS_MAX; redirects++) {
    const outcome = await loginAt(portal, home, parameters, services, enter, signal)
    if (outcome === undefined) return
    portal = redirectTarget(outcome.addresses)
    if (outcome.permanent) home = portal
  }
  throw new LoginError(LoginStatus.targetMovedTemporarily, "the target redirects in a circle")
}

type Redirect = Extract<InitiatorLoginStep, { kind: "redirect" }>

/** Resolves with undefined when the login is through and `enter` was called. */
async function loginAt(
  portal: PortalAddress,
  home: PortalAddress,
  parameters: LoginParameters,
  services: InitiatorServices,
  enter: (loggedIn: LoggedIn) => void,
  signal: AbortSignal | undefined,
): Promise<Redirect | undefined> {
  const deadlineMs = parameters.deadlineMs ?? LOGIN_DEADLINE_MS
  const late = new AbortController()
  const timer = services.clock.after(deadlineMs, "login deadline", () => {
    late.abort(new ConnectionError(`no login at ${portal.host}:${portal.port} within ${deadlineMs} ms`))
  })
  const either = signal ? AbortSignal.any([signal, late.signal]) : late.signal
  try {
    either.throwIfAborted()
    const stream = await services.network.connect(portal, { signal: either })
    return await new Promise<Redirect | undefined>((resolve, reject) => {
      const accept = (connection: InitiatorConnection, login: EstablishedLogin) => {
        enter({ connection, login, portal, home })
        resolve(undefined)
      }
      new LoginAttempt(stream, parameters, services, either, resolve, reject, accept).begin()
    })
  } finally {
    timer.cancel()
  }
}

function redirectTarget(addresses: readonly string[]): PortalAddress {
  for (const address of addresses) {
    const comma = address.lastIndexOf(",")
    const portal = parseHostPort(comma < 0 ? address : address.slice(0, comma))
    if (portal) return portal
  }
  throw new LoginError(
    LoginStatus.targetMovedTemporarily,
    `redirected to "${addresses.join(" ")}", which is no address (default port ${ISCSI_PORT})`,
  )
}

/** One exchange of Login Requests and Responses over one connection. */
class LoginAttempt implements LoginReceiver {
  readonly #connection: InitiatorConnection
  readonly #login: InitiatorLogin
  readonly #signal: AbortSignal
  readonly #redirect: (redirect: Redirect) => void
  readonly #reject: (error: Error) => void
  readonly #accept: (connection: InitiatorConnection, login: EstablishedLogin) => void
  readonly #onAbort = () => this.#fail(this.#signal.reason as Error)

  constructor(
    stream: ByteStream,
    parameters: LoginParameters,
    services: InitiatorServices,
    signal: AbortSignal,
    redirect: (redirect: Redirect) => void,
    reject: (error: Error) => void,
    accept: (connection: InitiatorConnection, login: EstablishedLogin) => void,
  ) {
    this.#signal = signal
    this.#redirect = redirect
    this.#reject = reject
    this.#accept = accept
    const { clock, budget, random } = services
    const datamover = new TcpInitiatorDatamover(stream, { clock, budget })
    this.#connection = new InitiatorConnection(datamover, clock, parameters.times)
    this.#login = new InitiatorLogin(
      {
        initiatorName: parameters.initiatorName,
        ...(parameters.initiatorAlias !== undefined && { initiatorAlias: parameters.initiatorAlias }),
        sessionType: parameters.sessionType,
        ...(parameters.targetName !== undefined && { targetName: parameters.targetName }),
        isid: parameters.isid,
        cmdSn: FIRST_CMD_SN,
        keys: parameters.keys,
        ...(parameters.chap && { chap: parameters.chap }),
      },
      random,
    )
  }

  begin(): void {
    this.#connection.start(this)
    this.#signal.addEventListener("abort", this.#onAbort, { once: true })
    try {
      this.#signal.throwIfAborted()
      this.#send(this.#login.start())
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  received(header: Parameters<LoginReceiver["received"]>[0], data: Uint8Array): void {
    const step = this.#login.receive(header, data)
    switch (step.kind) {
      case "request":
        return this.#send(step.request)
      case "accepted":
        return this.#enter(step.login)
      case "redirect":
        this.#end()
        return this.#redirect(step)
      case "refused":
        return this.#fail(step.error)
    }
  }

  #enter(login: EstablishedLogin): void {
    try {
      this.#accept(this.#connection, login)
    } catch (error) {
      // What the full feature phase needs can't be had.
      return this.#fail(error as Error)
    }
    this.#signal.removeEventListener("abort", this.#onAbort)
  }

  lost(error: Error): void {
    this.#signal.removeEventListener("abort", this.#onAbort)
    this.#reject(error)
  }

  #send(request: { header: Uint8Array; data: Uint8Array }): void {
    this.#connection.datamover.sendControl(request.header, request.data)
  }

  #fail(error: Error): void {
    this.#end()
    this.#reject(error)
  }

  #end(): void {
    this.#signal.removeEventListener("abort", this.#onAbort)
    this.#connection.close(false)
  }
}
