import type { WorkCompletion } from "./work.ts"

/**
 * Where finished work requests are found (IB spec §10.8.1, ibv_cq). The queues of the queue pairs that use it
 * may not have more places together than it has entries, so it never overruns.
 */
export interface CompletionQueue {
  readonly entries: number
  /**
   * Takes up to `max` completions, oldest first, filling into[0..result) (ibv_poll_cq). It allocates nothing.
   * Completions of one work queue come in the order its requests were posted.
   */
  poll(into: readonly WorkCompletion[], max?: number): number
  /**
   * Asks for one call of the notification when the next completion arrives, or the next solicited or failed one
   * (ibv_req_notify_cq). What is there already gives none: arm, then poll once more. A call too many may come.
   */
  arm(solicitedOnly?: boolean): void
  /** Throws ERR_RDMA_BUSY while queue pairs use it. */
  destroy(): void
}
