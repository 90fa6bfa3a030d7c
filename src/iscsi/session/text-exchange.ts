import { TEXT_BYTES_MAX } from "../../base/limits.ts"
import { decodeText, encodeText, parseNumber, type TextPair } from "../../wire/text.ts"
import type { ReceivedPdu } from "../da.ts"
import { ISCSI_RESERVED_TAG } from "../pdu/bhs.ts"
import type { TextRequest } from "../pdu/index.ts"
import { RejectReason } from "../spec/index.ts"
import type { SendTargets } from "./session-user.ts"
import type { TargetConnection } from "./target-connection.ts"

/**
 * Text Requests in full feature phase (RFC 7143 §11.10): SendTargets, and answers to everything else. A request may
 * come in pieces (C bit) and so may its answer; the Target Transfer Tag ties the pieces together. One exchange at a
 * time: a new one ends the old.
 */
export class TextExchange {
  readonly #connection: TargetConnection
  readonly #sendTargets: SendTargets
  #request: Uint8Array[] = []
  #requestBytes = 0
  #answer: Uint8Array | undefined
  #tag = 0

  constructor(connection: TargetConnection, sendTargets: SendTargets) {
    this.#connection = connection
    this.#sendTargets = sendTargets
  }

  received(request: TextRequest, pdu: ReceivedPdu): void {
    const continues = request.targetTransferTag !== ISCSI_RESERVED_TAG
    if (continues && request.targetTransferTag !== this.#tag) {
      return this.#connection.reject(RejectReason.invalidPduField, pdu)
    }
    if (!continues) this.#reset()
    if (request.continue && request.final) return this.#connection.reject(RejectReason.protocolError, pdu)
    if (this.#answer) return this.#sendPiece(request.initiatorTaskTag)
    this.#requestBytes += pdu.dataBytes
    if (this.#requestBytes > TEXT_BYTES_MAX) {
      this.#reset()
      return this.#connection.reject(RejectReason.longOperationReject, pdu)
    }
    this.#request.push(pdu.bytes.slice(pdu.dataAt, pdu.dataAt + pdu.dataBytes))
    if (request.continue) return this.#respond(request.initiatorTaskTag, new Uint8Array(0), false, false)
    this.#answer = this.#answerTo(Buffer.concat(this.#request))
    if (this.#answer) return this.#sendPiece(request.initiatorTaskTag)
    this.#reset()
    this.#connection.reject(RejectReason.protocolError, pdu)
  }

  /** Undefined: no text at all. */
  #answerTo(text: Uint8Array): Uint8Array | undefined {
    const answers: TextPair[] = []
    const targets: Uint8Array[] = []
    try {
      for (const { key, value } of decodeText(text)) {
        if (key !== "SendTargets") {
          // MaxRecvDataSegmentLength may be declared anew at any time; it needs no answer (RFC 7143 §13.12).
          if (key === "MaxRecvDataSegmentLength") this.#connection.declareMaxSend(parseNumber(value))
          else answers.push({ key, value: "NotUnderstood" })
          continue
        }
        const listed = this.#sendTargets(value)
        if (listed) targets.push(listed)
        else answers.push({ key, value: "Reject" })
      }
    } catch {
      return undefined
    }
    return Buffer.concat([encodeText(answers), ...targets])
  }

  #sendPiece(initiatorTaskTag: number): void {
    const answer = this.#answer!
    const bytes = Math.min(answer.length, this.#connection.keys.maxSendDataSegmentLength)
    const last = bytes === answer.length
    this.#respond(initiatorTaskTag, answer.subarray(0, bytes), last, !last)
    if (last) this.#reset()
    else this.#answer = answer.subarray(bytes)
  }

  #respond(initiatorTaskTag: number, piece: Uint8Array, final: boolean, more: boolean): void {
    if (!final && this.#tag === 0) this.#tag = 1 + (initiatorTaskTag & 0x7ffffffe)
    const response = this.#connection.header.text(initiatorTaskTag)
    response.final = final
    response.continue = more
    response.targetTransferTag = final ? ISCSI_RESERVED_TAG : this.#tag
    this.#connection.send(response, piece)
  }

  #reset(): void {
    this.#request = []
    this.#requestBytes = 0
    this.#answer = undefined
    this.#tag = 0
  }
}
