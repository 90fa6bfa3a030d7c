import type { DataBuffer } from "../../base/buffers.ts"
import type { Clock, Timer } from "../../base/clock.ts"
import { isPromise } from "../../base/completion.ts"
import { IMMEDIATE_COMMANDS_MAX, NOP_DEADLINE_MS, NOP_INTERVAL_MS } from "../../base/limits.ts"
import type { Log, LogFields } from "../../base/log.ts"
import type { DatamoverUpcalls, ReceivedPdu, RunningNumbers, TargetDatamover } from "../da.ts"
import type { NegotiatedKeys } from "../login/keys.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode } from "../pdu/bhs.ts"
import { LogoutRequest, NopOut, TaskManagementRequest, TextRequest } from "../pdu/index.ts"
import {
  AsyncEvent,
  LogoutReason,
  LogoutResponseCode,
  RejectReason,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from "../spec/index.ts"
import { HeldPdu } from "./held-pdu.ts"
import { Keepalive } from "./keepalive.ts"
import { ResponseHeader } from "./response-header.ts"
import type { SendTargets } from "./session-user.ts"
import { type ConnectionState, checkTransition } from "./state.ts"
import type { SessionEnd, TargetSession } from "./target-session.ts"
import { TextExchange } from "./text-exchange.ts"

/** What handles a connection's PDUs until it is in full feature phase. */
export interface LoginPhaseReceiver {
  received(pdu: ReceivedPdu): void
  /** The transport went before the login was through. */
  lost(error: Error): void
}

export interface TargetConnectionServices {
  readonly clock: Clock
  readonly log: Log
  readonly nopIntervalMs?: number
  readonly nopDeadlineMs?: number
}

/**
 * One connection of a session at the target, in full feature phase: is this PDU legal now, whose turn is it, which
 * StatSN goes back (RFC 7143 §4.2, §8.1). What commands mean is the SessionUser's, how bytes move the datamover's.
 */
export class TargetConnection implements DatamoverUpcalls, RunningNumbers {
  readonly datamover: TargetDatamover
  readonly header = new ResponseHeader()
  session: TargetSession | undefined
  keys!: NegotiatedKeys
  cid = 0
  statSn = 1
  readonly expStatSn = 0 // the initiator's number; a target has none
  state: ConnectionState = "xpt-up"
  #login: LoginPhaseReceiver | undefined
  #text: TextExchange | undefined
  #logoutTimer: Timer | undefined
  #endReason: SessionEnd = "connection lost"
  #pingTag = 0
  #freed: Promise<void> | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #keepalive: Keepalive

  constructor(datamover: TargetDatamover, services: TargetConnectionServices) {
    this.datamover = datamover
    this.#clock = services.clock
    this.#log = services.log
    this.#keepalive = new Keepalive(
      services.clock,
      services.nopIntervalMs ?? NOP_INTERVAL_MS,
      services.nopDeadlineMs ?? NOP_DEADLINE_MS,
      () => this.#ping(),
      () => this.fail("the initiator doesn't answer NOP-In"),
    )
  }

  get expCmdSn(): number {
    return this.session === undefined ? 0 : this.session.window.expCmdSn
  }

  get maxCmdSn(): number {
    return this.session === undefined ? 0 : this.session.window.maxCmdSn
  }

  /** Who is at the other end, for log lines. */
  get fields(): LogFields {
    const identity = this.session?.identity
    return {
      initiator: identity?.initiatorName,
      target: identity?.targetName,
      address: this.datamover.remote.address,
      port: this.datamover.remote.port,
      tsih: identity?.tsih,
      transport: this.datamover.transport,
    }
  }

  /** Begins the login phase. */
  start(login: LoginPhaseReceiver): void {
    this.#login = login
    this.datamover.start(this, this)
  }

  /** MaxRecvDataSegmentLength may be declared anew in full feature phase (RFC 7143 §13.12). */
  declareMaxSend(bytes: number | undefined): void {
    if (bytes === undefined || bytes < 512 || bytes > 0xffffff) return
    this.keys = { ...this.keys, maxSendDataSegmentLength: bytes }
    this.datamover.noticeKeyValues(this.keys)
  }

  enter(state: ConnectionState): void {
    checkTransition(this.state, state)
    this.state = state
  }

  /** Login is through, the final response has gone to the datamover: from here on `session` owns the connection. */
  enterFullFeaturePhase(sendTargets: SendTargets): void {
    this.enter("logged-in")
    this.#login = undefined
    this.#text = new TextExchange(this, sendTargets)
    this.#keepalive.start()
  }

  // ------------------------------------------------------------------------------------------ upcalls

  controlNotify(pdu: ReceivedPdu): void {
    this.#keepalive.heard = true
    if (this.#login) return this.#login.received(pdu)
    if (this.state === "cleanup-wait" || this.state === "free") return
    const first = pdu.view.getUint8(pdu.at)
    const opcode = first & 0x3f
    switch (opcode) {
      case Opcode.scsiCommand:
      case Opcode.taskManagementRequest:
      case Opcode.textRequest:
      case Opcode.logoutRequest:
        return this.#ordered(pdu, (first & 0x40) !== 0)
      case Opcode.nopOut:
        // The answer to our ping, or a mere ExpStatSN update, takes no CmdSN (RFC 7143 §11.18).
        if (pdu.view.getUint32(pdu.at + 16) === ISCSI_RESERVED_TAG) return
        return this.#ordered(pdu, (first & 0x40) !== 0)
      case Opcode.dataOut:
        return this.#unsolicitedData(pdu)
      case Opcode.snackRequest:
        // "SNACK must not be used" at ErrorRecoveryLevel 0 (RFC 7143 §11.16).
        return this.reject(RejectReason.snackReject, pdu)
      case Opcode.loginRequest:
        this.reject(RejectReason.protocolError, pdu)
        return this.fail("a Login Request in full feature phase")
      default:
        return this.reject(RejectReason.commandNotSupported, pdu)
    }
  }

  formatErrorNotify(reason: number, message: string, pdu: ReceivedPdu): void {
    if (!this.#login) this.reject(reason, pdu)
    this.fail(message)
  }

  numbersNotify(): void {
    // Only an initiator's datamover gets PDUs that carry them.
  }

  connectionTerminateNotify(error: Error): void {
    if (this.#login) this.#loginLost(error)
    else this.#cleanUp(error.message)
  }

  // ----------------------------------------------------------------------------------------- ordering

  /** Takes a request in CmdSN order (RFC 7143 §4.2.2.1). */
  #ordered(pdu: ReceivedPdu, immediate: boolean): void {
    const session = this.session!
    if (immediate) {
      if (session.takeImmediate(IMMEDIATE_COMMANDS_MAX)) return this.#deliver(pdu, true)
      return this.reject(RejectReason.immediateCommandReject, pdu)
    }
    const cmdSn = pdu.view.getUint32(pdu.at + 24)
    const window = session.window
    if (cmdSn === window.expCmdSn && window.contains(cmdSn)) {
      window.advance()
      this.#deliver(pdu, false)
      if (window.keepsAny) this.#deliverDue(session)
    } else if (window.contains(cmdSn)) {
      window.keep(cmdSn, new HeldPdu(pdu))
    } // else: outside the window, to be ignored
  }

  #deliverDue(session: TargetSession): void {
    for (const held of session.window.due()) {
      if (held) this.#deliver(held, false)
      else session.commandRetired(false)
    }
  }

  #deliver(pdu: ReceivedPdu, immediate: boolean): void {
    const session = this.session!
    switch (pdu.view.getUint8(pdu.at) & 0x3f) {
      case Opcode.scsiCommand:
        return this.#scsiCommand(pdu, immediate)
      case Opcode.nopOut:
        this.#nopOut(new NopOut(pdu.view, pdu.at), pdu)
        return session.commandRetired(immediate)
      case Opcode.taskManagementRequest:
        return this.#taskManagement(new TaskManagementRequest(pdu.view, pdu.at), immediate)
      case Opcode.textRequest:
        session.commandRetired(immediate)
        return this.#text?.received(new TextRequest(pdu.view, pdu.at), pdu)
      case Opcode.logoutRequest:
        session.commandRetired(immediate)
        return void this.#logout(new LogoutRequest(pdu.view, pdu.at))
    }
  }

  #scsiCommand(pdu: ReceivedPdu, immediate: boolean): void {
    const session = this.session!
    const refusal = this.#commandRefusal(pdu)
    if (refusal !== undefined) {
      session.commandRetired(immediate)
      return this.reject(refusal, pdu)
    }
    session.user.commandReceived(this, pdu, pdu.view.getUint32(pdu.at + 24), immediate)
  }

  #commandRefusal(pdu: ReceivedPdu): number | undefined {
    const session = this.session!
    if (session.identity.type === "Discovery" || this.state === "in-logout") return RejectReason.protocolError
    const tag = pdu.view.getUint32(pdu.at + 16)
    if (tag === ISCSI_RESERVED_TAG) return RejectReason.invalidPduField
    if (session.tasks.has(tag)) return RejectReason.taskInProgress
    return undefined
  }

  /** Data-Out with no Target Transfer Tag: what the initiator sends unasked after a command (RFC 7143 §4.2.5.2). */
  #unsolicitedData(pdu: ReceivedPdu): void {
    const task = this.session!.tasks.get(pdu.view.getUint32(pdu.at + 16))
    // For a task that has ended already (refused, aborted) it is only late.
    if (task) task.dataOutReceived(pdu)
  }

  // ----------------------------------------------------------------------------------------- requests

  #nopOut(request: NopOut, pdu: ReceivedPdu): void {
    const data = pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes)
    const response = this.header.nopIn(request.initiatorTaskTag)
    response.targetTransferTag = ISCSI_RESERVED_TAG
    this.send(response, data.length > this.keys.maxSendDataSegmentLength ? undefined : data)
  }

  #ping(): void {
    const ping = this.header.nopIn(ISCSI_RESERVED_TAG)
    this.#pingTag = (this.#pingTag + 1) & 0x7fffffff
    ping.targetTransferTag = this.#pingTag
    // It takes no StatSN: nothing acknowledges it (RFC 7143 §11.19.3).
    this.send(ping, undefined, false)
  }

  #taskManagement(request: TaskManagementRequest, immediate: boolean): void {
    const session = this.session!
    const tag = request.initiatorTaskTag
    const respond = (response: number) => {
      session.commandRetired(immediate)
      if (this.state === "cleanup-wait" || this.state === "free") return
      const header = this.header.taskManagement(tag)
      header.response = response
      this.send(header)
    }
    const asked = {
      function: request.function,
      lunHigh: request.bytes.getUint32(request.lun),
      lunLow: request.bytes.getUint32(request.lun + 4),
      referencedTaskTag: request.referencedTaskTag,
    }
    const known = this.#withoutTask(request)
    if (known !== undefined) return respond(known)
    this.#log.info(
      { ...this.fields, function: asked.function, tag: asked.referencedTaskTag },
      "task management",
    )
    session.user.taskManagementReceived(asked).then(respond, (error: Error) => {
      this.#log.error({ ...this.fields, error: error.message }, "task management failed")
      respond(TaskManagementResponseCode.functionRejected)
    })
  }

  /** The functions answered without the SCSI layer: those of iSCSI, and ABORT TASK of a command that isn't here. */
  #withoutTask(request: TaskManagementRequest): number | undefined {
    const session = this.session!
    if (session.identity.type === "Discovery") return TaskManagementResponseCode.functionRejected
    if (request.function === TaskManagementFunction.taskReassign) {
      return TaskManagementResponseCode.taskAllegianceReassignmentNotSupported
    }
    if (request.function !== TaskManagementFunction.abortTask) return undefined
    if (session.tasks.has(request.referencedTaskTag)) return undefined
    // The command may be on its way: then it counts as received, and is dropped if it comes (RFC 7143 §11.5.5).
    if (session.window.awaits(request.refCmdSn, request.cmdSn)) {
      session.window.skip(request.refCmdSn)
      return TaskManagementResponseCode.functionComplete
    }
    return TaskManagementResponseCode.taskDoesNotExist
  }

  async #logout(request: LogoutRequest): Promise<void> {
    const { initiatorTaskTag: tag, reasonCode: reason, cid } = request
    const response = this.#logoutResponse(reason, cid)
    if (response === LogoutResponseCode.closed) {
      this.enter("in-logout")
      this.#endReason = "logout"
      const ended = this.session!.user.connectionEnded(this)
      if (isPromise(ended)) await ended
    }
    if (this.state === "cleanup-wait" || this.state === "free") return
    const header = this.header.logout(tag)
    header.response = response
    header.time2Wait = this.keys.defaultTime2Wait
    header.time2Retain = this.keys.defaultTime2Retain
    this.send(header)
    if (response === LogoutResponseCode.closed) {
      this.#log.info({ ...this.fields, reason: "logout" }, "logged out")
      this.datamover.connectionClose()
      this.#cleanUp(undefined)
    }
  }

  #logoutResponse(reason: number, cid: number): number {
    switch (reason) {
      case LogoutReason.closeSession:
        return LogoutResponseCode.closed
      case LogoutReason.closeConnection:
        return cid === this.cid ? LogoutResponseCode.closed : LogoutResponseCode.cidNotFound
      case LogoutReason.removeConnectionForRecovery:
        return LogoutResponseCode.recoveryNotSupported
      default:
        return LogoutResponseCode.cleanupFailed
    }
  }

  // ----------------------------------------------------------------------------------------- responses

  /** Numbers and sends the response composed in `header`. One without a StatSN of its own still tells the next. */
  send(
    response: { statSn: number; expCmdSn: number; maxCmdSn: number },
    data?: Uint8Array | DataBuffer,
    takesStatSn = true,
  ): void {
    response.statSn = this.statSn
    if (takesStatSn) this.statSn = (this.statSn + 1) >>> 0
    response.expCmdSn = this.expCmdSn
    response.maxCmdSn = this.maxCmdSn
    this.datamover.sendControl(this.header.bytes, data)
  }

  /** Tells the initiator that a PDU of its was not taken, and which: the Reject carries its header (RFC 7143 §11.17). */
  reject(reason: number, pdu: ReceivedPdu): void {
    this.#log.warn({ ...this.fields, reason, opcode: pdu.view.getUint8(pdu.at) & 0x3f }, "request rejected")
    const reject = this.header.reject()
    reject.reason = reason
    this.send(reject, pdu.bytes.subarray(pdu.at, pdu.at + BHS_BYTES))
  }

  /** Asks the initiator to log out within `graceMs`, and drops the connection when it doesn't (RFC 7143 §11.9.1). */
  requestLogout(graceMs: number): void {
    if (this.state !== "logged-in") return
    this.enter("logout-requested")
    const message = this.header.async()
    message.asyncEvent = AsyncEvent.logoutRequest
    message.parameter3 = Math.max(1, Math.round(graceMs / 1000))
    this.send(message)
    this.#logoutTimer = this.#clock.after(graceMs, "logout grace", () => this.drop("closed by the target"))
  }

  /** Passes a SCSI asynchronous event on: sense data that belongs to no command (RFC 7143 §11.9.1). */
  sendScsiEvent(lunHigh: number, lunLow: number, sense: Uint8Array): void {
    if (this.state !== "logged-in" || this.session?.identity.type !== "Normal") return
    const message = this.header.async()
    message.asyncEvent = AsyncEvent.scsiAsyncEvent
    message.bytes.setUint32(message.lun, lunHigh)
    message.bytes.setUint32(message.lun + 4, lunLow)
    const data = new Uint8Array(2 + sense.length)
    data[0] = sense.length >> 8
    data[1] = sense.length & 0xff
    data.set(sense, 2)
    this.send(message, data)
  }

  // ----------------------------------------------------------------------------------------------- end

  /** The peer broke a rule that can't be recovered from at ErrorRecoveryLevel 0: the connection goes. */
  fail(message: string): void {
    this.#log.warn({ ...this.fields, reason: message }, "connection failed")
    this.#endReason = "protocol error"
    this.datamover.connectionClose()
    if (this.#login) this.#loginLost(new Error(message))
    else this.#cleanUp(undefined)
  }

  #loginLost(error: Error): void {
    const login = this.#login
    this.#login = undefined
    this.enter("free")
    login?.lost(error)
  }

  /** A new connection has taken this one's place in the session (connection reinstatement). Resolves when it is cleaned up. */
  async replace(): Promise<void> {
    this.drop("reinstated")
    await this.#freed
  }

  /** Ends the connection from our side. */
  drop(why: SessionEnd): void {
    if (this.state === "cleanup-wait" || this.state === "free") return
    this.#endReason = why
    this.datamover.connectionTerminate()
    if (this.#login) this.#loginLost(new Error(why))
    else this.#cleanUp(why)
  }

  #cleanUp(logged: string | undefined): void {
    if (this.state === "cleanup-wait" || this.state === "free") return
    if (logged !== undefined) this.#log.info({ ...this.fields, reason: logged }, "connection ended")
    this.enter("cleanup-wait")
    this.#keepalive.stop()
    this.#logoutTimer?.cancel()
    const free = (): Promise<void> => {
      this.enter("free")
      return this.session!.connectionFree(this, this.#endReason)
    }
    const ended = this.session!.user.connectionEnded(this)
    this.#freed = isPromise(ended) ? ended.then(free) : free()
  }
}
