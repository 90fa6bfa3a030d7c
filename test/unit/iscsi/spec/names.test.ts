import assert from "node:assert/strict"
import { test } from "node:test"
import {
  AsyncEvent,
  asyncEventName,
  LoginStatus,
  LogoutReason,
  LogoutResponseCode,
  loginStatusText,
  logoutReasonName,
  logoutResponseName,
  RejectReason,
  rejectReasonName,
  TaskManagementFunction,
  TaskManagementResponseCode,
  taskManagementFunctionName,
  taskManagementResponseName,
} from "../../../../src/iscsi/spec/index.ts"

test("every constant has its name, and no two share a value", () => {
  const tables = [
    [AsyncEvent, asyncEventName],
    [LogoutReason, logoutReasonName],
    [LogoutResponseCode, logoutResponseName],
    [RejectReason, rejectReasonName],
    [TaskManagementFunction, taskManagementFunctionName],
    [TaskManagementResponseCode, taskManagementResponseName],
  ] as const
  for (const [table, nameOf] of tables) {
    for (const [name, value] of Object.entries(table)) assert.equal(nameOf(value), name)
    assert.equal(nameOf(0xee), "0xee")
  }
})

test("every login status has a text; an unknown one is named by its class", () => {
  const texts = Object.values(LoginStatus).map(loginStatusText)
  assert.equal(new Set(texts).size, texts.length)
  assert.equal(loginStatusText(LoginStatus.notFound), "target not found (0x0203)")
  assert.equal(loginStatusText(0x02ff), "initiator error (0x02ff)")
  assert.equal(loginStatusText(0x3fff), "unknown status (0x3fff)")
})
