import type { Eventually } from "../../base/completion.ts"
import { SEND_QUEUE_BYTES_HIGH } from "../../base/limits.ts"
import { BHS_BYTES } from "../../iscsi/pdu/index.ts"
import { TaskAbortedError } from "../../iscsi/da.ts"
import type { BudgetShare, DataBufferBudget } from "./budget.ts"
import type { Arena } from "./arena.ts"
import type { MemoryPool } from "./memory.ts"
import { TransferBuffer } from "./transfer-buffer.ts"
import type { TransferBufferOwner } from "./transfer-buffer.ts"

/** Larger data gets memory of its own, smaller lies side by side with that of other tasks. */
const SIDE_BY_SIDE_BYTES_MAX = 64 * 1024
/** Where data begins in memory of its own: behind room for a header, and on a cache line. */
const OWN_MEMORY_DATA_AT = 64

interface Waiter {
  readonly initiatorTaskTag: number
  readonly bytes: number
  resolve(buffer: TransferBuffer): void
  reject(error: Error): void
}

/**
 * The memory of a connection's tasks: granted at once while the process has some and the peer takes what it is
 * sent, otherwise in turn.
 */
export class TaskMemory implements TransferBufferOwner {
  /** Room needed before Data-In: a header and its digest. */
  frontBytes = BHS_BYTES
  /** Room needed behind Data-In and its padding. */
  digestBytes = 0
  readonly #queue: { readonly queuedBytes: number }
  readonly #source: { readonly pool: MemoryPool; readonly arena: Arena }
  readonly #share: BudgetShare
  readonly #waitingIn: Waiter[] = []
  readonly #waitingOut: Waiter[] = []
  /** Data-In memory granted but not queued yet. */
  #dataInBytes = 0
  /** The budget was too short for somebody. */
  #short = false
  #over = false

  /** `queue`: what waits for the peer; `source`: where the bytes come from, which count against the budget in any case. */
  constructor(
    budget: DataBufferBudget,
    queue: { readonly queuedBytes: number },
    source: { readonly pool: MemoryPool; readonly arena: Arena } = budget,
  ) {
    this.#queue = queue
    this.#source = source
    this.#share = budget.share(() => this.#serve())
  }

  allocateDataIn(initiatorTaskTag: number, bytes: number): Eventually<TransferBuffer> {
    const buffer = this.#waitingIn.length === 0 ? this.#tryDataIn(bytes) : undefined
    return buffer ?? this.#wait(this.#waitingIn, initiatorTaskTag, bytes)
  }

  allocateDataOut(initiatorTaskTag: number, bytes: number): Eventually<TransferBuffer> {
    const buffer = this.#waitingOut.length === 0 ? this.#tryTake(bytes) : undefined
    return buffer ?? this.#wait(this.#waitingOut, initiatorTaskTag, bytes)
  }

  /** A buffer of allocateDataIn has gone to the send queue, where its bytes count from now on. */
  queued(buffer: TransferBuffer): void {
    buffer.queued = true
    this.#dataInBytes -= buffer.bytes.length
  }

  bufferReleased(buffer: TransferBuffer): void {
    if (buffer.direction === "in" && !buffer.queued) this.#dataInBytes -= buffer.bytes.length
    this.#share.give(buffer.bytes.length)
    this.serve()
  }

  #tryDataIn(bytes: number): TransferBuffer | undefined {
    const ahead = this.#queue.queuedBytes + this.#dataInBytes
    if (this.#over || (ahead > 0 && ahead + bytes > SEND_QUEUE_BYTES_HIGH)) return undefined
    const buffer = this.#tryTake(bytes)
    if (buffer) {
      buffer.direction = "in"
      this.#dataInBytes += bytes
    }
    return buffer
  }

  #tryTake(bytes: number): TransferBuffer | undefined {
    if (this.#over) return undefined
    if (!this.#share.take(bytes)) {
      this.#short = true
      return undefined
    }
    if (bytes > SIDE_BY_SIDE_BYTES_MAX) {
      return new TransferBuffer(this, this.#source.pool.take(bytes), OWN_MEMORY_DATA_AT, bytes)
    }
    const { arena } = this.#source
    const at = arena.take(this.frontBytes + bytes + (-bytes & 3) + this.digestBytes)
    return new TransferBuffer(this, arena.memory, at + this.frontBytes, bytes)
  }

  #wait(waiting: Waiter[], initiatorTaskTag: number, bytes: number): Promise<TransferBuffer> {
    if (this.#over) return Promise.reject(new TaskAbortedError("the connection has ended"))
    if (this.#short) this.#share.wait()
    return new Promise((resolve, reject) => {
      waiting.push({ initiatorTaskTag, bytes, resolve, reject })
    })
  }

  /** Grants what can be granted now. */
  serve(): void {
    if (this.#waitingIn.length === 0 && this.#waitingOut.length === 0) return
    if (this.#serve()) this.#share.leave()
    else this.#share.wait()
  }

  /** True: nobody waits for the budget any more. */
  #serve(): boolean {
    this.#short = false
    for (let first = this.#waitingIn[0]; first !== undefined; first = this.#waitingIn[0]) {
      const buffer = this.#tryDataIn(first.bytes)
      if (!buffer) break
      this.#waitingIn.shift()
      first.resolve(buffer)
    }
    for (let first = this.#waitingOut[0]; first !== undefined; first = this.#waitingOut[0]) {
      const buffer = this.#tryTake(first.bytes)
      if (!buffer) break
      this.#waitingOut.shift()
      first.resolve(buffer)
    }
    return !this.#short
  }

  abort(initiatorTaskTag: number): void {
    if (this.#waitingIn.length === 0 && this.#waitingOut.length === 0) return
    this.#abort(this.#waitingIn, (waiter) => waiter.initiatorTaskTag === initiatorTaskTag)
    this.#abort(this.#waitingOut, (waiter) => waiter.initiatorTaskTag === initiatorTaskTag)
    // Whoever stood behind it may be next.
    this.serve()
  }

  /** The connection has ended. */
  abortAll(): void {
    this.#over = true
    this.#abort(this.#waitingIn, () => true)
    this.#abort(this.#waitingOut, () => true)
    this.#share.leave()
  }

  #abort(waiting: Waiter[], which: (waiter: Waiter) => boolean): void {
    for (let i = waiting.length - 1; i >= 0; i--) {
      const waiter = waiting[i]!
      if (!which(waiter)) continue
      waiting.splice(i, 1)
      waiter.reject(new TaskAbortedError())
    }
  }
}
