import type { ProtectionDomain } from "./memory.ts"
import type { ReceiveRequest } from "./work.ts"

export interface SharedReceiveQueueOptions {
  readonly pd: ProtectionDomain
  /** Requests it holds that no message has taken. */
  readonly depth: number
  /** Entries of a scatter/gather list. Default: 4, or the device's most if that is less. */
  readonly entriesMax?: number
}

/**
 * Receives that queue pairs have in common (ibv_srq; IB spec §10.2.9). Each message takes one of them, and keeps it until
 * it is complete: the completion, in the queue pair's receive CQ, says by its wrId which. Which one is the device's
 * choice; those made of software take the one posted last, whose memory is likely to be in the processor's caches.
 * When a queue pair comes to an end, what no message has taken stays.
 */
export interface SharedReceiveQueue {
  readonly pd: ProtectionDomain
  readonly depth: number
  /**
   * Queues a buffer for one message (ibv_post_srq_recv). Throws VerbsError, and nothing is queued: ERR_RDMA_CLOSED after
   * destroy, ERR_RDMA_QUEUE_FULL, ERR_RDMA_REQUEST for what is malformed.
   */
  postRecv(request: ReceiveRequest): void
  /** Gives it up (ibv_destroy_srq): nothing posted is in use any more. Throws ERR_RDMA_BUSY while queue pairs use it. */
  destroy(): void
}
