import assert from "node:assert/strict"
import { test } from "node:test"
import { COMMAND_WINDOW, ISER_RECEIVES_MAX, ISER_UNEXPECTED_PDUS } from "../../../src/base/limits.ts"
import { commandWindow, unsolicitedPdusMax } from "../../../src/iscsi/da.ts"
import { defaultKeys } from "../../suites/datamover-ends.ts"

const iser = { ...defaultKeys, rdmaExtensions: true, initialR2T: false, firstBurstLength: 65536 }

test("unsolicited data comes in as many PDUs as it takes, the first with the command", () => {
  const keys = { ...iser, maxRecvDataSegmentLength: 8192 }
  assert.equal(unsolicitedPdusMax({ ...keys, immediateData: false }), 8)
  assert.equal(unsolicitedPdusMax({ ...keys, immediateData: true }), 7)
  assert.equal(unsolicitedPdusMax({ ...keys, firstBurstLength: 512, immediateData: true }), 0)
  assert.equal(unsolicitedPdusMax({ ...keys, initialR2T: true }), 0)
})

test("over iSER no more commands may come than there are receives for, with all their data", () => {
  assert.equal(commandWindow({ ...iser, maxRecvDataSegmentLength: 8192 }), COMMAND_WINDOW)
  const small = { ...iser, maxRecvDataSegmentLength: 512, immediateData: false }
  const window = commandWindow(small)
  assert.ok(window < COMMAND_WINDOW)
  const room = ISER_RECEIVES_MAX - ISER_UNEXPECTED_PDUS
  assert.ok(window * 129 <= room)
  assert.ok((window + 1) * 129 > room)
  assert.equal(commandWindow({ ...small, rdmaExtensions: false }), COMMAND_WINDOW, "TCP has no receives")
  assert.equal(commandWindow({ ...small, firstBurstLength: 16_777_215 }), 1)
})
