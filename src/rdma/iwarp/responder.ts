import { Access, addressHighAt, addressLowAt, WorkStatus } from "../verbs/index.ts"
import { REMOTE_ACCESS } from "../verbs/access.ts"
import type { SoftwareRegion } from "../verbs/software/memory.ts"
import { isAllowed, runOf, scatter } from "../verbs/software/scatter.ts"
import type { IwarpConnection } from "./connection.ts"
import type { InboxUser } from "./inbox.ts"
import type { Memory } from "./memory-pool.ts"
import { decodeTerminate, Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import {
  CONTROL_LAST,
  CONTROL_TAGGED,
  QueueNumber,
  RdmapOpcode,
  READ_REQUEST_BYTES,
  TAGGED,
  TAGGED_BYTES,
  UNTAGGED_BYTES,
} from "./wire.ts"

const DDP_VERSION = 0x0300
const DDP_VERSION_1 = 0x0100
const RDMAP_VERSION = 0x00c0
const RDMAP_VERSION_1 = 0x0040
const OPCODE = 0x000f
/** So many Sends of one length in a row, and the next one is taken to be as long. */
const ALIKE = 4
const NOTHING = new Uint8Array(0)

/** A read of the peer's that isn't answered to the end. */
interface Answer {
  readonly sinkStag: number
  readonly sinkHigh: number
  readonly sinkLow: number
  readonly length: number
  readonly sourceStag: number
  readonly sourceHigh: number
  readonly sourceLow: number
  sent: number
}

/**
 * The errors of a use of memory, which each layer has in codes of its own: DDP for what it places, RDMAP for what it
 * reads (RFC 5041 §7.1, RFC 5040 §4.8). Access rights are RDMAP's business alone.
 */
interface MemoryErrors {
  readonly badStag: TerminateCode
  readonly bounds: TerminateCode
  readonly otherStream: TerminateCode
  readonly wrap: TerminateCode
}

const PLACING: MemoryErrors = {
  badStag: Terminate.taggedBadStag,
  bounds: Terminate.taggedBounds,
  otherStream: Terminate.taggedStagOfOtherStream,
  wrap: Terminate.taggedOffsetWrap,
}
const READING: MemoryErrors = {
  badStag: Terminate.badStag,
  bounds: Terminate.bounds,
  otherStream: Terminate.stagOfOtherStream,
  wrap: Terminate.offsetWrap,
}

const isSend = (opcode: number): boolean =>
  opcode >= RdmapOpcode.send && opcode <= RdmapOpcode.sendSolicitedInvalidate

const hasOurVersions = (control: number): boolean =>
  (control & (DDP_VERSION | RDMAP_VERSION)) === (DDP_VERSION_1 | RDMAP_VERSION_1)

/** Whether the last of `count` bytes from an address on would lie behind the end of all addresses. */
const wraps = (high: number, low: number, count: number): boolean =>
  high === 0xffffffff && low + count > 2 ** 32

/**
 * The half of a connection that does what the peer asks: it takes segments as they come (RFC 5041 §5, RFC 5040 §5).
 * Everything is checked before a byte moves, with every segment anew.
 */
export class Responder implements InboxUser {
  readonly #connection: IwarpConnection
  readonly #answers: Answer[] = []
  /** The sequence numbers due (RFC 5041 §4.3), and the message that is coming in at queue 0. */
  #sendSequence = 1
  #readSequence = 1
  #messageOffset = 0
  #messageOpcode = 0
  /** Where `memoryAt` has found its bytes. */
  #region: SoftwareRegion | undefined
  #at = 0
  /** What is being received straight to where it belongs: memory of which region, how much of it, part of what. */
  #sinkRegion: SoftwareRegion | undefined
  #sinkBytes = 0
  #sinkOf: "write" | "answer" | "send" = "write"
  /** Of a Send: its segment's first bytes, and the key it names. */
  #sinkControl = 0
  #sinkStag = 0
  /** Length of the last message of several segments, the next one may be just as long; and how often it has been. */
  #longMessageBytes = 0
  #repeats = 0

  constructor(connection: IwarpConnection) {
    this.#connection = connection
  }

  // ------------------------------------------------------------------------------------------ what comes

  arrived(memory: Memory, at: number, ulpduBytes: number): boolean {
    const control = memory.view.getUint16(at)
    if (this.#checkVersions(control, memory, at, ulpduBytes)) this.#take(control, memory, at, ulpduBytes)
    return this.#maybeStraight(control)
  }

  #take(control: number, memory: Memory, at: number, ulpduBytes: number): void {
    if ((control & TAGGED) !== 0) return this.#tagged(control, memory, at, ulpduBytes)
    if (ulpduBytes < UNTAGGED_BYTES) return this.broken("length", memory, at, ulpduBytes)
    const code = this.#untagged(control, memory, at, ulpduBytes)
    if (code !== undefined) this.#violate(code, memory, at, ulpduBytes)
    else this.#connection.heard(ulpduBytes)
  }

  /**
   * With CRC a Send and the answer to a read of ours: which one is due, and where, we know without its header, and until it is
   * complete nobody looks at that memory. A Write whose header is damaged could reach any other (RFC 5044 §4.4).
   */
  #maybeStraight(control: number): boolean {
    const opcode = control & OPCODE
    if ((control & TAGGED) === 0) return isSend(opcode)
    return !this.#connection.crc || opcode === RdmapOpcode.readResponse
  }

  broken(why: "crc" | "length", memory: Memory, at: number, ulpduBytes: number): void {
    if (why === "crc") this.#connection.lost("a CRC of the peer's is wrong", Terminate.mpaCrc)
    else this.#violate(Terminate.mpaLength, memory, at, ulpduBytes)
  }

  #checkVersions(control: number, memory: Memory, at: number, ulpduBytes: number): boolean {
    if ((control & DDP_VERSION) !== DDP_VERSION_1) {
      const code = (control & TAGGED) !== 0 ? Terminate.taggedVersion : Terminate.untaggedVersion
      this.#violate(code, memory, at, ulpduBytes)
    } else if ((control & RDMAP_VERSION) !== RDMAP_VERSION_1)
      this.#violate(Terminate.rdmapVersion, memory, at, ulpduBytes)
    else return true
    return false
  }

  #violate(code: TerminateCode, memory: Memory, at: number, ulpduBytes: number): void {
    // Of the segment only the headers go back, and they are here.
    const end = Math.min(at + ulpduBytes, at + UNTAGGED_BYTES + READ_REQUEST_BYTES)
    this.#connection.violated(code, memory.bytes.subarray(at, end), ulpduBytes)
  }

  // ------------------------------------------------------------------------------------------ tagged segments

  #tagged(control: number, memory: Memory, at: number, ulpduBytes: number): void {
    const count = ulpduBytes - TAGGED_BYTES
    const code = this.#taggedObjection(control, memory.view, at, count)
    if (code !== undefined) return this.#violate(code, memory, at, ulpduBytes)
    this.#connection.heard(ulpduBytes)
    const from = at + TAGGED_BYTES
    const bytes = memory.bytes.subarray(from, from + count)
    if ((control & OPCODE) === RdmapOpcode.readResponse) this.#connection.requester.answer(bytes)
    else if (count > 0) this.#region!.bytes.set(bytes, this.#at)
  }

  /** Why the segment may not be placed; undefined: it may, a write's at `#at` of `#region`. */
  #taggedObjection(control: number, view: DataView, at: number, count: number): TerminateCode | undefined {
    const opcode = control & OPCODE
    const stag = view.getUint32(at + 2)
    const high = view.getUint32(at + 6)
    const low = view.getUint32(at + 10)
    if (opcode === RdmapOpcode.readResponse)
      return this.#connection.requester.objection(stag, high, low, count, (control & CONTROL_LAST) !== 0)
    if (opcode !== RdmapOpcode.write) return Terminate.unexpectedOpcode
    // A segment of no bytes needs no STag (RFC 5041 §5.2).
    return count === 0 ? undefined : this.#find(stag, high, low, count, Access.RemoteWrite, PLACING)
  }

  /** Finds the memory behind an STag, for one use of it (RFC 5042 §6.1). */
  #find(
    stag: number,
    high: number,
    low: number,
    count: number,
    right: number,
    errors: MemoryErrors,
  ): TerminateCode | undefined {
    const { qp } = this.#connection
    const region = qp.table.find(stag)
    // What was never opened to any peer is as good as not there.
    if (region === undefined || (region.access & REMOTE_ACCESS) === 0) return errors.badStag
    if (region.pd !== qp.pd) return errors.otherStream
    if (wraps(high, low, count)) return errors.wrap
    if ((region.access & right) === 0) return Terminate.accessRights
    this.#at = region.remoteOffset(qp.pd, right, high, low, count)
    this.#region = region
    return this.#at < 0 ? errors.bounds : undefined
  }

  begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array | undefined {
    const control = memory.view.getUint16(at)
    if (!this.#maybeStraight(control)) return undefined
    if ((control & TAGGED) === 0) return this.#sendBegins(control, memory.view, at, ulpduBytes)
    const count = ulpduBytes - TAGGED_BYTES
    const { crc, requester } = this.#connection
    // What a wrong CRC may be to blame for is looked at when all of it is here.
    if (crc && !this.#isDue(control, memory.view, at, count)) return undefined
    if (!crc && !this.#mayBegin(control, memory, at, ulpduBytes)) return undefined
    if ((control & OPCODE) === RdmapOpcode.readResponse) {
      const sink = requester.readSink(count)
      if (sink !== undefined) this.#lend("answer", sink.region, count)
      return sink?.bytes
    }
    const region = this.#region!
    this.#lend("write", region, count)
    return region.bytes.subarray(this.#at, this.#at + count)
  }

  /** The segment of a Send that is due goes straight to its receive; any other is looked at when all of it is here. */
  #sendBegins(control: number, view: DataView, at: number, ulpduBytes: number): Uint8Array | undefined {
    const count = ulpduBytes - UNTAGGED_BYTES
    const { qp } = this.#connection
    if (!hasOurVersions(control) || view.getUint32(at + 6) !== QueueNumber.send) return undefined
    if (this.#sendObjection(control, view, at, count) !== undefined) return undefined
    const offset = this.#messageOffset
    const receive = qp.receives.at(qp.receives.completed)
    const run = runOf(qp.table, qp.pd, receive, offset, offset + count)
    if (run === undefined) return undefined
    this.#lend("send", run.region, count)
    this.#sinkControl = control
    this.#sinkStag = view.getUint32(at + 2)
    return run.bytes
  }

  foreseen(runs: Uint8Array[]): boolean {
    const { qp, requester } = this.#connection
    if (this.#sinkOf === "write") return false
    if (this.#sinkOf === "answer") {
      const rest = requester.sinkBehind(this.#sinkBytes)
      if (rest !== undefined) runs.push(rest)
      return true
    }
    const { completed } = qp.receives
    const isLast = (this.#sinkControl & CONTROL_LAST) !== 0
    const isKnown = isLast || this.#foreseeReceive(runs, completed, this.#messageOffset + this.#sinkBytes)
    if (isKnown && this.#repeats >= ALIKE && qp.hasReceive(2)) this.#foreseeReceive(runs, completed + 1, 0)
    return !isLast
  }

  /** From where on in its receive a message goes on that is as long as the last long one. False: that isn't known. */
  #foreseeReceive(runs: Uint8Array[], sequence: number, from: number): boolean {
    const { qp } = this.#connection
    const receive = qp.receives.at(sequence)
    const to = Math.min(this.#longMessageBytes, receive.length)
    const run = to > from ? runOf(qp.table, qp.pd, receive, from, to) : undefined
    if (run !== undefined) runs.push(run.bytes)
    return run !== undefined
  }

  #isDue(control: number, view: DataView, at: number, count: number): boolean {
    return hasOurVersions(control) && this.#taggedObjection(control, view, at, count) === undefined
  }

  #mayBegin(control: number, memory: Memory, at: number, ulpduBytes: number): boolean {
    if (!this.#checkVersions(control, memory, at, ulpduBytes)) return false
    const code = this.#taggedObjection(control, memory.view, at, ulpduBytes - TAGGED_BYTES)
    if (code !== undefined) this.#violate(code, memory, at, ulpduBytes)
    else this.#connection.heard(ulpduBytes)
    return code === undefined
  }

  #lend(part: "write" | "answer" | "send", region: SoftwareRegion, bytes: number): void {
    this.#sinkOf = part
    this.#sinkRegion = region
    this.#sinkBytes = bytes
    region.lentTo(this.#connection)
  }

  placed(): void {
    const bytes = this.#sinkBytes
    this.dropSink()
    if (this.#sinkOf === "write") return
    if (this.#sinkOf === "answer") {
      this.#connection.heard(TAGGED_BYTES + bytes)
      return this.#connection.requester.answered(bytes)
    }
    const ulpduBytes = UNTAGGED_BYTES + bytes
    this.#messageOpcode = this.#sinkControl & OPCODE
    const code = this.#sendPlaced(this.#sinkControl, this.#sinkStag, bytes)
    if (code !== undefined) this.#connection.violated(code, NOTHING, ulpduBytes)
    else this.#connection.heard(ulpduBytes)
  }

  /** Nothing is received straight into memory any more. */
  dropSink(): void {
    this.#sinkRegion?.returned(this.#connection)
    this.#sinkRegion = undefined
  }

  /** The region has been taken out of use: what is being received into it, if anything. */
  sinkIn(region: SoftwareRegion): "write" | "answer" | "send" | undefined {
    return this.#sinkRegion === region ? this.#sinkOf : undefined
  }

  // ------------------------------------------------------------------------------------------ untagged segments

  #untagged(control: number, memory: Memory, at: number, ulpduBytes: number): TerminateCode | undefined {
    const { view } = memory
    const opcode = control & OPCODE
    const queue = view.getUint32(at + 6)
    const sequence = view.getUint32(at + 10)
    const offset = view.getUint32(at + 14)
    const last = (control & CONTROL_LAST) !== 0
    if (queue === QueueNumber.send) return this.#send(control, memory, at, ulpduBytes - UNTAGGED_BYTES)
    if (queue === QueueNumber.readRequest) {
      if (opcode !== RdmapOpcode.readRequest) return Terminate.unexpectedOpcode
      if (sequence !== this.#readSequence) return Terminate.messageSequence
      if (offset !== 0 || !last) return Terminate.messageOffset
      return this.#readRequest(view, at + UNTAGGED_BYTES, ulpduBytes - UNTAGGED_BYTES)
    }
    if (queue !== QueueNumber.terminate) return Terminate.badQueueNumber
    if (opcode !== RdmapOpcode.terminate) return Terminate.unexpectedOpcode
    const from = at + UNTAGGED_BYTES
    const code = decodeTerminate(memory.bytes.subarray(from, at + ulpduBytes))
    this.#connection.terminated(code)
    return undefined
  }

  #send(control: number, memory: Memory, at: number, count: number): TerminateCode | undefined {
    const { qp } = this.#connection
    const opcode = control & OPCODE
    const offset = this.#messageOffset
    const isAll = offset === 0 && count === 0 && (control & CONTROL_LAST) !== 0
    const objection = this.#sendObjection(control, memory.view, at, count)
    // It takes no receive.
    if (isAll && (objection ?? Terminate.noBuffer) === Terminate.noBuffer && this.#connection.isRtr(opcode)) {
      this.#sendSequence = (this.#sendSequence + 1) >>> 0
      return undefined
    }
    if (objection !== undefined) return objection
    const receive = qp.receives.at(qp.receives.completed)
    if (!isAllowed(qp.table, qp.pd, receive, Access.LocalWrite)) {
      this.#connection.receiveFailed(WorkStatus.localProtectionError)
      return undefined
    }
    if (offset + count > receive.length) {
      qp.completeReceive(WorkStatus.localLengthError)
      return Terminate.messageTooLong
    }
    this.#messageOpcode = opcode
    const from = at + UNTAGGED_BYTES
    if (count > 0) scatter(qp.table, qp.pd, receive, offset, memory.bytes, from, count)
    return this.#sendPlaced(control, memory.view.getUint32(at + 2), count)
  }

  /** Why the segment isn't the next one of Sends, or finds no receive; undefined: it is, and does. */
  #sendObjection(control: number, view: DataView, at: number, count: number): TerminateCode | undefined {
    const opcode = control & OPCODE
    if (!isSend(opcode)) return Terminate.unexpectedOpcode
    if (view.getUint32(at + 10) !== this.#sendSequence) return Terminate.messageSequence
    if (view.getUint32(at + 14) !== this.#messageOffset) return Terminate.messageOffset
    if (this.#messageOffset > 0 && opcode !== this.#messageOpcode) return Terminate.unexpectedOpcode
    if (this.#messageOffset === 0 && !this.#connection.qp.hasReceive()) return Terminate.noBuffer
    // A segment of nothing that isn't the last would go on for ever.
    return count === 0 && (control & CONTROL_LAST) === 0 ? Terminate.messageOffset : undefined
  }

  /** So many bytes of a Send are in their place. */
  #sendPlaced(control: number, stag: number, count: number): TerminateCode | undefined {
    const isFirst = this.#messageOffset === 0
    this.#messageOffset += count
    if ((control & CONTROL_LAST) === 0) return undefined
    this.#repeats = this.#messageOffset === this.#longMessageBytes ? this.#repeats + 1 : 0
    if (!isFirst) this.#longMessageBytes = this.#messageOffset
    return this.#delivered(control & OPCODE, stag)
  }

  /** The whole message is here. */
  #delivered(opcode: number, stag: number): TerminateCode | undefined {
    const { qp } = this.#connection
    const invalidates =
      opcode === RdmapOpcode.sendInvalidate || opcode === RdmapOpcode.sendSolicitedInvalidate
    if (invalidates) {
      const region = qp.table.find(stag)
      if (!region?.remotelyInvalidable(qp.pd)) {
        qp.completeReceive(WorkStatus.remoteInvalidRequestError)
        return Terminate.cannotInvalidate
      }
      region.invalidate()
      // It was being sent from, so that was the end: its receive has been flushed.
      if (qp.state !== "RTS") return undefined
    }
    const solicited = opcode >= RdmapOpcode.sendSolicited
    const length = this.#messageOffset
    this.#messageOffset = 0
    this.#sendSequence = (this.#sendSequence + 1) >>> 0
    qp.completeReceive(WorkStatus.success, length, invalidates ? stag : 0, solicited)
    return undefined
  }

  #readRequest(view: DataView, at: number, bytes: number): TerminateCode | undefined {
    if (bytes > READ_REQUEST_BYTES) return Terminate.messageTooLong
    if (bytes < READ_REQUEST_BYTES) return Terminate.unspecifiedOperation
    // Each read it may have under way is a buffer of queue 1 (RFC 5040 §6.6).
    const answer: Answer = {
      sinkStag: view.getUint32(at),
      sinkHigh: view.getUint32(at + 4),
      sinkLow: view.getUint32(at + 8),
      length: view.getUint32(at + 12),
      sourceStag: view.getUint32(at + 16),
      sourceHigh: view.getUint32(at + 20),
      sourceLow: view.getUint32(at + 24),
      sent: 0,
    }
    const isRtr = answer.length === 0 && this.#connection.isRtr(RdmapOpcode.readRequest)
    if (!isRtr && this.#answers.length >= this.#connection.responderResources) return Terminate.noBuffer
    const code = this.#source(answer)
    if (code !== undefined) return code
    this.#readSequence = (this.#readSequence + 1) >>> 0
    this.#answers.push(answer)
    return undefined
  }

  #source({ length, sourceStag, sourceHigh, sourceLow }: Answer): TerminateCode | undefined {
    if (length === 0) return undefined
    return this.#find(sourceStag, sourceHigh, sourceLow, length, Access.RemoteRead, READING)
  }

  // ------------------------------------------------------------------------------------------ answers

  /** Whether an answer has begun that isn't all put in. */
  get midway(): boolean {
    return (this.#answers[0]?.sent ?? 0) > 0
  }

  /** Puts in the next FPDU of the oldest answer. False: there is none. */
  emit(): boolean {
    const answer = this.#answers[0]
    if (answer === undefined) return false
    const code = this.#source(answer)
    if (code !== undefined) {
      this.#connection.violated(code, NOTHING, 0)
      return false
    }
    const { outbox, payloadBytes } = this.#connection
    const count = Math.min(answer.length - answer.sent, payloadBytes)
    const last = answer.sent + count === answer.length
    const at = outbox.begin(TAGGED_BYTES, count)
    const { view } = outbox.memory
    view.setUint16(at, CONTROL_TAGGED | (last ? CONTROL_LAST : 0) | RdmapOpcode.readResponse)
    view.setUint32(at + 2, answer.sinkStag)
    view.setUint32(at + 6, addressHighAt(answer.sinkHigh, answer.sinkLow, answer.sent))
    view.setUint32(at + 10, addressLowAt(answer.sinkLow, answer.sent))
    if (count > 0) outbox.payload(this.#region!.bytes, this.#at + answer.sent, count, this.#region)
    outbox.finish()
    answer.sent += count
    if (last) this.#answers.shift()
    return true
  }
}
