import type { DatamoverKeys, RunningNumbers } from "../../iscsi/da.ts"
import { BHS_BYTES, Opcode } from "../../iscsi/pdu/index.ts"
import type { InitiatorTask } from "./initiator-task.ts"
import type { PduWriter } from "./pdu-writer.ts"

/** More than this need not wait in the send queue: what is asked for later shall have its turn too. In bytes. */
const QUEUED_BYTES_MAX = 1024 * 1024
const FINAL = 0x80

/** What an R2T has asked for and hasn't been sent. */
interface Burst {
  readonly task: InitiatorTask
  readonly lunHigh: number
  readonly lunLow: number
  readonly targetTransferTag: number
  offset: number
  readonly end: number
  dataSn: number
}

/**
 * Answers R2Ts by Data-Out (RFC 7143 §11.7) straight from the commands' memory: one PDU of each burst in turn, so
 * that a large one doesn't hold up the others.
 */
export class DataOutSender {
  readonly #writer: PduWriter
  keys: DatamoverKeys
  numbers!: RunningNumbers
  readonly #bursts: Burst[] = []
  #next = 0
  readonly #header = new Uint8Array(BHS_BYTES)
  readonly #view = new DataView(this.#header.buffer)

  constructor(writer: PduWriter, keys: DatamoverKeys) {
    this.#writer = writer
    this.keys = keys
  }

  /** How many R2Ts of a task are not answered yet. */
  outstanding(task: InitiatorTask): number {
    let count = 0
    for (const burst of this.#bursts) if (burst.task === task) count++
    return count
  }

  answer(
    task: InitiatorTask,
    lunHigh: number,
    lunLow: number,
    targetTransferTag: number,
    offset: number,
    bytes: number,
  ): void {
    this.#bursts.push({ task, lunHigh, lunLow, targetTransferTag, offset, end: offset + bytes, dataSn: 0 })
  }

  forget(task: InitiatorTask): void {
    for (let i = this.#bursts.length - 1; i >= 0; i--) {
      if (this.#bursts[i]!.task === task) this.#bursts.splice(i, 1)
    }
  }

  forgetAll(): void {
    this.#bursts.length = 0
  }

  /** Fills the send queue. */
  send(): void {
    while (this.#bursts.length > 0 && this.#writer.queue.queuedBytes < QUEUED_BYTES_MAX) {
      if (this.#next >= this.#bursts.length) this.#next = 0
      const burst = this.#bursts[this.#next]!
      this.#put(burst)
      if (burst.offset < burst.end) this.#next++
      else this.#bursts.splice(this.#next, 1)
    }
  }

  #put(burst: Burst): void {
    const { task, offset } = burst
    const bytes = Math.min(burst.end - offset, this.keys.maxSendDataSegmentLength & ~3)
    burst.offset += bytes
    const view = this.#view
    view.setUint32(0, (Opcode.dataOut << 24) | ((burst.offset === burst.end ? FINAL : 0) << 16))
    view.setUint32(8, burst.lunHigh)
    view.setUint32(12, burst.lunLow)
    view.setUint32(16, task.initiatorTaskTag)
    view.setUint32(20, burst.targetTransferTag)
    view.setUint32(28, this.numbers.expStatSn)
    view.setUint32(36, burst.dataSn++)
    view.setUint32(40, offset)
    this.#writer.putFrom(this.#header, task.dataOut!.subarray(offset, offset + bytes))
  }
}
