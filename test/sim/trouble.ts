/** What goes wrong in a simulation, at random times, until it is told to stop. */
import { sleep } from "../../src/base/clock.ts"
import { MemoryStore } from "../../src/backstore/index.ts"
import type { Scenario } from "./scenario.ts"
import type { Tally } from "./tally.ts"
import type { SimLun, World } from "./world.ts"

const EXTRA_LUN = 77

export class Trouble {
  readonly #world: World
  readonly #tally: Tally
  #over = false

  constructor(world: World, tally: Tally) {
    this.#world = world
    this.#tally = tally
  }

  /** Makes trouble until `stop`, which it then undoes. */
  async run(): Promise<void> {
    const { clock, random, scenario } = this.#world
    const kinds = makers.filter(([kind]) => scenario.trouble[kind])
    if (kinds.length === 0) return
    while (!this.#over) {
      await sleep(clock, random.below(2 * scenario.troubleEveryMs * 100) / 100, "next trouble")
      if (this.#over) break
      const [kind, make] = random.pick(kinds)
      this.#tally.add(`trouble: ${kind}`)
      await make(this.#world, this)
    }
    await this.#heal()
  }

  stop(): void {
    this.#over = true
  }

  /** A LUN nobody uses comes or goes: the others are told. */
  async toggleExtra(): Promise<void> {
    const { target } = this.#world
    if (target.logicalUnits.has(EXTRA_LUN)) return target.removeLogicalUnit(EXTRA_LUN)
    target.addLogicalUnit(EXTRA_LUN, new MemoryStore({ sizeBytes: 65536 }), { random: this.#world.random })
  }

  async #heal(): Promise<void> {
    const { network, luns, scenario } = this.#world
    for (const link of network.links) link.stall(false)
    for (let i = 0; i < scenario.portals; i++) network.refuse(this.#world.portal(i).port, false)
    for (const lun of luns) lun.faults.heal()
    if (!this.#world.up) await this.#world.start()
    for (const lun of luns) bringBack(this.#world, lun)
  }
}

type Maker = (world: World, trouble: Trouble) => Promise<void> | void

const makers: readonly (readonly [keyof Scenario["trouble"], Maker])[] = [
  ["network", cut],
  ["network", stall],
  ["network", refuse],
  ["damage", damage],
  ["crash", crash],
  ["restart", restart],
  ["fault", fault],
  ["inventory", removeAndAdd],
  ["inventory", resize],
  ["inventory", (_world, trouble) => trouble.toggleExtra()],
]

function cut({ network, random, trace }: World): void {
  if (network.links.length === 0) return
  const link = random.pick(network.links)
  trace.add(() => `the connection from port ${link.client.local.port} is cut`)
  if (random.chance(0.7)) link.cut()
  else if (random.chance(0.5)) link.client.lose()
  else link.server.lose()
}

/** Nothing arrives for a while; a keepalive may give the connection up meanwhile. */
async function stall({ network, random, clock, trace }: World): Promise<void> {
  if (network.links.length === 0) return
  const link = random.pick(network.links)
  const forMs = random.pick([1, 50, 5000])
  trace.add(() => `the connection from port ${link.client.local.port} stalls for ${forMs} ms`)
  link.stall()
  await sleep(clock, forMs, "stall")
  link.stall(false)
}

/** A bit of an FPDU is wrong: MPA's CRC shows it. */
function damage({ mpaLinks, random, trace, crc }: World): void {
  const links = crc ? mpaLinks.established : []
  if (links.length === 0) return
  const link = random.pick(links)
  trace.add(() => `a bit is damaged on the connection from port ${link.client.local.port}`)
  random.pick([link.client, link.server]).damage()
}

async function refuse(world: World): Promise<void> {
  const { network, random, clock } = world
  const { port } = world.portal(random.below(world.scenario.portals))
  network.refuse(port)
  if (network.links.length > 0) random.pick(network.links).cut()
  await sleep(clock, random.below(1000), "refusing")
  network.refuse(port, false)
}

async function crash(world: World): Promise<void> {
  world.crash()
  await sleep(world.clock, world.random.pick([0, 20, 3000]), "power failure")
  await world.start()
}

async function restart(world: World): Promise<void> {
  await world.shutDown()
  await sleep(world.clock, world.random.pick([0, 20, 1000]), "restart")
  await world.start()
}

/** Rules for the devices that may have faults, replaced now and then by none. */
function fault({ luns, random, trace }: World): void {
  for (const { faults, plan, lun } of luns) {
    if (!plan.faulty) continue
    faults.heal()
    if (random.chance(0.3)) continue
    const reason = random.pick(["io", "no-space", "write-lost"] as const)
    const bytes = plan.blockBytes * random.below(4)
    const effect = random.pick([
      { kind: "error", reason },
      { kind: "torn", bytes },
      { kind: "torn", bytes },
      { kind: "hang" },
    ] as const)
    // What hangs in a device that can't be stopped hangs until it is healed, and whoever waits for it.
    if (effect.kind === "hang" && plan.stubborn && plan.delayMsMax > 0) continue
    trace.add(() => `LUN ${lun} has faults: ${JSON.stringify(effect)}`)
    faults.addRule({ probability: random.pick([0.02, 0.1]), count: random.pick([1, 5]), effect })
  }
}

async function removeAndAdd(world: World): Promise<void> {
  const lun = world.random.pick(world.luns)
  if (!world.up || !lun.present) return
  world.trace.add(() => `LUN ${lun.lun} is removed`)
  lun.present = false
  await world.target.removeLogicalUnit(lun.lun)
  await sleep(world.clock, world.random.pick([0, 10, 300]), "without the LUN")
  bringBack(world, lun)
}

function bringBack(world: World, lun: SimLun): void {
  if (lun.present || !world.up) return
  world.trace.add(() => `LUN ${lun.lun} is back`)
  lun.present = true
  world.target.addLogicalUnit(lun.lun, lun.unit)
}

async function resize({ luns, random, trace }: World): Promise<void> {
  const lun = random.pick(luns)
  const { countBlocks } = lun.plan
  const to = random.pick([countBlocks, countBlocks * 2, Math.ceil(countBlocks / 2)])
  if (to === lun.oracle.countBlocks) return
  trace.add(() => `LUN ${lun.lun} gets ${to} blocks`)
  await lun.resize(to)
}
