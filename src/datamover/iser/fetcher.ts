import { RDMA_MESSAGE_BYTES_MAX } from "../../base/limits.ts"
import { addressHighAt, addressLowAt, SendOpcode } from "../../rdma/verbs/index.ts"
import type { RegisteredMemory } from "./registered-memory.ts"
import type { Channel } from "./channel.ts"
import { Transfer } from "./target-task.ts"
import type { TargetTask, TransferUser } from "./target-task.ts"

interface Fetch {
  readonly transfer: Transfer
  readonly memory: RegisteredMemory
  /** Where in the memory the byte of the command's data at `transfer.nextOffset - shift` goes. */
  readonly shift: number
}

/**
 * Get_Data as RDMA Reads (RFC 7145 §7.3.6): at most as many under way as the initiator serves, so that what
 * is sent behind them isn't held up in the send queue; each no longer than the burst an R2T might ask for.
 */
export class Fetcher implements TransferUser {
  /** MaxBurstLength, in bytes. */
  burstBytesMax = RDMA_MESSAGE_BYTES_MAX
  readonly #channel: Channel
  readonly #fetches: Fetch[] = []
  #readsUnderWay = 0
  #lateReads = 0

  constructor(channel: Channel) {
    this.#channel = channel
  }

  /** RDMA Reads that are under way for tasks that have ended. */
  get lateReads(): number {
    return this.#lateReads
  }

  /**
   * Fetches [bufferOffset, bufferOffset + bytes) of the task's data to memory[at...]. Rejects with
   * TaskAbortedError.
   */
  fetch(
    task: TargetTask,
    bufferOffset: number,
    memory: RegisteredMemory,
    at: number,
    bytes: number,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const transfer = new Transfer(this, task, bufferOffset, bytes, resolve, reject)
      this.#fetches.push({ transfer, memory, shift: at - bufferOffset })
      this.start()
    })
  }

  /** Starts what may be started. */
  start(): void {
    const readsMax = this.#channel.connection?.initiatorDepth ?? 0
    while (this.#fetches.length > 0 && this.#readsUnderWay < readsMax) {
      const fetch = this.#fetches[0]!
      const { transfer } = fetch
      if (transfer.nextOffset < transfer.endOffset) this.#read(fetch)
      if (transfer.nextOffset >= transfer.endOffset) this.#fetches.shift()
    }
  }

  #read({ transfer, memory, shift }: Fetch): void {
    const { task, nextOffset } = transfer
    const bytes = Math.min(transfer.endOffset - nextOffset, this.burstBytesMax)
    const from = task.write!
    const distance = nextOffset - task.writeFrom
    // The memory stays, whatever becomes of the task.
    memory.hold()
    const work = this.#channel.sends.add(
      SendOpcode.rdmaRead,
      memory.region,
      nextOffset + shift,
      bytes,
      memory,
    )
    work.rkey = from.rkey
    work.remoteHigh = addressHighAt(from.addressHigh, from.addressLow, distance)
    work.remoteLow = addressLowAt(from.addressLow, distance)
    work.owner = transfer
    work.task = task
    transfer.started(bytes)
    this.#readsUnderWay++
    this.#channel.leave(0)
  }

  transferReadEnded(task: TargetTask): void {
    this.#readsUnderWay--
    if (task.ended) this.#lateReads--
  }

  /**
   * The task, whose `ended` was set just now: nothing more is fetched for it; what is under way is waited
   * for.
   */
  abort(task: TargetTask): void {
    this.#lateReads += task.readsUnderWay
    const mine = this.#fetches.filter(({ transfer }) => transfer.task === task)
    if (mine.length === 0) return
    for (const fetch of mine) {
      this.#fetches.splice(this.#fetches.indexOf(fetch), 1)
      fetch.transfer.abort()
    }
  }

  abortAll(): void {
    for (const { transfer } of this.#fetches.splice(0)) transfer.abort()
  }
}
