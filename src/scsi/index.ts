/** The SCSI engine: a target device without a transport, and what initiators need to talk to one. */
export * as cdb from "./cdb/index.ts"
export type { Command } from "./sam/command.ts"
export {
  Association,
  CodeSet,
  type Designator,
  DesignatorType,
  type LogicalUnitIdentity,
} from "./sam/identity.ts"
export { LogicalUnit } from "./sam/logical-unit.ts"
export type { ModePage } from "./sam/mode-page.ts"
export type { CounterParameter, ListParameter, LogCounter, LogPage } from "./sam/log-page.ts"
export { Nexus, type NexusIdentity, type TargetPort } from "./sam/nexus.ts"
export type { PersistentReservation, PersistentState, Registration } from "./sam/persistent-state.ts"
export type { ReservationStore } from "./sam/reservation-store.ts"
export { ScsiTarget, type ScsiTargetOptions } from "./sam/scsi-target.ts"
export type {
  AccessChange,
  TargetPortGroup,
  TargetPortGroupOptions,
  TargetPortGroupsOptions,
} from "./sam/target-port-groups.ts"
export { Task, TaskAttribute, type TaskState } from "./sam/task.ts"
export {
  TaskManagementFunction,
  type TaskManagementRequest,
  TaskManagementServiceResponse,
} from "./sam/transport-services.ts"
export { type UnitRecordName, type UnitRecords, VolatileRecords } from "./sam/unit-records.ts"
export type { VpdPage } from "./sam/vpd-page.ts"
export { CdUnit, type CdUnitOptions } from "./mmc/cd-unit.ts"
export { DiskUnit, type DiskUnitOptions } from "./sbc/disk-unit.ts"
export type { RemovalOptions, Tray, TrayEvent } from "./sbc/tray.ts"
export { type UndoLog, type UndoRun, VolatileUndoLog } from "./sbc/undo-log.ts"
export { rollBack } from "./sbc/undoable-writes.ts"
export {
  type DerivedNames,
  deriveNames,
  spcCommands,
  spcLogPages,
  spcModePages,
  spcVpdPages,
} from "./spc/index.ts"
export type { AccessState, LastingAccessState } from "./spec/access-state.ts"
export { cdbBytesOf, OperationCode } from "./spec/operation-code.ts"
export {
  Asc,
  decodeSense,
  encodeSense,
  type Sense,
  type SenseDetail,
  SenseError,
  type SenseFormat,
  SenseKey,
} from "./spec/sense.ts"
export { ascText, senseKeyText, senseText } from "./spec/sense-text.ts"
export { PersistentType } from "./spec/persistent-type.ts"
export { Status } from "./spec/status.ts"
