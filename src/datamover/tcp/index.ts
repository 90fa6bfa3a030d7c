export { DataBufferBudget } from "./budget.ts"
export type { TcpDatamoverOptions } from "./connection.ts"
export { TcpInitiatorDatamover } from "./initiator.ts"
export { TcpTargetDatamover } from "./target.ts"
