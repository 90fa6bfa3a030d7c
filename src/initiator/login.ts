import { hostAndPort } from "../base/network-error.ts"
import { LOGIN_DATA_SEGMENT_BYTES_MAX, LOGIN_DEADLINE_MS, LOGIN_REDIRECTS_MAX } from "../base/limits.ts"
import { ISCSI_PORT, parseHostPort } from "../discovery/send-targets.ts"
import type { InitiatorDatamover } from "../iscsi/da.ts"
import {
  type ChapProof,
  type EstablishedLogin,
  InitiatorLogin,
  type InitiatorLoginStep,
  initiatorIserPreferences,
  initiatorKeyPreferences,
  type KeyPreferences,
  LoginError,
  type SessionType,
} from "../iscsi/login/index.ts"
import { LoginStatus } from "../iscsi/spec/index.ts"
import { type ConnectionTimes, InitiatorConnection, type LoginReceiver } from "./connection.ts"
import { ConnectionError } from "./errors.ts"
import type { Transport } from "./iser.ts"
import type { InitiatorServices } from "./services.ts"
import {
  connectOver,
  mayTryOther,
  type Progress,
  TransportError,
  transportsFor,
  type UsedTransport,
} from "./transport.ts"

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
  /** What is asked for besides the transport's own preferences. */
  readonly keys?: Partial<KeyPreferences>
  /** Default: "auto". */
  readonly transport?: Transport
  /** What the session used last: where there is a choice it goes first. */
  readonly transportBefore?: UsedTransport
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
  const enterAt = (connection: InitiatorConnection, login: EstablishedLogin) =>
    enter({ connection, login, portal, home })
  try {
    either.throwIfAborted()
    return await loginOverAny({ portal, parameters, services, signal: either, enter: enterAt })
  } finally {
    timer.cancel()
  }
}

interface Attempt {
  readonly portal: PortalAddress
  readonly parameters: LoginParameters
  readonly services: InitiatorServices
  readonly signal: AbortSignal
  readonly enter: (connection: InitiatorConnection, login: EstablishedLogin) => void
}

/** Tries one transport, and where that can't be the right one the other. Of two failures that over TCP is told. */
async function loginOverAny(attempt: Attempt): Promise<Redirect | undefined> {
  const { portal, parameters, services, signal } = attempt
  const { transport = "auto", transportBefore } = parameters
  const [first, second] = transportsFor(transport, portal, services, transportBefore)
  const progress: Progress = { connected: false, answered: false }
  try {
    return await loginOver(first!, second === undefined, attempt, progress)
  } catch (error) {
    if (second === undefined || signal.aborted || !mayTryOther(first!, error, progress)) throw error
    const { host, port } = portal
    const why = { host, port, error: (error as Error).message }
    services.log.debug(why, `no login over ${first}: trying ${second}`)
    try {
      const redirect = await loginOver(second, true, attempt, { connected: false, answered: false })
      services.transports.remember(portal, second)
      return redirect
    } catch (secondError) {
      throw second === "tcp" || signal.aborted ? secondError : error
    }
  }
}

async function loginOver(
  transport: UsedTransport,
  only: boolean,
  { portal, parameters, services, signal, enter }: Attempt,
  progress: Progress,
): Promise<Redirect | undefined> {
  const datamover = await connectOver(transport, portal, only, services, signal)
  progress.connected = true
  return new Promise((resolve, reject) => {
    const accept = (connection: InitiatorConnection, login: EstablishedLogin) => {
      checkTurned(parameters, login)
      enter(connection, login)
      resolve(undefined)
    }
    new LoginAttempt(datamover, parameters, services, signal, progress, resolve, reject, accept).begin()
  })
}

/** What our initiator asks for: over iSER what can't come with the command is left to RDMA Reads. */
function keysOver(
  { transport, canTurnToRdma }: InitiatorDatamover,
  own: Partial<KeyPreferences> | undefined,
): KeyPreferences {
  if (transport === "tcp" && !canTurnToRdma) return { ...initiatorKeyPreferences, ...own }
  const wanted = { ...initiatorIserPreferences, ...own?.iser }
  // Its first receives are made before it is known what the target agrees to.
  const initiatorRecvDataSegmentLength = Math.min(
    wanted.initiatorRecvDataSegmentLength,
    LOGIN_DATA_SEGMENT_BYTES_MAX,
  )
  const iser = { ...wanted, initiatorRecvDataSegmentLength, rdmaAlready: transport === "iser" }
  return { ...initiatorKeyPreferences, initialR2T: true, ...own, iser }
}

/** A connection that was to turn to RDMA behind its login hasn't been allowed to. */
function checkTurned({ transport, sessionType, portal }: LoginParameters, { keys }: EstablishedLogin): void {
  if (transport !== "iser" || sessionType === "Discovery" || keys.rdmaExtensions) return
  const where = hostAndPort(portal.host, portal.port)
  throw new TransportError("ERR_ISER_NOT_THERE", `no iSER at ${where}: the target declines RDMAExtensions`)
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
  readonly #progress: Progress
  readonly #redirect: (redirect: Redirect) => void
  readonly #reject: (error: Error) => void
  readonly #accept: (connection: InitiatorConnection, login: EstablishedLogin) => void
  readonly #onAbort = () => this.#fail(this.#signal.reason as Error)

  constructor(
    datamover: InitiatorDatamover,
    parameters: LoginParameters,
    services: InitiatorServices,
    signal: AbortSignal,
    progress: Progress,
    redirect: (redirect: Redirect) => void,
    reject: (error: Error) => void,
    accept: (connection: InitiatorConnection, login: EstablishedLogin) => void,
  ) {
    this.#signal = signal
    this.#redirect = redirect
    this.#reject = reject
    this.#accept = accept
    this.#progress = progress
    const { clock, random } = services
    this.#connection = new InitiatorConnection(datamover, clock, parameters.times)
    this.#login = new InitiatorLogin(
      {
        initiatorName: parameters.initiatorName,
        ...(parameters.initiatorAlias !== undefined && { initiatorAlias: parameters.initiatorAlias }),
        sessionType: parameters.sessionType,
        ...(parameters.targetName !== undefined && { targetName: parameters.targetName }),
        isid: parameters.isid,
        cmdSn: FIRST_CMD_SN,
        keys: keysOver(datamover, parameters.keys),
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
    this.#progress.answered = true
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
