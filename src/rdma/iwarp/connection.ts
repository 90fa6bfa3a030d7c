import type { ByteReceiver, ByteStream, Endpoint } from "../../base/byte-stream.ts"
import type { Timer } from "../../base/clock.ts"
import {
  CLOSE_DEADLINE_MS,
  IWARP_NUDGE_MS,
  IWARP_NUDGE_MS_MAX,
  IWARP_SEND_BYTES_HIGH,
  MPA_DEADLINE_MS,
} from "../../base/limits.ts"
import { WorkStatus, workStatusName } from "../verbs/index.ts"
import type { Connection, Disconnection, DisconnectReason } from "../verbs/index.ts"
import type { RegionUser, SoftwareRegion } from "../verbs/software/memory.ts"
import type { IwarpDevice } from "./device.ts"
import { areOneMachine, isLong, knowsAllWays, payloadBytesOf } from "./fpdu-size.ts"
import { Inbox } from "./inbox.ts"
import type { Enhanced } from "./mpa/frame.ts"
import { Outbox } from "./outbox.ts"
import type { IwarpQueuePair } from "./queue-pair.ts"
import { Requester } from "./requester.ts"
import { Responder } from "./responder.ts"
import { encodeTerminate, reasonOf, Terminate, terminateFpdu, terminateText } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import { RdmapOpcode } from "./wire.ts"

/** So much is read in a turn, about; then others have theirs. */
const TURN_BYTES = 512 * 1024

/** What two sides have agreed on. */
export interface IwarpEnd {
  readonly role: "active" | "passive"
  readonly qp: IwarpQueuePair
  /** The peer's. */
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly crc: boolean
  /** The peer-to-peer model: how the active side says that it is there. */
  readonly rtr: Enhanced | undefined
  readonly disconnected: (event: Disconnection) => void
}

/** One end of a connection of the iWARP provider, from the last frame of MPA on. */
export class IwarpConnection implements Connection, ByteReceiver, RegionUser {
  readonly qp: IwarpQueuePair
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly outbox: Outbox
  readonly requester: Requester
  readonly responder: Responder
  /** Payload of each FPDU we send, at most. */
  payloadBytes: number
  over = false
  /** What becomes of whoever waits for it to be established. */
  onEstablished: () => void = () => {}
  onFailed: (detail: string) => void = () => {}
  readonly #device: IwarpDevice
  readonly #stream: ByteStream
  readonly #inbox: Inbox
  readonly #end: IwarpEnd
  readonly #run = (): void => {
    this.#scheduled = false
    this.#pump()
  }
  #established = false
  /** Something of the peer has come: before, the passive side may not send (RFC 5044 §7.1.2). */
  #heard = false
  #scheduled = false
  #inTurn = false
  #requestersTurn = false
  #streamClosed = false
  #timer: Timer | undefined
  /** Of the active side, while nothing of the peer has come. */
  #nudger: Timer | undefined

  constructor(device: IwarpDevice, stream: ByteStream, end: IwarpEnd) {
    this.#device = device
    this.#stream = stream
    this.#end = end
    this.qp = end.qp
    this.local = stream.local
    this.remote = stream.remote
    this.privateData = end.privateData
    this.responderResources = end.responderResources
    this.initiatorDepth = end.initiatorDepth
    const long = areOneMachine(this.local, this.remote) || knowsAllWays(end.rtr)
    this.payloadBytes = payloadBytesOf(device.fpduSize, long)
    this.outbox = new Outbox(stream, device.memory.slabs, this, () => this.#taken())
    this.requester = new Requester(this)
    this.responder = new Responder(this)
    this.#inbox = new Inbox(device.memory.inbox, this.responder)
    this.outbox.crc = end.crc
    this.#inbox.crc = end.crc
    end.qp.connection = this
    end.qp.state = "RTR"
  }

  // ------------------------------------------------------------------------------------------ the beginning

  /** Takes the stream over: MPA's frames have gone both ways, or ours is on its way. */
  begin(): void {
    const { role, rtr } = this.#end
    if (role === "active") {
      this.#heard = true
      if (rtr !== undefined) this.#ready(rtr)
      this.#establish()
      this.#nudge(IWARP_NUDGE_MS)
    } else if (rtr === undefined) this.#establish()
    else
      this.#timer = this.#device.clock.after(MPA_DEADLINE_MS, "iwarp: ready to receive", () =>
        this.end("lost", "the peer has not said in time that it is there"),
      )
    this.#stream.handOver(this)
    this.schedule()
  }

  /**
   * Sends a Write of nothing while the peer keeps silent: siw doesn't look at what comes while its last frame of MPA
   * leaves, until something else comes.
   */
  #nudge(afterMs: number): void {
    if (afterMs > IWARP_NUDGE_MS_MAX) return
    this.#nudger = this.#device.clock.after(afterMs, "iwarp: nudge", () => {
      // Not between the segments of a message.
      if (!this.requester.midway && !this.responder.answers.midway) this.requester.writeNothing()
      this.#nudge(2 * afterMs)
      this.schedule()
    })
  }

  /** Says that we are there, in a way both know; the first choice is the one that siw takes (RFC 6581 §9.2). */
  #ready(rtr: Enhanced): void {
    if (rtr.rtrWrite) this.requester.writeNothing()
    else if (rtr.rtrRead) this.requester.readNothing()
    else this.requester.sendNothing()
  }

  #establish(): void {
    if (this.#established || this.over) return
    this.#established = true
    this.#timer?.cancel()
    this.qp.state = "RTS"
    this.onEstablished()
  }

  get crc(): boolean {
    return this.#end.crc
  }

  /** A segment of the peer is here, and is good. */
  heard(ulpduBytes: number): void {
    if (isLong(ulpduBytes)) this.payloadBytes = payloadBytesOf(this.#device.fpduSize, true)
    if (this.#heard) return
    this.#heard = true
    this.#establish()
  }

  /** Whether a message of that kind, of no bytes, only says that the peer is there. */
  isRtr(opcode: number): boolean {
    const { rtr, role } = this.#end
    if (role === "active" || rtr === undefined || this.#heard) return false
    if (opcode === RdmapOpcode.send) return rtr.rtrSend
    return opcode === RdmapOpcode.readRequest && rtr.rtrRead
  }

  // ------------------------------------------------------------------------------------------ ByteReceiver

  buffer(): Uint8Array {
    return this.#inbox.buffer()
  }

  received(bytes: number): void {
    this.#nudger?.cancel()
    this.#inTurn = true
    this.#inbox.received(bytes)
    this.#readOn()
    this.#inTurn = false
    this.#pump()
  }

  /** Reads what has come of a long segment, header by header, without a turn of the event loop for each. */
  #readOn(): void {
    for (let bytes = 0; bytes < TURN_BYTES && !this.over; ) {
      const pieces = this.#inbox.ahead()
      const more = pieces === undefined ? 0 : (this.#stream.readNow?.(pieces) ?? 0)
      if (more === 0) return
      this.#inbox.received(more)
      bytes += more
    }
  }

  /** The peer's goodbye; anywhere but between two FPDUs it is none. */
  ended(): void {
    if (this.#inbox.withinFpdu)
      this.end("lost", "the peer has closed the connection in the middle of an FPDU")
    else this.end("peer", "the peer has closed the connection")
  }

  closed(error?: Error): void {
    this.#streamClosed = true
    this.outbox.close()
    this.end("lost", error?.message ?? "the connection is gone")
    this.#timer?.cancel()
    this.requester.flush()
  }

  // ------------------------------------------------------------------------------------------ sending

  /** There are requests to send: they leave at once, so that the peer is at work while the turn goes on. */
  post(): void {
    if (!this.#inTurn) this.#pump()
  }

  /** There may be something to send: it leaves at the end of the turn. */
  schedule(): void {
    if (this.#scheduled || this.#inTurn) return
    this.#scheduled = true
    queueMicrotask(this.#run)
  }

  #pump(): void {
    const { outbox } = this
    if (outbox.backlog > 0) outbox.refresh()
    while (!this.over && this.#heard) {
      let emitted = false
      while (outbox.backlog < IWARP_SEND_BYTES_HIGH && this.#emit()) emitted = true
      if (!emitted) break
      outbox.flush()
      if (outbox.backlog > 0) break
    }
    outbox.flush()
    if (!this.over) this.requester.settle()
  }

  /** Puts in an FPDU of ours or of an answer; both get their turn, message by message. */
  #emit(): boolean {
    const { requester } = this
    const { answers } = this.responder
    if (this.over) return false
    if (requester.midway) return requester.emit()
    if (answers.midway) return answers.emit()
    this.#requestersTurn = !this.#requestersTurn
    if (this.#requestersTurn) return requester.emit() || answers.emit()
    return answers.emit() || requester.emit()
  }

  #taken(): void {
    if (this.over) this.requester.flush()
    else this.#pump()
  }

  // ------------------------------------------------------------------------------------------ the end

  disconnect(): void {
    this.end("local", "disconnected")
  }

  /** A request of ours can't be done. */
  requestFailed(status: WorkStatus): void {
    const detail = `a request failed: ${workStatusName(status)}`
    this.#terminate("request-failed", detail, Terminate.localCatastrophe)
  }

  /** A receive of ours can't be used. */
  receiveFailed(status: WorkStatus): void {
    this.qp.completeReceive(status)
    const detail = `a receive of ours was no good: ${workStatusName(status)}`
    this.#terminate("request-failed", detail, Terminate.localCatastrophe)
  }

  /** The peer broke a rule; `ulpdu` is the segment it did so with, its headers at least. */
  violated(code: TerminateCode, ulpdu: Uint8Array, ulpduBytes: number): void {
    const detail = `the peer's segment was refused: ${terminateText(code)}`
    this.#terminate("peer-violation", detail, code, ulpdu, ulpduBytes)
  }

  /** What comes makes no sense any more. */
  lost(detail: string, code: TerminateCode): void {
    this.#terminate("lost", detail, code)
  }

  /** The peer has terminated the stream. */
  terminated(code: TerminateCode | undefined): void {
    if (code === undefined) this.end("lost", "the peer has terminated the stream without a reason")
    else this.end(reasonOf(code), `the peer has terminated the stream: ${terminateText(code)}`)
  }

  #terminate(
    reason: DisconnectReason,
    detail: string,
    code: TerminateCode,
    ulpdu?: Uint8Array,
    ulpduBytes = 0,
  ): void {
    if (this.over) return
    const bytes = terminateFpdu(encodeTerminate(code, ulpdu, ulpduBytes), this.#end.crc)
    this.end(reason, detail, bytes)
  }

  /** Ends it; `last` are the last bytes to be sent. */
  end(reason: DisconnectReason, detail: string, last?: Uint8Array): void {
    if (this.over) return
    this.over = true
    this.#timer?.cancel()
    this.#nudger?.cancel()
    this.#inbox.close()
    this.responder.dropSink()
    this.outbox.flush()
    if (!this.#streamClosed) this.#leave(last)
    this.qp.enterError()
    const { clock } = this.#device
    if (this.#established)
      clock.after(0, "iwarp: disconnected", () => this.#end.disconnected({ reason, detail }))
    else this.onFailed(detail)
  }

  /** Says goodbye; what the peer still sends is dropped, so that it reads what we have sent it. */
  #leave(last: Uint8Array | undefined): void {
    const stream = this.#stream
    if (last !== undefined) stream.write([last])
    stream.end()
    stream.refreshBuffer()
    this.#timer = this.#device.clock.after(CLOSE_DEADLINE_MS, "iwarp: close", () => stream.destroy())
  }

  /** Nothing reaches memory any more, not even what is on its way to the peer. */
  letGo(): void {
    this.outbox.refresh()
    if (this.outbox.lends) this.#stream.destroy()
  }

  revoked(region: SoftwareRegion): void {
    const sink = this.responder.sinkIn(region)
    if (sink !== undefined) {
      this.#inbox.dropSink()
      this.responder.dropSink()
      this.#stream.refreshBuffer()
    }
    this.outbox.refresh()
    if (this.outbox.lendsOf(region)) {
      // What the system hasn't taken can't be got back but with the stream.
      this.#stream.destroy()
      this.end("request-failed", "memory that was being sent has been taken out of use")
    } else if (sink === "answer") this.requester.sinkRevoked()
    else if (sink === "send") this.receiveFailed(WorkStatus.localProtectionError)
    else if (sink === "write") this.violated(Terminate.taggedBadStag, new Uint8Array(0), 0)
  }
}
