/** A nexus costs a unit nothing before it comes to it, and finds there what it would have found anyway. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { LUNS_MAX } from "../../../../src/base/limits.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { lunFieldHead } from "../../../../src/scsi/sam/lun.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { TaskManagementFunction } from "../../../../src/scsi/sam/transport-services.ts"
import { Asc } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { TestUnit } from "../test-unit.ts"

const POWER_ON = Asc.powerOnResetOrBusDeviceReset
/** What a TARGET WARM RESET and a LOGICAL UNIT RESET tell. */
const RESET = Asc.busDeviceResetFunction
const RESETS: readonly number[] = [POWER_ON, Asc.busDeviceResetFunction, Asc.itNexusLoss]

const warmReset = { function: TaskManagementFunction.targetWarmReset, lunHigh: 0, lunLow: 0, taskTag: 0 }

/** Unit attentions as the standard tells of them, kept for every nexus and every unit from the start. */
class Model {
  readonly pending = new Map<number, number[]>()

  constructor(luns: Iterable<number>, first: number) {
    for (const lun of luns) this.pending.set(lun, [first])
  }

  establish(lun: number, asc: number): void {
    const list = this.pending.get(lun)!
    if (list.includes(asc)) return
    const rank = RESETS.indexOf(asc)
    if (rank < 0) return void list.push(asc)
    const before = RESETS.indexOf(list[0] ?? -1)
    if (before >= 0 && before < rank) return
    if (before >= 0) list.shift()
    list.unshift(asc)
  }

  forget(asc: number): void {
    for (const [lun, list] of this.pending) {
      this.pending.set(
        lun,
        list.filter((one) => one !== asc),
      )
    }
  }

  take(lun: number): number | undefined {
    const asc = this.pending.get(lun)!.shift()
    if (asc === Asc.reportedLunsDataHasChanged) this.forget(asc)
    return asc
  }
}

class World {
  readonly target = new ScsiTarget({ clock: new VirtualClock() })
  readonly nexuses = new Map<Nexus, Model>()
  readonly units = new Map<number, TestUnit>()
  readonly #known = new Set<string>()

  add(lun: number): void {
    for (const model of this.nexuses.values()) {
      for (const other of this.units.keys()) model.establish(other, Asc.reportedLunsDataHasChanged)
      model.pending.set(lun, [POWER_ON])
    }
    const unit = new TestUnit()
    this.units.set(lun, unit)
    this.target.addLogicalUnit(lun, unit)
  }

  async remove(lun: number): Promise<void> {
    this.units.delete(lun)
    for (const model of this.nexuses.values()) {
      model.pending.delete(lun)
      for (const other of this.units.keys()) model.establish(other, Asc.reportedLunsDataHasChanged)
    }
    await this.target.removeLogicalUnit(lun)
  }

  connect(host: string): void {
    const nexus = testNexus(host)
    const first = this.#known.has(host) ? Asc.itNexusLoss : POWER_ON
    this.#known.add(host)
    this.nexuses.set(nexus, new Model(this.units.keys(), first))
    this.target.attachNexus(nexus)
  }

  async disconnect(nexus: Nexus): Promise<void> {
    this.nexuses.delete(nexus)
    await this.target.detachNexus(nexus)
  }

  async reset(nexus: Nexus, lun: number | undefined): Promise<void> {
    const fn =
      lun === undefined ? TaskManagementFunction.targetWarmReset : TaskManagementFunction.logicalUnitReset
    const request = { function: fn, lunHigh: lunFieldHead(lun ?? 0) * 0x1_0000, lunLow: 0, taskTag: 0 }
    assert.equal(await this.target.taskManagementRequestReceived(nexus, request), 0)
    for (const model of this.nexuses.values()) {
      for (const one of lun === undefined ? this.units.keys() : [lun]) model.establish(one, RESET)
    }
  }

  attention(lun: number, asc: number, except: Nexus | undefined): void {
    this.units.get(lun)!.establishUnitAttention(asc, { except })
    for (const [nexus, model] of this.nexuses) if (nexus !== except) model.establish(lun, asc)
  }

  testUnitReady(nexus: Nexus, lun: number): void {
    const task = new TestTask(nexus, cdb.testUnitReady(), { lun: lunFieldHead(lun) })
    this.target.commandReceived(task)
    assert.equal(task.sense?.asc, this.nexuses.get(nexus)!.take(lun))
  }

  reportLuns(nexus: Nexus, lun: number): void {
    const task = new TestTask(nexus, cdb.reportLuns(256), { lun: lunFieldHead(lun) })
    this.target.commandReceived(task)
    assert.equal(good(task).length, 8 + 8 * this.units.size)
    this.nexuses.get(nexus)!.forget(Asc.reportedLunsDataHasChanged)
  }
}

type Action = (world: World) => Promise<void> | void

const which = fc.nat(99)
const pick = <T>(from: Iterable<T>, index: number): T | undefined => {
  const all = [...from]
  return all[index % all.length]
}

/** A nexus, and a unit, of those there are. */
const somewhere = (
  act: (world: World, nexus: Nexus, lun: number) => Promise<void> | void,
): fc.Arbitrary<Action> =>
  fc.tuple(which, which).map(([n, l]) => (world: World) => {
    const nexus = pick(world.nexuses.keys(), n)
    const lun = pick(world.units.keys(), l)
    return nexus && lun !== undefined ? act(world, nexus, lun) : undefined
  })

const actions: fc.Arbitrary<Action>[] = [
  fc.nat(9).map((lun) => (world: World) => (world.units.has(lun) ? undefined : world.add(lun))),
  somewhere((world, _nexus, lun) => world.remove(lun)),
  fc.constantFrom("a", "b", "c").map((host) => (world: World) => {
    const taken = [...world.nexuses.keys()].some(({ identity }) =>
      identity.initiatorName.endsWith(`:${host}`),
    )
    return taken ? undefined : world.connect(host)
  }),
  somewhere((world, nexus) => world.disconnect(nexus)),
  somewhere((world, nexus) => world.reset(nexus, undefined)),
  somewhere((world, nexus, lun) => world.reset(nexus, lun)),
  somewhere((world, _nexus, lun) => world.attention(lun, Asc.capacityDataHasChanged, undefined)),
  somewhere((world, nexus, lun) => world.attention(lun, Asc.modeParametersChanged, nexus)),
  somewhere((world, nexus, lun) => world.reportLuns(nexus, lun)),
  somewhere((world, nexus, lun) => world.testUnitReady(nexus, lun)),
  somewhere((world, nexus, lun) => world.testUnitReady(nexus, lun)),
  somewhere((world, nexus, lun) => world.testUnitReady(nexus, lun)),
]

describe("a target of many units", () => {
  test("unit attentions are as if every unit had known every nexus from the start", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...actions), { maxLength: 80 }), async (script) => {
        const world = new World()
        for (const lun of [0, 1, 300]) world.add(lun)
        world.connect("a")
        for (const act of script) await act(world)
        // Whatever is left is what the model says.
        for (const nexus of world.nexuses.keys())
          for (const lun of world.units.keys()) for (let i = 0; i < 4; i++) world.testUnitReady(nexus, lun)
      }),
      { numRuns: 200 },
    )
  })

  test("a login, an inventory that changes and a reset leave units alone that nobody has come to", async () => {
    const target = new ScsiTarget({ clock: new VirtualClock() })
    const LUNS = 1000
    for (let lun = 0; lun < LUNS; lun++) target.addLogicalUnit(lun, new TestUnit())
    target.addLogicalUnit(LUNS_MAX - 1, new TestUnit())
    const nexus = testNexus()
    target.attachNexus(nexus)
    const send = (bytes: Uint8Array, lun: number): TestTask => {
      const task = new TestTask(nexus, bytes, { lun: lunFieldHead(lun) })
      target.commandReceived(task)
      return task
    }
    const kept = nexus.units.size
    const list = good(send(cdb.reportLuns(16384), 0))
    assert.equal(list.length, 8 + 8 * (LUNS + 1))
    assert.deepEqual([...list.subarray(-8)], [0x7f, 0xff, 0, 0, 0, 0, 0, 0])
    checkCondition(send(cdb.testUnitReady(), 700), 6, POWER_ON)
    assert.equal(nexus.units.size, kept + 2)
    checkCondition(send(cdb.testUnitReady(), LUNS_MAX - 1), 6, POWER_ON)
    good(send(cdb.testUnitReady(), LUNS_MAX - 1))
    assert.equal(nexus.units.size, kept + 3)
    await target.removeLogicalUnit(999)
    await target.taskManagementRequestReceived(nexus, warmReset)
    assert.equal(nexus.units.size, kept + 3)
    checkCondition(send(cdb.testUnitReady(), 700), 6, RESET)
    checkCondition(send(cdb.testUnitReady(), 700), 6, Asc.reportedLunsDataHasChanged)
    checkCondition(send(cdb.testUnitReady(), 500), 6, POWER_ON)
    good(send(cdb.testUnitReady(), 500))
    await target.detachNexus(nexus)
    assert.equal(nexus.units.size, 0)
  })

  test("who works at a unit for a nexus that never came to it goes with the nexus all the same", async () => {
    const target = new ScsiTarget({ clock: new VirtualClock() })
    const unit = new TestUnit()
    target.addLogicalUnit(0, unit)
    const nexus = testNexus()
    target.attachNexus(nexus)
    let evicted = 0
    unit.guests.admit({ nexus, evict: async () => void evicted++ })
    await target.detachNexus(nexus)
    assert.equal(evicted, 1)
  })

  test("a unit of two targets tells the nexuses of both, those that haven't come to it, too", async () => {
    const unit = new TestUnit()
    const [one, two] = [1, 2].map(() => {
      const target = new ScsiTarget({ clock: new VirtualClock() })
      target.addLogicalUnit(0, unit)
      const nexus = testNexus(`host${target.nexuses.size}`)
      target.attachNexus(nexus)
      return { target, nexus }
    })
    await one!.target.taskManagementRequestReceived(one!.nexus, warmReset)
    unit.establishUnitAttention(Asc.capacityDataHasChanged)
    for (const { nexus } of [one!, two!]) {
      assert.equal(unit.takeUnitAttention(nexus), POWER_ON)
      assert.equal(unit.takeUnitAttention(nexus), Asc.capacityDataHasChanged)
    }
    await two!.target.removeLogicalUnit(0)
    assert.equal(unit.takeUnitAttention(two!.nexus), undefined)
    unit.establishUnitAttention(Asc.modeParametersChanged)
    assert.equal(unit.takeUnitAttention(one!.nexus), Asc.modeParametersChanged)
    assert.equal(unit.takeUnitAttention(two!.nexus), undefined)
  })
})
