export { AsyncEvent, asyncEventName } from "./async-event.ts"
export { findKey, keyDefinitions } from "./keys.ts"
export type { KeyDefinition, KeyValues } from "./keys.ts"
export { LoginStatus, loginStatusText } from "./login-status.ts"
export { LogoutReason, LogoutResponseCode, logoutReasonName, logoutResponseName } from "./logout.ts"
export { RejectReason, rejectReasonName } from "./reject-reason.ts"
export { LoginStage } from "./stage.ts"
export {
  TaskManagementFunction,
  TaskManagementResponseCode,
  taskManagementFunctionName,
  taskManagementResponseName,
} from "./task-management.ts"
