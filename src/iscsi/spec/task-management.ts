import { nameOf } from "./name-of.ts"

/** Task management functions (RFC 7143 §11.5.1; the last four are RFC 7144). */
export const TaskManagementFunction = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
  queryTask: 9,
  queryTaskSet: 10,
  iTNexusReset: 11,
  queryAsynchronousEvent: 12,
} as const

export type TaskManagementFunction = (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction]

/** Task management responses (RFC 7143 §11.6.1; functionSucceeded is RFC 7144). */
export const TaskManagementResponseCode = {
  functionComplete: 0,
  taskDoesNotExist: 1,
  lunDoesNotExist: 2,
  taskStillAllegiant: 3,
  taskAllegianceReassignmentNotSupported: 4,
  functionNotSupported: 5,
  functionAuthorizationFailed: 6,
  functionSucceeded: 7,
  functionRejected: 255,
} as const

export type TaskManagementResponseCode =
  (typeof TaskManagementResponseCode)[keyof typeof TaskManagementResponseCode]

export const taskManagementFunctionName = (value: number): string => nameOf(TaskManagementFunction, value)
export const taskManagementResponseName = (value: number): string => nameOf(TaskManagementResponseCode, value)
