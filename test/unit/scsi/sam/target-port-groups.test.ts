/** Asymmetric access states under random changes by the target and by its initiators, held against a simple model. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import {
  type AccessState,
  accessStateCodes,
  lastingAccessStates,
} from "../../../../src/scsi/spec/access-state.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { TestTask, testNexusThrough } from "../../../suites/scsi-task.ts"
import { TestUnit } from "../test-unit.ts"

const LUNS = [0, 1]
/** Target port groups, and the ports in each. */
const groupPorts: Readonly<Record<number, readonly number[]>> = { 1: [1], 2: [2, 3], 7: [4] }
const groups = Object.keys(groupPorts).map(Number)
const groupOfPort = (port: number): number => groups.find((id) => groupPorts[id]!.includes(port))!

const refusals: Partial<Record<AccessState, number>> = {
  standby: Asc.targetPortInStandbyState,
  unavailable: Asc.targetPortInUnavailableState,
  offline: Asc.logicalUnitNotReadyOffline,
  transitioning: Asc.asymmetricAccessStateTransition,
}

/** A nexus, and what the model says is pending for it on each unit. */
interface Path {
  readonly nexus: Nexus
  readonly port: number
  readonly pending: readonly number[][]
}

interface Transition {
  readonly group: number
  readonly from: AccessState
  readonly to: AccessState
  readonly end: (failure?: Error) => void
  readonly ended: Promise<unknown>
}

class World {
  readonly target = new ScsiTarget({
    clock: new VirtualClock(),
    portGroups: { explicit: true, groups: groups.map((id) => ({ id, ports: groupPorts[id]! })) },
  })
  readonly states = new Map<number, AccessState>(groups.map((id) => [id, "active/optimized"]))
  readonly paths: Path[] = []
  transition: Transition | undefined
  #hosts = 0

  constructor() {
    for (const lun of LUNS) this.target.addLogicalUnit(lun, new TestUnit())
  }

  connect(port: number): void {
    const nexus = testNexusThrough(port, `host${this.#hosts++}`)
    this.target.attachNexus(nexus)
    this.paths.push({ nexus, port, pending: LUNS.map(() => [Asc.powerOnResetOrBusDeviceReset]) })
  }

  async disconnect(path: Path): Promise<void> {
    this.paths.splice(this.paths.indexOf(path), 1)
    await this.target.detachNexus(path.nexus)
  }

  tell(asc: number, except?: Path): void {
    for (const path of this.paths) {
      if (path === except) continue
      for (const pending of path.pending) if (!pending.includes(asc)) pending.push(asc)
    }
  }

  send(path: Path, lun: number, bytes: Uint8Array, dataOut?: Uint8Array): Promise<TestTask> {
    const task = new TestTask(path.nexus, bytes, { lun, ...(dataOut && { dataOut }) })
    this.target.commandReceived(task)
    return task.ended
  }

  /** What a command gets before it runs: key and code; undefined: it runs. */
  hindrance(path: Path, lun: number, alsoIn: readonly AccessState[] = []): string | undefined {
    const attention = path.pending[lun]!.shift()
    if (attention !== undefined) return `6/${attention.toString(16)}`
    const state = this.states.get(groupOfPort(path.port))!
    const refusal = alsoIn.includes(state) ? undefined : refusals[state]
    return refusal === undefined ? undefined : `${SenseKey.notReady}/${refusal.toString(16)}`
  }
}

const outcome = ({ status, sense }: TestTask): string | undefined =>
  status === 0 ? undefined : `${sense?.key}/${sense?.asc.toString(16)}`

type Action = (world: World) => Promise<void>

const lun = fc.constantFrom(...LUNS)
const group = fc.constantFrom(...groups)
const lasting = fc.constantFrom(...lastingAccessStates)
const onPath = fc.nat(99)

/** Something a path does, of those there are. */
const byPath = (act: (world: World, path: Path, lun: number) => Promise<void>): fc.Arbitrary<Action> =>
  fc.tuple(onPath, lun).map(([which, at]) => async (world) => {
    const path = world.paths[which % world.paths.length]
    if (path) await act(world, path, at)
  })

const connect: fc.Arbitrary<Action> = fc.integer({ min: 1, max: 4 }).map((port) => async (world) => {
  world.connect(port)
})

const disconnect = byPath((world, path) => world.disconnect(path))

const implicit: fc.Arbitrary<Action> = fc.tuple(group, lasting).map(([id, state]) => async (world) => {
  const before = world.states.get(id)!
  const change = (): void => world.target.portGroups.set(id, state)
  if (before === "transitioning") return void assert.throws(change, { code: "ERR_TARGET_PORT_GROUP" })
  change()
  world.states.set(id, state)
  if (before !== state) world.tell(Asc.asymmetricAccessStateChanged)
})

const begin: fc.Arbitrary<Action> = fc.tuple(group, lasting).map(([id, to]) => async (world) => {
  if (world.transition) return
  let end: Transition["end"] = () => {}
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      end = (failure) => (failure ? reject(failure) : resolve())
    })
  const ended = world.target.portGroups.transition(id, to, work).catch(() => {})
  world.transition = { group: id, from: world.states.get(id)!, to, end: (failure) => end(failure), ended }
  world.states.set(id, "transitioning")
})

const finish: fc.Arbitrary<Action> = fc.boolean().map((fails) => async (world) => {
  const { transition } = world
  if (!transition) return
  transition.end(fails ? new Error("as told") : undefined)
  await transition.ended
  world.transition = undefined
  world.states.set(transition.group, fails ? transition.from : transition.to)
  world.tell(fails ? Asc.implicitAccessStateTransitionFailed : Asc.asymmetricAccessStateChanged)
})

const explicitStates = ["active/optimized", "active/non-optimized", "standby", "unavailable"] as const

const explicit: fc.Arbitrary<Action> = fc
  .tuple(onPath, lun, fc.dictionary(group.map(String), fc.constantFrom(...explicitStates)))
  .map(([which, at, wanted]) => async (world) => {
    const path = world.paths[which % world.paths.length]
    if (!path) return
    const changes = Object.entries(wanted).map(([id, state]) => ({ id: Number(id), state }))
    const list = Uint8Array.from([
      ...[0, 0, 0, 0],
      ...changes.flatMap(({ id, state }) => [accessStateCodes[state], 0, 0, id]),
    ])
    const task = await world.send(path, at, cdb.setTargetPortGroups(list.length), list)
    const busy = world.transition ? "2/40a" : undefined
    const expected = world.hindrance(path, at, ["standby", "unavailable"]) ?? busy
    assert.equal(outcome(task), expected)
    if (expected !== undefined) return
    const real = changes.filter(({ id, state }) => world.states.get(id) !== state)
    for (const { id, state } of real) world.states.set(id, state)
    if (real.length > 0) world.tell(Asc.asymmetricAccessStateChanged, path)
  })

const ready = byPath(async (world, path, at) => {
  const task = await world.send(path, at, cdb.testUnitReady())
  assert.equal(outcome(task), world.hindrance(path, at))
})

const report = byPath(async (world, path, at) => {
  const task = await world.send(path, at, cdb.reportTargetPortGroups(255))
  const expected = world.hindrance(path, at, ["standby", "unavailable", "transitioning"])
  assert.equal(outcome(task), expected)
  if (expected === undefined) assert.deepEqual(readReport(task.dataIn), expectedReport(world.states))
})

/** State and ports of each group. */
type Report = Record<number, readonly [state: number, ...ports: number[]]>

function readReport(data: Uint8Array): Report {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const found: Report = {}
  for (let at = 4; at < data.length; at += 8 + 4 * data[at + 7]!) {
    const ports = Array.from({ length: data[at + 7]! }, (_, i) => view.getUint16(at + 10 + 4 * i))
    found[view.getUint16(at + 2)] = [data[at]! & 0x0f, ...ports]
  }
  return found
}

function expectedReport(states: ReadonlyMap<number, AccessState>): Report {
  const expected: Report = {}
  const offline: number[] = []
  for (const [id, state] of states) {
    const primary = state === "offline" ? "unavailable" : state
    expected[id] = [accessStateCodes[primary], ...groupPorts[id]!]
    if (state === "offline") offline.push(...groupPorts[id]!)
  }
  if (offline.length > 0) expected[0xffff] = [0xe, ...offline]
  return expected
}

describe("asymmetric access states", () => {
  test("whoever changes them, each nexus gets what its port's group is in, and hears of each change once", async () => {
    const action = fc.oneof(
      connect,
      disconnect,
      implicit,
      begin,
      finish,
      explicit,
      { arbitrary: ready, weight: 4 },
      { arbitrary: report, weight: 2 },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const world = new World()
        for (const port of [1, 2, 4]) world.connect(port)
        for (const act of actions) await act(world)
        world.transition?.end()
      }),
      { numRuns: 150 },
    )
  })
})
