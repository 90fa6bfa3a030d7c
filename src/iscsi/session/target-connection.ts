import type { DataBuffer } from "../../base/buffers.ts"
import type { Clock, Timer } from "../../base/clock.ts"
import { isPromise } from "../../base/completion.ts"
import { NOP_DEADLINE_MS, NOP_INTERVAL_MS } from "../../base/limits.ts"
import type { Log, LogFields } from "../../base/log.ts"
import type { DatamoverUpcalls, ReceivedPdu, RunningNumbers, TargetDatamover } from "../da.ts"
import { traced } from "../da-trace.ts"
import type { NegotiatedKeys } from "../login/keys.ts"
import type { Negotiation } from "../login/negotiation.ts"
import { BHS_BYTES, ISCSI_RESERVED_TAG, Opcode } from "../pdu/bhs.ts"
import { LogoutRequest, NopOut, TaskManagementRequest, TextRequest } from "../pdu/index.ts"
import { RejectReason, rejectReasonName } from "../spec/index.ts"
import { sendConnectionDrop, sendLogoutRequest } from "./async-messages.ts"
import type { HeldPdu } from "./held-pdu.ts"
import { Keepalive } from "./keepalive.ts"
import { logOut } from "./logout.ts"
import { ResponseHeader } from "./response-header.ts"
import type { SendTargets } from "./session-user.ts"
import { type ConnectionState, checkTransition } from "./state.ts"
import type { SessionEnd, TargetSession } from "./target-session.ts"
import { taskManagementReceived } from "./task-management.ts"
import { TextExchange } from "./text-exchange.ts"
import { unsolicitedDataReceived } from "./unsolicited-data.ts"

/** What handles a connection's PDUs until it is in full feature phase. */
export interface LoginPhaseReceiver {
  received(pdu: ReceivedPdu): void
  /** A PDU has come that no target takes. */
  unusable(message: string): void
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
  datamover: TargetDatamover
  readonly log: Log
  readonly header = new ResponseHeader()
  session: TargetSession | undefined
  keys!: NegotiatedKeys
  cid = 0
  statSn = 1
  readonly expStatSn = 0 // the initiator's number; a target has none
  state: ConnectionState = "xpt-up"
  /** Resolves when it has ended and is cleaned up. */
  readonly freed: Promise<void>
  #login: LoginPhaseReceiver | undefined
  #text: TextExchange | undefined
  #logoutTimer: Timer | undefined
  #endReason: SessionEnd = "connection lost"
  #pingTag = 0
  #resolveFreed: () => void = () => {}
  readonly #clock: Clock
  readonly #keepalive: Keepalive

  constructor(datamover: TargetDatamover, services: TargetConnectionServices) {
    this.datamover = traced(datamover, "target")
    this.log = services.log
    this.#clock = services.clock
    this.freed = new Promise((resolve) => {
      this.#resolveFreed = resolve
    })
    this.#keepalive = new Keepalive(services.clock, {
      intervalMs: services.nopIntervalMs ?? NOP_INTERVAL_MS,
      deadlineMs: services.nopDeadlineMs ?? NOP_DEADLINE_MS,
      activity: () => datamover.activity,
      ping: () => this.#ping(),
      lost: () => this.fail("the initiator doesn't answer NOP-In", "no answer to NOP-In"),
    })
  }

  get expCmdSn(): number {
    return this.session === undefined ? 0 : this.session.window.expCmdSn
  }

  get maxCmdSn(): number {
    return this.session === undefined ? 0 : this.session.window.maxCmdSn
  }

  /** Nothing is taken or sent any more. */
  get over(): boolean {
    return this.state === "cleanup-wait" || this.state === "free"
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

  /** The initiator has declared MaxRecvDataSegmentLength anew, as it may in full feature phase (RFC 7143 §13.12). */
  declareMaxSend(bytes: number): void {
    if (bytes === this.keys.maxSendDataSegmentLength) return
    this.keys = { ...this.keys, maxSendDataSegmentLength: bytes }
    this.datamover.noticeKeyValues(this.keys)
  }

  enter(state: ConnectionState): void {
    checkTransition(this.state, state)
    this.state = state
  }

  /** Login is through, the final response has gone to the datamover: from here on `session` owns the connection. */
  enterFullFeaturePhase(sendTargets: SendTargets, negotiation: Negotiation): void {
    this.enter("logged-in")
    this.datamover = this.datamover.settled ?? this.datamover
    this.#login = undefined
    this.#text = new TextExchange(this, sendTargets, negotiation)
    this.#keepalive.start()
  }

  // ------------------------------------------------------------------------------------------ upcalls

  controlNotify(pdu: ReceivedPdu): void {
    if (this.#login) return this.#login.received(pdu)
    if (this.over) return
    const first = pdu.view.getUint8(pdu.at)
    const opcode = first & 0x3f
    switch (opcode) {
      case Opcode.scsiCommand:
      case Opcode.taskManagementRequest:
      case Opcode.textRequest:
      case Opcode.logoutRequest:
        return this.#ordered(pdu, opcode, (first & 0x40) !== 0)
      case Opcode.nopOut:
        return this.#nopReceived(pdu, (first & 0x40) !== 0)
      case Opcode.dataOut:
        return unsolicitedDataReceived(this, pdu, false)
      case Opcode.snackRequest:
        return this.reject(this.#snackRefusal, pdu)
      case Opcode.loginRequest:
        this.reject(RejectReason.protocolError, pdu)
        return this.fail("a Login Request in full feature phase")
      default:
        return this.reject(RejectReason.commandNotSupported, pdu)
    }
  }

  formatErrorNotify(reason: number, message: string, pdu: ReceivedPdu): void {
    if (this.#login) return this.#login.unusable(message)
    if (this.over) return
    this.reject(reason, pdu)
    if (reason === RejectReason.dataDigestError) this.#damaged(message, pdu)
    else this.fail(message)
  }

  /** Nothing is kept to be sent again at ErrorRecoveryLevel 0 (RFC 7143 §11.16); over iSER there is no SNACK (RFC 7145 §7.3.11). */
  get #snackRefusal(): number {
    return this.datamover.transport === "iser" ? RejectReason.protocolError : RejectReason.snackReject
  }

  /**
   * The data of a PDU is lost, its Reject is on the way (RFC 7143 §7.8). A Data-Out costs its task. A request that is
   * numbered leaves a gap in the order of commands that nobody could fill, as there are no retries at
   * ErrorRecoveryLevel 0 (§7.2.1): rather than to stand still until the initiator runs out of patience, we escalate
   * to session recovery at once. One that is immediate leaves no gap: the Reject says it all.
   */
  #damaged(message: string, pdu: ReceivedPdu): void {
    const first = pdu.view.getUint8(pdu.at)
    const solicited = pdu.view.getUint32(pdu.at + 20) !== ISCSI_RESERVED_TAG
    if ((first & 0x3f) !== Opcode.dataOut) {
      if ((first & 0x40) === 0) this.fail(message)
    } else if (!solicited) unsolicitedDataReceived(this, pdu, true)
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
  #ordered(pdu: ReceivedPdu, opcode: number, immediate: boolean): void {
    const session = this.session!
    if (immediate) {
      // What is answered at once needs no place; task management has places of its own.
      if (opcode !== Opcode.scsiCommand || session.takeImmediate()) return this.#deliver(pdu, true)
      return this.reject(RejectReason.immediateCommandReject, pdu)
    }
    const cmdSn = pdu.view.getUint32(pdu.at + 24)
    const window = session.window
    if (cmdSn === window.expCmdSn && window.contains(cmdSn)) {
      window.advance()
      this.#deliver(pdu, false)
      if (window.keepsAny) session.deliverDue()
    } else if (window.contains(cmdSn)) {
      const held = session.hold(pdu, this)
      if (held) window.keep(cmdSn, held)
      else this.fail("too much came ahead of its turn")
    } // else: outside the window, to be ignored
  }

  /** A PDU that was kept, and whatever data followed it. */
  deliverHeld(held: HeldPdu): void {
    this.#deliver(held, held.immediate)
    for (const data of held.data) if (!this.over) unsolicitedDataReceived(this, data, data.damaged)
  }

  #deliver(pdu: ReceivedPdu, immediate: boolean): void {
    const session = this.session!
    const { view, at } = pdu
    switch (view.getUint8(at) & 0x3f) {
      case Opcode.scsiCommand:
        return this.#scsiCommand(pdu, immediate)
      case Opcode.taskManagementRequest:
        return taskManagementReceived(this, new TaskManagementRequest(view, at), pdu, immediate)
    }
    if (!immediate) session.window.retire()
    if (this.over) return
    if (this.state === "in-logout") return this.reject(RejectReason.protocolError, pdu)
    switch (view.getUint8(at) & 0x3f) {
      case Opcode.nopOut:
        return this.#echo(new NopOut(view, at), pdu)
      case Opcode.textRequest:
        return this.#text?.received(new TextRequest(view, at), pdu)
      case Opcode.logoutRequest:
        return logOut(this, new LogoutRequest(view, at), pdu)
    }
  }

  #scsiCommand(pdu: ReceivedPdu, immediate: boolean): void {
    const session = this.session!
    const refusal = this.#commandRefusal(pdu)
    if (refusal === undefined) {
      return session.user.commandReceived(this, pdu, pdu.view.getUint32(pdu.at + 24), immediate)
    }
    session.commandRetired(immediate)
    if (!this.over) this.reject(refusal, pdu)
  }

  #commandRefusal(pdu: ReceivedPdu): number | undefined {
    const session = this.session!
    const open = this.state === "logged-in" || this.state === "logout-requested"
    if (!open || session.identity.type === "Discovery") return RejectReason.protocolError
    const tag = pdu.view.getUint32(pdu.at + 16)
    if (tag === ISCSI_RESERVED_TAG) return RejectReason.invalidPduField
    if (session.tasks.has(tag) || session.functions.has(tag)) return RejectReason.taskInProgress
    return undefined
  }

  // ---------------------------------------------------------------------------------------------- NOP

  #nopReceived(pdu: ReceivedPdu, immediate: boolean): void {
    if (pdu.view.getUint32(pdu.at + 16) !== ISCSI_RESERVED_TAG)
      return this.#ordered(pdu, Opcode.nopOut, immediate)
    // The answer to our ping, or a mere ExpStatSN update; it must be immediate, as it takes no CmdSN (RFC 7143 §11.18.1).
    if (!immediate) this.reject(RejectReason.protocolError, pdu)
  }

  #echo(request: NopOut, pdu: ReceivedPdu): void {
    const bytes = Math.min(pdu.dataBytes, this.keys.maxSendDataSegmentLength)
    const response = this.header.nopIn(request.initiatorTaskTag)
    response.targetTransferTag = ISCSI_RESERVED_TAG
    this.send(response, pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + bytes))
  }

  #ping(): void {
    const ping = this.header.nopIn(ISCSI_RESERVED_TAG)
    this.#pingTag = (this.#pingTag + 1) & 0x7fffffff
    ping.targetTransferTag = this.#pingTag
    // It takes no StatSN: nothing acknowledges it (RFC 7143 §11.19.2).
    this.send(ping, undefined, false)
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
    const opcode = pdu.view.getUint8(pdu.at) & 0x3f
    this.log.warn({ ...this.fields, reason: rejectReasonName(reason), opcode }, "request rejected")
    const reject = this.header.reject()
    reject.reason = reason
    const bytes = Math.min(BHS_BYTES + pdu.ahsBytes, this.keys.maxSendDataSegmentLength)
    this.send(reject, pdu.bytes.subarray(pdu.at, pdu.at + bytes))
  }

  /** Asks the initiator to log out within `graceMs`, and drops the connection when it doesn't (RFC 7143 §11.9.1). */
  requestLogout(graceMs: number): void {
    if (this.over) return
    if (this.state === "logged-in") {
      this.enter("logout-requested")
      sendLogoutRequest(this, graceMs)
    }
    // One that is logging out already, or is only about to log in, gets no more time than the others.
    this.#logoutTimer?.cancel()
    this.#logoutTimer = this.#clock.after(graceMs, "logout grace", () => {
      if (this.state === "logout-requested") sendConnectionDrop(this)
      this.close("closed by the target")
    })
  }

  // ----------------------------------------------------------------------------------------------- end

  /** The peer broke a rule that can't be recovered from at ErrorRecoveryLevel 0: the connection goes. */
  fail(message: string, why: SessionEnd = "protocol error"): void {
    if (this.over) return
    if (this.#login) this.#leaveLogin(message, true)
    else {
      this.log.warn({ ...this.fields, reason: message }, "connection failed")
      this.#end(why, undefined, true)
    }
  }

  /** Ends the connection from our side, at once. */
  drop(why: SessionEnd): void {
    this.#end(why, why, false)
  }

  /** Ends it once what was sent is through. */
  close(why: SessionEnd): void {
    this.#end(why, why, true)
  }

  /** The Logout Response has been sent. */
  loggedOut(): void {
    this.log.info({ ...this.fields, reason: "logout" }, "logged out")
    this.#end("logout", undefined, true)
  }

  #end(why: SessionEnd, logged: string | undefined, gently: boolean): void {
    if (this.over) return
    if (this.#login) return this.#leaveLogin(why, gently)
    this.#endReason = why
    this.#leaveTransport(gently)
    this.#cleanUp(logged)
  }

  #leaveTransport(gently: boolean): void {
    if (gently) this.datamover.connectionClose()
    else this.datamover.connectionTerminate()
  }

  #leaveLogin(message: string, gently: boolean): void {
    this.#leaveTransport(gently)
    this.#loginLost(new Error(message))
  }

  /** The login was refused: its response is the last that is sent. */
  refused(): void {
    this.#login = undefined
    this.datamover.connectionClose()
    if (!this.over) this.#free()
  }

  #loginLost(error: Error): void {
    const login = this.#login
    this.#login = undefined
    this.#free()
    login?.lost(error)
  }

  #cleanUp(logged: string | undefined): void {
    if (this.over) return
    if (logged !== undefined) this.log.info({ ...this.fields, reason: logged }, "connection ended")
    this.enter("cleanup-wait")
    this.#keepalive.stop()
    const session = this.session!
    const ended = session.user.connectionEnded(this)
    const free = async (): Promise<void> => {
      this.#free()
      await session.connectionFree(this, this.#endReason)
    }
    this.inBackground(isPromise(ended) ? ended.then(free) : free())
  }

  #free(): void {
    this.enter("free")
    this.#logoutTimer?.cancel()
    this.#resolveFreed()
  }

  /** What goes on without anybody waiting for it must not fail without anybody noticing. */
  inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error)
      this.log.error({ ...this.fields, error: message }, "the end of a connection failed")
    })
  }
}
