export { acceptIser, awaitIser, connectIser, targetSegmentBytes, turnToIser } from "./establish.ts"
export { IserInitiatorDatamover } from "./initiator.ts"
export type { IserOptions } from "./options.ts"
export { IserTargetDatamover } from "./target.ts"
