export { DataBufferBudget } from "../shared/budget.ts"
export { TcpInitiatorDatamover } from "./initiator.ts"
export { TcpTargetDatamover } from "./target.ts"
