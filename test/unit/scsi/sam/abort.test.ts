import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { ABORT_DEADLINE_MS } from "../../../../src/base/limits.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import {
  TaskManagementFunction,
  TaskManagementServiceResponse,
} from "../../../../src/scsi/sam/transport-services.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, type TestTask } from "../../../suites/scsi-task.ts"
import { type Bench, CHANGE, HOLD, makeBench, own, TAKE } from "../test-unit.ts"

const { functionComplete, taskDoesNotExist, lunDoesNotExist, functionNotSupported, functionRejected } =
  TaskManagementServiceResponse
const { abortTask, abortTaskSet, clearTaskSet, logicalUnitReset, targetWarmReset, targetColdReset } =
  TaskManagementFunction
const { unitAttention } = SenseKey

interface Request {
  readonly nexus?: Nexus
  readonly lun?: number
  readonly tag?: number
}

const manage = ({ target, nexus }: Bench, fn: number, request: Request = {}): Promise<number> =>
  target.taskManagementRequestReceived(request.nexus ?? nexus, {
    function: fn,
    lunHigh: (request.lun ?? 0) * 0x1_0000,
    lunLow: 0,
    taskTag: request.tag ?? 0,
  })

/** Whether a promise has ended once all microtasks have run. */
async function hasEnded(promise: Promise<unknown>): Promise<boolean> {
  let ended = false
  void promise.then(() => {
    ended = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return ended
}

describe("ABORT TASK", () => {
  test("the response waits for the media operation; no status comes", async () => {
    const bench = makeBench()
    const task = bench.send(own(HOLD), { tag: 5 })
    const response = manage(bench, abortTask, { tag: 5 })
    assert.equal(task.state, "aborted")
    assert.equal(task.aborts, 1)
    assert.deepEqual(bench.unit.cancelled, [task])
    assert.equal(await hasEnded(response), false)
    bench.unit.finish(task)
    assert.equal(await response, functionComplete)
    assert.equal(task.status, undefined)
    assert.equal(bench.unit.allTasks().length, 0)
  })

  test("a task that waits in the queue goes at once, and what it held up runs", async () => {
    const bench = makeBench()
    const first = bench.send(own(HOLD))
    const barrier = bench.send(own(CHANGE), { tag: 6, attribute: TaskAttribute.ordered })
    const behind = bench.send(own(CHANGE))
    assert.equal(await manage(bench, abortTask, { tag: 6 }), functionComplete)
    assert.equal(barrier.aborts, 1)
    assert.equal(behind.status, Status.good)
    bench.unit.finish(first)
    good(await first.ended)
  })

  test("a task that waits for Data-Out ends by the transport's own doing", async () => {
    const bench = makeBench()
    const task = bench.send(own(TAKE), { tag: 7, dataOut: new Uint8Array(512), buffers: "held" })
    assert.equal(await manage(bench, abortTask, { tag: 7 }), functionComplete)
    assert.equal(task.buffersOut, 0)
  })

  test("unknown tasks and units, and other nexuses' tasks", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    const task = bench.send(own(HOLD), { tag: 5 })
    assert.equal(await manage(bench, abortTask, { tag: 4 }), taskDoesNotExist)
    assert.equal(await manage(bench, abortTask, { tag: 5, nexus: other }), taskDoesNotExist)
    assert.equal(await manage(bench, abortTask, { tag: 5, lun: 9 }), lunDoesNotExist)
    assert.equal(task.over, false)
    bench.unit.finish(task)
    await task.ended
  })

  test("aborting twice waits twice, and aborts once", async () => {
    const bench = makeBench()
    const task = bench.send(own(HOLD), { tag: 5 })
    const responses = [
      manage(bench, abortTask, { tag: 5 }),
      manage(bench, abortTask, { tag: 5 }),
      manage(bench, logicalUnitReset),
    ]
    assert.equal(await hasEnded(Promise.race(responses)), false)
    bench.unit.finish(task)
    assert.deepEqual(await Promise.all(responses), [functionComplete, functionComplete, functionComplete])
    assert.equal(task.aborts, 1)
  })

  test("never claims success while the medium may still change: rejected after the deadline", async () => {
    const bench = makeBench()
    const task = bench.send(own(HOLD), { tag: 5 })
    const response = manage(bench, abortTask, { tag: 5 })
    await bench.clock.advance(ABORT_DEADLINE_MS - 1)
    assert.equal(await hasEnded(response), false)
    await bench.clock.advance(1)
    assert.equal(await response, functionRejected)
    assert.deepEqual(bench.clock.pending(), [])
    const again = manage(bench, logicalUnitReset)
    assert.equal(await hasEnded(again), false, "a reset knows of it still")
    bench.unit.finish(task)
    assert.equal(await again, functionComplete)
    assert.deepEqual(bench.clock.pending(), [], "no timer is left")
  })
})

describe("ABORT TASK SET, CLEAR TASK SET", () => {
  test("ABORT TASK SET takes the tasks of its nexus only", async () => {
    const bench = makeBench()
    const mine = [bench.send(own(HOLD)), bench.send(own(HOLD))]
    const theirs = bench.send(own(HOLD), { nexus: bench.another("other") })
    const response = manage(bench, abortTaskSet)
    for (const task of mine) bench.unit.finish(task)
    assert.equal(await response, functionComplete)
    assert.ok(mine.every((task) => task.aborts === 1))
    assert.equal(theirs.over, false)
    bench.unit.finish(theirs)
    good(await theirs.ended)
  })

  test("CLEAR TASK SET takes all; who loses tasks to another is told", async () => {
    const bench = makeBench()
    const [other, idle] = [bench.another("other"), bench.another("idle")]
    const tasks = [bench.send(own(HOLD)), bench.send(own(HOLD), { nexus: other })]
    const response = manage(bench, clearTaskSet)
    for (const task of tasks) bench.unit.finish(task)
    assert.equal(await response, functionComplete)
    assert.ok(tasks.every((task) => task.aborts === 1 && task.status === undefined))
    const ready = (nexus: Nexus): TestTask => bench.send(cdb.testUnitReady(), { nexus })
    checkCondition(ready(other), unitAttention, Asc.commandsClearedByAnotherInitiator)
    good(ready(idle))
    good(ready(bench.nexus))
  })

  test("with TAS the others' tasks end with TASK ABORTED instead", async () => {
    const bench = makeBench()
    bench.unit.control.taskAbortedStatus = true
    const other = bench.another("other")
    const [running, queued, mine] = [
      bench.send(own(HOLD), { nexus: other }),
      bench.send(own(CHANGE), { nexus: other, attribute: TaskAttribute.ordered }),
      bench.send(own(HOLD)),
    ]
    const response = manage(bench, clearTaskSet)
    assert.equal(queued.status, Status.taskAborted)
    assert.equal(running.status, undefined, "not before its media operation has ended")
    bench.unit.finish(running)
    bench.unit.finish(mine)
    assert.equal(await response, functionComplete)
    assert.equal(running.status, Status.taskAborted)
    assert.equal(mine.status, undefined)
    good(bench.send(cdb.testUnitReady(), { nexus: other }))
  })

  test("with TAS a task whose Data-Out doesn't come is dropped at the deadline", async () => {
    const bench = makeBench()
    bench.unit.control.taskAbortedStatus = true
    const waiting = bench.send(own(TAKE), {
      nexus: bench.another("other"),
      dataOut: new Uint8Array(8),
      buffers: "held",
    })
    const response = manage(bench, clearTaskSet)
    await bench.clock.advance(ABORT_DEADLINE_MS)
    assert.equal(await response, functionRejected)
    assert.equal(waiting.aborts, 1)
    await hasEnded(response)
    assert.equal(bench.unit.allTasks().length, 0)
  })
})

describe("resets", () => {
  test("LOGICAL UNIT RESET: tasks, reservation, prevention and mode parameters are gone, everyone is told", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    good(await bench.run(cdb.reserve6()))
    good(await bench.run(cdb.preventAllowMediumRemoval(true)))
    bench.unit.control.descriptorSense = true
    const task = bench.send(own(HOLD))
    const response = manage(bench, logicalUnitReset)
    bench.unit.finish(task)
    assert.equal(await response, functionComplete)
    assert.equal(bench.unit.resets, 1)
    assert.equal(bench.unit.reservation.holder, undefined)
    assert.equal(bench.unit.preventingRemoval.size, 0)
    assert.equal(bench.unit.control.senseFormat, "fixed")
    for (const nexus of [bench.nexus, other]) {
      checkCondition(bench.send(own(CHANGE), { nexus }), unitAttention, Asc.busDeviceResetFunction)
      good(bench.send(own(CHANGE), { nexus }))
    }
  })

  test("target resets reach every unit", async () => {
    for (const [fn, asc] of [
      [targetWarmReset, Asc.busDeviceResetFunction],
      [targetColdReset, Asc.powerOn],
    ] as const) {
      const bench = makeBench()
      const task = bench.send(own(HOLD))
      const response = manage(bench, fn, { lun: 99 })
      bench.unit.finish(task)
      assert.equal(await response, functionComplete)
      assert.equal(task.aborts, 1)
      checkCondition(bench.send(own(CHANGE)), unitAttention, asc)
    }
  })

  test("functions unknown, and a nexus that isn't there", async () => {
    const bench = makeBench()
    assert.equal(await manage(bench, 8), functionNotSupported)
    assert.equal(await manage(bench, 77), functionNotSupported)
    await bench.target.detachNexus(bench.nexus)
    assert.equal(await manage(bench, abortTaskSet), functionRejected)
  })
})

describe("I_T nexus loss", () => {
  test("its tasks are aborted silently, its reservation dropped; it takes as long as the medium takes", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    good(await bench.run(cdb.reserve6()))
    const task = bench.send(own(HOLD))
    const detached = bench.target.detachNexus(bench.nexus)
    assert.equal(task.aborts, 1)
    good(bench.send(own(CHANGE), { nexus: other }))
    await bench.clock.advance(10 * ABORT_DEADLINE_MS)
    assert.equal(await hasEnded(detached), false)
    const reset = manage(bench, logicalUnitReset, { nexus: other })
    assert.equal(await hasEnded(reset), false, "a reset waits for what a lost nexus left behind")
    bench.unit.finish(task)
    await detached
    assert.equal(await reset, functionComplete)
    await bench.target.detachNexus(bench.nexus)
  })

  test("a unit that is removed lets go of its tasks first", async () => {
    const bench = makeBench()
    const task = bench.send(own(HOLD))
    const removed = bench.target.removeLogicalUnit(0)
    assert.equal(task.aborts, 0)
    const detached = bench.target.detachNexus(bench.another("other"))
    assert.equal(await hasEnded(Promise.race([removed, detached])), false)
    bench.unit.finish(task)
    await Promise.all([removed, detached])
    checkCondition(task, SenseKey.illegalRequest, Asc.logicalUnitNotSupported)
    checkCondition(bench.send(own(CHANGE)), SenseKey.illegalRequest, Asc.logicalUnitNotSupported)
  })
})

describe("whatever happens", () => {
  test("every task ends once, and the task set is empty in the end", async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("send" as const),
        opcode: fc.constantFrom(HOLD, HOLD, CHANGE, TAKE),
        attribute: fc.constantFrom(...Object.values(TaskAttribute)),
        host: fc.nat(2),
        tag: fc.nat(5),
      }),
      fc.record({ do: fc.constant("finish" as const), which: fc.nat(20) }),
      fc.record({
        do: fc.constant("manage" as const),
        fn: fc.constantFrom(abortTask, abortTaskSet, clearTaskSet, logicalUnitReset),
        host: fc.nat(2),
        tag: fc.nat(5),
      }),
      fc.record({ do: fc.constant("wait" as const) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 40 }), async (tas, steps) => {
        const bench = makeBench()
        const nexuses = [bench.nexus, bench.another("b"), bench.another("c")]
        bench.unit.control.taskAbortedStatus = tas
        const tasks: TestTask[] = []
        const responses: Promise<number>[] = []
        for (const it of steps) {
          if (it.do === "send") {
            const { opcode, attribute, tag } = it
            const nexus = nexuses[it.host]!
            tasks.push(bench.send(own(opcode), { nexus, tag, attribute, dataOut: new Uint8Array(4) }))
          } else if (it.do === "finish") {
            bench.unit.held[it.which % Math.max(1, bench.unit.held.length)]?.finish()
          } else if (it.do === "manage") {
            responses.push(manage(bench, it.fn, { nexus: nexuses[it.host]!, tag: it.tag }))
          } else {
            await new Promise((resolve) => setImmediate(resolve))
          }
        }
        for (let turn = 0; bench.unit.allTasks().length > 0 && turn < 100; turn++) {
          bench.unit.held[0]?.finish()
          await new Promise((resolve) => setImmediate(resolve))
        }
        for (const response of await Promise.all(responses)) assert.ok([0, 1].includes(response))
        await new Promise((resolve) => setImmediate(resolve))
        assert.equal(bench.unit.allTasks().length, 0)
        for (const task of tasks) {
          assert.ok(task.over)
          assert.equal(task.status === undefined, task.aborts === 1)
          assert.equal(task.buffersOut, 0)
          assert.ok(task.state === "complete" || task.state === "aborted")
        }
      }),
      { numRuns: 200 },
    )
  })
})
