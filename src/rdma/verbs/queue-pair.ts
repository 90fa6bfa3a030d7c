import type { CompletionQueue } from "./completion-queue.ts"
import type { ProtectionDomain } from "./memory.ts"
import type { SharedReceiveQueue } from "./srq.ts"
import type { ReceiveRequest, SendRequest } from "./work.ts"

/**
 * States of a queue pair (IB spec §10.3.1). It is made in INIT, as rdma_create_qp leaves it: receives may be
 * posted. RTR: it takes what the peer sends. RTS: it is connected. ERROR: every request completes flushed,
 * there is no way back, make another. RESET: it was destroyed.
 */
export type QueuePairState = "RESET" | "INIT" | "RTR" | "RTS" | "ERROR"

export interface QueuePairOptions {
  readonly pd: ProtectionDomain
  readonly sendCq: CompletionQueue
  /** May be the same. */
  readonly receiveCq: CompletionQueue
  /** Where its receives come from, in the same protection domain; else it has a receive queue of its own. */
  readonly srq?: SharedReceiveQueue
  /** Requests each queue holds, from posted (of a shared receive queue: from being taken) to polled. */
  readonly sendQueueDepth: number
  readonly receiveQueueDepth: number
  /** Entries of a scatter/gather list. Default: 4, or the device's most if that is less. */
  readonly sendEntriesMax?: number
  readonly receiveEntriesMax?: number
  /** Most data an inline request carries. Default: 0. */
  readonly inlineBytes?: number
}

/** One end of a reliable connection: two work queues (ibv_qp of type IBV_QPT_RC). */
export interface QueuePair {
  /** 24 bits, not in use by another queue pair of the device. */
  readonly number: number
  readonly pd: ProtectionDomain
  readonly sendCq: CompletionQueue
  readonly receiveCq: CompletionQueue
  readonly sendQueueDepth: number
  readonly receiveQueueDepth: number
  readonly inlineBytes: number
  readonly state: QueuePairState
  /**
   * Queues a request (ibv_post_send). In RTS it will be done, in ERROR it completes flushed. `more` says that
   * another follows in this turn, so that the device may set off both at once. Throws VerbsError, and nothing
   * is queued: ERR_RDMA_STATE in any other state, ERR_RDMA_QUEUE_FULL, ERR_RDMA_REQUEST for one that is
   * malformed or beyond what this queue pair was made for. Errors of memory and of the peer come as
   * completions.
   *
   * Order (IB spec §10.8.3, RFC 5040 §5.5): requests start in order, complete in order, and what a write
   * carried is in place before a later send completes at the peer. A read sees the writes before it; but
   * later requests overtake reads, unless fenced.
   */
  postSend(request: SendRequest, more?: boolean): void
  /**
   * Queues a buffer for one message (ibv_post_recv); from INIT on. Throws as postSend does, and ERR_RDMA_REQUEST for a
   * queue pair with a shared receive queue.
   */
  postRecv(request: ReceiveRequest): void
  /**
   * Gives it up at once: what isn't complete never will be, completions not yet polled vanish, the peer sees a
   * disconnect. For an orderly end disconnect first, and poll what is flushed.
   */
  destroy(): void
}
