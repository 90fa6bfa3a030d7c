/** The verbs seam: what uses RDMA on one side, its providers on the other. */
export { Access } from "./access.ts"
export { addressDistance, addressHighAt, addressLowAt, addressText } from "./address.ts"
export type { CompletionQueue } from "./completion-queue.ts"
export type {
  Connection,
  ConnectionParameters,
  ConnectionRequest,
  ConnectOptions,
  Disconnection,
  DisconnectReason,
} from "./connection.ts"
export type { Device, DeviceCapabilities, DeviceLimits } from "./device.ts"
export { ConnectionRejectedError, VerbsError, type VerbsProblem } from "./errors.ts"
export type { MemoryRegion, ProtectionDomain } from "./memory.ts"
export type { QueuePair, QueuePairOptions, QueuePairState } from "./queue-pair.ts"
export type { SharedReceiveQueue, SharedReceiveQueueOptions } from "./srq.ts"
export { WorkStatus, workStatusName } from "./status.ts"
export {
  CompletionOpcode,
  ReceiveRequest,
  type ScatterGatherEntry,
  SendOpcode,
  SendRequest,
  WorkCompletion,
} from "./work.ts"
