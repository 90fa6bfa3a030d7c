/** iSCSI itself, for who wants to speak it without our target or initiator: PDUs, keys, login, the datamover's seam. */
export type * from "./da.ts"
export { DatamoverError, TaskAbortedError } from "./da.ts"
export { daPrimitives } from "./da-trace.ts"
export type { DaPrimitive, DaTrace } from "./da-trace.ts"
export * from "./login/index.ts"
export * from "./pdu/index.ts"
export * from "./spec/index.ts"
