import { Access, SendOpcode, WorkStatus, workStatusName } from "../verbs/index.ts"
import { isAllowed, scatter } from "../verbs/software/scatter.ts"
import type { LoopbackConnection } from "./connection.ts"
import { latencyOf, segmentLength } from "./pipe.ts"
import type { SendPlace } from "../verbs/software/send-place.ts"

/** What is still to be answered, in the order of the requests. */
type Answer =
  | { readonly kind: "ack"; readonly sequence: number }
  | {
      readonly kind: "nak"
      readonly sequence: number
      readonly status: WorkStatus
      readonly local: WorkStatus
    }
  | { readonly kind: "not-ready"; readonly sequence: number }
  | { readonly kind: "read"; readonly sequence: number; readonly place: SendPlace; sentBytes: number }

/**
 * Why a request can't be done: what the requester is told, and what the receive it took ends with, if it took
 * one.
 */
interface Refusal {
  readonly status: WorkStatus
  readonly receive?: WorkStatus
}

const BAD_ACCESS: Refusal = { status: WorkStatus.remoteAccessError }
const TOO_MANY_READS: Refusal = { status: WorkStatus.remoteInvalidRequestError }
const TOO_LONG: Refusal = {
  status: WorkStatus.remoteInvalidRequestError,
  receive: WorkStatus.localLengthError,
}
const BAD_RECEIVE: Refusal = {
  status: WorkStatus.remoteOperationError,
  receive: WorkStatus.localProtectionError,
}
/** rxe ends the receive this way too; the IB spec leaves it open. */
const BAD_INVALIDATE: Refusal = {
  status: WorkStatus.remoteAccessError,
  receive: WorkStatus.remoteInvalidRequestError,
}

/**
 * The half of a queue pair that does what the peer asks (IB spec §9.7: the responder). Everything is checked
 * before a byte moves, and again with every segment.
 */
export class Responder {
  readonly #connection: LoopbackConnection
  readonly #answers: Answer[] = []
  #answering = false
  /** Reads that came and aren't answered to the end. */
  #reads = 0
  #epoch = 0
  /** The peer broke a rule: nothing of it is taken any more. */
  #closed = false

  constructor(connection: LoopbackConnection) {
    this.#connection = connection
  }

  /** A segment of the peer's request `sequence`: bytes [offset, offset + length) of its message. */
  arrived(epoch: number, sequence: number, offset: number, length: number, last: boolean): void {
    const { qp, peer } = this.#connection
    if (qp.state === "RTR") this.#connection.established()
    if (qp.state !== "RTS" || this.#closed || epoch !== this.#epoch) return
    // What the peer has flushed is lost on the way: its memory is its own again.
    const place = peer.requester.placeOf(sequence)
    if (place === undefined) return
    if (place.isSend && offset === 0 && !qp.hasReceive()) {
      this.#epoch++
      this.#answer({ kind: "not-ready", sequence })
      return
    }
    const refusal = this.#refusal(place, offset, length)
    if (refusal !== undefined) return this.#refuse(sequence, refusal)
    if (place.isRead) {
      this.#reads++
      this.#answer({ kind: "read", sequence, place, sentBytes: 0 })
      return
    }
    const data = peer.requester.dataOf(place, offset, length)
    if (data === undefined) return
    this.#place(place, offset, data)
    if (last) this.#finish(sequence, place)
  }

  #refusal(place: SendPlace, offset: number, length: number): Refusal | undefined {
    const { qp, responderResources } = this.#connection
    if (place.isSend) {
      const receive = qp.receives.at(qp.receives.completed)
      if (offset === 0 && !isAllowed(qp.table, qp.pd, receive, Access.LocalWrite)) return BAD_RECEIVE
      return offset + length > receive.length ? TOO_LONG : undefined
    }
    if (place.isRead && this.#reads >= responderResources) return TOO_MANY_READS
    if (place.length === 0) return undefined
    const right = place.isRead ? Access.RemoteRead : Access.RemoteWrite
    return this.#remoteOffset(place, right) < 0 ? BAD_ACCESS : undefined
  }

  /** Where in our region the peer's request leads; -1: nowhere it may go. */
  #remoteOffset(place: SendPlace, right: number): number {
    const { qp } = this.#connection
    const region = qp.table.find(place.rkey)
    return region?.remoteOffset(qp.pd, right, place.remoteHigh, place.remoteLow, place.length) ?? -1
  }

  #place(place: SendPlace, offset: number, data: Uint8Array): void {
    const { qp } = this.#connection
    if (data.length === 0) return
    if (place.isSend) {
      // A receive that has gone bad since its first segment shows in #finish.
      scatter(qp.table, qp.pd, qp.receives.at(qp.receives.completed), offset, data)
    } else {
      const at = this.#remoteOffset(place, Access.RemoteWrite)
      qp.table.find(place.rkey)?.bytes.set(data, at + offset)
    }
  }

  /** The whole message is here. */
  #finish(sequence: number, place: SendPlace): void {
    const { qp } = this.#connection
    if (place.isSend) {
      const receive = qp.receives.at(qp.receives.completed)
      if (place.length > 0 && !isAllowed(qp.table, qp.pd, receive, Access.LocalWrite))
        return this.#refuse(sequence, BAD_RECEIVE)
      let invalidated = 0
      if (place.opcode === SendOpcode.sendWithInvalidate) {
        const region = qp.table.find(place.invalidateRkey)
        if (!region?.remotelyInvalidable(qp.pd)) return this.#refuse(sequence, BAD_INVALIDATE)
        region.invalidate()
        invalidated = place.invalidateRkey
      }
      qp.completeReceive(WorkStatus.success, place.length, invalidated, place.solicited)
    }
    this.#answer({ kind: "ack", sequence })
  }

  #refuse(sequence: number, refusal: Refusal): void {
    const { qp } = this.#connection
    this.#closed = true
    if (refusal.receive !== undefined) qp.completeReceive(refusal.receive)
    this.#answer({ kind: "nak", sequence, status: refusal.status, local: refusal.receive ?? refusal.status })
  }

  #answer(answer: Answer): void {
    this.#answers.push(answer)
    if (!this.#answering) this.#next()
  }

  /** Sends answers until one takes time: a read, whose data leaves when it pleases. */
  #next(): void {
    this.#answering = false
    for (let answer = this.#answers[0]; answer !== undefined; answer = this.#answers[0]) {
      if (answer.kind === "read") {
        this.#answering = true
        this.#later()
        return
      }
      this.#answers.shift()
      this.#send(answer)
    }
  }

  #send(answer: Exclude<Answer, { kind: "read" }>): void {
    const { responses, peer } = this.#connection
    const { sequence } = answer
    if (answer.kind === "ack") responses.send(() => peer.requester.acknowledged(sequence))
    else if (answer.kind === "not-ready") responses.send(() => peer.requester.notReady(sequence))
    else {
      responses.send(() => peer.requester.refused(sequence, answer.status))
      const ours = answer.local === WorkStatus.localProtectionError
      const what = ours ? "a receive of ours was no good" : "the peer's request was refused"
      this.#connection.end(
        ours ? "request-failed" : "peer-violation",
        `${what}: ${workStatusName(answer.local)}`,
        true,
      )
    }
  }

  #later(): void {
    const { context } = this.#connection
    context.clock.after(latencyOf(context), "loopback: read", () => this.#readOn())
  }

  /** Sends the next part of the oldest read. */
  #readOn(): void {
    const { qp, context, responses, peer } = this.#connection
    const answer = this.#answers[0]
    if (qp.state !== "RTS" || answer?.kind !== "read") return
    const { place, sequence, sentBytes } = answer
    // The requester has given it up: its connection ends.
    if (peer.requester.placeOf(sequence) !== place) return
    let bytes = new Uint8Array(0)
    if (place.length > 0) {
      const at = this.#remoteOffset(place, Access.RemoteRead)
      const region = qp.table.find(place.rkey)
      if (at < 0 || region === undefined) {
        this.#answers.length = 0
        this.#answering = false
        return this.#refuse(sequence, BAD_ACCESS)
      }
      const from = at + sentBytes
      bytes = region.bytes.slice(from, from + segmentLength(context, place.length - sentBytes))
    }
    answer.sentBytes += bytes.length
    const last = answer.sentBytes === place.length
    responses.send(() => peer.requester.readArrived(sequence, sentBytes, bytes, last))
    if (!last) return this.#later()
    this.#answers.shift()
    this.#reads--
    this.#next()
  }
}
