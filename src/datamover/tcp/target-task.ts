import { TaskAbortedError } from "../../iscsi/da.ts"
import { IntervalSet } from "./interval-set.ts"

/** One getData under way. */
export interface Transfer {
  readonly lunHigh: number
  readonly lunLow: number
  /** Where `into` stands in the initiator's buffer. */
  readonly bufferOffset: number
  readonly into: Uint8Array
  /** Bytes of it for which R2Ts were sent, and bytes whose bursts have come whole. */
  requestedBytes: number
  receivedBytes: number
  resolve(): void
  reject(error: Error): void
}

/** What one R2T has asked for: [start, start + bytes) of its transfer. */
export class Burst {
  readonly task: TargetTask
  readonly transfer: Transfer
  readonly targetTransferTag: number
  readonly start: number
  readonly bytes: number
  #filledBytes = 0
  /** The DataSN of the Data-Out that comes next. */
  #dataSn = 0
  #filled: IntervalSet | undefined

  constructor(task: TargetTask, transfer: Transfer, targetTransferTag: number, start: number, bytes: number) {
    this.task = task
    this.transfer = transfer
    this.targetTransferTag = targetTransferTag
    this.start = start
    this.bytes = bytes
  }

  get whole(): boolean {
    return this.#filledBytes === this.bytes
  }

  /**
   * Takes note of a Data-Out with data for [at, at + bytes) of the transfer. Returns what's wrong with it, if
   * anything (RFC 7143 §11.7).
   */
  take(at: number, bytes: number, dataSn: number, final: boolean, inOrder: boolean): string | undefined {
    if (dataSn !== this.#dataSn) return `Data-Out number ${dataSn} came where ${this.#dataSn} was due`
    const start = at - this.start
    if (start < 0 || start + bytes > this.bytes) return "Data-Out lies outside of what its R2T asked for"
    if (inOrder) {
      if (start !== this.#filledBytes) return "Data-Out came out of order, though DataPDUInOrder=Yes"
    } else if (bytes > 0) {
      this.#filled ??= new IntervalSet()
      if (!this.#filled.add(start, start + bytes)) return "Data-Out overlaps data that came before it"
    }
    this.#dataSn++
    this.#filledBytes += bytes
    if (final && !this.whole) return "the last Data-Out came before all its R2T asked for had come"
    if (!final && this.whole) return "a Data-Out with the last its R2T asked for lacks the F bit"
    return undefined
  }
}

/** A task at the target that needs more than one data PDU. */
export class TargetTask {
  readonly initiatorTaskTag: number
  /** The next DataSN or R2TSN: they share their numbers (RFC 7143 §11.7.5). At the end it is ExpDataSN. */
  dataSn = 0
  readonly transfers: Transfer[] = []
  readonly bursts = new Set<Burst>()

  constructor(initiatorTaskTag: number) {
    this.initiatorTaskTag = initiatorTaskTag
  }

  /** The first transfer for which not everything was asked for. */
  get unrequested(): Transfer | undefined {
    for (const transfer of this.transfers) {
      if (transfer.requestedBytes < transfer.into.length) return transfer
    }
    return undefined
  }

  /** All of a burst has come. */
  complete(burst: Burst): void {
    this.bursts.delete(burst)
    const { transfer } = burst
    transfer.receivedBytes += burst.bytes
    if (transfer.receivedBytes < transfer.into.length) return
    this.transfers.splice(this.transfers.indexOf(transfer), 1)
    transfer.resolve()
  }

  abort(): void {
    for (const transfer of this.transfers) transfer.reject(new TaskAbortedError())
    this.transfers.length = 0
    this.bursts.clear()
  }
}

/** The tasks of a connection that need to be remembered, by Initiator Task Tag. */
export class TargetTasks {
  readonly #tasks = new Map<number, TargetTask>()

  /** The task of that tag, made when there is none. */
  open(initiatorTaskTag: number): TargetTask {
    let task = this.#tasks.get(initiatorTaskTag)
    if (!task) {
      task = new TargetTask(initiatorTaskTag)
      this.#tasks.set(initiatorTaskTag, task)
    }
    return task
  }

  /** Forgets and returns it. */
  take(initiatorTaskTag: number): TargetTask | undefined {
    if (this.#tasks.size === 0) return undefined
    const task = this.#tasks.get(initiatorTaskTag)
    if (task) this.#tasks.delete(initiatorTaskTag)
    return task
  }

  get size(): number {
    return this.#tasks.size
  }

  abortAll(): void {
    for (const task of this.#tasks.values()) task.abort()
    this.#tasks.clear()
  }
}
