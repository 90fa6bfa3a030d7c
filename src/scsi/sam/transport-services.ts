/** Task management functions (SAM-5 §7), numbered as iSCSI does (RFC 7143 §11.5.1). */
export const TaskManagementFunction = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
} as const
export type TaskManagementFunction = (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction]

/** Those ScsiTarget carries out. */
export const supportedTaskManagementFunctions: readonly TaskManagementFunction[] = [
  TaskManagementFunction.abortTask,
  TaskManagementFunction.abortTaskSet,
  TaskManagementFunction.clearAca,
  TaskManagementFunction.clearTaskSet,
  TaskManagementFunction.logicalUnitReset,
  TaskManagementFunction.targetWarmReset,
  TaskManagementFunction.targetColdReset,
]

/** Service responses of task management functions, numbered as iSCSI does (RFC 7143 §11.6.1). */
export const TaskManagementServiceResponse = {
  functionComplete: 0,
  taskDoesNotExist: 1,
  lunDoesNotExist: 2,
  functionNotSupported: 5,
  functionRejected: 255,
} as const
export type TaskManagementServiceResponse =
  (typeof TaskManagementServiceResponse)[keyof typeof TaskManagementServiceResponse]

export interface TaskManagementRequest {
  /** One of TaskManagementFunction; any other number is answered "function not supported". */
  readonly function: number
  /** The LUN field as two big-endian words; ignored by the target resets. */
  readonly lunHigh: number
  readonly lunLow: number
  /** ABORT TASK: which. */
  readonly taskTag: number
}
