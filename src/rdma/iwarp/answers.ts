import { Access, addressHighAt, addressLowAt } from "../verbs/index.ts"
import type { IwarpConnection } from "./connection.ts"
import { READING, RemoteMemory } from "./remote-memory.ts"
import { Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import { CONTROL_LAST, CONTROL_TAGGED, RdmapOpcode, READ_REQUEST_BYTES, TAGGED_BYTES } from "./wire.ts"

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

/** The peer's RDMA Reads, answered in their order; the memory is checked anew for every segment (RFC 5040 §5.2.1). */
export class Answers {
  readonly #connection: IwarpConnection
  readonly #memory: RemoteMemory
  readonly #answers: Answer[] = []

  constructor(connection: IwarpConnection) {
    this.#connection = connection
    this.#memory = new RemoteMemory(connection.qp)
  }

  /** Takes a Read Request, which lies at view[at, at + bytes). Why it can't be answered; undefined: it will be. */
  take(view: DataView, at: number, bytes: number): TerminateCode | undefined {
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
    if (code === undefined) this.#answers.push(answer)
    return code
  }

  #source({ length, sourceStag, sourceHigh, sourceLow }: Answer): TerminateCode | undefined {
    if (length === 0) return undefined
    return this.#memory.find(sourceStag, sourceHigh, sourceLow, length, Access.RemoteRead, READING)
  }

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
    const { region, at: from } = this.#memory
    if (count > 0) outbox.payload(region!.bytes, from + answer.sent, count, region)
    outbox.finish()
    answer.sent += count
    if (last) this.#answers.shift()
    return true
  }
}
