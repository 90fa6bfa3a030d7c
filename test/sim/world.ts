/** The target's side of a simulation: devices, the target that serves them, its failures and its return. */
import {
  type BlockDevice,
  type Delays,
  DelayStore,
  FaultStore,
  MemoryStore,
} from "../../src/backstore/index.ts"
import type { SeededRandom } from "../../src/base/random.ts"
import { SimNetwork } from "../../src/base/sim-network.ts"
import { VirtualClock } from "../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../src/datamover/shared/index.ts"
import { type Iser, iserOver } from "../../src/iser.ts"
import { IwarpDevice } from "../../src/rdma/iwarp/index.ts"
import { DiskUnit } from "../../src/scsi/sbc/disk-unit.ts"
import { NetworkEntity } from "../../src/target/network-entity.ts"
import { Target } from "../../src/target/target.ts"
import { OracleDisk } from "./oracle.ts"
import { pduText, watchPdus } from "./pdu-tap.ts"
import { MpaLinks } from "./mpa-links.ts"
import type { IwarpPlan, LunPlan, Scenario } from "./scenario.ts"
import { StubbornStore } from "./stubborn-store.ts"
import { Trace } from "./trace.ts"
import { Platter, VolatileStore } from "./volatile-store.ts"

export const TARGET_NAME = "iqn.2026-01.org.example:simulated"
const HOST = "10.0.0.1"
const FIRST_PORT = 3260

/** A disk of the target: what outlives the target's process, and what judges it. */
export class SimLun {
  readonly lun: number
  readonly plan: LunPlan
  readonly oracle: OracleDisk
  readonly #platter: Platter
  readonly #memory: MemoryStore
  readonly #world: World
  cache: VolatileStore | undefined
  faults!: FaultStore
  device!: BlockDevice
  unit!: DiskUnit
  /** Initiators see it at the moment. */
  present = true

  constructor(world: World, lun: number, plan: LunPlan) {
    this.#world = world
    this.lun = lun
    this.plan = plan
    this.oracle = new OracleDisk(`LUN ${lun}`, plan.blockBytes, plan.countBlocks, {
      volatile: plan.volatile,
      alone: world.scenario.clients.length === 1,
    })
    this.#platter = new Platter(plan.blockBytes, plan.countBlocks)
    this.#memory = new MemoryStore({ sizeBytes: plan.blockBytes * plan.countBlocks })
    this.open()
  }

  /** The device as a new process of the target opens it. */
  open(): void {
    const { random } = this.#world
    this.cache = this.plan.volatile ? new VolatileStore(this.#platter) : undefined
    this.faults = new FaultStore(this.cache ?? this.#memory, [], { random })
    this.device = this.#slow(this.faults)
    this.unit = new DiskUnit(this.device, {
      logicalBlockBytes: this.plan.blockBytes,
      identity: { serial: `sim-${this.lun}` },
      random,
    })
  }

  #slow(device: BlockDevice): BlockDevice {
    const { clock, random } = this.#world
    const { delayMsMax: maxMs, stubborn } = this.plan
    if (maxMs === 0) return device
    if (stubborn) return new StubbornStore(device, clock, random, maxMs)
    const delay = { minMs: 0, maxMs }
    const delays: Delays = {
      read: delay,
      write: delay,
      flush: { minMs: 0, maxMs: 3 * maxMs },
      discard: delay,
      writeZeroes: delay,
    }
    return new DelayStore(device, delays, { clock, random })
  }

  /** What it really holds. */
  get bytes(): Uint8Array {
    const bytes = new Uint8Array(this.device.sizeBytes)
    const store = this.cache ?? this.#memory
    store.read(0, bytes)
    return bytes
  }

  /** Takes effect at once. */
  resize(countBlocks: number): Promise<void> {
    this.oracle.resize(countBlocks)
    return this.device.resize(countBlocks * this.plan.blockBytes)
  }
}

export class World {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly scenario: Scenario
  readonly network: SimNetwork
  readonly trace: Trace
  readonly luns: readonly SimLun[]
  /** What initiators take memory from. */
  readonly initiatorBudget: DataBufferBudget
  /** RDMA devices of the target's processes and of the initiators. */
  readonly #devices: IwarpDevice[] = []
  /** Where bits may be damaged. */
  readonly mpaLinks: MpaLinks
  /** The one that serves now, and those before it. */
  readonly entities: NetworkEntity[] = []
  target!: Target
  up = false

  /** `traceLines` 0: no trace is kept. */
  constructor(scenario: Scenario, random: SeededRandom, traceLines: number) {
    this.scenario = scenario
    this.random = random
    this.network = new SimNetwork(this.clock, random, scenario.link)
    this.trace = new Trace(this.clock, traceLines)
    this.initiatorBudget = new DataBufferBudget(scenario.bufferBytesMax)
    this.luns = scenario.luns.map((plan, lun) => new SimLun(this, lun, plan))
    this.mpaLinks = new MpaLinks(this.network)
    if (this.trace.on) this.#watch()
  }

  #watch(): void {
    watchPdus(this.network, (pdu, direction, { number }) =>
      this.trace.add(() => `#${number} ${direction === "to target" ? "->" : "<-"} ${pduText(pdu)}`),
    )
  }

  /** iSER over an RDMA device of its own. */
  iser(plan: IwarpPlan): Iser {
    const { network, clock, random } = this
    const device = new IwarpDevice({ ...plan, network, clock, random })
    this.#devices.push(device)
    return iserOver(device)
  }

  /** Whether a connection over iSER would have CRCs: either end can demand them. */
  get crc(): boolean {
    const { targetIwarp, clients } = this.scenario
    return targetIwarp.crc === true || clients.every(({ iwarp }) => iwarp.crc)
  }

  get entity(): NetworkEntity {
    return this.entities.at(-1)!
  }

  portal(index: number): { host: string; port: number } {
    return { host: HOST, port: FIRST_PORT + index }
  }

  /** Starts the target's process. */
  async start(): Promise<void> {
    const { clock, network, random, trace, scenario } = this
    const log = trace.log("target")
    const entity = new NetworkEntity({
      clock,
      network,
      random,
      log,
      iser: this.iser(scenario.targetIwarp),
      dataBufferBytesMax: scenario.bufferBytesMax,
      nopIntervalMs: 2000,
      nopDeadlineMs: 1000,
    })
    this.entities.push(entity)
    this.target = new Target({ name: TARGET_NAME, keys: scenario.targetKeys, clock, log })
    for (const lun of this.luns) if (lun.present) this.target.addLogicalUnit(lun.lun, lun.unit)
    entity.addTarget(this.target)
    for (let i = 0; i < scenario.portals; i++) await entity.listen(this.portal(i))
    this.up = true
    trace.add(() => "the target is up")
  }

  /** The power fails. */
  crash(): void {
    this.trace.add(() => "the power fails")
    this.up = false
    for (const portal of this.entity.portals) void portal.close()
    for (const lun of this.luns) {
      lun.cache?.powerOff(this.random)
      lun.oracle.crash()
    }
    for (const link of this.network.links) link.cut()
    this.#reopen()
  }

  /** Logs everybody out and ends; the power stays on. */
  async shutDown(): Promise<void> {
    this.trace.add(() => "the target shuts down")
    this.up = false
    await this.entity.close()
    for (const lun of this.luns) await lun.cache?.close()
    this.#reopen()
    this.trace.add(() => "the target is down")
  }

  #reopen(): void {
    for (const lun of this.luns) {
      // What an old process still holds fails; a MemoryStore itself has no process to lose.
      if (!lun.cache) continue
      lun.unit.release()
      void lun.device.close()
      lun.open()
    }
  }

  /** Tasks that took memory and gave none back, sessions that never ended: none may be left. */
  leftovers(): string[] {
    const left: string[] = []
    for (const { budget, sessions } of this.entities) {
      if (budget.takenBytes !== 0) left.push(`${budget.takenBytes} bytes of the target's data buffers`)
      // The arena keeps the piece it is writing headers to.
      if (budget.pool.taken > 1) left.push(`${budget.pool.taken} pieces of the target's memory`)
      if (sessions.size > 0) left.push(`${sessions.size} sessions of the target`)
    }
    const { takenBytes, pool } = this.initiatorBudget
    if (takenBytes !== 0) left.push(`${takenBytes} bytes of the initiators' data buffers`)
    if (pool.taken > 1) left.push(`${pool.taken} pieces of the initiators' memory`)
    for (const { unit, lun } of this.luns) {
      if (unit.allTasks().length > 0) left.push(`${unit.allTasks().length} tasks of LUN ${lun}`)
    }
    for (const { queuePairCount } of this.#devices) {
      if (queuePairCount > 0) left.push(`${queuePairCount} queue pairs`)
    }
    const open = this.network.links.filter((link) => !link.closed)
    if (open.length > 0) left.push(`${open.length} connections`)
    for (const timer of this.clock.pending()) left.push(`timer "${timer}"`)
    return left
  }
}
