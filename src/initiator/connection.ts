import type { Clock } from "../base/clock.ts"
import type { NegotiatedKeys } from "../iscsi/login/index.ts"
import type {
  CommandBuffers,
  DatamoverUpcalls,
  InitiatorDatamover,
  ReceivedPdu,
  RunningNumbers,
} from "../iscsi/da.ts"
import { traced } from "../iscsi/da-trace.ts"
import {
  AsyncMessage,
  BHS_BYTES,
  Bhs,
  ISCSI_RESERVED_TAG,
  LoginResponse,
  NopIn,
  Opcode,
  Reject,
  ScsiResponse,
} from "../iscsi/pdu/index.ts"
import { Keepalive } from "../iscsi/session/keepalive.ts"
import { type Sense, SenseKey } from "../scsi/spec/sense.ts"
import { serialAdd, serialAfter, serialBefore, serialDistance } from "../wire/serial.ts"
import { type Command, LentBytes } from "./command.ts"
import { ConnectionError, RejectedError } from "./errors.ts"
import { encodeAhs, RequestHeader } from "./request-header.ts"
import { settleByResponse } from "./scsi-response.ts"

/** An Asynchronous Message, as a value of its own (RFC 7143 §11.9). */
export interface AsyncNotice {
  readonly event: number
  readonly lun: number
  readonly vCode: number
  readonly parameter1: number
  readonly parameter2: number
  readonly parameter3: number
  readonly data: Uint8Array
}

/** Whom a connection in full feature phase tells what comes. */
export interface ConnectionUser {
  /** The window has moved, or a command has ended: more may be sent than before. */
  maySend(): void
  asyncMessage(notice: AsyncNotice): void
  /** A unit attention on `after` tells of a reset: commands before it may get no answer. */
  commandsMayBeLost(after: Command): void
  /** The connection is gone, and not by the user's wish. Its commands are in `takeCommands`. Comes once. */
  connectionLost(error: Error): void
}

/** Who gets the Login Responses, while there is no full feature phase. */
export interface LoginReceiver {
  received(header: LoginResponse, data: Uint8Array): void
  lost(error: Error): void
}

/** A request that waits for its response: text, logout, task management, ping. */
export interface Exchange {
  /** For messages: "Text Request". */
  readonly title: string
  /** The opcode its response has. */
  readonly opcode: number
  answered(pdu: ReceivedPdu): void
  failed(error: Error): void
}

export interface ConnectionTimes {
  /** From the last sign of life to a ping, and how long its answer may take; interval 0: never. */
  readonly nopIntervalMs: number
  readonly nopDeadlineMs: number
}

/**
 * One connection of a session at the initiator: task tags, CmdSN and its window, StatSN, unsolicited data, and who
 * waits for which response (RFC 7143 §4.2). How bytes move is the datamover's; when to connect, the session's.
 */
export class InitiatorConnection implements DatamoverUpcalls, RunningNumbers {
  datamover: InitiatorDatamover
  readonly header = new RequestHeader(this)
  keys!: NegotiatedKeys
  /** What the next non-immediate command carries, and what immediate ones do. */
  cmdSn = 1
  expCmdSn = 1
  maxCmdSn = 0
  expStatSn = 0
  readonly statSn = 0 // the target's number; an initiator has none
  readonly commands = new Map<number, Command>()
  readonly #exchanges = new Map<number, Exchange>()
  #login: LoginReceiver | undefined
  #user: ConnectionUser | undefined
  #over = false
  #nextTag = 1
  readonly #keepalive: Keepalive

  constructor(datamover: InitiatorDatamover, clock: Clock, times: ConnectionTimes) {
    this.datamover = traced(datamover, "initiator")
    this.#keepalive = new Keepalive(clock, {
      intervalMs: times.nopIntervalMs,
      deadlineMs: times.nopDeadlineMs,
      activity: () => datamover.activity,
      ping: () => this.ping(ignoreExchange),
      lost: () => this.fail(new ConnectionError("the target doesn't answer NOP-Out")),
    })
  }

  /** Begins the login phase. */
  start(login: LoginReceiver): void {
    this.#login = login
    this.datamover.start(this, this)
  }

  /** The login is through: from here on `user` owns the connection. */
  enterFullFeaturePhase(
    user: ConnectionUser,
    login: {
      readonly keys: NegotiatedKeys
      readonly cmdSn: number
      readonly expStatSn: number
      readonly expCmdSn: number
      readonly maxCmdSn: number
    },
  ): void {
    this.#login = undefined
    this.#user = user
    this.keys = login.keys
    this.cmdSn = login.cmdSn
    this.expStatSn = login.expStatSn
    this.expCmdSn = login.expCmdSn
    this.maxCmdSn = login.maxCmdSn
    this.datamover.noticeKeyValues(login.keys)
    this.datamover.allocateConnectionResources()
    this.datamover.enableDatamover()
    this.datamover = this.datamover.settled ?? this.datamover
    this.#keepalive.start()
  }

  /** Whether the target takes one more command (RFC 7143 §4.2.2.1). */
  get windowOpen(): boolean {
    return serialDistance(this.maxCmdSn, this.cmdSn) >= 0
  }

  get over(): boolean {
    return this.#over
  }

  // ------------------------------------------------------------------------------------------ requests

  /** Sends a SCSI command with the next CmdSN; the window must be open. */
  sendCommand(command: Command): void {
    const { request } = command
    const dataOut = request.dataOut?.length ? request.dataOut : undefined
    const dataIn = request.dataIn?.length ? request.dataIn : undefined
    const tag = this.#newTag()
    command.tag = tag
    command.cmdSn = this.cmdSn
    command.state = "sent"
    this.cmdSn = serialAdd(this.cmdSn, 1)
    this.commands.set(tag, command)
    const view = this.header.scsi(tag, request.lun)
    view.cmdSn = command.cmdSn
    view.taskAttribute = request.attribute ?? 1
    view.read = dataIn !== undefined
    view.write = dataOut !== undefined
    view.expectedDataTransferLength = (dataOut ?? dataIn)?.length ?? 0
    this.header.bytes.set(request.cdb.length > 16 ? request.cdb.subarray(0, 16) : request.cdb, 32)
    const immediateBytes = dataOut ? this.#immediateBytes(dataOut.length) : 0
    const unsolicitedBytes = dataOut ? this.#unsolicitedBytes(dataOut.length, immediateBytes) : 0
    view.final = unsolicitedBytes === immediateBytes
    const ahs = encodeAhs(request.cdb, dataOut && dataIn ? dataIn.length : undefined)
    const header = ahs ? joined(this.header.bytes, ahs) : this.header.bytes
    if (!dataOut && !dataIn) return this.datamover.sendControl(header)
    const buffers: CommandBuffers = { dataOut, dataIn, unsolicitedBytes }
    const immediate = immediateBytes > 0 ? dataOut!.subarray(0, immediateBytes) : undefined
    this.datamover.sendCommand(header, buffers, immediate)
    if (unsolicitedBytes > immediateBytes)
      this.#sendUnsolicited(command, dataOut!, immediateBytes, unsolicitedBytes)
  }

  /** Data in the command PDU itself (ImmediateData, RFC 7143 §13.11). */
  #immediateBytes(dataOutBytes: number): number {
    const { immediateData, firstBurstLength, maxSendDataSegmentLength } = this.keys
    if (!immediateData) return 0
    const most = Math.min(firstBurstLength, maxSendDataSegmentLength)
    if (dataOutBytes <= most) return dataOutBytes
    // Where the target fetches data by itself, one RDMA Read of all of it is better than a piece in front of it.
    return this.datamover.transport === "iser" && this.keys.initialR2T ? 0 : most
  }

  /** All that goes unasked (RFC 7143 §13.10, §13.14). */
  #unsolicitedBytes(dataOutBytes: number, immediateBytes: number): number {
    return this.keys.initialR2T ? immediateBytes : Math.min(dataOutBytes, this.keys.firstBurstLength)
  }

  #sendUnsolicited(command: Command, dataOut: Uint8Array, from: number, to: number): void {
    const { maxSendDataSegmentLength } = this.keys
    let dataSn = 0
    for (let at = from; at < to; at += maxSendDataSegmentLength) {
      const end = Math.min(to, at + maxSendDataSegmentLength)
      const view = this.header.dataOut(command.tag, command.request.lun)
      view.dataSn = dataSn++
      view.bufferOffset = at
      view.final = end === to
      this.datamover.sendControl(this.header.bytes, new LentBytes(dataOut.subarray(at, end), command))
    }
  }

  /** ABORT TASK, CLEAR TASK SET and their kind (RFC 7143 §11.5), as an immediate request. */
  sendTaskManagement(fn: number, lun: number, referenced: Command | undefined, exchange: Exchange): void {
    const view = this.header.taskManagement(this.#register(exchange), lun)
    view.function = fn
    view.immediate = true
    view.cmdSn = this.cmdSn
    view.referencedTaskTag = referenced ? referenced.tag : ISCSI_RESERVED_TAG
    view.refCmdSn = referenced ? referenced.cmdSn : 0
    this.datamover.sendControl(this.header.bytes)
  }

  /** A Text Request; `tag` and `targetTransferTag` are those of the exchange it goes on with. Returns its tag. */
  sendText(
    text: Uint8Array,
    exchange: Exchange,
    tag?: number,
    targetTransferTag = ISCSI_RESERVED_TAG,
  ): number {
    const used = tag ?? this.#newTag()
    this.#exchanges.set(used, exchange)
    const view = this.header.text(used)
    view.immediate = true
    view.cmdSn = this.cmdSn
    view.targetTransferTag = targetTransferTag
    this.datamover.sendControl(this.header.bytes, text)
    return used
  }

  sendLogout(reason: number, exchange: Exchange): void {
    const view = this.header.logout(this.#register(exchange))
    view.immediate = true
    view.reasonCode = reason
    view.cmdSn = this.cmdSn
    this.datamover.sendControl(this.header.bytes)
  }

  /** A NOP-Out that is to be answered (RFC 7143 §11.18). */
  ping(exchange: Exchange): void {
    const view = this.header.nopOut(this.#register(exchange))
    view.immediate = true
    view.targetTransferTag = ISCSI_RESERVED_TAG
    view.cmdSn = this.cmdSn
    this.datamover.sendControl(this.header.bytes)
  }

  /** A NOP-Out that is not: it only tells the target our ExpStatSN. */
  acknowledge(): void {
    const view = this.header.nopOut(ISCSI_RESERVED_TAG)
    view.immediate = true
    view.targetTransferTag = ISCSI_RESERVED_TAG
    view.cmdSn = this.cmdSn
    this.datamover.sendControl(this.header.bytes)
  }

  #register(exchange: Exchange): number {
    const tag = this.#newTag()
    this.#exchanges.set(tag, exchange)
    return tag
  }

  /** Tags rise, so that a late response never meets a new task of the same tag. */
  #newTag(): number {
    let tag: number
    do {
      tag = this.#nextTag
      this.#nextTag = tag === 0x7fffffff ? 1 : tag + 1
    } while (this.commands.has(tag) || this.#exchanges.has(tag))
    return tag
  }

  // ------------------------------------------------------------------------------------------- the end

  /** The task has ended without a SCSI Response. */
  forget(command: Command): void {
    if (!this.commands.delete(command.tag)) return
    this.datamover.deallocateTaskResources(command.tag)
  }

  /** Drops the connection because it's of no use any more; the user is told. */
  fail(error: Error): void {
    if (this.#over) return
    this.datamover.connectionTerminate()
    this.connectionTerminateNotify(error)
  }

  /** Drops the connection without telling the user. `orderly`: after a logout. */
  close(orderly: boolean): void {
    if (this.#over) return
    this.#finish(new ConnectionError("the connection was closed"))
    if (orderly) this.datamover.connectionClose()
    else this.datamover.connectionTerminate()
  }

  /** The commands whose end has not come, in the order they were sent. */
  takeCommands(): Command[] {
    const left = [...this.commands.values()].sort((a, b) => serialDistance(a.cmdSn, b.cmdSn))
    this.commands.clear()
    return left
  }

  #finish(error: Error): void {
    this.#over = true
    this.#keepalive.stop()
    const exchanges = [...this.#exchanges.values()]
    this.#exchanges.clear()
    for (const exchange of exchanges) exchange.failed(error)
  }

  // ------------------------------------------------------------------------------------------- upcalls

  controlNotify(pdu: ReceivedPdu): void {
    if (this.#over) return
    const opcode = pdu.view.getUint8(pdu.at) & 0x3f
    if (this.#login) {
      if (opcode !== Opcode.loginResponse) {
        return this.fail(new ConnectionError(`PDU 0x${opcode.toString(16)} in login phase`))
      }
      return this.#login.received(new LoginResponse(pdu.view, pdu.at), dataOf(pdu))
    }
    switch (opcode) {
      case Opcode.scsiResponse:
        this.#scsiResponse(pdu)
        break
      case Opcode.nopIn:
        this.#nopIn(pdu)
        break
      case Opcode.taskManagementResponse:
      case Opcode.textResponse:
      case Opcode.logoutResponse:
        this.#takeNumbers(pdu, true)
        this.#answer(opcode, pdu)
        break
      case Opcode.asyncMessage:
        this.#asyncMessage(pdu)
        break
      case Opcode.reject:
        this.#reject(pdu)
        break
      default:
        this.fail(
          new ConnectionError(`the target sends PDU 0x${opcode.toString(16)}, which is none of a target's`),
        )
    }
  }

  /** All responses carry StatSN, ExpCmdSN and MaxCmdSN at the same places. */
  #takeNumbers(pdu: ReceivedPdu, advances: boolean): void {
    const statSn = pdu.view.getUint32(pdu.at + 24)
    if (advances) this.#takeStatSn(statSn)
    this.#takeWindow(pdu.view.getUint32(pdu.at + 28), pdu.view.getUint32(pdu.at + 32))
  }

  /**
   * TCP loses nothing, so a gap is a target that miscounts; with ErrorRecoveryLevel 0 there is nothing to ask for
   * again, and following its count keeps it content.
   */
  #takeStatSn(statSn: number): void {
    if (!serialBefore(statSn, this.expStatSn)) this.expStatSn = serialAdd(statSn, 1)
  }

  #takeWindow(expCmdSn: number, maxCmdSn: number): void {
    // RFC 7143 §4.2.2.1: such a pair is to be ignored.
    if (serialBefore(maxCmdSn, serialAdd(expCmdSn, -1))) return
    if (serialAfter(expCmdSn, this.expCmdSn)) this.expCmdSn = expCmdSn
    if (!serialAfter(maxCmdSn, this.maxCmdSn)) return
    this.maxCmdSn = maxCmdSn
    this.#user?.maySend()
  }

  #scsiResponse(pdu: ReceivedPdu): void {
    const view = new ScsiResponse(pdu.view, pdu.at)
    const command = this.commands.get(view.initiatorTaskTag)
    if (command) this.commands.delete(view.initiatorTaskTag)
    this.#takeNumbers(pdu, true)
    if (!command) return
    settleByResponse(view, dataOf(pdu), command)
    if (tellsOfReset(command.result?.sense)) this.#user?.commandsMayBeLost(command)
    this.#user?.maySend()
  }

  #nopIn(pdu: ReceivedPdu): void {
    const view = new NopIn(pdu.view, pdu.at)
    const answersOurs = view.initiatorTaskTag !== ISCSI_RESERVED_TAG
    this.#takeNumbers(pdu, answersOurs)
    if (answersOurs) return this.#answer(Opcode.nopIn, pdu)
    const tag = view.targetTransferTag
    if (tag === ISCSI_RESERVED_TAG) return // it wants no answer
    const answer = this.header.nopOut(ISCSI_RESERVED_TAG)
    answer.immediate = true
    answer.targetTransferTag = tag
    answer.cmdSn = this.cmdSn
    this.header.bytes.set(pdu.bytes.subarray(pdu.at + 8, pdu.at + 16), 8) // its LUN field goes back as it came
    const data = dataOf(pdu)
    this.datamover.sendControl(this.header.bytes, data.subarray(0, this.keys.maxSendDataSegmentLength))
  }

  #answer(opcode: number, pdu: ReceivedPdu): void {
    const tag = pdu.view.getUint32(pdu.at + 16)
    const exchange = this.#exchanges.get(tag)
    if (exchange?.opcode !== opcode) return
    this.#exchanges.delete(tag)
    exchange.answered(pdu)
  }

  #asyncMessage(pdu: ReceivedPdu): void {
    const view = new AsyncMessage(pdu.view, pdu.at)
    this.#takeNumbers(pdu, true)
    this.#user?.asyncMessage({
      event: view.asyncEvent,
      lun: pdu.view.getUint16(view.lun) & 0x3fff,
      vCode: view.asyncVCode,
      parameter1: view.parameter1,
      parameter2: view.parameter2,
      parameter3: view.parameter3,
      data: dataOf(pdu).slice(),
    })
  }

  /** The target gives a PDU back: its header is in the data segment. Whoever waits for it waits in vain. */
  #reject(pdu: ReceivedPdu): void {
    const { reason } = new Reject(pdu.view, pdu.at)
    this.#takeNumbers(pdu, true)
    if (pdu.dataBytes < BHS_BYTES) return
    const rejected = new Bhs(pdu.view, pdu.dataAt)
    const tag = rejected.initiatorTaskTag
    // A rejected Data-Out ends nothing: the status of its command is still to come (RFC 7143 §11.17).
    if (rejected.opcode === Opcode.scsiCommand) {
      const command = this.commands.get(tag)
      if (!command) return
      this.forget(command)
      command.settle(undefined, new RejectedError(command.title, reason))
      return this.#user?.maySend()
    }
    const exchange = this.#exchanges.get(tag)
    this.#exchanges.delete(tag)
    exchange?.failed(new RejectedError(exchange.title, reason))
  }

  formatErrorNotify(_reason: number, message: string): void {
    this.fail(new ConnectionError(message))
  }

  numbersNotify(statSn: number | undefined, expCmdSn: number, maxCmdSn: number): void {
    if (statSn !== undefined) this.#takeStatSn(statSn)
    this.#takeWindow(expCmdSn, maxCmdSn)
  }

  connectionTerminateNotify(error: Error): void {
    if (this.#over) return
    this.#finish(error)
    if (this.#login) this.#login.lost(error)
    else this.#user?.connectionLost(error)
  }
}

const dataOf = (pdu: ReceivedPdu): Uint8Array => pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes)

/** POWER ON, RESET (29h), COMMANDS CLEARED BY ANOTHER INITIATOR (2Fh): whatever was under way is gone. */
const tellsOfReset = (sense: Sense | undefined): boolean =>
  sense?.key === SenseKey.unitAttention && (sense.asc >> 8 === 0x29 || sense.asc >> 8 === 0x2f)

/** For a ping whose answer only has to come. */
const ignoreExchange: Exchange = { title: "NOP-Out", opcode: Opcode.nopIn, answered() {}, failed() {} }

function joined(bhs: Uint8Array, ahs: Uint8Array): Uint8Array {
  const header = new Uint8Array(bhs.length + ahs.length)
  header.set(bhs)
  header.set(ahs, bhs.length)
  return header
}
