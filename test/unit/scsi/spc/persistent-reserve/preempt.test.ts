import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { ABORT_DEADLINE_MS } from "../../../../../src/base/limits.ts"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import { TaskAttribute } from "../../../../../src/scsi/sam/task.ts"
import { TaskManagementFunction } from "../../../../../src/scsi/sam/transport-services.ts"
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { PersistentType } from "../../../../../src/scsi/spec/persistent-type.ts"
import { Asc } from "../../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../../src/scsi/spec/status.ts"
import type { TestTask } from "../../../../suites/scsi-task.ts"
import { CHANGE, FAIL, HOLD, own, TAKE } from "../../test-unit.ts"
import { Cluster, outcome, TestStore } from "./cluster.ts"

const { register, reserve, preempt, preemptAndAbort } = PersistentReserveOut
const { writeExclusive, exclusiveAccess, writeExclusiveRegistrantsOnly, exclusiveAccessAllRegistrants } =
  PersistentType
const { registrationsPreempted, reservationsReleased, commandsClearedByAnotherInitiator } = Asc

/** a, b, b2 and c are registered with the keys 1, 2, 2 and 3, d isn't; with a type, a holds a reservation. */
async function makeCluster(type?: number, store?: TestStore) {
  const cluster = new Cluster(store)
  const [a, b, b2, c, d] = [
    cluster.host("a"),
    cluster.host("b"),
    cluster.host("b", { isid: 2 }),
    cluster.host("c"),
    cluster.host("d"),
  ]
  for (const [nexus, actionKey] of [
    [a, 1n],
    [b, 2n],
    [b2, 2n],
    [c, 3n],
  ] as const) {
    await cluster.out(nexus, register, { actionKey })
  }
  if (type !== undefined) await cluster.out(a, reserve, { key: 1n, type })
  const attentions = (): number[][] => [a, b, b2, c, d].map((nexus) => cluster.attentions(nexus))
  return { cluster, a, b, b2, c, d, attentions }
}

for (const [name, action] of [
  ["PREEMPT", preempt],
  ["PREEMPT AND ABORT", preemptAndAbort],
] as const) {
  describe(name, () => {
    test("of the holder's key: the reservation is the preemptor's, those with that key are gone", async () => {
      const { cluster, a, b, c, attentions } = await makeCluster(exclusiveAccess)
      const options = { key: 3n, actionKey: 1n, type: exclusiveAccess }
      assert.equal(await cluster.out(c, action, options), "good")
      assert.deepEqual(cluster.readReservation(c), { key: 3n, type: exclusiveAccess })
      assert.deepEqual(cluster.readKeys(c), [2n, 2n, 3n])
      assert.equal(cluster.generation(c), 5)
      assert.deepEqual(attentions(), [[registrationsPreempted], [], [], [], []])
      assert.deepEqual(
        [a, b, c].map((nexus) => cluster.access(nexus)),
        ["", "", "rw"],
      )
    })

    test("with another type the others are told that the old reservation is released", async () => {
      const { cluster, c, attentions } = await makeCluster(exclusiveAccess)
      await cluster.out(c, action, { key: 3n, actionKey: 1n, type: writeExclusive })
      assert.deepEqual(cluster.readReservation(c), { key: 3n, type: writeExclusive })
      assert.deepEqual(attentions(), [
        [registrationsPreempted],
        [reservationsReleased],
        [reservationsReleased],
        [],
        [],
      ])
    })

    test("of another key: its registrations are gone, the reservation stays, SCOPE and TYPE mean nothing", async () => {
      const { cluster, a, c, attentions } = await makeCluster(exclusiveAccess)
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 2n, type: 0 }), "good")
      assert.deepEqual(cluster.readKeys(c), [1n, 3n])
      assert.deepEqual(cluster.readReservation(c), { key: 1n, type: exclusiveAccess })
      assert.deepEqual(attentions(), [[], [registrationsPreempted], [registrationsPreempted], [], []])
      assert.equal(cluster.access(a), "rw")
    })

    test("who has sent the unit no command since it logged in is told, too", async () => {
      const { cluster, a, b, c } = await makeCluster(exclusiveAccess)
      const { target } = cluster.bench
      const again: Nexus[] = []
      for (const { identity } of [a, b]) {
        await target.detachNexus(identity === a.identity ? a : b)
        const nexus = new Nexus(identity)
        target.attachNexus(nexus)
        again.push(nexus)
      }
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 1n, type: writeExclusive }), "good")
      assert.deepEqual(
        again.map((nexus) => cluster.attentions(nexus)),
        [
          [Asc.itNexusLoss, registrationsPreempted],
          [Asc.itNexusLoss, reservationsReleased],
        ],
      )
    })

    test("nothing is reserved: registrations are removed all the same, also one's own", async () => {
      const { cluster, b, attentions } = await makeCluster()
      assert.equal(await cluster.out(b, action, { key: 2n, actionKey: 2n, type: 1 }), "good")
      assert.deepEqual(cluster.readKeys(b), [1n, 3n])
      assert.equal(cluster.readReservation(b), undefined)
      assert.deepEqual(attentions(), [[], [], [registrationsPreempted], [], []])
    })

    test("the holder may preempt itself: another type, and still registered", async () => {
      const { cluster, a, attentions } = await makeCluster(exclusiveAccess)
      const type = writeExclusiveRegistrantsOnly
      assert.equal(await cluster.out(a, action, { key: 1n, actionKey: 1n, type }), "good")
      assert.deepEqual(cluster.readReservation(a), { key: 1n, type })
      assert.deepEqual(cluster.readKeys(a), [1n, 2n, 2n, 3n])
      const told = [reservationsReleased]
      assert.deepEqual(attentions(), [[], told, told, told, []])
    })

    test("of all registrants' reservation with the key 0: nobody else is left", async () => {
      const { cluster, b, attentions } = await makeCluster(exclusiveAccessAllRegistrants)
      assert.equal(await cluster.out(b, action, { key: 2n, type: writeExclusive }), "good")
      assert.deepEqual(cluster.readKeys(b), [2n])
      assert.deepEqual(cluster.readReservation(b), { key: 2n, type: writeExclusive })
      const told = [registrationsPreempted]
      assert.deepEqual(attentions(), [told, [], told, told, []])
    })

    test("of all registrants' reservation with a key: those with that key hold it no longer", async () => {
      const { cluster, a, b, attentions } = await makeCluster(exclusiveAccessAllRegistrants)
      assert.equal(await cluster.out(a, action, { key: 1n, actionKey: 2n, type: writeExclusive }), "good")
      assert.deepEqual(cluster.readReservation(a), { key: 0n, type: exclusiveAccessAllRegistrants })
      assert.deepEqual(attentions(), [[], [registrationsPreempted], [registrationsPreempted], [], []])
      assert.equal(cluster.access(b), "")
    })

    test("the last of all registrants that removes itself releases the reservation", async () => {
      const cluster = new Cluster()
      const a = cluster.host("a")
      await cluster.out(a, register, { actionKey: 1n })
      await cluster.out(a, reserve, { key: 1n, type: exclusiveAccessAllRegistrants })
      assert.equal(await cluster.out(a, action, { key: 1n, actionKey: 1n, type: 1 }), "good")
      assert.deepEqual([cluster.readKeys(a), cluster.readReservation(a)], [[], undefined])
    })

    test("refusals", async () => {
      const { cluster, a, c, d, attentions } = await makeCluster(exclusiveAccess)
      const type = exclusiveAccess
      assert.equal(await cluster.out(d, action, { actionKey: 1n, type }), "conflict")
      assert.equal(await cluster.out(c, action, { key: 1n, actionKey: 1n, type }), "conflict")
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 9n, type }), "conflict")
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 0n, type }), "5/2600")
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 1n, type: 2 }), "5/2400")
      assert.equal(await cluster.out(c, action, { key: 3n, actionKey: 1n, type: 0x13 }), "5/2400")
      assert.equal(cluster.generation(a), 4)
      assert.deepEqual(cluster.readReservation(a), { key: 1n, type })
      assert.deepEqual(attentions(), [[], [], [], [], []])
      const free = await makeCluster()
      assert.equal(await free.cluster.out(free.a, action, { key: 1n, actionKey: 0n, type }), "conflict")
    })
  })
}

/** Whether a task has got its status once all microtasks have run. */
async function answered(task: TestTask): Promise<boolean> {
  await new Promise((resolve) => setImmediate(resolve))
  return task.over
}

describe("commands of a preempted nexus", () => {
  const type = writeExclusiveRegistrantsOnly
  const abort = (cluster: Cluster, nexus: Nexus, key: bigint, actionKey: bigint): TestTask => {
    const dataOut = cdb.persistentReserveList({ key, actionKey })
    return cluster.send(nexus, cdb.persistentReserveOut(preemptAndAbort, 24, type), { dataOut })
  }

  test("PREEMPT leaves those that run alone; those that wait conflict when their turn comes", async () => {
    const { cluster, a, c } = await makeCluster(type)
    const running = cluster.send(a, own(HOLD))
    const waiting = cluster.send(a, own(CHANGE), { attribute: TaskAttribute.ordered })
    const preempting = cdb.persistentReserveList({ key: 3n, actionKey: 1n })
    const done = cluster.send(c, cdb.persistentReserveOut(preempt, 24, type), {
      dataOut: preempting,
      attribute: TaskAttribute.headOfQueue,
    })
    assert.equal(outcome(await done.ended), "good")
    cluster.bench.unit.takeUnitAttention(a)
    cluster.bench.unit.finish(running)
    assert.equal(outcome(await running.ended), "good")
    assert.equal(outcome(await waiting.ended), "conflict")
  })

  test("PREEMPT AND ABORT: GOOD comes when none of them reaches the medium any more", async () => {
    const { cluster, a, b, c, attentions } = await makeCluster(type)
    const theirs = [cluster.send(a, own(HOLD)), cluster.send(a, own(HOLD))]
    const others = [cluster.send(b, own(HOLD)), cluster.send(c, own(HOLD))]
    const preempting = abort(cluster, c, 3n, 1n)
    assert.equal(await answered(preempting), false)
    assert.deepEqual(cluster.readReservation(b), { key: 3n, type }, "in force at once")
    assert.ok(theirs.every((task) => task.aborts === 1 && task.status === undefined))
    assert.deepEqual(cluster.bench.unit.cancelled, theirs)
    cluster.bench.unit.finish(theirs[0]!)
    assert.equal(await answered(preempting), false)
    cluster.bench.unit.finish(theirs[1]!)
    assert.equal(outcome(await preempting.ended), "good")
    assert.ok(others.every((task) => !task.over))
    for (const task of others) cluster.bench.unit.finish(task)
    assert.deepEqual(attentions(), [
      [registrationsPreempted, commandsClearedByAnotherInitiator],
      [],
      [],
      [],
      [],
    ])
    assert.deepEqual(cluster.bench.clock.pending(), [])
  })

  test("one that waits for data which never comes holds nobody up", async () => {
    const { cluster, a, c } = await makeCluster(type)
    const stuck = cluster.send(a, own(TAKE), { dataOut: new Uint8Array(512), buffers: "held" })
    assert.equal(outcome(await abort(cluster, c, 3n, 1n).ended), "good")
    assert.equal(stuck.aborts, 1)
  })

  test("with TAS they end with TASK ABORTED; who owes data is waited for no longer than the deadline", async () => {
    const { cluster, a, c } = await makeCluster(type)
    cluster.bench.unit.control.taskAbortedStatus = true
    const running = cluster.send(a, own(HOLD))
    const stuck = cluster.send(a, own(TAKE), { dataOut: new Uint8Array(512), buffers: "held" })
    const preempting = abort(cluster, c, 3n, 1n)
    assert.equal(await answered(preempting), false)
    cluster.bench.unit.finish(running)
    assert.equal((await running.ended).status, Status.taskAborted)
    await cluster.bench.clock.advance(ABORT_DEADLINE_MS)
    assert.equal(outcome(await preempting.ended), "good")
    assert.equal(stuck.aborts, 1)
    assert.deepEqual(cluster.attentions(a), [registrationsPreempted])
  })

  test("those of a nexus that is gone count as long as they may reach the medium", async () => {
    const { cluster, a, c } = await makeCluster(type)
    const left = cluster.send(a, own(HOLD))
    void cluster.bench.target.detachNexus(a)
    const preempting = abort(cluster, c, 3n, 1n)
    assert.equal(await answered(preempting), false)
    cluster.bench.unit.finish(left)
    assert.equal(outcome(await preempting.ended), "good")
  })

  test("who preempts itself goes on; its other commands don't", async () => {
    const { cluster, a } = await makeCluster(type)
    const other = cluster.send(a, own(HOLD))
    const preempting = abort(cluster, a, 1n, 1n)
    assert.equal(await answered(preempting), false)
    cluster.bench.unit.finish(other)
    assert.equal(outcome(await preempting.ended), "good")
    assert.deepEqual([other.aborts, preempting.aborts], [1, 0])
    assert.deepEqual(cluster.attentions(a), [])
  })

  test("two that preempt each other: the first wins, and neither waits for the other", async () => {
    const store = new TestStore()
    const { cluster, a, c } = await makeCluster(type, store)
    await cluster.out(a, register, { key: 1n, actionKey: 1n, throughPowerLoss: true })
    const writes = [cluster.send(a, own(HOLD)), cluster.send(c, own(HOLD))]
    store.holding = true
    const [first, second] = [abort(cluster, c, 3n, 1n), abort(cluster, a, 1n, 3n)]
    assert.equal(await answered(first), false)
    store.holding = false
    store.held.shift()!()
    assert.equal(await answered(first), false)
    assert.deepEqual([second.aborts, writes[0]!.aborts, writes[1]!.aborts], [1, 1, 0])
    cluster.bench.unit.finish(writes[0]!)
    assert.equal(outcome(await first.ended), "good")
    assert.equal(second.status, undefined)
    assert.deepEqual(cluster.readKeys(c), [2n, 2n, 3n])
    cluster.bench.unit.finish(writes[1]!)
    assert.equal(outcome(await writes[1]!.ended), "good")
    assert.equal(cluster.bench.unit.allTasks().length, 0)
  })

  test("it may be aborted while it waits; what it has done stays done", async () => {
    const { cluster, a, c } = await makeCluster(type)
    const hung = cluster.send(a, own(HOLD))
    const preempting = abort(cluster, c, 3n, 1n)
    assert.equal(await answered(preempting), false)
    const request = { function: TaskManagementFunction.logicalUnitReset, lunHigh: 0, lunLow: 0, taskTag: 0 }
    const reset = cluster.bench.target.taskManagementRequestReceived(c, request)
    cluster.bench.unit.finish(hung)
    await reset
    assert.equal(preempting.aborts, 1)
    cluster.attentions(c)
    assert.deepEqual(cluster.readReservation(c), { key: 3n, type })
    assert.equal(cluster.bench.unit.allTasks().length, 0)
  })

  test("an ACA condition is over with the nexus it is of, and otherwise stands in the way", async () => {
    const { cluster, a, b, c } = await makeCluster()
    const { unit } = cluster.bench
    assert.equal(cluster.send(a, own(FAIL, 0, 0, 0, 0, 0, 0, 0, 0, 0x04)).status, Status.checkCondition)
    assert.equal(cluster.send(c, own(CHANGE)).status, Status.busy)
    assert.equal((await abort(cluster, c, 3n, 2n).ended).status, Status.busy)
    assert.deepEqual([unit.hasAca, cluster.keysNow()], [true, [1n, 2n, 2n, 3n]])
    assert.equal(outcome(await abort(cluster, c, 3n, 1n).ended), "good")
    assert.deepEqual([unit.hasAca, cluster.keysNow()], [false, [2n, 2n, 3n]])
    assert.equal(cluster.send(b, own(CHANGE)).status, Status.good)
  })

  test("medium removal is prevented no longer on behalf of those preempted", async () => {
    const { cluster, a, c } = await makeCluster()
    for (const nexus of [a, c]) cluster.send(nexus, cdb.preventAllowMediumRemoval(true))
    await abort(cluster, c, 3n, 1n).ended
    assert.deepEqual([...cluster.bench.unit.preventingRemoval], [c])
  })
})
