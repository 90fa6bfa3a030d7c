import { ISCSI_RESERVED_TAG, BHS_BYTES, Opcode, RejectReason } from "../../iscsi/pdu/index.ts"
import type { DatamoverKeys, RunningNumbers } from "../../iscsi/da.ts"
import { serialBefore } from "../../wire/serial.ts"
import type { ArrivedPdu } from "../shared/arrived-pdu.ts"
import type { Sink } from "./framer.ts"
import type { PduWriter } from "./pdu-writer.ts"
import { Burst } from "./target-task.ts"
import type { TargetTask } from "./target-task.ts"

const FINAL = 0x80

/** What's wrong with a Data-Out. */
export interface Complaint {
  readonly reason: number
  readonly message: string
}

/** Asks for data by R2T (RFC 7143 §11.8) and takes the Data-Out that answers it. */
export class DataOutReceiver {
  readonly #writer: PduWriter
  readonly #bursts = new Map<number, Burst>()
  keys: DatamoverKeys
  numbers!: RunningNumbers
  #nextTag = 0
  /** Of the Data-Out being received. */
  #burst: Burst | undefined
  #complaint: Complaint | undefined

  constructor(writer: PduWriter, keys: DatamoverKeys) {
    this.#writer = writer
    this.keys = keys
  }

  /** Sends as many R2Ts as the task may have outstanding; none when some of its data is lost. */
  request(task: TargetTask): void {
    if (task.error) return task.rejectWhenIdle(task.error)
    while (task.bursts.size < this.keys.maxOutstandingR2T) {
      const transfer = task.unrequested
      if (!transfer) return
      const start = transfer.requestedBytes
      const bytes = Math.min(transfer.into.length - start, this.keys.maxBurstLength)
      const burst = new Burst(task, transfer, this.#newTag(), start, bytes)
      transfer.requestedBytes += bytes
      task.bursts.add(burst)
      this.#bursts.set(burst.targetTransferTag, burst)
      this.#putRequest(burst)
    }
  }

  #newTag(): number {
    const tag = this.#nextTag
    // The reserved tag is no tag.
    this.#nextTag = tag + 1 === ISCSI_RESERVED_TAG ? 0 : tag + 1
    return tag
  }

  #putRequest(burst: Burst): void {
    const { task, transfer } = burst
    const writer = this.#writer
    const bytes = BHS_BYTES + writer.headerDigestBytes
    const at = writer.arena.take(bytes)
    const { memory } = writer.arena
    const { view } = memory
    view.setUint32(at, (Opcode.readyToTransfer << 24) | (FINAL << 16))
    view.setUint32(at + 4, 0)
    view.setUint32(at + 8, transfer.lunHigh)
    view.setUint32(at + 12, transfer.lunLow)
    view.setUint32(at + 16, task.initiatorTaskTag)
    view.setUint32(at + 20, burst.targetTransferTag)
    view.setUint32(at + 24, this.numbers.statSn)
    view.setUint32(at + 28, this.numbers.expCmdSn)
    view.setUint32(at + 32, this.numbers.maxCmdSn)
    view.setUint32(at + 36, task.dataSn++)
    view.setUint32(at + 40, transfer.bufferOffset + burst.start)
    view.setUint32(at + 44, burst.bytes)
    writer.digestHeader(memory, at, BHS_BYTES)
    writer.queue.append(memory, at, at + bytes)
    writer.queue.lend(memory)
  }

  /** A solicited Data-Out begins: where its data goes. Data nobody waits for any more goes nowhere. */
  begin(pdu: ArrivedPdu, sink: Sink): void {
    const { view, at } = pdu
    const tag = view.getUint32(at + 20)
    const burst = this.#bursts.get(tag)
    this.#burst = burst
    this.#complaint = undefined
    if (!burst) {
      if (!this.#wasGiven(tag)) this.#complain(RejectReason.protocolError, "Data-Out for an R2T never sent")
      return
    }
    if (view.getUint32(at + 16) !== burst.task.initiatorTaskTag) {
      return this.#complain(RejectReason.invalidPduField, "the tags of a Data-Out don't belong together")
    }
    const offset = view.getUint32(at + 40) - burst.transfer.bufferOffset
    const final = (view.getUint8(at + 1) & FINAL) !== 0
    const wrong = burst.take(offset, pdu.dataBytes, view.getUint32(at + 36), final, this.keys.dataPduInOrder)
    if (wrong !== undefined) return this.#complain(RejectReason.protocolError, wrong)
    if (burst.lossy) return
    sink.bytes = burst.transfer.into
    sink.at = offset
  }

  #complain(reason: number, message: string): void {
    this.#burst = undefined
    this.#complaint = { reason, message }
  }

  /** An earlier R2T had this tag; its task has ended since. */
  #wasGiven(tag: number): boolean {
    return tag !== this.#nextTag && serialBefore(tag, this.#nextTag)
  }

  /** The data of that Data-Out is where it belongs. Returns what was wrong with it. */
  placed(): Complaint | undefined {
    const burst = this.#burst
    this.#burst = undefined
    if (burst?.ended) {
      this.#bursts.delete(burst.targetTransferTag)
      burst.task.complete(burst)
      this.request(burst.task)
    }
    return this.#complaint
  }

  /** As `placed`, but its data is damaged. */
  damaged(): Complaint | undefined {
    this.#burst?.lose("the data digest of a Data-Out is wrong")
    return this.placed()
  }

  /** The task has ended: what comes for it goes nowhere. True: something is coming just now. */
  abort(task: TargetTask): boolean {
    for (const burst of task.bursts) this.#bursts.delete(burst.targetTransferTag)
    if (this.#burst?.task !== task) return false
    this.#burst = undefined
    return true
  }
}
