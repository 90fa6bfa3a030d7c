import { Access, WorkStatus } from "../verbs/index.ts"
import { isAllowed, runOf, scatter } from "../verbs/software/scatter.ts"
import type { Run } from "../verbs/software/scatter.ts"
import type { WorkPlace } from "../verbs/software/work-queue.ts"
import type { IwarpConnection } from "./connection.ts"
import type { Memory } from "./memory-pool.ts"
import { Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"
import { CONTROL_LAST, CONTROL_OPCODE, RdmapOpcode, UNTAGGED_BYTES } from "./wire.ts"

/** So many Sends of one length in a row, and the next one is taken to be as long. */
const ALIKE = 4

export const isSend = (opcode: number): boolean =>
  opcode >= RdmapOpcode.send && opcode <= RdmapOpcode.sendSolicitedInvalidate

/** The peer's Sends: segments of queue 0, into our receives in their order (RFC 5041 §5.1, RFC 5040 §5.3). */
export class IncomingSends {
  readonly #connection: IwarpConnection
  /** The sequence number due (RFC 5041 §4.3), and how much of that message has come, as what kind of Send. */
  #sequence = 1
  #offset = 0
  #opcode = 0
  /** Of the segment that is being received straight: its first bytes, the key it names, its payload's length. */
  #control = 0
  #stag = 0
  #count = 0
  /** Length of the last message of several segments, the next one may be just as long; and how often it has been. */
  #longBytes = 0
  #repeats = 0

  constructor(connection: IwarpConnection) {
    this.#connection = connection
  }

  get #receive(): WorkPlace {
    const { receives } = this.#connection.qp
    return receives.at(receives.completed)
  }

  /** Takes a segment whose ULPDU lies at `at`, with `count` bytes of payload. Why it is refused; undefined: it isn't. */
  take(control: number, memory: Memory, at: number, count: number): TerminateCode | undefined {
    const { qp } = this.#connection
    const isAll = this.#offset === 0 && count === 0 && (control & CONTROL_LAST) !== 0
    const objection = this.#objection(control, memory.view, at, count)
    // What only says that the peer is there takes no receive.
    const mayBeRtr = isAll && (objection === undefined || objection === Terminate.noBuffer)
    if (mayBeRtr && this.#connection.isRtr(control & CONTROL_OPCODE)) {
      this.#sequence = (this.#sequence + 1) >>> 0
      return undefined
    }
    if (objection !== undefined) return objection
    const receive = this.#receive
    if (!isAllowed(qp.table, qp.pd, receive, Access.LocalWrite)) {
      this.#connection.receiveFailed(WorkStatus.localProtectionError)
      return undefined
    }
    if (this.#offset + count > receive.length) {
      qp.completeReceive(WorkStatus.localLengthError)
      return Terminate.messageTooLong
    }
    const from = at + UNTAGGED_BYTES
    if (count > 0) scatter(qp.table, qp.pd, receive, this.#offset, memory.bytes, from, count)
    return this.#placed(control, memory.view.getUint32(at + 2), count)
  }

  /** Why the segment isn't the next one, or finds no receive; undefined: it is, and does. */
  #objection(control: number, view: DataView, at: number, count: number): TerminateCode | undefined {
    const opcode = control & CONTROL_OPCODE
    if (!isSend(opcode)) return Terminate.unexpectedOpcode
    if (view.getUint32(at + 10) !== this.#sequence) return Terminate.messageSequence
    if (view.getUint32(at + 14) !== this.#offset) return Terminate.messageOffset
    if (this.#offset > 0 && opcode !== this.#opcode) return Terminate.unexpectedOpcode
    if (this.#offset === 0 && !this.#connection.qp.hasReceive()) return Terminate.noBuffer
    // A segment of nothing that isn't the last would go on for ever.
    return count === 0 && (control & CONTROL_LAST) === 0 ? Terminate.messageOffset : undefined
  }

  /** So many bytes of a message are in their place. */
  #placed(control: number, stag: number, count: number): TerminateCode | undefined {
    const isFirst = this.#offset === 0
    this.#opcode = control & CONTROL_OPCODE
    this.#offset += count
    if ((control & CONTROL_LAST) === 0) return undefined
    this.#repeats = this.#offset === this.#longBytes ? this.#repeats + 1 : 0
    if (!isFirst) this.#longBytes = this.#offset
    return this.#delivered(stag)
  }

  /** The whole message is here. */
  #delivered(stag: number): TerminateCode | undefined {
    const { qp } = this.#connection
    const opcode = this.#opcode
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
    const length = this.#offset
    this.#offset = 0
    this.#sequence = (this.#sequence + 1) >>> 0
    qp.completeReceive(WorkStatus.success, length, invalidates ? stag : 0, solicited)
    return undefined
  }

  // ------------------------------------------------------------------------------------------ received straight

  /**
   * Where the payload of a segment goes whose header lies at `at`, if it is the one that is due and that is one run of memory;
   * `ended` follows. Any other is to be taken when all of it is here.
   */
  begin(control: number, view: DataView, at: number, count: number): Run | undefined {
    if (this.#objection(control, view, at, count) !== undefined) return undefined
    const { qp } = this.#connection
    const run = runOf(qp.table, qp.pd, this.#receive, this.#offset, this.#offset + count)
    if (run === undefined) return undefined
    this.#control = control
    this.#stag = view.getUint32(at + 2)
    this.#count = count
    return run
  }

  /** The segment that has begun is here. */
  ended(): TerminateCode | undefined {
    return this.#placed(this.#control, this.#stag, this.#count)
  }

  /** As InboxUser's, while a segment has begun. */
  foreseen(runs: Uint8Array[]): boolean {
    const { qp } = this.#connection
    const { completed } = qp.receives
    const isLast = (this.#control & CONTROL_LAST) !== 0
    const isKnown = isLast || this.#foresee(runs, completed, this.#offset + this.#count)
    if (isKnown && this.#repeats >= ALIKE && qp.hasReceive(2)) this.#foresee(runs, completed + 1, 0)
    return !isLast
  }

  /** From where on in its receive a message goes on that is as long as the last long one. False: that isn't known. */
  #foresee(runs: Uint8Array[], sequence: number, from: number): boolean {
    const { qp } = this.#connection
    const receive = qp.receives.at(sequence)
    const to = Math.min(this.#longBytes, receive.length)
    const run = to > from ? runOf(qp.table, qp.pd, receive, from, to) : undefined
    if (run !== undefined) runs.push(run.bytes)
    return run !== undefined
  }
}
