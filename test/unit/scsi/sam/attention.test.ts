import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { makeBench, TestUnit } from "../test-unit.ts"

const { unitAttention } = SenseKey
/** POWER ON, RESET, OR BUS DEVICE RESET OCCURRED, which libiscsi's tools expect of a new nexus. */
const powerOn = Asc.powerOnResetOrBusDeviceReset

const senderTo =
  (target: ScsiTarget, nexus: Nexus) =>
  (bytes: Uint8Array, lun = 0): TestTask => {
    const task = new TestTask(nexus, bytes, { lun })
    target.commandReceived(task)
    return task
  }

function fresh(): { target: ScsiTarget; nexus: Nexus; send: ReturnType<typeof senderTo> } {
  const target = new ScsiTarget({ clock: new VirtualClock() })
  target.addLogicalUnit(0, new TestUnit())
  target.addLogicalUnit(1, new TestUnit())
  const nexus = testNexus()
  target.attachNexus(nexus)
  return { target, nexus, send: senderTo(target, nexus) }
}

describe("unit attentions of a logical unit", () => {
  test("POWER ON for a new nexus, once on each unit", () => {
    const { send } = fresh()
    for (const lun of [0, 1]) {
      checkCondition(send(cdb.testUnitReady(), lun), unitAttention, powerOn)
      good(send(cdb.testUnitReady(), lun))
    }
  })

  test("INQUIRY and REPORT LUNS neither report nor end it", () => {
    const { send } = fresh()
    good(send(cdb.inquiry(96)))
    good(send(cdb.reportLuns(64)))
    checkCondition(send(cdb.testUnitReady()), unitAttention, powerOn)
  })

  test("REQUEST SENSE gives it as data, and ends it", () => {
    const { send } = fresh()
    assert.equal(
      Buffer.from(good(send(cdb.requestSense(18)))).toString("hex"),
      "700006000000000a00000000290000000000",
    )
    assert.equal(good(send(cdb.requestSense(18)))[2], SenseKey.noSense)
    good(send(cdb.testUnitReady()))
  })

  test("even an unknown command gets it first", () => {
    const { send } = fresh()
    checkCondition(send(Uint8Array.of(0xff)), unitAttention, powerOn)
  })

  test("an initiator port that comes again is told of the loss of its nexus", async () => {
    const { target, nexus } = fresh()
    await target.detachNexus(nexus)
    const again = testNexus()
    target.attachNexus(again)
    checkCondition(senderTo(target, again)(cdb.testUnitReady()), unitAttention, Asc.itNexusLoss)
  })

  test("REPORTED LUNS DATA HAS CHANGED: told on the other units, ended by REPORT LUNS on all", async () => {
    const { target, send } = fresh()
    for (const lun of [0, 1]) send(cdb.testUnitReady(), lun)
    let changes = 0
    const stop = target.onInventoryChange(() => changes++)
    target.addLogicalUnit(7, new TestUnit())
    checkCondition(send(cdb.testUnitReady(), 7), unitAttention, powerOn)
    good(send(cdb.testUnitReady(), 7))
    good(send(cdb.reportLuns(64), 1))
    good(send(cdb.testUnitReady(), 0))
    good(send(cdb.testUnitReady(), 1))
    await target.removeLogicalUnit(7)
    checkCondition(send(cdb.testUnitReady(), 7), SenseKey.illegalRequest, Asc.logicalUnitNotSupported)
    checkCondition(send(cdb.testUnitReady(), 1), unitAttention, Asc.reportedLunsDataHasChanged)
    good(send(cdb.testUnitReady(), 0)) // said once per nexus
    assert.equal(changes, 2)
    stop()
    target.addLogicalUnit(9, new TestUnit())
    assert.equal(changes, 2)
  })

  test("for all nexuses but one", () => {
    const { unit, another, send } = makeBench()
    const other = another("other")
    unit.establishUnitAttention(Asc.capacityDataHasChanged, { except: other })
    good(send(cdb.testUnitReady(), { nexus: other }))
    checkCondition(send(cdb.testUnitReady()), unitAttention, Asc.capacityDataHasChanged)
  })

  test("it comes before a reservation conflict", async () => {
    const { unit, another, run } = makeBench()
    const other = another("other")
    good(await run(cdb.reserve6()))
    unit.establishUnitAttention(Asc.capacityDataHasChanged)
    checkCondition(
      await run(cdb.testUnitReady(), { nexus: other }),
      unitAttention,
      Asc.capacityDataHasChanged,
    )
    assert.equal((await run(cdb.testUnitReady(), { nexus: other })).status, Status.reservationConflict)
  })
})

describe("logical units of a target", () => {
  test("numbers and units are used once", async () => {
    const target = new ScsiTarget({ clock: new VirtualClock() })
    const unit = new TestUnit()
    target.addLogicalUnit(0, unit)
    assert.throws(() => target.addLogicalUnit(0, new TestUnit()), { code: "ERR_LUN_IN_USE" })
    assert.throws(() => target.addLogicalUnit(1, unit), { code: "ERR_LUN_IN_USE" })
    assert.throws(() => target.addLogicalUnit(16384, new TestUnit()), { code: "ERR_LUN" })
    assert.throws(() => target.addLogicalUnit(-1, new TestUnit()), { code: "ERR_LUN" })
    await assert.rejects(target.removeLogicalUnit(5), { code: "ERR_LUN" })
    assert.deepEqual([...target.logicalUnits], [[0, unit]])
  })

  test("a command table with two commands in one place is found at once", () => {
    const target = new ScsiTarget({ clock: new VirtualClock() })
    const unit = new TestUnit()
    for (const serviceAction of [undefined, 1]) {
      const again = { ...unit.commands[0]!, ...(serviceAction !== undefined && { serviceAction }) }
      Object.defineProperty(unit, "commands", { value: [...unit.commands, again], configurable: true })
      assert.throws(() => target.addLogicalUnit(0, unit), { code: "ERR_COMMAND_TABLE" })
    }
    assert.equal(target.logicalUnits.size, 0)
  })

  test("a unit may be part of two targets: one reservation, one task set", async () => {
    const unit = new TestUnit()
    const [one, two] = ["one", "two"].map((host) => {
      const target = new ScsiTarget({ clock: new VirtualClock() })
      target.addLogicalUnit(0, unit)
      const nexus = testNexus(host)
      target.attachNexus(nexus)
      unit.takeUnitAttention(nexus)
      return senderTo(target, nexus)
    })
    good(one!(cdb.reserve6()))
    assert.equal(two!(cdb.testUnitReady()).status, Status.reservationConflict)
  })
})
