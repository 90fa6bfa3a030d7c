export { TcpInitiatorDatamover } from "./initiator.ts"
export { TcpTargetDatamover } from "./target.ts"
