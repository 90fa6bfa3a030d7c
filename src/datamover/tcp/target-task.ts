import { DataTransferError, TaskAbortedError } from "../../iscsi/da.ts"
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
  /** The last Data-Out has begun to come. */
  ended = false
  /** Some of it came damaged or not at all: the rest is only waited for. */
  lossy = false
  #receivedBytes = 0
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

  /**
   * Takes note of a Data-Out with data for [at, at + bytes) of the transfer. Returns what's wrong with it, if
   * anything (RFC 7143 §11.7). A DataSN that isn't due costs the task alone: data before it was lost (§7.9).
   */
  take(at: number, bytes: number, dataSn: number, final: boolean, inOrder: boolean): string | undefined {
    const start = at - this.start
    if (start < 0 || start + bytes > this.bytes) return "Data-Out lies outside of what its R2T asked for"
    if (dataSn !== this.#dataSn) this.lose(`Data-Out number ${dataSn} came where ${this.#dataSn} was due`)
    const misplaced = this.lossy ? undefined : this.#place(start, bytes, inOrder)
    if (misplaced !== undefined) return misplaced
    this.#dataSn++
    this.#receivedBytes += bytes
    this.ended = final
    const missingBytes = this.bytes - this.#receivedBytes
    if (missingBytes < 0) return "more data came than its R2T asked for"
    if (missingBytes === 0 && !final) return "a Data-Out with the last its R2T asked for lacks the F bit"
    if (missingBytes > 0 && final && !this.lossy) {
      return "the last Data-Out came before all its R2T asked for had come"
    }
    return undefined
  }

  /** Data of it is lost, and its task with it. The first reason counts. */
  lose(reason: string): void {
    this.lossy = true
    this.task.error ??= new DataTransferError(reason)
  }

  #place(start: number, bytes: number, inOrder: boolean): string | undefined {
    if (inOrder) {
      if (start !== this.#receivedBytes) return "Data-Out came out of order, though DataPDUInOrder=Yes"
    } else if (bytes > 0) {
      this.#filled ??= new IntervalSet()
      if (!this.#filled.add(start, start + bytes)) return "Data-Out overlaps data that came before it"
    }
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
  /** Some of its data is lost: nothing more is asked for, and what was asked for is waited for. */
  error: DataTransferError | undefined

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

  /** The last of a burst has come. */
  complete(burst: Burst): void {
    this.bursts.delete(burst)
    if (this.error) return
    const { transfer } = burst
    transfer.receivedBytes += burst.bytes
    if (transfer.receivedBytes < transfer.into.length) return
    this.transfers.splice(this.transfers.indexOf(transfer), 1)
    transfer.resolve()
  }

  /** Its transfers fail, once nothing is on its way to their memory any more (RFC 7143 §7.8). */
  rejectWhenIdle(error: DataTransferError): void {
    if (this.bursts.size === 0) this.#reject(error)
  }

  abort(): void {
    this.#reject(new TaskAbortedError())
    this.bursts.clear()
  }

  #reject(error: Error): void {
    for (const transfer of this.transfers) transfer.reject(error)
    this.transfers.length = 0
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
