export { LoopbackDevice } from "./device.ts"
export { LoopbackFabric, LoopbackLink, type LoopbackOptions } from "./fabric.ts"
export type { LoopbackTiming } from "./pipe.ts"
