import type { ByteStream } from "../../base/byte-stream.ts"
import type { Clock } from "../../base/clock.ts"
import type { InitiatorDatamover, TargetDatamover } from "../../iscsi/da.ts"
import type { DataBufferBudget } from "./budget.ts"

export { DataBufferBudget } from "./budget.ts"

export interface TcpDatamoverOptions {
  readonly clock: Clock
  /** One per process. */
  readonly budget: DataBufferBudget
}

export declare const TcpTargetDatamover: new (
  stream: ByteStream,
  options: TcpDatamoverOptions,
) => TargetDatamover
export declare const TcpInitiatorDatamover: new (
  stream: ByteStream,
  options: TcpDatamoverOptions,
) => InitiatorDatamover
