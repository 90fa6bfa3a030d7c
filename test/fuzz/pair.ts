/** A target and two initiators in virtual time: what happens between one of them and the target must not hurt the other. */
import assert from "node:assert/strict"
import { DelayStore, MemoryStore } from "../../src/backstore/index.ts"
import { sleep } from "../../src/base/clock.ts"
import { SanletError } from "../../src/base/errors.ts"
import type { Log } from "../../src/base/log.ts"
import { silentLog } from "../../src/base/log.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { SimNetwork } from "../../src/base/sim-network.ts"
import { VirtualClock } from "../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../src/datamover/shared/index.ts"
import { Disk, type DiskLocation, type OpenOptions } from "../../src/initiator/index.ts"
import { NetworkEntity } from "../../src/target/network-entity.ts"
import { Target } from "../../src/target/target.ts"

export const PORTAL = { host: "10.0.0.1", port: 3260 }
const HEALTHY = "iqn.2026-01.org.example:healthy"
export const VICTIM = "iqn.2026-01.org.example:victim"
const DISK_BYTES = 256 * 1024
const BLOCK_BYTES = 512
const BUFFER_BYTES = 4 * 1024 * 1024
/** Longest an operation of the healthy initiator may take, in virtual time. */
const HEALTHY_MS_MAX = 200
/** All deadlines are over after that. */
const CALM_MS = 120_000

export class Pair {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly network: SimNetwork
  readonly entity: NetworkEntity
  /** What the victim takes memory from; the target has another. */
  readonly victimBudget = new DataBufferBudget(BUFFER_BYTES)
  readonly healthyBudget = new DataBufferBudget(BUFFER_BYTES)
  /** Lines of level error: nothing a peer does should make the target write any. */
  readonly complaints: string[] = []
  readonly #escaped: unknown[] = []
  readonly #onEscaped = (error: unknown) => void this.#escaped.push(error)

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    const { clock, random } = this
    this.network = new SimNetwork(clock, random, {
      chunkBytesMax: random.pick([100, 1460, 65536]),
      latencyMs: [0.05, 0.5],
    })
    const log: Log = {
      ...silentLog,
      error: (fields, message) => this.complaints.push(`${message} ${JSON.stringify(fields)}`),
    }
    this.entity = new NetworkEntity({
      clock,
      random,
      network: this.network,
      log,
      dataBufferBytesMax: BUFFER_BYTES,
      nopIntervalMs: 1000,
      nopDeadlineMs: 1000,
      loginDeadlineMs: 5000,
    })
    process.on("uncaughtException", this.#onEscaped)
    process.on("unhandledRejection", this.#onEscaped)
  }

  async start(): Promise<void> {
    const { clock, random } = this
    for (const name of [HEALTHY, VICTIM]) {
      const target = new Target({ name, clock })
      for (const lun of [0, 1]) {
        const memory = new MemoryStore({ sizeBytes: DISK_BYTES })
        const slow = lun === 1 && name === VICTIM
        const device = slow ? new DelayStore(memory, { read: 5, write: 5 }, { clock, random }) : memory
        target.addLogicalUnit(lun, device, { random, identity: { serial: `${name}-${lun}` } })
      }
      this.entity.addTarget(target)
    }
    await this.entity.listen(PORTAL)
  }

  open(target: string, lun: number, options: OpenOptions): Promise<Disk> {
    const { clock, random, network } = this
    const budget = target === VICTIM ? this.victimBudget : this.healthyBudget
    const location: DiskLocation = { ...PORTAL, target, lun } as DiskLocation
    return Disk.open(location, {
      ...options,
      services: { clock, random, network, budget, ...options.services },
    })
  }

  /** The healthy initiator: everything works, and in time. */
  async beHealthy(operations: number): Promise<void> {
    const disk = await this.open(HEALTHY, 0, { name: "iqn.2026-01.org.example:host-h", reconnect: false })
    const expected = new Uint8Array(DISK_BYTES)
    const { clock, random } = this
    for (let i = 0; i < operations; i++) {
      const lba = random.below(DISK_BYTES / BLOCK_BYTES - 16)
      const bytes = (1 + random.below(16)) * BLOCK_BYTES
      const at = lba * BLOCK_BYTES
      const startMs = clock.nowMs()
      if (random.chance(0.5)) {
        const data = new Uint8Array(bytes).fill(1 + (i % 255))
        await disk.writeBlocks(lba, data)
        expected.set(data, at)
      } else {
        const read = new Uint8Array(bytes)
        await disk.readBlocks(lba, read)
        assert.equal(Buffer.compare(read, expected.subarray(at, at + bytes)), 0, "the healthy disk's content")
      }
      assert.ok(clock.nowMs() - startMs <= HEALTHY_MS_MAX, `an operation took ${clock.nowMs() - startMs} ms`)
      assert.ok(this.entity.budget.takenBytes <= BUFFER_BYTES, "the target's memory is bounded")
      await sleep(clock, random.below(100), "healthy pause")
    }
    await disk.close()
  }

  /** Runs all of `work` to its end, and looks at what is left then: nothing. */
  async run(work: readonly Promise<unknown>[]): Promise<void> {
    try {
      await this.#until(Promise.all(work))
      await this.#until(this.entity.close())
      await this.clock.advance(CALM_MS)
      this.#judge()
    } finally {
      process.off("uncaughtException", this.#onEscaped)
      process.off("unhandledRejection", this.#onEscaped)
    }
  }

  async #until(done: Promise<unknown>): Promise<void> {
    let over = false
    let failure: Error | undefined
    done.then(
      () => {
        over = true
      },
      (error: Error) => {
        failure = error
        over = true
      },
    )
    const settled = await this.clock.advance(10 * CALM_MS, () => over)
    if (failure) throw failure
    assert.ok(settled, `something never ended; timers: ${this.clock.pending().join(", ")}`)
  }

  #judge(): void {
    const [escaped] = this.#escaped
    assert.equal(escaped, undefined, `escaped: ${(escaped as Error)?.stack}`)
    assert.deepEqual(this.complaints, [])
    const { budget, sessions } = this.entity
    assert.equal(budget.takenBytes, 0, "the target's data buffers are given back")
    assert.ok(
      budget.pool.taken <= 1,
      `the target's memory is given back, but for ${budget.pool.taken} pieces`,
    )
    assert.equal(sessions.size, 0, "all sessions have ended")
    assert.equal(this.victimBudget.takenBytes, 0, "the initiator's data buffers are given back")
    assert.ok(this.victimBudget.pool.taken <= 1, "the initiator's memory is given back")
    assert.deepEqual(this.clock.pending(), [], "no timer is left")
    assert.deepEqual(
      this.network.links.map((link) => link.closed),
      this.network.links.map(() => true),
      "every connection is closed",
    )
  }
}

/** Throws what isn't an error we make on purpose. */
export function mustBeTyped(error: unknown): void {
  if (!(error instanceof SanletError)) throw error
}
