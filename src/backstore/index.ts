export { BlockSpecialStore, type BlockSpecialStoreOptions } from "./block-special.ts"
export {
  type BlockDevice,
  type BlockDeviceFeatures,
  BlockError,
  type BlockErrorCause,
  type Extent,
  type MediaEncryption,
} from "./block-device.ts"
export { type Delay, type Delays, DelayStore } from "./delay.ts"
export { StoreOpenError, type StoreOpenProblem } from "./errors.ts"
export { EncryptedStore } from "./encryption/encrypted-store.ts"
export { type ActiveFaultRule, type FaultEffect, type FaultRule, FaultStore } from "./fault.ts"
export { FileStore, type FileStoreOptions } from "./file.ts"
export type { CacheMode } from "./kernel-store.ts"
export { MemoryStore, type MemoryStoreOptions } from "./memory.ts"
export { noMedium } from "./no-medium.ts"
export { NullStore } from "./null.ts"
export {
  isProtected,
  type ProtectedDevice,
  ProtectionError,
  type ProtectionErrors,
} from "./protection/protected-device.ts"
export { ProtectedStore } from "./protection/protected-store.ts"
export type { ProtectionChecks, ProtectionField, ProtectionType } from "./protection/tuple.ts"
export { ReadOnlyStore } from "./read-only.ts"
export { OPERATION_KINDS, type OperationKind, StackedStore } from "./stacked.ts"
