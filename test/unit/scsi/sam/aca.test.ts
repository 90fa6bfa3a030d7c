import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { TASK_SET_MAX } from "../../../../src/base/limits.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import {
  TaskManagementFunction,
  TaskManagementServiceResponse,
} from "../../../../src/scsi/sam/transport-services.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { type Bench, CHANGE, FAIL, HOLD, makeBench, own } from "../test-unit.ts"

const { functionComplete, functionRejected, lunDoesNotExist } = TaskManagementServiceResponse
const { mediumError, illegalRequest, unitAttention } = SenseKey

const withNaca = (opcode: number): number[] => own(opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0x04)

const manage = ({ target, nexus }: Bench, fn: number, from: Nexus = nexus, lun = 0): Promise<number> =>
  target.taskManagementRequestReceived(from, { function: fn, lunHigh: lun * 0x1_0000, lunLow: 0, taskTag: 0 })
const { clearAca, abortTaskSet, clearTaskSet, logicalUnitReset } = TaskManagementFunction

/** An ACA condition of the bench's nexus. */
function faulted(): Bench & { other: Nexus } {
  const bench = makeBench()
  const other = bench.another("other")
  checkCondition(bench.send(withNaca(FAIL)), mediumError, Asc.unrecoveredReadError)
  assert.equal(bench.unit.hasAca, true)
  return { ...bench, other }
}

describe("an ACA condition", () => {
  test("comes of CHECK CONDITION with NACA only, whatever it was for", () => {
    const { send, unit } = makeBench()
    good(send(withNaca(CHANGE)))
    checkCondition(send(own(FAIL)), mediumError, Asc.unrecoveredReadError)
    assert.equal(unit.hasAca, false)
    checkCondition(send([0xff, 0, 0, 0, 0, 0x04]), illegalRequest, Asc.invalidCommandOperationCode)
    assert.equal(unit.hasAca, false, "nobody knows how long such a CDB is")
    checkCondition(send([0x02, 0, 0, 0, 0, 0x04]), illegalRequest, Asc.invalidCommandOperationCode)
    assert.equal(unit.hasAca, true)
  })

  test("the faulted nexus gets ACA ACTIVE, others BUSY, or ACA ACTIVE when they know of ACA", () => {
    const { send, other } = faulted()
    for (const attribute of [TaskAttribute.simple, TaskAttribute.ordered, TaskAttribute.headOfQueue]) {
      assert.equal(send(own(CHANGE), { attribute }).status, Status.acaActive)
    }
    assert.equal(send(own(CHANGE), { nexus: other }).status, Status.busy)
    assert.equal(send(withNaca(CHANGE), { nexus: other }).status, Status.acaActive)
  })

  test("the faulted nexus may send one task after the other with the ACA attribute", async () => {
    const { send, unit } = faulted()
    const attribute = TaskAttribute.aca
    good(send(own(CHANGE), { attribute }))
    const held = send(own(HOLD), { attribute })
    assert.equal(send(own(CHANGE), { attribute }).status, Status.acaActive)
    unit.finish(held)
    good(await held.ended)
    assert.equal(unit.hasAca, true)
  })

  test("CHECK CONDITION of such a task ends it, or with NACA begins another", () => {
    const { send, unit } = faulted()
    const attribute = TaskAttribute.aca
    checkCondition(send(withNaca(FAIL), { attribute }), mediumError, Asc.unrecoveredReadError)
    assert.equal(unit.hasAca, true)
    checkCondition(send(own(FAIL), { attribute }), mediumError, Asc.unrecoveredReadError)
    assert.equal(unit.hasAca, false)
    good(send(own(CHANGE)))
  })

  test("holds up the end of what runs and the beginning of what waits, until it is cleared", async () => {
    const bench = makeBench()
    const { send, unit } = bench
    const running = send(own(HOLD))
    const failing = send(withNaca(HOLD))
    const waiting = send(own(CHANGE), { attribute: TaskAttribute.ordered })
    unit.held.find(({ task }) => task === failing)!.fail(new Error("told"))
    await failing.ended
    assert.deepEqual([running.state, waiting.state], ["blocked", "queued"])
    unit.finish(running)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(running.over, false)
    assert.equal(await manage(bench, clearAca), functionComplete)
    good(running)
    good(waiting)
  })

  test("holds up other statuses, too: a PERSISTENT RESERVE OUT keeps its place until it is cleared", async () => {
    const bench = makeBench()
    const { unit, send } = bench
    const other = bench.another("other")
    // RESERVE by who isn't registered, and PREEMPT AND ABORT by who isn't either.
    for (const action of [1, 5]) {
      const task = send(cdb.persistentReserveOut(action, 24, 1), {
        nexus: other,
        dataOut: new Uint8Array(24),
        buffers: "held",
      })
      checkCondition(send(withNaca(FAIL)), mediumError, Asc.unrecoveredReadError)
      assert.equal(task.state, "blocked")
      task.deliver()
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(task.status, undefined)
      assert.equal(unit.taskOf(other, task.tag), task)
      assert.equal(await manage(bench, clearAca), functionComplete)
      assert.equal((await task.ended).status, Status.reservationConflict)
      assert.deepEqual(unit.allTasks(), [])
    }
  })

  test("is cleared by the faulted nexus only; its ACA task is aborted", async () => {
    const bench = faulted()
    const { send, unit, other } = bench
    const task = send(own(HOLD), { attribute: TaskAttribute.aca })
    assert.equal(await manage(bench, clearAca, other), functionRejected)
    const late = testNexus("late")
    bench.target.attachNexus(late)
    assert.equal(await manage(bench, clearAca, late), functionRejected, "it has sent no command yet")
    assert.equal(await manage(bench, clearAca, bench.nexus, 9), lunDoesNotExist)
    const cleared = manage(bench, clearAca)
    assert.equal(task.aborts, 1)
    good(send(own(CHANGE)))
    unit.finish(task)
    assert.equal(await cleared, functionComplete)
    assert.equal(await manage(bench, clearAca), functionComplete, "there is none")
  })

  test("outlasts ABORT TASK SET and CLEAR TASK SET, but not a reset, nor its nexus", async () => {
    const bench = faulted()
    assert.equal(await manage(bench, abortTaskSet), functionComplete)
    assert.equal(await manage(bench, clearTaskSet, bench.other), functionComplete)
    assert.equal(bench.unit.hasAca, true)
    assert.equal(await manage(bench, logicalUnitReset, bench.other), functionComplete)
    assert.equal(bench.unit.hasAca, false)
    const lost = faulted()
    await lost.target.detachNexus(lost.nexus)
    assert.equal(lost.unit.hasAca, false)
    good(lost.send(own(CHANGE), { nexus: lost.other }))
  })

  test("with a task set for each nexus the others don't notice", () => {
    const bench = makeBench()
    const other = bench.another("other")
    bench.unit.control.separateTaskSets = true
    bench.unit.arrangeTaskSets()
    checkCondition(bench.send(withNaca(FAIL)), mediumError, Asc.unrecoveredReadError)
    assert.equal(bench.send(own(CHANGE)).status, Status.acaActive)
    good(bench.send(own(CHANGE), { nexus: other }))
    const mistaken = bench.send(own(CHANGE), { nexus: other, attribute: TaskAttribute.aca })
    checkCondition(mistaken, illegalRequest, Asc.invalidMessageError)
    good(bench.send(own(CHANGE), { nexus: bench.another("later") }))
  })

  test("isn't to be had where there is no logical unit", () => {
    const { target, nexus } = makeBench()
    const task = new TestTask(nexus, Uint8Array.of(0x12, 0, 0, 0, 36, 0x04), { lun: 5 })
    target.commandReceived(task)
    checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
    const ready = new TestTask(nexus, Uint8Array.of(0, 0, 0, 0, 0, 0x04), { lun: 5 })
    target.commandReceived(ready)
    checkCondition(ready, illegalRequest, Asc.invalidFieldInCdb)
  })

  test("keeps TST as it is: the tasks it holds can't change their set", async () => {
    const { run } = faulted()
    const list = Uint8Array.from(Buffer.from("00000000" + "0a0a22100000" + "0000ffff0000", "hex"))
    const options = { attribute: TaskAttribute.aca, dataOut: list }
    checkCondition(await run(cdb.modeSelect6(list.length), options), illegalRequest, Asc.commandSequenceError)
  })
})

describe("unit attention interlock", () => {
  const { capacityDataHasChanged } = Asc

  test("00b: reported once", () => {
    const { send, unit } = makeBench()
    unit.establishUnitAttention(capacityDataHasChanged)
    checkCondition(send(own(CHANGE)), unitAttention, capacityDataHasChanged)
    good(send(own(CHANGE)))
  })

  test("10b: until it is asked for", () => {
    const { send, unit } = makeBench()
    unit.control.unitAttentionInterlock = 2
    unit.establishUnitAttention(capacityDataHasChanged)
    for (let i = 0; i < 3; i++) checkCondition(send(own(CHANGE)), unitAttention, capacityDataHasChanged)
    assert.equal(good(send(cdb.requestSense(18)))[2], unitAttention)
    good(send(own(CHANGE)))
  })

  test("11b: BUSY, RESERVATION CONFLICT and TASK SET FULL leave one behind", async () => {
    const { send, unit, another } = makeBench()
    const other = another("other")
    unit.control.unitAttentionInterlock = 3
    good(send(cdb.reserve6(), { nexus: other }))
    assert.equal(send(own(CHANGE)).status, Status.reservationConflict)
    checkCondition(send(own(CHANGE)), unitAttention, Asc.previousReservationConflictStatus)
    send(cdb.requestSense(18))
    assert.equal(send(cdb.reserve6()).status, Status.reservationConflict)
    checkCondition(send(cdb.reserve6()), unitAttention, Asc.previousReservationConflictStatus)
    good(send(cdb.release6(), { nexus: other }))
    send(cdb.requestSense(18))
    const tasks = Array.from({ length: TASK_SET_MAX }, () => send(own(HOLD), { nexus: other }))
    assert.equal(send(own(CHANGE)).status, Status.taskSetFull)
    for (const task of tasks) unit.finish(task)
    await Promise.all(tasks.map((task) => task.ended))
    checkCondition(send(own(CHANGE)), unitAttention, Asc.previousTaskSetFullStatus)
    send(cdb.requestSense(18))
    checkCondition(send(withNaca(FAIL), { nexus: other }), mediumError, Asc.unrecoveredReadError)
    assert.equal(send(own(CHANGE)).status, Status.busy)
    await unit.clearAca(other)
    checkCondition(send(own(CHANGE)), unitAttention, Asc.previousBusyStatus)
    checkCondition(send(own(CHANGE)), unitAttention, Asc.previousBusyStatus)
    send(cdb.requestSense(18))
    good(send(own(CHANGE)))
    unit.control.unitAttentionInterlock = 0
  })
})
