export { acceptIser, awaitIser, connectIser, turnToIser } from "./establish.ts"
export { IserInitiatorDatamover } from "./initiator.ts"
export type { IserOptions } from "./options.ts"
export { IserTargetDatamover } from "./target.ts"
