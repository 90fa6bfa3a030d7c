import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import { TaskManagementFunction } from "../../../../../src/scsi/sam/transport-services.ts"
import { PersistentReserveIn, PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { PersistentType } from "../../../../../src/scsi/spec/persistent-type.ts"
import { Asc } from "../../../../../src/scsi/spec/sense.ts"
import { CHANGE, own } from "../../test-unit.ts"
import { Cluster, outcome, TestStore } from "./cluster.ts"

const { register, reserve, release, clear, preempt, preemptAndAbort, replaceLostReservation } =
  PersistentReserveOut
const {
  writeExclusive,
  exclusiveAccess,
  writeExclusiveRegistrantsOnly,
  exclusiveAccessRegistrantsOnly,
  writeExclusiveAllRegistrants,
  exclusiveAccessAllRegistrants,
} = PersistentType

const INVALID_CDB = "5/2400"
const INVALID_RELEASE = "5/2604"

/** a and b are registered with 1 and 2, c isn't. */
async function makeCluster(store?: TestStore) {
  const cluster = new Cluster(store)
  const [a, b, c] = [cluster.host("a"), cluster.host("b"), cluster.host("c")]
  await cluster.out(a, register, { actionKey: 1n })
  await cluster.out(b, register, { actionKey: 2n })
  return { cluster, a, b, c }
}

describe("RESERVE", () => {
  for (const [name, type, registered, stranger] of [
    ["Write Exclusive", writeExclusive, "r", "r"],
    ["Exclusive Access", exclusiveAccess, "", ""],
    ["Write Exclusive - Registrants Only", writeExclusiveRegistrantsOnly, "rw", "r"],
    ["Exclusive Access - Registrants Only", exclusiveAccessRegistrantsOnly, "rw", ""],
    ["Write Exclusive - All Registrants", writeExclusiveAllRegistrants, "rw", "r"],
    ["Exclusive Access - All Registrants", exclusiveAccessAllRegistrants, "rw", ""],
  ] as const) {
    test(`${name}: who may do what, who holds it, who may release it`, async () => {
      const { cluster, a, b, c } = await makeCluster()
      assert.equal(await cluster.out(a, reserve, { key: 1n, type }), "good")
      assert.deepEqual(
        [a, b, c].map((nexus) => cluster.access(nexus)),
        ["rw", registered, stranger],
      )
      const shared = type === writeExclusiveAllRegistrants || type === exclusiveAccessAllRegistrants
      assert.deepEqual(cluster.readReservation(c), { key: shared ? 0n : 1n, type })
      assert.deepEqual(
        cluster.fullStatus(c).map(({ holds }) => holds),
        [type, shared ? type : 0],
      )
      assert.equal(await cluster.out(a, reserve, { key: 1n, type }), "good", "it has it already")
      assert.equal(await cluster.out(b, reserve, { key: 2n, type }), shared ? "good" : "conflict")
      assert.equal(await cluster.out(a, reserve, { key: 1n, type: type === 1 ? 3 : 1 }), "conflict")
      assert.equal(await cluster.out(c, reserve, { type }), "conflict")
      assert.equal(cluster.generation(a), 2, "neither RESERVE nor RELEASE counts")

      const told = type === writeExclusive || type === exclusiveAccess ? [] : [Asc.reservationsReleased]
      const attentions = (): number[][] => [a, b, c].map((nexus) => cluster.attentions(nexus))
      assert.equal(await cluster.out(c, release, { type }), "conflict")
      assert.equal(await cluster.out(b, release, { key: 2n, type }), "good")
      assert.equal(
        cluster.readReservation(c) === undefined,
        shared,
        "of one that isn't the holder: nothing happens",
      )
      assert.deepEqual(attentions(), [shared ? told : [], [], []])
      assert.equal(await cluster.out(a, release, { key: 1n, type }), "good")
      assert.equal(cluster.readReservation(c), undefined)
      assert.deepEqual(attentions(), [[], shared ? [] : told, []])
      assert.deepEqual(
        [a, b, c].map((nexus) => cluster.access(nexus)),
        ["rw", "rw", "rw"],
      )
      assert.equal(cluster.generation(a), 2)
    })
  }

  test("a wrong key, a wrong scope, a wrong type", async () => {
    const { cluster, a } = await makeCluster()
    assert.equal(await cluster.out(a, reserve, { key: 2n, type: 1 }), "conflict")
    assert.equal(await cluster.out(a, reserve, { key: 1n, type: 0x11 }), INVALID_CDB)
    for (const type of [0, 2, 4, 9, 15]) {
      assert.equal(await cluster.out(a, reserve, { key: 1n, type }), INVALID_CDB)
    }
    assert.equal(cluster.readReservation(a), undefined)
  })

  test("RELEASE of another type than it is", async () => {
    const { cluster, a } = await makeCluster()
    assert.equal(await cluster.out(a, release, { key: 1n, type: 1 }), "good", "nothing is reserved")
    await cluster.out(a, reserve, { key: 1n, type: writeExclusive })
    assert.equal(await cluster.out(a, release, { key: 1n, type: exclusiveAccess }), INVALID_RELEASE)
    assert.equal(await cluster.out(a, release, { key: 2n, type: writeExclusive }), "conflict")
    assert.deepEqual(cluster.readReservation(a), { key: 1n, type: writeExclusive })
  })

  test("resets and logouts leave all of it alone", async () => {
    const { cluster, a, b } = await makeCluster()
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess })
    for (const fn of [TaskManagementFunction.logicalUnitReset, TaskManagementFunction.targetColdReset]) {
      const request = { function: fn, lunHigh: 0, lunLow: 0, taskTag: 0 }
      await cluster.bench.target.taskManagementRequestReceived(b, request)
    }
    await cluster.bench.target.detachNexus(a)
    cluster.attentions(b)
    assert.deepEqual(cluster.readKeys(b), [1n, 2n])
    assert.equal(cluster.access(b), "")
    assert.equal(cluster.generation(b), 2)
  })
})

describe("CLEAR", () => {
  test("ends everything, and tells all who were registered", async () => {
    const { cluster, a, b, c } = await makeCluster()
    await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess })
    assert.equal(await cluster.out(c, clear, {}), "conflict")
    assert.equal(await cluster.out(b, clear, { key: 1n }), "conflict")
    assert.equal(await cluster.out(b, clear, { key: 2n }), "good")
    assert.deepEqual(cluster.attentions(a), [Asc.reservationsPreempted])
    assert.deepEqual([cluster.attentions(b), cluster.attentions(c)], [[], []])
    assert.deepEqual(cluster.readKeys(c), [])
    assert.equal(cluster.readReservation(c), undefined)
    assert.equal(cluster.access(c), "rw")
    assert.equal(cluster.generation(c), 3)
  })
})

describe("with RESERVE and RELEASE of SPC-2", () => {
  test("while one holds, PERSISTENT RESERVE conflicts for all (SPC-2 §5.5.1)", async () => {
    const cluster = new Cluster()
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    assert.equal(outcome(cluster.send(a, cdb.reserve6())), "good")
    for (const nexus of [a, b]) {
      for (const action of Object.values(PersistentReserveOut)) {
        assert.equal(await cluster.out(nexus, action, { actionKey: 1n, type: 1 }), "conflict")
      }
      for (const action of Object.values(PersistentReserveIn)) {
        assert.equal(outcome(cluster.send(nexus, cdb.persistentReserveIn(action, 255))), "conflict")
      }
    }
    assert.equal(outcome(cluster.send(a, cdb.release6())), "good")
    assert.equal(await cluster.out(b, register, { actionKey: 1n }), "good")
  })

  test("while somebody is registered they conflict", async () => {
    const { cluster, a, c } = await makeCluster()
    for (const bytes of [cdb.reserve6(), cdb.reserve10(), cdb.release6(), cdb.release10()]) {
      assert.equal(outcome(cluster.send(a, bytes)), "conflict")
      assert.equal(outcome(cluster.send(c, bytes)), "conflict")
    }
  })

  test("whom the persistent reservation lets in gets GOOD, and nothing happens (CRH)", async () => {
    const { cluster, a, b, c } = await makeCluster()
    const outcomes = (): string[] =>
      [a, b, c].flatMap((nexus) =>
        [cdb.reserve6(), cdb.release10()].map((it) => outcome(cluster.send(nexus, it))),
      )
    await cluster.out(a, reserve, { key: 1n, type: writeExclusive })
    assert.deepEqual(outcomes(), ["good", "good", "conflict", "conflict", "conflict", "conflict"])
    await cluster.out(a, release, { key: 1n, type: writeExclusive })
    await cluster.out(a, reserve, { key: 1n, type: writeExclusiveRegistrantsOnly })
    assert.deepEqual(outcomes(), ["good", "good", "good", "good", "conflict", "conflict"])
    assert.equal(cluster.bench.unit.reservation.holder, undefined)
    assert.deepEqual(cluster.readReservation(c), { key: 1n, type: writeExclusiveRegistrantsOnly })
    await cluster.out(a, clear, { key: 1n })
    assert.equal(outcome(cluster.send(c, cdb.reserve6())), "good")
    assert.equal(cluster.bench.unit.reservation.holder, c)
  })

  test("a RESERVE that comes while registrations are being made stable waits for its turn", async () => {
    const store = new TestStore()
    const cluster = new Cluster(store)
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    store.holding = true
    const registered = cluster.out(a, register, { actionKey: 1n, throughPowerLoss: true })
    await new Promise((resolve) => setImmediate(resolve))
    const reserved = cluster.send(b, cdb.reserve6())
    assert.equal(reserved.status, undefined)
    store.held.shift()!()
    assert.equal(await registered, "good")
    assert.equal(outcome(await reserved.ended), "conflict")
  })
})

describe("persistence through power loss", () => {
  test("APTPL is refused where there is no store", async () => {
    const cluster = new Cluster()
    const a = cluster.host("a")
    assert.equal(await cluster.out(a, register, { actionKey: 1n, throughPowerLoss: true }), "5/2600")
    assert.deepEqual(cluster.readKeys(a), [])
    assert.deepEqual([...cluster.reportCapabilities(a)], [0, 8, 0x9c, 0xc0, 0xea, 0x01, 0, 0])
  })

  test("the last APTPL counts, for everyone; it is for registering alone", async () => {
    const store = new TestStore()
    const { cluster, a, b } = await makeCluster(store)
    assert.deepEqual([...cluster.reportCapabilities(a)], [0, 8, 0x9d, 0xc0, 0xea, 0x01, 0, 0])
    assert.deepEqual(store.saved, [], "not wanted yet")
    await cluster.out(a, reserve, { key: 1n, type: 1, throughPowerLoss: true })
    assert.deepEqual(store.saved, [])
    await cluster.out(b, register, { key: 2n, actionKey: 3n, throughPowerLoss: true })
    assert.equal(cluster.reportCapabilities(a)[3], 0xc1)
    const another = new Cluster(new TestStore(store.found))
    const again = another.host("a")
    assert.deepEqual(another.readKeys(again), [1n, 3n])
    assert.deepEqual(another.readReservation(again), { key: 1n, type: 1 })
    assert.equal(another.generation(again), 0, "PRGENERATION begins anew")
    assert.deepEqual([another.access(again), another.access(another.host("b"))], ["rw", "r"])
    await cluster.out(a, clear, { key: 1n })
    assert.deepEqual(store.found, { registrations: new Map(), activated: true })
    await cluster.out(a, register, { actionKey: 1n })
    assert.equal(store.found, undefined)
    assert.equal(cluster.reportCapabilities(a)[3], 0xc0)
  })

  test("what can't be made stable isn't done, and isn't said to be", async () => {
    const store = new TestStore()
    const { cluster, a, b } = await makeCluster(store)
    await cluster.out(a, register, { key: 1n, actionKey: 1n, throughPowerLoss: true })
    store.failing = "early"
    assert.equal(await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess }), "4/4400")
    assert.equal(cluster.access(b), "rw")
    assert.equal(cluster.generation(a), 3)
    store.failing = false
    assert.equal(await cluster.out(a, reserve, { key: 1n, type: exclusiveAccess }), "good")
    assert.equal(cluster.access(b), "")
  })

  test("what may have become stable although that failed is taken back with the next change", async () => {
    const store = new TestStore()
    const cluster = new Cluster(store)
    const [a, b] = [cluster.host("a"), cluster.host("b")]
    store.failing = "late"
    assert.equal(await cluster.out(a, register, { actionKey: 1n, throughPowerLoss: true }), "4/4400")
    assert.deepEqual(cluster.readKeys(b), [])
    store.failing = false
    assert.equal(await cluster.out(b, register, { actionKey: 2n }), "good")
    assert.equal(store.found, undefined, "or the next start would find what nobody has")
  })

  test("GOOD comes, and others are kept out, not before it is stable; actions wait for each other", async () => {
    const store = new TestStore()
    const { cluster, a, b } = await makeCluster(store)
    await cluster.out(a, register, { key: 1n, actionKey: 1n, throughPowerLoss: true })
    store.holding = true
    const outcomes: string[] = []
    const attempt = async (nexus: typeof a, key: bigint): Promise<void> => {
      outcomes.push(await cluster.out(nexus, reserve, { key, type: exclusiveAccess }))
    }
    const attempts = [attempt(a, 1n), attempt(b, 2n)]
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(outcomes, [])
    assert.equal(cluster.access(b), "rw")
    store.held.shift()!()
    await Promise.all(attempts)
    assert.deepEqual(
      outcomes.toSorted((x, y) => (x < y ? -1 : 1)),
      ["conflict", "good"],
    )
    assert.deepEqual([cluster.access(a), cluster.access(b)], ["rw", ""])
  })
})

describe("REPLACE LOST RESERVATION", () => {
  test("nothing is lost", async () => {
    const { cluster, a, c } = await makeCluster(new TestStore())
    assert.equal(await cluster.out(c, replaceLostReservation, { actionKey: 3n, type: 1 }), INVALID_RELEASE)
    await cluster.out(a, reserve, { key: 1n, type: 1 })
    assert.equal(await cluster.out(a, replaceLostReservation, { actionKey: 3n, type: 1 }), INVALID_RELEASE)
    assert.equal(await cluster.out(c, replaceLostReservation, { actionKey: 3n, type: 1 }), "conflict")
  })

  test("while it is lost the unit is closed; who replaces it holds a new one", async () => {
    const store = new TestStore("lost")
    const cluster = new Cluster(store)
    const [a, b] = [cluster.bench.nexus, cluster.bench.another("b")]
    const LOST = "7/4401"
    for (const bytes of [
      cdb.testUnitReady(),
      cdb.modeSense6(0x3f, 255),
      cdb.reserve6(),
      cdb.persistentReserveIn(0, 8),
    ]) {
      assert.equal(outcome(cluster.send(a, bytes)), LOST)
    }
    assert.equal(outcome(cluster.send(a, own(CHANGE))), LOST)
    assert.equal(await cluster.out(a, register, { actionKey: 1n }), LOST)
    assert.equal(await cluster.out(a, clear, {}), LOST)
    for (const bytes of [cdb.inquiry(96), cdb.requestSense(18), cdb.reportLuns(64)]) {
      assert.equal(outcome(cluster.send(a, bytes)), "good")
    }
    const again = { actionKey: 5n, type: exclusiveAccess, throughPowerLoss: true }
    assert.equal(await cluster.out(a, replaceLostReservation, { ...again, key: 1n }), "5/2600")
    assert.equal(await cluster.out(a, replaceLostReservation, { ...again, actionKey: 0n }), "5/2600")
    assert.equal(await cluster.out(a, replaceLostReservation, { ...again, allTargetPorts: true }), "5/2600")
    assert.equal(await cluster.out(a, replaceLostReservation, { ...again, type: 2 }), INVALID_CDB)
    store.failing = "early"
    assert.equal(await cluster.out(a, replaceLostReservation, again), "4/4400")
    assert.equal(outcome(cluster.send(b, own(CHANGE))), LOST)
    store.failing = false
    assert.equal(await cluster.out(a, replaceLostReservation, again), "good")
    assert.deepEqual(cluster.readReservation(b), { key: 5n, type: exclusiveAccess })
    assert.equal(cluster.generation(b), 0)
    assert.deepEqual([cluster.access(a), cluster.access(b)], ["rw", ""])
    assert.notEqual(store.found, "lost")
  })

  test("without APTPL nothing damaged is found the next time", async () => {
    const store = new TestStore("lost")
    const cluster = new Cluster(store)
    const action = { actionKey: 5n, type: exclusiveAccess }
    assert.equal(await cluster.out(cluster.bench.nexus, replaceLostReservation, action), "good")
    assert.equal(store.found, undefined)
  })
})

test("every action of an unregistered nexus but registering conflicts", async () => {
  const { cluster, c } = await makeCluster()
  for (const action of [reserve, release, clear, preempt, preemptAndAbort]) {
    assert.equal(await cluster.out(c, action, { actionKey: 1n, type: 1 }), "conflict")
  }
  const { sense } = await cluster.run(c, cdb.persistentReserveOut(9, 24), { dataOut: new Uint8Array(24) })
  assert.equal(sense?.asc, Asc.invalidFieldInCdb)
})
