import {
  Access,
  addressDistance,
  addressHighAt,
  addressLowAt,
  SendOpcode,
  WorkStatus,
} from "../verbs/index.ts"
import { isAllowed, regionOf, runOf, scatter } from "../verbs/software/scatter.ts"
import type { Run } from "../verbs/software/scatter.ts"
import type { SendPlace } from "../verbs/software/send-place.ts"
import type { IwarpConnection } from "./connection.ts"
import { Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import {
  CONTROL_LAST,
  CONTROL_TAGGED,
  CONTROL_UNTAGGED,
  QueueNumber,
  RdmapOpcode,
  READ_REQUEST_BYTES,
  TAGGED_BYTES,
  UNTAGGED_BYTES,
} from "./wire.ts"

/** An RDMA Read of ours the peer hasn't answered to the end. */
interface PendingRead {
  /** Undefined: no request of the program, but the message that says we are there (RFC 6581 §9.2). */
  readonly place: SendPlace | undefined
  /** Where the peer is to write, as the Read Request says. */
  readonly stag: number
  readonly high: number
  readonly low: number
  readonly length: number
  received: number
}

/**
 * The half of a connection that works on the send queue: it makes messages of requests, and takes the answers to
 * reads. Requests start in order and complete in order; a message is never interrupted by another.
 */
export class Requester {
  readonly #connection: IwarpConnection
  /** Requests whose message has begun, ever. */
  #launched = 0
  /** The request whose message is under way, and how much of it has been put in. */
  #place: SendPlace | undefined
  #offset = 0
  #opened = 0
  readonly #reads: PendingRead[] = []
  /** Reads of `#reads` that count against the agreed depth. */
  #depthUsed = 0
  #sendSequence = 1
  #readSequence = 1
  /** A request has failed here: none after it starts. */
  #stopped = false
  /** One has been flushed, so all after it are. */
  #flushed = false

  constructor(connection: IwarpConnection) {
    this.#connection = connection
  }

  /** Whether a message has begun that isn't all put in. */
  get midway(): boolean {
    return this.#place !== undefined
  }

  /** Puts in the next FPDU. False: there is none that may go. */
  emit(): boolean {
    if (this.#stopped || (this.#place === undefined && !this.#begin())) return false
    const place = this.#place
    // A read's request is all of it.
    if (place === undefined) return true
    const { qp, outbox } = this.#connection
    // What begins has just been checked; later its memory may be gone.
    if (this.#offset > 0 && place.inlineData === undefined && !isAllowed(qp.table, qp.pd, place, 0)) {
      this.#refuse(place, WorkStatus.localProtectionError)
      return false
    }
    const count = Math.min(place.length - this.#offset, this.#connection.payloadBytes)
    const last = this.#offset + count === place.length
    this.#header(place, count, last)
    this.#payload(place, count)
    outbox.finish()
    this.#offset += count
    if (outbox.lends) place.endsAt = outbox.put
    if (!last) return true
    this.#place = undefined
    place.end(WorkStatus.success)
    return true
  }

  /** Starts the next request, if it may start. */
  #begin(): boolean {
    const { qp, initiatorDepth } = this.#connection
    const { sends } = qp
    if (this.#launched === sends.posted) return false
    const place = sends.at(this.#launched)
    if (place.fence && this.#depthUsed > 0) return false
    const status = this.#fault(place)
    if (status !== WorkStatus.success) {
      // It fails in its turn: those before it may still be under way.
      this.settle()
      if (sends.completed === this.#launched) {
        this.#launched++
        this.#refuse(place, status)
      }
      return false
    }
    if (place.isRead) {
      if (this.#depthUsed >= initiatorDepth) return false
      this.#launched++
      this.#read(place)
      return true
    }
    this.#launched++
    this.#place = place
    this.#offset = 0
    if (place.isSend) this.#opened = this.#sendSequence++
    return true
  }

  /** Why the request can't even be started. */
  #fault(place: SendPlace): WorkStatus {
    const { qp, initiatorDepth } = this.#connection
    if (place.isRead && initiatorDepth === 0) return WorkStatus.localQpOperationError
    const right = place.isRead ? Access.LocalWrite : 0
    if (place.inlineData !== undefined || isAllowed(qp.table, qp.pd, place, right)) return WorkStatus.success
    return WorkStatus.localProtectionError
  }

  #header(place: SendPlace, count: number, last: boolean): void {
    const { outbox } = this.#connection
    const end = last ? CONTROL_LAST : 0
    if (!place.isSend) {
      const at = outbox.begin(TAGGED_BYTES, count)
      const { view } = outbox.memory
      view.setUint16(at, CONTROL_TAGGED | end | RdmapOpcode.write)
      view.setUint32(at + 2, place.rkey)
      view.setUint32(at + 6, addressHighAt(place.remoteHigh, place.remoteLow, this.#offset))
      view.setUint32(at + 10, addressLowAt(place.remoteLow, this.#offset))
      return
    }
    const invalidates = place.opcode === SendOpcode.sendWithInvalidate
    const plain = invalidates ? RdmapOpcode.sendInvalidate : RdmapOpcode.send
    const opcode = place.solicited ? plain + 2 : plain
    const at = outbox.begin(UNTAGGED_BYTES, count)
    const { view } = outbox.memory
    view.setUint16(at, CONTROL_UNTAGGED | end | opcode)
    view.setUint32(at + 2, invalidates ? place.invalidateRkey : 0)
    view.setUint32(at + 6, QueueNumber.send)
    view.setUint32(at + 10, this.#opened)
    view.setUint32(at + 14, this.#offset)
  }

  /** Puts in bytes [offset, offset + count) of the message; that they may be used has been checked. */
  #payload(place: SendPlace, count: number): void {
    const { qp, outbox } = this.#connection
    if (place.inlineData !== undefined) return outbox.payload(place.inlineData, this.#offset, count)
    let skip = this.#offset
    let left = count
    for (let i = 0; i < place.pieceCount && left > 0; i++) {
      const piece = place.pieces[i]!
      const bytes = Math.min(piece.length - skip, left)
      if (bytes > 0) {
        const region = regionOf(qp.table, qp.pd, piece, 0)!
        outbox.payload(region.bytes, piece.offset + skip, bytes, region)
        left -= bytes
        skip = 0
      } else skip -= piece.length
    }
  }

  #read(place: SendPlace): void {
    const first = place.pieces[0]
    const mr = place.pieceCount > 0 ? first?.mr : undefined
    const offset = first?.offset ?? 0
    const high = mr === undefined ? 0 : addressHighAt(mr.addressHigh, mr.addressLow, offset)
    const low = mr === undefined ? 0 : addressLowAt(mr.addressLow, offset)
    this.#request({
      place,
      stag: mr === undefined ? 0 : first!.lkey,
      high,
      low,
      length: place.length,
      received: 0,
    })
  }

  /** Says that we are there by a read of nothing. */
  readNothing(): void {
    this.#request({ place: undefined, stag: 0, high: 0, low: 0, length: 0, received: 0 })
  }

  /** Says that we are there by a send of nothing, which takes no receive. */
  sendNothing(): void {
    const { outbox } = this.#connection
    const at = outbox.begin(UNTAGGED_BYTES, 0)
    const { view } = outbox.memory
    view.setUint16(at, CONTROL_UNTAGGED | CONTROL_LAST | RdmapOpcode.send)
    view.setUint32(at + 2, 0)
    view.setUint32(at + 6, QueueNumber.send)
    view.setUint32(at + 10, this.#sendSequence++)
    view.setUint32(at + 14, 0)
    outbox.finish()
  }

  /** The same by a write of nothing. */
  writeNothing(): void {
    const { outbox } = this.#connection
    const at = outbox.begin(TAGGED_BYTES, 0)
    outbox.memory.view.setUint16(at, CONTROL_TAGGED | CONTROL_LAST | RdmapOpcode.write)
    outbox.memory.bytes.fill(0, at + 2, at + TAGGED_BYTES)
    outbox.finish()
  }

  #request(read: PendingRead): void {
    const { outbox } = this.#connection
    const { place } = read
    const at = outbox.begin(UNTAGGED_BYTES + READ_REQUEST_BYTES, 0)
    const { view } = outbox.memory
    view.setUint16(at, CONTROL_UNTAGGED | CONTROL_LAST | RdmapOpcode.readRequest)
    view.setUint32(at + 2, 0)
    view.setUint32(at + 6, QueueNumber.readRequest)
    view.setUint32(at + 10, this.#readSequence++)
    view.setUint32(at + 14, 0)
    const to = at + UNTAGGED_BYTES
    view.setUint32(to, read.stag)
    view.setUint32(to + 4, read.high)
    view.setUint32(to + 8, read.low)
    view.setUint32(to + 12, read.length)
    view.setUint32(to + 16, place?.rkey ?? 0)
    view.setUint32(to + 20, place?.remoteHigh ?? 0)
    view.setUint32(to + 24, place?.remoteLow ?? 0)
    outbox.finish()
    this.#reads.push(read)
    this.#depthUsed++
  }

  // ------------------------------------------------------------------------------------------ answers to reads

  /** Why a segment isn't the next part of the answer that is due; undefined: it is (RFC 5040 §5.2.1). */
  objection(
    stag: number,
    high: number,
    low: number,
    count: number,
    last: boolean,
  ): TerminateCode | undefined {
    const read = this.#reads[0]
    if (read === undefined) return Terminate.taggedBadStag
    if (read.received + count > read.length) return Terminate.taggedBounds
    if (last !== (read.received + count === read.length)) return Terminate.unspecifiedOperation
    if (read.length === 0) return undefined
    if (stag !== read.stag) return Terminate.taggedBadStag
    return addressDistance(read.high, read.low, high, low) === read.received
      ? undefined
      : Terminate.taggedBounds
  }

  /** Where `count` bytes of the answer that is due go, when that is one run of memory. */
  readSink(count: number): Run | undefined {
    const { received } = this.#reads[0]!
    return this.#run(received, received + count)
  }

  /** Where the answer that is due goes on behind the `count` bytes under way, as far as that is one run of memory. */
  sinkBehind(count: number): Uint8Array | undefined {
    const { received, length } = this.#reads[0]!
    if (received + count === length) return undefined
    return this.#run(received + count, length)?.bytes
  }

  #run(from: number, to: number): Run | undefined {
    const { qp } = this.#connection
    return runOf(qp.table, qp.pd, this.#reads[0]!.place!, from, to)
  }

  /** Places a part of the answer that is due. */
  answer(bytes: Uint8Array): void {
    const { place, received } = this.#reads[0]!
    const { qp } = this.#connection
    if (place !== undefined && !scatter(qp.table, qp.pd, place, received, bytes))
      return this.#refuse(place, WorkStatus.localProtectionError)
    this.answered(bytes.length)
  }

  /** So many bytes of the answer that is due are in their place. */
  answered(count: number): void {
    const read = this.#reads[0]!
    read.received += count
    if (read.received < read.length) return
    this.#reads.shift()
    this.#depthUsed--
    read.place?.end(WorkStatus.success)
    this.settle()
  }

  /** The memory of the read that is being answered has been taken out of use. */
  sinkRevoked(): void {
    const place = this.#reads[0]?.place
    if (place !== undefined) this.#refuse(place, WorkStatus.localProtectionError)
  }

  // ------------------------------------------------------------------------------------------ completions

  #refuse(place: SendPlace, status: WorkStatus): void {
    place.end(status)
    this.#place = undefined
    this.#stopped = true
    this.settle()
  }

  /** Ends, in order, the requests whose end is known. A failure takes the connection with it. */
  settle(): void {
    const { qp, outbox } = this.#connection
    const { sends } = qp
    while (qp.state === "RTS" && sends.completed < this.#launched) {
      const place = sends.at(sends.completed)
      if (!place.done || place.endsAt > outbox.taken) return
      const { status } = place
      qp.completeSend(status)
      if (status !== WorkStatus.success) this.#connection.requestFailed(status)
    }
  }

  /** The connection has ended: ends what hasn't, but nothing whose memory is still being sent from. */
  flush(): void {
    const { qp, outbox } = this.#connection
    const { sends } = qp
    this.#stopped = true
    this.#place = undefined
    while (qp.state === "ERROR" && sends.completed < sends.posted) {
      const begun = sends.completed < this.#launched
      const place = sends.at(sends.completed)
      if (begun && place.endsAt > outbox.taken) return
      this.#flushed ||= !begun || !place.done || place.status !== WorkStatus.success
      qp.completeSend(this.#flushed ? WorkStatus.workRequestFlushedError : WorkStatus.success)
    }
  }
}
