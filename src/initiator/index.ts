export type { BlockRange } from "./cdb.ts"
export { ScsiError } from "./command.ts"
export type { ScsiRequest, ScsiResult } from "./command.ts"
export { Disk } from "./disk.ts"
export type {
  BlockStatus,
  DiskOptions,
  ExecuteOptions,
  OperationOptions,
  WriteOptions,
} from "./disk-options.ts"
export {
  CommandTimeoutError,
  ConnectionError,
  DiskError,
  LogoutError,
  OutcomeUnknownError,
  RejectedError,
  SessionError,
  ShortTransferError,
  TargetFailureError,
  TaskManagementError,
  UnitChangedError,
} from "./errors.ts"
export type { IserConnector, IserConnectOptions, Transport } from "./iser.ts"
export { TransportError } from "./transport.ts"
export { Initiator } from "./initiator.ts"
export type { Where } from "./initiator.ts"
export type { PortalAddress } from "./login.ts"
export { defaultInitiatorName } from "./open.ts"
export type { DiskLocation, InitiatorOptions, OpenOptions } from "./open.ts"
export type { ReconnectOptions } from "./recovery.ts"
export type { InitiatorServices } from "./services.ts"
export { Session } from "./session.ts"
export type { InitiatorSessionState, SessionOptions } from "./session-options.ts"
export type { SessionEvent } from "./session-event.ts"
export type { Capacity, InquiryData, UnitIdentity, UnitLimits, UnitModes } from "./unit-info.ts"
export {
  formatIscsiUrl,
  ISCSI_URL_SYNTAX,
  IscsiUrlError,
  parseDiskUrl,
  parseIscsiUrl,
  redactUrl,
} from "./url.ts"
export type { IscsiUrl, UrlEnvironment } from "./url.ts"
