import { decodeText, encodeText, TextGatherer, type TextPair } from "../../wire/text.ts"
import type { ReceivedPdu } from "../da.ts"
import type { Negotiation } from "../login/negotiation.ts"
import { ISCSI_RESERVED_TAG } from "../pdu/bhs.ts"
import type { TextRequest } from "../pdu/index.ts"
import { LoginStage, RejectReason } from "../spec/index.ts"
import type { SendTargets } from "./session-user.ts"
import type { TargetConnection } from "./target-connection.ts"

/**
 * Text Requests in full feature phase (RFC 7143 §11.10): SendTargets, and negotiation of the keys that may be. Text may
 * come in pieces (C bit) and so may its answer, and with F=0 the initiator says that it has more to ask; the Target Transfer
 * Tag ties all that together. One exchange at a time: a new one ends the old.
 */
export class TextExchange {
  readonly #connection: TargetConnection
  readonly #sendTargets: SendTargets
  readonly #negotiation: Negotiation
  #request = new TextGatherer()
  /** What is left to send. */
  #answer = new Uint8Array(0)
  /** Of the exchange that is open; undefined: none is. */
  #tag: number | undefined
  #nextTag = 1
  #initiatorTaskTag = 0

  constructor(connection: TargetConnection, sendTargets: SendTargets, negotiation: Negotiation) {
    this.#connection = connection
    this.#sendTargets = sendTargets
    this.#negotiation = negotiation
  }

  received(request: TextRequest, pdu: ReceivedPdu): void {
    if (request.targetTransferTag === ISCSI_RESERVED_TAG) this.#begin(request.initiatorTaskTag)
    else if (!this.#continues(request)) return this.#connection.reject(RejectReason.invalidPduField, pdu)
    if (request.continue && request.final) return this.#refuse(RejectReason.protocolError, pdu)
    if (this.#answer.length > 0) {
      // While ours is not sent completely the initiator only says "go on" (RFC 7143 §6.2).
      if (pdu.dataBytes > 0) return this.#refuse(RejectReason.protocolError, pdu)
      return this.#respond(request.final)
    }
    try {
      this.#request.add(pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes))
    } catch {
      return this.#refuse(RejectReason.longOperationReject, pdu)
    }
    if (request.continue) return this.#respond(false)
    try {
      this.#answer = this.#answerTo(decodeText(this.#request.take()))
    } catch {
      return this.#refuse(RejectReason.protocolError, pdu)
    }
    this.#respond(request.final)
  }

  #begin(initiatorTaskTag: number): void {
    this.#end()
    this.#initiatorTaskTag = initiatorTaskTag
  }

  #continues(request: TextRequest): boolean {
    return request.targetTransferTag === this.#tag && request.initiatorTaskTag === this.#initiatorTaskTag
  }

  #end(): void {
    this.#request = new TextGatherer()
    this.#answer = new Uint8Array(0)
    this.#tag = undefined
  }

  #refuse(reason: number, pdu: ReceivedPdu): void {
    this.#end()
    this.#connection.reject(reason, pdu)
  }

  /** Throws LoginError when the pairs break a rule of negotiation. */
  #answerTo(pairs: readonly TextPair[]): Uint8Array<ArrayBuffer> {
    const targets: Uint8Array[] = []
    const answers: TextPair[] = []
    for (const { key, value } of pairs) {
      if (key !== "SendTargets") continue
      const listed = this.#sendTargets(value)
      if (listed) targets.push(listed)
      else answers.push({ key, value: "Reject" })
    }
    const others = pairs.filter(({ key }) => key !== "SendTargets")
    answers.push(...this.#negotiation.receive(others, LoginStage.fullFeaturePhase))
    if (others.length > 0) {
      // The only value that may change now (RFC 7143 §13.12).
      this.#connection.declareMaxSend(this.#negotiation.result().maxSendDataSegmentLength)
    }
    return new Uint8Array(Buffer.concat([encodeText(answers), ...targets]))
  }

  /** Sends the next piece. The exchange ends with it when it is the last and the initiator has no more to ask (F). */
  #respond(final: boolean): void {
    const answer = this.#answer
    const bytes = Math.min(answer.length, this.#connection.keys.maxSendDataSegmentLength)
    const more = bytes < answer.length
    const last = final && !more
    if (!last) this.#tag ??= this.#newTag()
    const response = this.#connection.header.text(this.#initiatorTaskTag)
    response.final = last
    response.continue = more
    response.targetTransferTag = last ? ISCSI_RESERVED_TAG : this.#tag!
    this.#answer = answer.subarray(bytes)
    this.#connection.send(response, answer.subarray(0, bytes))
    if (last) this.#end()
  }

  #newTag(): number {
    const tag = this.#nextTag
    this.#nextTag = (tag + 1) & 0x7fffffff
    return tag
  }
}
