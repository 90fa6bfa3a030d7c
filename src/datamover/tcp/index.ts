export { DataBufferBudget } from "./budget.ts"
export { TcpInitiatorDatamover } from "./initiator.ts"
export { TcpTargetDatamover } from "./target.ts"
