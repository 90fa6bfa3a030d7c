import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { CHANGE, makeBench, own } from "../test-unit.ts"

const { illegalRequest, notReady } = SenseKey
const { reservationConflict } = Status

describe("RESERVE and RELEASE", () => {
  for (const [form, reserve, release] of [
    ["(6)", cdb.reserve6, cdb.release6],
    ["(10)", cdb.reserve10, cdb.release10],
  ] as const) {
    test(`${form}: the holder goes on, others conflict until it releases`, () => {
      const { send, another } = makeBench()
      const nexus = another("other")
      good(send(reserve()))
      good(send(reserve()))
      good(send(own(CHANGE)))
      for (const bytes of [reserve(), cdb.testUnitReady(), cdb.modeSense6(0x3f, 255), own(CHANGE)]) {
        assert.equal(send(bytes, { nexus }).status, reservationConflict)
      }
      good(send(release(), { nexus })) // by another: nothing happens
      assert.equal(send(own(CHANGE), { nexus }).status, reservationConflict)
      good(send(release()))
      good(send(release()))
      good(send(own(CHANGE), { nexus }))
    })
  }

  test("some commands are allowed whoever holds it", () => {
    const { send, another } = makeBench()
    const nexus = another("other")
    good(send(cdb.reserve6()))
    for (const bytes of [
      cdb.inquiry(96),
      cdb.requestSense(18),
      cdb.reportLuns(64),
      cdb.preventAllowMediumRemoval(false),
      cdb.reportSupportedOperationCodes(64),
    ]) {
      good(send(bytes, { nexus }))
    }
    assert.equal(send(cdb.preventAllowMediumRemoval(true), { nexus }).status, reservationConflict)
  })

  test("third-party and extent reservations are refused", () => {
    const { send } = makeBench()
    checkCondition(send([0x16, 0x10, 0, 0, 0, 0]), illegalRequest, Asc.invalidFieldInCdb)
    checkCondition(send([0x16, 0x01, 0, 0, 0, 0]), illegalRequest, Asc.invalidFieldInCdb)
    checkCondition(send([0x16, 0, 0, 0, 8, 0]), illegalRequest, Asc.invalidFieldInCdb)
  })

  test("the loss of the nexus ends it", async () => {
    const { send, another, target, nexus } = makeBench()
    const other = another("other")
    good(send(cdb.reserve6()))
    await target.detachNexus(nexus)
    good(send(own(CHANGE), { nexus: other }))
  })
})

describe("the small commands", () => {
  test("TEST UNIT READY asks the device type", () => {
    const { send, unit } = makeBench()
    good(send(cdb.testUnitReady()))
    unit.ready = false
    checkCondition(send(cdb.testUnitReady()), notReady, Asc.mediumNotPresent)
  })

  test("PREVENT ALLOW MEDIUM REMOVAL counts nexuses", async () => {
    const { send, unit, another, target } = makeBench()
    const other = another("other")
    good(send(cdb.preventAllowMediumRemoval(true)))
    good(send(cdb.preventAllowMediumRemoval(true), { nexus: other }))
    good(send(cdb.preventAllowMediumRemoval(false)))
    assert.equal(unit.preventingRemoval.size, 1)
    await target.detachNexus(other)
    assert.equal(unit.preventingRemoval.size, 0)
    checkCondition(send([0x1e, 0, 0, 0, 2, 0]), illegalRequest, Asc.invalidFieldInCdb)
  })
})
