import { sleep } from "../base/clock.ts"
import {
  COMMAND_DEADLINE_MS,
  COMMANDS_IN_FLIGHT_MAX,
  NOP_DEADLINE_MS,
  NOP_INTERVAL_MS,
} from "../base/limits.ts"
import {
  type DiscoveredTarget,
  encodeSendTargetsRequest,
  parseSendTargets,
} from "../discovery/send-targets.ts"
import type { LogFields } from "../base/log.ts"
import { TaskAbortedError } from "../iscsi/da.ts"
import { type EstablishedLogin, type NegotiatedKeys, type SessionType } from "../iscsi/login/index.ts"
import {
  LogoutReason,
  TaskManagementFunction,
  TaskManagementResponseCode,
  taskManagementFunctionName,
  taskManagementResponseName,
} from "../iscsi/spec/index.ts"
import { serialBefore } from "../wire/serial.ts"
import { AbortListener } from "./abort-listener.ts"
import { Aborts } from "./aborts.ts"
import { Command, type ScsiRequest, type ScsiResult } from "./command.ts"
import { type AsyncActions, handleAsyncMessage } from "./async-message.ts"
import type { AsyncNotice, ConnectionUser, InitiatorConnection } from "./connection.ts"
import {
  CommandTimeoutError,
  ConnectionError,
  DiskError,
  OutcomeUnknownError,
  SessionError,
  TaskManagementError,
  UnitChangedError,
} from "./errors.ts"
import { exchangeText, logOut, manageTask, ping } from "./exchanges.ts"
import { Fifo } from "./fifo.ts"
import { FIRST_CMD_SN, logIn, type LoginParameters, type PortalAddress } from "./login.ts"
import { Overdue } from "./overdue.ts"
import { Recovery } from "./recovery.ts"
import { type InitiatorServices, services } from "./services.ts"
import type { SessionEvent } from "./session-event.ts"
import type { InitiatorSessionState, SessionOptions, WatchedUnit } from "./session-options.ts"
import type { UsedTransport } from "./transport.ts"

/** The longest a timer can be set to: 24 days. */
const FOREVER_MS = 2 ** 31 - 1

/** A session with a target, over one connection at a time (MaxConnections 1, ErrorRecoveryLevel 0). */
export class Session implements ConnectionUser {
  readonly options: SessionOptions
  readonly services: InitiatorServices
  state: InitiatorSessionState = "open"
  #connection: InitiatorConnection | undefined
  #login!: EstablishedLogin
  #transport: UsedTransport | undefined
  #portal: PortalAddress
  #home: PortalAddress
  #endedBy: Error | undefined
  #recovery: AbortController | undefined
  readonly #depth: number
  readonly #waiting = new Fifo<Command>()
  readonly #units = new Set<WatchedUnit>()
  readonly #listeners = new Map<AbortSignal, AbortListener>()
  readonly #idlers = new Set<() => void>()
  readonly #asyncActions: AsyncActions
  readonly #aborts: Aborts
  readonly #overdue: Overdue

  private constructor(options: SessionOptions) {
    this.options = options
    this.services = services(options.services)
    this.#portal = options.portal
    this.#home = options.portal
    this.#depth = options.queueDepth ?? COMMANDS_IN_FLIGHT_MAX
    const warn = (details: LogFields, message: string) =>
      this.services.log.warn({ ...this.#fields, ...details }, message)
    this.#aborts = new Aborts(this.services.clock, warn, () => this.maySend())
    this.#overdue = new Overdue(
      this.services.clock,
      () => this.#connection?.commands.values() ?? [],
      (command) => this.abort(command, new CommandTimeoutError(command.title, COMMAND_DEADLINE_MS)),
    )
    this.#asyncActions = {
      clock: this.services.clock,
      tell: (event) => this.#tell(event),
      logOut: (withinMs) => void this.#logOutAsAsked(withinMs),
      drop: (waitMs) => this.#drop(waitMs),
      terminate: (connection, lun, error) => this.#terminate(connection, lun, connection.cmdSn, error),
    }
  }

  /** Logs in. Rejects with NetworkError, LoginError, DatamoverError, ConnectionError or the signal's reason. */
  static async open(options: SessionOptions, signal?: AbortSignal): Promise<Session> {
    const session = new Session(options)
    await session.#logIn(signal)
    session.services.log.info(session.#fields, "logged in")
    return session
  }

  /** What was negotiated. */
  get keys(): NegotiatedKeys {
    return this.#login.keys
  }

  get tsih(): number {
    return this.#login.tsih
  }

  get targetAlias(): string | undefined {
    return this.#login.targetAlias
  }

  get targetPortalGroupTag(): number | undefined {
    return this.#login.targetPortalGroupTag
  }

  /** Where it is logged in, after redirections. */
  get portal(): PortalAddress {
    return this.#portal
  }

  /** What its connection runs over: now, or before it was lost. */
  get transport(): UsedTransport {
    return this.#transport!
  }

  get #fields(): LogFields {
    return {
      target: this.options.targetName ?? "(discovery)",
      address: this.#portal.host,
      port: this.#portal.port,
      transport: this.#transport,
      tsih: this.#login?.tsih ?? 0,
    }
  }

  // ------------------------------------------------------------------------------------------ commands

  /**
   * Carries out a SCSI command; resolves with whatever status it has. Rejects with the signal's reason,
   * CommandTimeoutError, OutcomeUnknownError, RejectedError, TargetFailureError, TaskAbortedError or SessionError;
   * the buffers are free then.
   */
  execute(request: ScsiRequest): Promise<ScsiResult> {
    return new Promise((resolve, reject) => {
      this.submit(
        new Command(request, (command) => {
          if (command.error) reject(command.error)
          else resolve(command.result!)
        }),
      )
    })
  }

  /** The same without a promise. */
  submit(command: Command): void {
    if (this.state === "closed" || (this.state === "closing" && !command.recovery)) {
      return command.settle(undefined, this.#closedError())
    }
    const { signal, timeoutMs } = command.request
    if (signal?.aborted) return command.settle(undefined, signal.reason as Error)
    if (signal) this.#listener(signal).add(command)
    if (timeoutMs === undefined) this.#overdue.watch()
    else if (timeoutMs < FOREVER_MS) {
      command.timer = this.services.clock.after(timeoutMs, "command timeout", () => {
        this.abort(command, new CommandTimeoutError(command.title, timeoutMs))
      })
    }
    const connection = this.#connection
    if (connection && this.state === "open" && this.#waiting.length === 0 && this.#mayGo(connection)) {
      connection.sendCommand(command)
    } else if (command.recovery && connection) {
      connection.sendCommand(command)
    } else {
      this.#waiting.push(command)
    }
  }

  #listener(signal: AbortSignal): AbortListener {
    return (
      this.#listeners.get(signal) ??
      new AbortListener(signal, this.#listeners, (command, reason) => this.abort(command, reason))
    )
  }

  #mayGo(connection: InitiatorConnection): boolean {
    return connection.windowOpen && connection.commands.size < this.#depth
  }

  maySend(): void {
    const connection = this.#connection
    if (connection && this.#waiting.length > 0 && (this.state === "open" || this.state === "closing")) {
      while (this.#waiting.length > 0 && this.#mayGo(connection)) {
        const command = this.#waiting.shift()!
        if (command.state === "waiting") connection.sendCommand(command)
      }
    }
    if (this.#idlers.size > 0 && this.#idle) for (const idler of [...this.#idlers]) idler()
  }

  get #idle(): boolean {
    return (
      (this.#connection?.commands.size ?? 0) === 0 && (this.state !== "closing" || this.#waiting.length === 0)
    )
  }

  /** Ends a command that is under way: by ABORT TASK when the target has it. Its end is `reason`. */
  abort(command: Command, reason: Error): void {
    if (command.settled || command.abortReason) return
    if (command.state === "waiting") {
      command.settle(undefined, reason)
      return this.maySend()
    }
    command.abortReason = reason
    if (command.state === "aborting") return
    command.state = "aborting"
    const connection = this.#connection
    if (connection) void this.#aborts.abortTask(connection, command)
  }

  commandsMayBeLost(after: Command): void {
    if (this.#connection) this.#aborts.commandsMayBeLost(this.#connection, after)
  }

  // ------------------------------------------------------------------------------------ task management

  /** Ends all commands of this session to `lun`. They reject with TaskAbortedError. Rejects with TaskManagementError. */
  abortTaskSet(lun: number, signal?: AbortSignal): Promise<void> {
    return this.#manage(TaskManagementFunction.abortTaskSet, lun, signal)
  }

  /** Ends all commands to `lun`, whosesoever they are. */
  clearTaskSet(lun: number, signal?: AbortSignal): Promise<void> {
    return this.#manage(TaskManagementFunction.clearTaskSet, lun, signal)
  }

  resetLogicalUnit(lun: number, signal?: AbortSignal): Promise<void> {
    return this.#manage(TaskManagementFunction.logicalUnitReset, lun, signal)
  }

  /** TARGET WARM RESET; `cold`: TARGET COLD RESET, after which the target drops the connection. */
  resetTarget(cold = false, signal?: AbortSignal): Promise<void> {
    const { targetColdReset, targetWarmReset } = TaskManagementFunction
    return this.#manage(cold ? targetColdReset : targetWarmReset, undefined, signal)
  }

  async #manage(fn: number, lun: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    const connection = this.#ready()
    const before = connection.cmdSn
    const response = await manageTask(connection, this.services.clock, fn, lun ?? 0, undefined, signal)
    const name = taskManagementFunctionName(fn)
    if (response !== TaskManagementResponseCode.functionComplete) {
      throw new TaskManagementError(`${name}: ${taskManagementResponseName(response)}`, response)
    }
    this.#terminate(connection, lun, before, new TaskAbortedError(`ended by ${name}`))
  }

  /** The target has ended these tasks, and answers none of them any more. */
  #terminate(connection: InitiatorConnection, lun: number | undefined, before: number, error: Error): void {
    for (const command of [...connection.commands.values()]) {
      if (lun !== undefined && command.request.lun !== lun) continue
      if (!serialBefore(command.cmdSn, before)) continue
      connection.forget(command)
      command.settle(undefined, error)
    }
    this.maySend()
  }

  #ready(): InitiatorConnection {
    if (this.state === "closed") throw this.#closedError()
    if (!this.#connection) throw new ConnectionError("the session has no connection at the moment")
    return this.#connection
  }

  /** Asks the target whether it is there. */
  async ping(signal?: AbortSignal): Promise<void> {
    await ping(this.#ready(), this.services.clock, signal)
  }

  /** "All" in a discovery session; a name, or "" for this target, in any. */
  async sendTargets(which = "All", signal?: AbortSignal): Promise<DiscoveredTarget[]> {
    const request = encodeSendTargetsRequest(which)
    return parseSendTargets(await exchangeText(this.#ready(), this.services.clock, request, signal))
  }

  // ---------------------------------------------------------------------------------- login and recovery

  /** From now on `unit` is checked after each recovery. Returns how to end that. */
  watch(unit: WatchedUnit): () => void {
    this.#units.add(unit)
    return () => this.#units.delete(unit)
  }

  #parameters(): LoginParameters {
    const { options } = this
    const type: SessionType = options.targetName === undefined ? "Discovery" : "Normal"
    return {
      portal: this.#home,
      initiatorName: options.initiatorName,
      ...(options.initiatorAlias !== undefined && { initiatorAlias: options.initiatorAlias }),
      sessionType: type,
      ...(options.targetName !== undefined && { targetName: options.targetName }),
      isid: options.isid,
      ...(options.keys && { keys: options.keys }),
      ...(options.transport && { transport: options.transport }),
      ...(this.#transport && { transportBefore: this.#transport }),
      ...(options.chap && { chap: options.chap }),
      times: {
        nopIntervalMs: options.nopIntervalMs ?? NOP_INTERVAL_MS,
        nopDeadlineMs: options.nopDeadlineMs ?? NOP_DEADLINE_MS,
      },
      ...(options.loginDeadlineMs !== undefined && { deadlineMs: options.loginDeadlineMs }),
    }
  }

  async #logIn(signal?: AbortSignal): Promise<void> {
    await logIn(
      this.#parameters(),
      this.services,
      ({ connection, login, portal, home }) => {
        connection.enterFullFeaturePhase(this, { ...login, cmdSn: FIRST_CMD_SN })
        this.#connection = connection
        this.#transport = connection.datamover.transport
        this.#login = login
        this.#portal = portal
        this.#home = home
      },
      signal,
    )
  }

  connectionLost(error: Error): void {
    const connection = this.#connection
    this.#connection = undefined
    const left = (connection?.commands.size ?? 0) + this.#waiting.length
    if (connection) this.#collect(connection, error)
    if (this.state === "open") void this.#recover(error, this.keys.defaultTime2Wait * 1000)
    // A target may hang up before its Logout Response: with nothing left to do that is as good.
    else if (this.state === "closing") this.#end(left > 0 ? error : this.#closedError())
  }

  /** What was under way goes back to the queue if it may be sent again, and fails otherwise. */
  #collect(connection: InitiatorConnection, cause: Error): void {
    const again: Command[] = []
    for (const command of connection.takeCommands()) {
      const mayRepeat = command.replay && !command.recovery && !command.abortReason && !command.settled
      if (mayRepeat) again.push(command)
      else if (command.recovery) command.settle(undefined, cause)
      else command.settle(undefined, new OutcomeUnknownError(command.title, { cause }))
      command.disconnected()
    }
    for (const command of again) command.state = "waiting"
    this.#waiting.pushFront(again)
  }

  async #recover(cause: Error, waitMs: number): Promise<void> {
    const { reconnect } = this.options
    if (reconnect === false || this.options.targetName === undefined) return this.#end(cause)
    this.state = "recovering"
    this.services.log.warn({ ...this.#fields, error: cause.message }, "connection lost")
    this.#tell({ kind: "connection-lost", error: cause })
    const abort = new AbortController()
    this.#recovery = abort
    const recovery = new Recovery(reconnect ?? {}, this.services, abort.signal)
    try {
      await recovery.run(waitMs, () => this.#attempt(abort.signal))
    } catch (error) {
      return this.#end(error as Error)
    }
    this.#recovery = undefined
    this.state = "open"
    this.services.log.info({ ...this.#fields, attempts: recovery.attempts }, "logged in again")
    this.#tell({ kind: "reconnected", attempts: recovery.attempts })
    this.maySend()
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    await this.#logIn(signal)
    const connection = this.#connection
    try {
      for (const unit of this.#units) await this.#check(unit, signal)
      if (!connection || connection.over) throw new ConnectionError("lost again")
    } catch (error) {
      connection?.close(false)
      this.#connection = undefined
      if (connection) this.#collect(connection, error as Error)
      throw error
    }
  }

  async #check(unit: WatchedUnit, signal: AbortSignal): Promise<void> {
    const run = (request: ScsiRequest) =>
      new Promise<ScsiResult>((resolve, reject) => {
        const ended = (command: Command) => {
          if (command.error) reject(command.error)
          else resolve(command.result!)
        }
        this.submit(new Command({ ...request, signal }, ended, true))
      })
    try {
      await unit.check(run)
    } catch (error) {
      // What passes is for the next attempt to find out.
      const final = error instanceof UnitChangedError || error instanceof DiskError
      if (!final) throw error
      this.#units.delete(unit)
      for (const command of this.#waiting.takeAll()) {
        if (command.request.lun === unit.lun) command.settle(undefined, error as Error)
        else this.#waiting.push(command)
      }
    }
  }

  asyncMessage(notice: AsyncNotice): void {
    if (this.#connection) handleAsyncMessage(notice, this.#connection, this.#asyncActions)
  }

  /** The target says that it drops the connection now: no use waiting for that. */
  #drop(waitMs: number): void {
    const connection = this.#connection
    if (!connection || this.state !== "open") return
    this.#connection = undefined
    connection.close(false)
    const cause = new ConnectionError("the target has dropped the connection")
    this.#collect(connection, cause)
    void this.#recover(cause, waitMs)
  }

  /** Lets what is under way end, logs out, and logs in again where the target may be then (RFC 7143 §11.9.1). */
  async #logOutAsAsked(withinMs: number): Promise<void> {
    const connection = this.#connection
    if (!connection || this.state !== "open") return
    this.state = "recovering"
    let waitMs = this.keys.defaultTime2Wait * 1000
    try {
      await this.#idleWithin(withinMs / 2)
      waitMs = await logOut(connection, this.services.clock, LogoutReason.closeSession)
    } catch (error) {
      this.services.log.warn({ ...this.#fields, error: (error as Error).message }, "logout failed")
    }
    // The connection may have gone meanwhile: connectionLost has then collected what was under way.
    if (this.#connection === connection) {
      connection.close(true)
      this.#connection = undefined
      this.#collect(connection, new ConnectionError("logged out"))
    }
    if (this.state === "recovering")
      await this.#recover(new ConnectionError("the target asked for a logout"), waitMs)
  }

  // --------------------------------------------------------------------------------------------- the end

  /** Waits for the commands under way, logs out and disconnects. Never rejects, but for the signal. */
  async close(signal?: AbortSignal): Promise<void> {
    if (this.state === "closed" || this.state === "closing") return
    const connection = this.#connection
    if (this.state === "recovering" || !connection) return this.#end(this.#closedError())
    this.state = "closing"
    try {
      await this.#idleWithin(FOREVER_MS, signal)
      if (!connection.over) await logOut(connection, this.services.clock, LogoutReason.closeSession, signal)
    } catch (error) {
      this.services.log.warn({ ...this.#fields, error: (error as Error).message }, "logout failed")
    }
    connection.close(!signal?.aborted)
    this.services.log.info(this.#fields, "logged out")
    this.#end(this.#closedError())
    signal?.throwIfAborted()
  }

  /** Resolves when nothing is under way, or after `withinMs`; rejects with the signal's reason. */
  async #idleWithin(withinMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#idle) return
    const idle = new AbortController()
    const idler = () => idle.abort()
    this.#idlers.add(idler)
    const either = signal ? AbortSignal.any([signal, idle.signal]) : idle.signal
    await sleep(this.services.clock, withinMs, "drain before logout", either).catch(() => {})
    this.#idlers.delete(idler)
    signal?.throwIfAborted()
  }

  #closedError(): SessionError {
    return this.#endedBy
      ? new SessionError("ERR_SESSION_LOST", `the session is lost: ${this.#endedBy.message}`, {
          cause: this.#endedBy,
        })
      : new SessionError("ERR_SESSION_CLOSED", "the session is closed")
  }

  #end(cause: Error): void {
    if (this.state === "closed") return
    const wanted = cause instanceof SessionError && cause.code === "ERR_SESSION_CLOSED"
    this.state = "closed"
    this.#overdue.stop()
    this.#recovery?.abort(cause)
    if (!wanted) {
      this.#endedBy = cause
      this.services.log.error({ ...this.#fields, error: cause.message }, "session lost")
      this.#tell({ kind: "session-lost", error: cause })
    }
    const connection = this.#connection
    this.#connection = undefined
    if (connection) {
      connection.close(false)
      this.#collect(connection, cause)
    }
    const error = this.#closedError()
    for (const command of this.#waiting.takeAll()) command.settle(undefined, error)
    for (const idler of [...this.#idlers]) idler()
  }

  #tell(event: SessionEvent): void {
    this.options.onEvent?.(event)
  }
}
