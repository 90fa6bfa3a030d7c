import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../../src/scsi/sam/nexus.ts"
import { TaskManagementFunction } from "../../../../../src/scsi/sam/transport-services.ts"
import { encodeTransportId } from "../../../../../src/scsi/spc/persistent-reserve/transport-id.ts"
import { PersistentReserveOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Cluster, nexusOf, outcome, portName, TestStore } from "./cluster.ts"
import { type Id, Model, nameOf, type Request } from "./model.ts"

const ids: readonly Id[] = [
  { host: "a", isid: 1, port: 1 },
  { host: "a", isid: 1, port: 2 },
  { host: "b", isid: 1, port: 1 },
  { host: "b", isid: 2, port: 1 },
  { host: "c", isid: 1, port: 2 },
]
const PORTS = [1, 2]

/** The unit, with those logged in. */
class System {
  store = new TestStore()
  cluster = new Cluster(this.store)
  nexuses = new Map<Id, Nexus>()

  constructor() {
    this.#keepPorts()
  }

  /** A host that only looks on: one at each port, so that both are known. */
  #keepPorts(): void {
    for (const port of PORTS) this.cluster.host("onlooker", { port })
  }

  logIn(id: Id): void {
    if (!this.nexuses.has(id)) this.nexuses.set(id, this.cluster.host(id.host, id))
  }

  async logOut(id: Id): Promise<void> {
    const nexus = this.nexuses.get(id)
    if (nexus) await this.cluster.bench.target.detachNexus(nexus)
    this.nexuses.delete(id)
  }

  powerLoss(): void {
    this.store = new TestStore(this.store.found)
    this.cluster = new Cluster(this.store)
    this.#keepPorts()
    const logged = [...this.nexuses.keys()]
    this.nexuses.clear()
    for (const id of logged) this.logIn(id)
  }

  async out(id: Id, request: Request): Promise<string> {
    const { action, key, actionKey, scope, type } = request
    const nexus = this.nexuses.get(id)!
    const dataOut =
      action === PersistentReserveOut.registerAndMove
        ? cdb.registerAndMoveList({
            key,
            actionKey,
            relativeTargetPort: request.moveTo.port,
            transportId: encodeTransportId(portName(request.moveTo.host, request.moveTo.isid)),
            unregister: request.unregister,
            throughPowerLoss: request.aptpl,
          })
        : cdb.persistentReserveList({
            key,
            actionKey,
            allTargetPorts: request.allTargetPorts,
            throughPowerLoss: request.aptpl,
            ...(request.ids && { transportIds: request.ids.map(transportIdOf) }),
          })
    const bytes = cdb.persistentReserveOut(action, dataOut.length, (scope << 4) | type)
    return outcome(await this.cluster.run(nexus, bytes, { dataOut }))
  }
}

const transportIdOf = ({ host, isid }: { host: string; isid?: number }): Uint8Array =>
  encodeTransportId(isid === undefined ? nexusOf(host).identity.initiatorName : portName(host, isid))

function assertSame(system: System, model: Model, what: string): void {
  const { cluster, store } = system
  const onlooker = cluster.bench.nexus
  for (const { id, told } of model.present) {
    const codes: number[] = []
    const nexus = system.nexuses.get(id)!
    for (let asc = cluster.bench.unit.takeUnitAttention(nexus); asc !== undefined; ) {
      codes.push(asc)
      asc = cluster.bench.unit.takeUnitAttention(nexus)
    }
    assert.deepEqual(
      codes.toSorted((a, b) => a - b),
      told.splice(0).toSorted((a, b) => a - b),
      `${what}: told ${nameOf(id)}`,
    )
  }
  for (const id of system.nexuses.keys()) {
    const expected = (["r", "w"] as const).filter((it) => model.allows(id, it)).join("")
    assert.equal(cluster.access(system.nexuses.get(id)!), expected, `${what}: access of ${nameOf(id)}`)
  }
  if (model.spc2 !== undefined) return // nobody may ask
  const expected = model.registered.map(({ id, key }) => {
    const holds = model.holds(id) ? model.reserved!.type : 0
    return `${portName(id.host, id.isid)} ${id.port} ${key} ${holds}`
  })
  const found = cluster
    .fullStatus(onlooker)
    .map(({ initiator, port, key, holds }) => `${initiator} ${port} ${key} ${holds}`)
  const byText = (a: string, b: string): number => (a < b ? -1 : 1)
  assert.deepEqual(found.toSorted(byText), expected.toSorted(byText), `${what}: full status`)
  assert.equal(cluster.generation(onlooker), model.generation, `${what}: PRGENERATION`)
  assert.equal(cluster.readKeys(onlooker).length, model.registered.length)
  const { reserved } = model
  const key = reserved && (reserved.type >= 7 ? 0n : model.of(reserved.by)!.key)
  assert.deepEqual(
    cluster.readReservation(onlooker),
    reserved && { key, type: reserved.type },
    `${what}: reservation`,
  )
  assert.equal(store.found !== undefined, model.aptpl, `${what}: kept`)
  assert.equal(cluster.reportCapabilities(onlooker)[3]! & 1, model.aptpl ? 1 : 0)
}

const id = fc.constantFrom(...ids)
const key = fc.constantFrom(0n, 1n, 1n, 1n, 2n, 2n, 2n)
const usually = <T>(value: T, otherwise: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.constant(otherwise) })
const named = fc.record(
  { host: fc.constantFrom("a", "b", "c", "nobody"), isid: fc.constantFrom(1, 2) },
  { requiredKeys: ["host"] },
)
const request: fc.Arbitrary<Request> = fc.record({
  action: fc.constantFrom(...Object.values(PersistentReserveOut), 0, 0, 1, 1, 6),
  key,
  actionKey: key,
  scope: usually(0, 1),
  type: fc.constantFrom(1, 3, 5, 5, 6, 7, 7, 8, 2),
  allTargetPorts: usually(false, true),
  aptpl: fc.boolean(),
  ids: fc.oneof(
    { weight: 8, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.array(named, { maxLength: 2 }) },
  ),
  moveTo: fc.record({
    host: fc.constantFrom("a", "b", "d"),
    isid: fc.constantFrom(1, 2),
    port: fc.constantFrom(1, 2, 2, 3),
  }),
  unregister: fc.boolean(),
})
const nothing: Request = {
  action: 0,
  key: 0n,
  actionKey: 0n,
  scope: 0,
  type: 0,
  allTargetPorts: false,
  aptpl: false,
  ids: undefined,
  moveTo: ids[0]!,
  unregister: false,
}
/** As a host does that knows what it is registered with. */
const step = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({ do: fc.constant("out" as const), id, request, knows: usually(true, false) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reserve" as const), id }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("release" as const), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("log in or out" as const), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const), id }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("power loss" as const), id }) },
)

/** Only the holder has a reason to move or release; now and then it does. */
function actorOf(
  model: Model,
  system: System,
  { id: other, request: { action } }: { id: Id; request: Request },
): Id {
  const { registerAndMove, release } = PersistentReserveOut
  const holder = ids.find((each) => model.holds(each))
  const asHolder = (action === registerAndMove || action === release) && holder && system.nexuses.has(holder)
  return asHolder ? holder : other
}

test("whatever hosts do, the unit does what SPC-4 says", async () => {
  const seen = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 40 }), async (steps) => {
      const system = new System()
      const model = new Model(PORTS)
      for (const present of ids) {
        system.logIn(present)
        model.present.push({ id: present, told: [] })
      }
      for (const [i, registered] of ids.slice(0, 4).entries()) {
        const first = { ...nothing, action: PersistentReserveOut.register, actionKey: BigInt(1 + (i & 1)) }
        assert.equal(model.out(registered, first), await system.out(registered, first))
      }
      for (const it of steps) {
        const nexus = system.nexuses.get(it.id)
        let what: string = `${it.do} ${nameOf(it.id)}`
        if (it.do === "out" && nexus) {
          const actor = it.knows ? actorOf(model, system, it) : it.id
          const known = it.knows ? { key: model.of(actor)?.key ?? 0n } : {}
          const wanted = { ...it.request, ...known }
          const expected = model.out(actor, wanted)
          const found = await system.out(actor, wanted)
          what += ` action ${wanted.action}`
          assert.equal(found, expected, what)
          const kind = `${wanted.action} ${found}`
          seen.set(kind, (seen.get(kind) ?? 0) + 1)
        } else if ((it.do === "reserve" || it.do === "release") && nexus) {
          const bytes = it.do === "reserve" ? cdb.reserve6() : cdb.release10()
          const expected = it.do === "reserve" ? model.reserve6(it.id) : model.release6(it.id)
          assert.equal(outcome(system.cluster.send(nexus, bytes)), expected, what)
        } else if (it.do === "log in or out") {
          if (nexus) {
            await system.logOut(it.id)
            model.present.splice(
              model.present.findIndex((each) => each.id === it.id),
              1,
            )
            if (model.spc2 === it.id) model.spc2 = undefined
          } else {
            system.logIn(it.id)
            model.present.push({ id: it.id, told: [] })
          }
        } else if (it.do === "reset" && nexus) {
          const { target, unit } = system.cluster.bench
          const request = {
            function: TaskManagementFunction.logicalUnitReset,
            lunHigh: 0,
            lunLow: 0,
            taskTag: 0,
          }
          await target.taskManagementRequestReceived(nexus, request)
          for (const each of unit.nexuses) unit.takeUnitAttention(each)
          model.spc2 = undefined
        } else if (it.do === "power loss") {
          system.powerLoss()
          model.powerLoss()
        }
        assertSame(system, model, what)
      }
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(system.cluster.bench.unit.allTasks().length, 0)
    }),
    { numRuns: 200 },
  )
  // Every action has succeeded now and then, and has been refused: the runs have reached what they are about.
  for (const action of Object.values(PersistentReserveOut)) {
    if (action === PersistentReserveOut.replaceLostReservation) continue
    assert.ok((seen.get(`${action} good`) ?? 0) > 2, `action ${action} never worked`)
    assert.ok(seen.has(`${action} conflict`), `action ${action} never conflicted`)
  }
})
