import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { TASK_SET_MAX } from "../../../../src/base/limits.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { BREAK, CHANGE, FAIL, HOLD, makeBench, own, TestUnit } from "../test-unit.ts"

const { illegalRequest, abortedCommand, hardwareError, mediumError } = SenseKey
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

describe("task router", () => {
  test("a command that ends at once has its status before the call returns", () => {
    const { send } = makeBench()
    const task = send(own(CHANGE))
    assert.equal(task.status, Status.good)
    assert.equal(task.state, "complete")
  })

  test("unknown operation codes and service actions are refused, each with its own sense", () => {
    const { send } = makeBench()
    const sense = checkCondition(send([0xff]), illegalRequest, Asc.invalidCommandOperationCode)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 0 })
    const action = checkCondition(send([0xa3, 0x1f]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(action.detail.field, { in: "cdb", byte: 1, bit: 4 })
  })

  test("a bit the command doesn't know is refused and pointed at", () => {
    const { send } = makeBench()
    const reserved = checkCondition(send([0x00, 0, 0, 0x24, 0, 0]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(reserved.detail.field, { in: "cdb", byte: 3, bit: 5 })
    const link = checkCondition(send([0x00, 0, 0, 0, 0, 0x01]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(link.detail.field, { in: "cdb", byte: 5, bit: 0 })
    const cmddt = checkCondition(send([0x12, 0x02, 0, 0, 96, 0]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(cmddt.detail.field, { in: "cdb", byte: 1, bit: 1 })
    const besideAction = checkCondition(send([0xa3, 0x2c]), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(besideAction.detail.field, { in: "cdb", byte: 1, bit: 5 })
  })

  test("a failure of the device is the sense it was thrown with; a bug is told as one", async () => {
    const { send, unit } = makeBench()
    assert.deepEqual(checkCondition(send(own(FAIL)), mediumError, Asc.unrecoveredReadError).detail, {
      information: 7,
    })
    const lines: string[] = []
    const note = (_fields: object, message: string) => lines.push(message)
    unit.log = { debug: note, info: note, warn: note, error: note }
    checkCondition(send(own(BREAK)), hardwareError, Asc.internalTargetFailure)
    const late = send(own(HOLD))
    unit.held[0]!.fail(new Error("later"))
    checkCondition(await late.ended, hardwareError, Asc.internalTargetFailure)
    assert.equal(lines.length, 2)
  })

  test("sense comes in the format the control mode page says", () => {
    const { send, unit } = makeBench()
    unit.control.descriptorSense = true
    assert.equal(hex(send([0xff]).senseData!).slice(0, 8), "72052000")
  })

  test("TASK SET FULL beyond the limit, and room again afterwards", async () => {
    const { send, unit } = makeBench()
    for (let i = 0; i < TASK_SET_MAX; i++) send(own(HOLD))
    assert.equal(unit.allTasks().length, TASK_SET_MAX)
    assert.equal(send(own(CHANGE)).status, Status.taskSetFull)
    const first = unit.held[0]!
    first.finish()
    await (first.task as TestTask).ended
    assert.equal(send(own(CHANGE)).status, Status.good)
  })

  test("an overlapping tag: the nexus's tasks are aborted, the new one is told", async () => {
    const { send, unit, another } = makeBench()
    const other = send(own(HOLD), { nexus: another("other"), tag: 7 })
    const held = send(own(HOLD), { tag: 7 })
    const queued = send(own(CHANGE), { tag: 8, attribute: TaskAttribute.ordered })
    checkCondition(send(own(CHANGE), { tag: 7 }), abortedCommand, Asc.overlappedCommandsAttempted)
    assert.equal(held.aborts, 1)
    assert.equal(queued.aborts, 1)
    assert.equal(other.over, false, "another nexus may use the same tag")
    unit.finish(held)
    unit.finish(other)
    good(await other.ended)
    assert.equal(unit.allTasks().length, 0)
  })

  test("ACA without an ACA condition is refused", () => {
    const { send } = makeBench()
    checkCondition(
      send(own(CHANGE), { attribute: TaskAttribute.aca }),
      illegalRequest,
      Asc.invalidMessageError,
    )
  })

  test("ORDERED and HEAD OF QUEUE are honoured", async () => {
    const { send, unit } = makeBench()
    const first = send(own(HOLD))
    const barrier = send(own(HOLD), { attribute: TaskAttribute.ordered })
    const behind = send(own(CHANGE))
    const head = send(own(CHANGE), { attribute: TaskAttribute.headOfQueue })
    assert.equal(head.status, Status.good)
    assert.deepEqual([barrier.state, behind.state], ["queued", "queued"])
    unit.finish(first)
    await first.ended
    assert.deepEqual([barrier.state, behind.state], ["executing", "queued"])
    unit.finish(barrier)
    await barrier.ended
    assert.equal(behind.status, Status.good)
    assert.equal(unit.allTasks().length, 0)
  })

  test("a long queue of waiting tasks runs off without deep recursion", async () => {
    const { send, unit } = makeBench()
    const first = send(own(HOLD), { attribute: TaskAttribute.ordered })
    const queued = Array.from({ length: TASK_SET_MAX - 1 }, () =>
      send(own(CHANGE), { attribute: TaskAttribute.ordered }),
    )
    unit.finish(first)
    await first.ended
    assert.ok(queued.every((task) => task.status === Status.good))
  })

  test("a task of a nexus that isn't attached is dropped", () => {
    const { target } = makeBench()
    const task = new TestTask(testNexus("stranger"), Uint8Array.from(own(CHANGE)))
    target.commandReceived(task)
    assert.equal(task.aborts, 1)
    assert.equal(task.status, undefined)
  })
})

describe("where there is no logical unit", () => {
  const target = new ScsiTarget({ clock: new VirtualClock() })
  const nexus = testNexus()
  target.attachNexus(nexus)
  const send = (bytes: Uint8Array, lun = 0): TestTask => {
    const task = new TestTask(nexus, bytes, { lun })
    target.commandReceived(task)
    return task
  }

  test("INQUIRY says so", () => {
    for (const lun of [0, 5, 0x4123, 0x8000]) {
      const data = good(send(cdb.inquiry(96), lun))
      assert.equal(data[0], 0x7f, "peripheral qualifier 011b, device type 1Fh")
      assert.equal(data.length, 36)
      assert.equal(data[4], 31)
    }
    const sense = checkCondition(send(cdb.inquiry(96, 0x83)), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 1, bit: 0 })
    checkCondition(send(Uint8Array.of(0x12, 0, 0x83, 0, 96, 0)), illegalRequest, Asc.invalidFieldInCdb)
  })

  test("REQUEST SENSE says so", () => {
    assert.equal(hex(good(send(cdb.requestSense(18), 5))), "700005000000000a00000000250000000000")
    assert.equal(hex(good(send(cdb.requestSense(252, true), 5))), "7205250000000000")
  })

  test("everything else is LOGICAL UNIT NOT SUPPORTED", () => {
    for (const bytes of [cdb.testUnitReady(), cdb.read10(0, 1), cdb.readCapacity16(), Uint8Array.of(0xff)]) {
      checkCondition(send(bytes, 3), illegalRequest, Asc.logicalUnitNotSupported)
    }
    checkCondition(send(cdb.reportLuns(64), 3), illegalRequest, Asc.logicalUnitNotSupported)
  })

  test("LUN 0 and the well-known logical unit answer REPORT LUNS", () => {
    assert.equal(hex(good(send(cdb.reportLuns(64)))), "0000000000000000")
    const all = hex(good(send(cdb.reportLuns(64, 2), 0xc101)))
    assert.equal(all, "0000000800000000" + "c101000000000000")
  })

  test("the well-known logical unit knows the four commands it must", () => {
    assert.equal(good(send(cdb.inquiry(96), 0xc101))[0], 0x1e)
    good(send(cdb.testUnitReady(), 0xc101))
    assert.equal(hex(good(send(cdb.requestSense(18), 0xc101))).slice(0, 6), "700000")
    checkCondition(send(cdb.read10(0, 1), 0xc101), illegalRequest, Asc.invalidCommandOperationCode)
  })

  test("the well-known logical unit tells of the device and the port, and has no name of its own", () => {
    assert.equal(hex(good(send(cdb.inquiry(96, 0), 0xc101))), "1e000002" + "0083")
    const data = good(send(cdb.inquiry(512, 0x83), 0xc101))
    assert.equal(hex(data.subarray(0, 2)), "1e83")
    const heads: string[] = []
    for (let at = 4; at < data.length; at += 4 + data[at + 3]!) heads.push(hex(data.subarray(at, at + 2)))
    assert.deepEqual(heads, ["5194", "5398", "53a8"])
    const sense = checkCondition(send(cdb.inquiry(512, 0x80), 0xc101), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
  })
})

describe("REPORT LUNS", () => {
  const target = new ScsiTarget({ clock: new VirtualClock() })
  for (const lun of [300, 0, 2]) target.addLogicalUnit(lun, new TestUnit())
  const nexus = testNexus()
  target.attachNexus(nexus)
  const send = (bytes: Uint8Array, lun = 0): TestTask => {
    const task = new TestTask(nexus, bytes, { lun })
    target.commandReceived(task)
    return task
  }

  test("rising, each in the shortest address method it fits", () => {
    const luns = "0000000000000000" + "0002000000000000" + "412c000000000000"
    assert.equal(hex(good(send(cdb.reportLuns(1024)))), `0000001800000000${luns}`)
    assert.equal(hex(good(send(cdb.reportLuns(1024, 1)))), "0000000800000000c101000000000000")
    assert.equal(hex(good(send(cdb.reportLuns(1024, 2)))), `0000002000000000${luns}c101000000000000`)
  })

  test("there are no conglomerates: no administrative units, and all units are simple ones", () => {
    const empty = "0000000000000000"
    const luns = "0000000000000000" + "0002000000000000" + "412c000000000000"
    for (const asked of [0, 0xc101]) {
      assert.equal(hex(good(send(cdb.reportLuns(1024, 0x10), asked))), empty)
      assert.equal(hex(good(send(cdb.reportLuns(1024, 0x11), asked))), `0000001800000000${luns}`)
    }
    for (const [select, asked] of [
      [0x10, 2],
      [0x11, 2],
      [0x12, 0],
      [0x13, 0],
      [0xf8, 0],
    ] as const) {
      const task = send(cdb.reportLuns(64, select), asked)
      const sense = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
    }
  })

  test("cut to the allocation length, which has a minimum", () => {
    const task = send(cdb.reportLuns(16))
    assert.equal(hex(good(task)), "0000001800000000" + "0000000000000000")
    assert.equal(task.dataInBytes, 16)
    checkCondition(send(cdb.reportLuns(15)), illegalRequest, Asc.invalidFieldInCdb)
    checkCondition(send(cdb.reportLuns(64, 3)), illegalRequest, Asc.invalidFieldInCdb)
  })
})
