import assert from "node:assert/strict"
import { test } from "node:test"
import { ScsiError } from "../../../src/initiator/index.ts"
import { vpdPage } from "../../../src/initiator/unit-info.ts"
import { Asc, SenseKey } from "../../../src/scsi/spec/sense.ts"
import { Status } from "../../../src/scsi/spec/status.ts"

const refusing = (asc: number) => () =>
  Promise.reject(
    new ScsiError("ERR_SCSI_CHECK_CONDITION", "refused", {
      status: Status.checkCondition,
      sense: { key: SenseKey.illegalRequest, asc, detail: {} },
      dataInBytes: 0,
      dataOutBytes: 0,
      overflowBytes: 0,
    }),
  )

test("a VPD page that is refused isn't there", async () => {
  assert.equal(await vpdPage(refusing(Asc.invalidFieldInCdb), 0, 0xb0), undefined)
})

test("a logical unit that has gone meanwhile says nothing about its pages", async () => {
  await assert.rejects(vpdPage(refusing(Asc.logicalUnitNotSupported), 0, 0xb0), ScsiError)
})
