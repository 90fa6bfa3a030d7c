import type { Timer } from "../../base/clock.ts"
import { Access, WorkStatus, workStatusName } from "../verbs/index.ts"
import { gather, isAllowed, scatter } from "../verbs/software/scatter.ts"
import type { LoopbackConnection } from "./connection.ts"
import { segmentLength } from "./pipe.ts"
import type { SendPlace } from "../verbs/software/send-place.ts"

const FOR_EVER = 7

/**
 * The half of a queue pair that works on its send queue (IB spec §9.7: the requester). Requests start in
 * order and complete in order; in between each knows only what the responder has said.
 */
export class Requester {
  readonly #connection: LoopbackConnection
  /** Requests put under way so far; those from sends.completed on have no end yet. */
  #launched = 0
  /** Reads under way. */
  #reads = 0
  /** A request has failed here: none after it starts. */
  #stopped = false
  /** Runs of requests; one ends when the responder was not ready. What is of an old one it has thrown away. */
  #epoch = 0
  #rnrTries = 0
  #rnrTimer: Timer | undefined
  #ackTimer: Timer | undefined
  #ackTries = 0
  #heardMs = 0

  constructor(connection: LoopbackConnection) {
    this.#connection = connection
  }

  /** Starts what may be started. */
  pump(): void {
    const { sends, state } = this.#connection.qp
    while (
      state === "RTS" &&
      !this.#stopped &&
      this.#rnrTimer === undefined &&
      this.#launched < sends.posted
    ) {
      const place = sends.at(this.#launched)
      if (place.fence && this.#reads > 0) return
      const status = this.#fault(place)
      if (status === WorkStatus.success) {
        if (place.isRead && this.#reads >= this.#connection.initiatorDepth) return
        this.#launch(this.#launched++, place)
      } else {
        // It fails in its turn: those before it may still have to be tried again.
        if (sends.completed < this.#launched) return
        this.#launched++
        this.#refuse(place, status)
      }
    }
  }

  /** Why the request can't even be started. */
  #fault(place: SendPlace): WorkStatus {
    const { qp, initiatorDepth } = this.#connection
    if (place.isRead && initiatorDepth === 0) return WorkStatus.localQpOperationError
    const right = place.isRead ? Access.LocalWrite : 0
    if (place.inlineData !== undefined || isAllowed(qp.table, qp.pd, place, right)) return WorkStatus.success
    return WorkStatus.localProtectionError
  }

  #launch(sequence: number, place: SendPlace): void {
    const { context, requests, peer } = this.#connection
    const epoch = this.#epoch
    this.#watch()
    if (place.isRead) {
      this.#reads++
      requests.send(() => peer.responder.arrived(epoch, sequence, 0, 0, true))
      return
    }
    let offset = 0
    do {
      const at = offset
      const length = segmentLength(context, place.length - at)
      const last = at + length === place.length
      requests.send(() => peer.responder.arrived(epoch, sequence, at, length, last))
      offset += length
    } while (offset < place.length)
  }

  /** The request, for the responder; undefined when it was flushed meanwhile. */
  placeOf(sequence: number): SendPlace | undefined {
    const { sends } = this.#connection.qp
    return sequence >= sends.completed && sequence < sends.posted ? sends.at(sequence) : undefined
  }

  /**
   * A segment's data, as it leaves. Undefined: the memory may not be used any more, and the request has
   * failed.
   */
  dataOf(place: SendPlace, offset: number, length: number): Uint8Array | undefined {
    if (place.inlineData !== undefined) return place.inlineData.subarray(offset, offset + length)
    const { qp } = this.#connection
    const data = new Uint8Array(length)
    if (gather(qp.table, qp.pd, place, offset, data)) return data
    this.#refuse(place, WorkStatus.localProtectionError)
    return undefined
  }

  /** The responder has done it. */
  acknowledged(sequence: number): void {
    this.#heard()
    this.#rnrTries = 0
    this.placeOf(sequence)?.end(WorkStatus.success)
    this.#complete()
    this.pump()
  }

  /** The responder won't do it (a NAK). */
  refused(sequence: number, status: WorkStatus): void {
    this.#heard()
    const place = this.placeOf(sequence)
    if (place !== undefined) this.#refuse(place, status)
  }

  /** A part of what was read has come. */
  readArrived(sequence: number, offset: number, bytes: Uint8Array, last: boolean): void {
    this.#heard()
    const place = this.placeOf(sequence)
    if (place === undefined || place.done) return
    const { qp } = this.#connection
    if (!scatter(qp.table, qp.pd, place, offset, bytes)) {
      this.#refuse(place, WorkStatus.localProtectionError)
      return
    }
    if (!last) return
    this.#reads--
    place.end(WorkStatus.success)
    this.#complete()
    this.pump()
  }

  /** The responder had no receive (an RNR NAK): it has thrown away this request and what came after. */
  notReady(sequence: number): void {
    this.#heard()
    const place = this.placeOf(sequence)
    if (place === undefined || this.#stopped) return
    const { rnrRetryCount, context } = this.#connection
    this.#rewind(sequence)
    if (this.#rnrTries >= rnrRetryCount && rnrRetryCount !== FOR_EVER) {
      this.#launched = sequence + 1
      this.#refuse(place, WorkStatus.rnrRetryExceededError)
      return
    }
    this.#rnrTries++
    this.#rnrTimer = context.clock.after(context.timing.rnrDelayMs, "loopback: receiver not ready", () => {
      this.#rnrTimer = undefined
      this.#heardMs = context.clock.nowMs()
      this.pump()
    })
  }

  #rewind(sequence: number): void {
    const { sends } = this.#connection.qp
    for (let at = sequence; at < this.#launched; at++) if (sends.at(at).isRead) this.#reads--
    this.#launched = sequence
    this.#epoch++
  }

  #refuse(place: SendPlace, status: WorkStatus): void {
    if (!place.done) place.end(status)
    this.#stopped = true
    this.#complete()
  }

  /** Ends, in order, the requests whose end is known. The first failure takes the connection with it. */
  #complete(): void {
    const { qp } = this.#connection
    while (qp.state === "RTS" && qp.sends.completed < this.#launched) {
      const { done, status } = qp.sends.at(qp.sends.completed)
      if (!done) return
      qp.completeSend(status)
      if (status === WorkStatus.success) continue
      const lost = status === WorkStatus.retryExceededError
      this.#connection.end(lost ? "lost" : "request-failed", `a request failed: ${workStatusName(status)}`)
    }
  }

  #heard(): void {
    this.#heardMs = this.#connection.context.clock.nowMs()
    this.#ackTries = 0
  }

  /**
   * Keeps one timer while something is under way. It counts timeouts; nothing is lost here that could be sent
   * again.
   */
  #watch(): void {
    if (this.#ackTimer !== undefined) return
    this.#heardMs = this.#connection.context.clock.nowMs()
    this.#wait(this.#connection.context.timing.ackTimeoutMs)
  }

  #wait(delayMs: number): void {
    const { context, qp, retryCount } = this.#connection
    this.#ackTimer = context.clock.after(delayMs, "loopback: no answer", () => {
      this.#ackTimer = undefined
      if (qp.state !== "RTS" || qp.sends.completed >= this.#launched) return
      const leftMs = this.#heardMs + context.timing.ackTimeoutMs - context.clock.nowMs()
      // A millisecond's fraction that timers round off must not make it spin.
      if (this.#rnrTimer !== undefined || leftMs > 0) return this.#wait(Math.max(1, leftMs))
      this.#heardMs = context.clock.nowMs()
      if (this.#ackTries++ < retryCount) return this.#wait(context.timing.ackTimeoutMs)
      this.#refuse(qp.sends.at(qp.sends.completed), WorkStatus.retryExceededError)
    })
  }

  stop(): void {
    this.#rnrTimer?.cancel()
    this.#ackTimer?.cancel()
  }
}
