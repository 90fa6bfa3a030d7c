export type { ServedPortal, ServedUnit, ServerStatus } from "./api/index.ts"
export { bench } from "./bench/bench.ts"
export type {
  BenchLatency,
  BenchOptions,
  BenchPart,
  BenchResult,
  BenchSubject,
  BenchTick,
} from "./bench/bench.ts"
export type { CacheMode, DeviceConfiguration } from "./config/device.ts"
export type { ConfigurationIssue } from "./config/issues.ts"
export {
  ConfigurationError,
  configurationJsonSchema,
  loadConfiguration,
  parseConfiguration,
} from "./config/load.ts"
export type {
  Configuration,
  LogicalUnitConfiguration,
  PortalConfiguration,
  TargetConfiguration,
} from "./config/schema.ts"
export { compare, copy } from "./copy/copy.ts"
export type { CopyOptions, CopyProgress, Difference } from "./copy/copy.ts"
export { type CopyEnd, DeviceEnd } from "./copy/copy-end.ts"
export {
  type Identity,
  type IdentityClaim,
  IdentityStore,
  type IdentitySubject,
} from "./identity/identity-store.ts"
export { ReservationFile } from "./reservations/reservation-file.ts"
export { formatBytes, parseSize } from "./sizes.ts"
