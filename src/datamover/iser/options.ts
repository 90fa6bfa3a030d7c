import type { Clock } from "../../base/clock.ts"
import type { Device } from "../../rdma/verbs/index.ts"
import type { DataBufferBudget } from "../shared/budget.ts"

export interface IserOptions {
  readonly clock: Clock
  /** One per process, the same as for TCP. */
  readonly budget: DataBufferBudget
  /**
   * Whose connections they are. One protection domain of it serves all targets; an initiator has one for each
   * connection.
   */
  readonly device: Device
}
