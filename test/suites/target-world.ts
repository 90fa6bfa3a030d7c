/** A network entity with a target in a network of virtual time, and raw initiators that connect to it. */
import assert from "node:assert/strict"
import { MemoryStore } from "../../src/backstore/memory.ts"
import type { ByteReceiver, ByteStream, Endpoint, Listener, Network } from "../../src/base/byte-stream.ts"
import type { Log, LogFields } from "../../src/base/log.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { SimNetwork } from "../../src/base/sim-network.ts"
import { VirtualClock } from "../../src/base/virtual-clock.ts"
import { NetworkEntity, type NetworkEntityOptions } from "../../src/target/network-entity.ts"
import { Target, type TargetOptions } from "../../src/target/target.ts"
import { iserOverIwarp } from "../../src/iser.ts"
import { RawInitiator, TARGET } from "./raw-initiator.ts"
import { IserWire } from "./raw-iser.ts"
import { type RawWire, TcpWire } from "./raw-wire.ts"

const STORE_BYTES = 4 * 1024 * 1024
/** So long may anything take in virtual time before a test gives up. */
const PATIENCE_MS = 120_000

/** A stream whose peer seems to be at another address. */
class AddressedStream implements ByteStream {
  readonly remote: Endpoint
  readonly #stream: ByteStream

  constructor(stream: ByteStream, address: string) {
    this.#stream = stream
    this.remote = { ...stream.remote, address }
  }

  get local(): Endpoint {
    return this.#stream.local
  }

  get pendingBytes(): number {
    return this.#stream.pendingBytes
  }

  start(receiver: ByteReceiver): void {
    this.#stream.start(receiver)
  }

  handOver(receiver: ByteReceiver): void {
    this.#stream.handOver(receiver)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  refreshBuffer(): void {
    this.#stream.refreshBuffer()
  }

  write(pieces: readonly Uint8Array[], sent?: () => void): void {
    this.#stream.write(pieces, sent)
  }

  end(): void {
    this.#stream.end()
  }

  destroy(error?: Error): void {
    this.#stream.destroy(error)
  }
}

export type WorldTransport = "tcp" | "iser"

let transport: WorldTransport = "tcp"

/** What the raw initiators of all worlds made from now on connect over. Set before test files are imported. */
export function connectOver(wanted: WorldTransport): void {
  transport = wanted
}

/** For a test's `skip`: it is about how data PDUs go over TCP, and these don't exist over RDMA. */
export const overTcpAlone = (why: string): string | false => transport !== "tcp" && why

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error"
  readonly message: string
  readonly fields: LogFields
}

export interface TargetWorldOptions {
  readonly target?: Partial<TargetOptions>
  readonly entity?: Partial<NetworkEntityOptions>
  readonly seed?: number
}

export class TargetWorld {
  readonly clock = new VirtualClock()
  readonly sim: SimNetwork
  readonly entity: NetworkEntity
  readonly target: Target
  readonly store = new MemoryStore({ sizeBytes: STORE_BYTES })
  readonly lines: LogLine[] = []
  readonly transport = transport
  /** Where the next connection seems to come from. */
  from = "192.0.2.10"

  constructor(options: TargetWorldOptions = {}) {
    this.sim = new SimNetwork(this.clock, new SeededRandom(options.seed ?? 1))
    const network: Network = {
      connect: (to, connectOptions) => this.sim.connect(to, connectOptions),
      listen: (at, accept): Promise<Listener> =>
        this.sim.listen(at, (stream) => accept(new AddressedStream(stream, this.from))),
    }
    const random = new SeededRandom((options.seed ?? 1) + 1)
    this.entity = new NetworkEntity({
      network,
      clock: this.clock,
      random,
      iser: iserOverIwarp({ network, clock: this.clock, random }),
      log: this.#log(),
      nopIntervalMs: 0,
      ...options.entity,
    })
    this.target = this.addTarget(TARGET, options.target)
    this.target.addLogicalUnit(0, this.store)
  }

  #log(): Log {
    const at =
      (level: LogLine["level"]) =>
      (fields: LogFields, message: string): void => {
        this.lines.push({ level, message, fields })
      }
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
  }

  addTarget(name: string, options: Partial<TargetOptions> = {}): Target {
    // Over iSER a target would leave all data to RDMA, had it the choice.
    const keys = { initialR2T: false, ...options.keys }
    const target = new Target({ name, clock: this.clock, log: this.entity.log, ...options, keys })
    this.entity.addTarget(target)
    return target
  }

  /** A world with a portal at 10.0.0.1:3260, in portal group 1. */
  static async open(options: TargetWorldOptions = {}): Promise<TargetWorld> {
    const world = new TargetWorld(options)
    await world.entity.listen({ host: "10.0.0.1", port: 3260 })
    return world
  }

  async until(what: string, done: () => boolean): Promise<void> {
    assert.ok(await this.clock.advance(PATIENCE_MS, done), `waited in vain for ${what}`)
  }

  /** Lets time pass until a promise has resolved. */
  async settled(promise: Promise<unknown>): Promise<void> {
    let done = false
    void promise.then(() => (done = true))
    await this.until("a promise", () => done)
  }

  /** Lets so much time pass. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms)
  }

  async connect(at: { host?: string; port?: number; from?: string } = {}): Promise<RawInitiator> {
    this.from = at.from ?? "192.0.2.10"
    let stream: ByteStream | undefined
    const to = { host: at.host ?? "10.0.0.1", port: at.port ?? 3260 }
    const connecting = this.sim.connect(to).then((connected) => {
      stream = connected
    })
    await this.until("a connection", () => stream !== undefined)
    await connecting
    return new RawInitiator(await this.#wireOver(stream!), (what, done) => this.until(what, done))
  }

  async #wireOver(stream: ByteStream): Promise<RawWire> {
    if (this.transport === "tcp") return new TcpWire(stream)
    const wire = new IserWire(stream)
    await this.until("an RDMA connection", () => wire.accepted !== undefined)
    return wire
  }

  /** An initiator that is logged in, and has no unit attention pending. */
  async initiator(options: Parameters<RawInitiator["login"]>[0] = {}): Promise<RawInitiator> {
    const initiator = await this.connect()
    await initiator.login(options)
    await initiator.clearUnitAttentions()
    return initiator
  }

  /** Fills the store with a pattern and gives it. */
  pattern(bytes: number): Uint8Array {
    const pattern = new SeededRandom(99).fill(new Uint8Array(bytes))
    void this.store.write(0, pattern, false)
    return pattern
  }

  stored(offset: number, bytes: number): Uint8Array {
    const into = new Uint8Array(bytes)
    this.store.read(offset, into)
    return into
  }

  logged(message: string): LogLine[] {
    return this.lines.filter((line) => line.message === message)
  }

  /** Everything that ended is gone without a trace: memory, sessions, logins, timers. */
  async assertIdle(): Promise<void> {
    await this.until("sessions to end", () => this.entity.sessions.size === 0)
    await this.pass(10_000) // goodbyes that aren't answered
    assert.equal(this.entity.budget.takenBytes, 0, "data buffers come back")
    assert.deepEqual(this.target.sessions(), [])
    for (const portal of this.entity.portals) assert.equal(portal.loginsPending, 0)
    for (const unit of this.target.logicalUnits.values()) assert.equal(unit.allTasks().length, 0)
    assert.deepEqual(this.clock.pending(), [], "no timer is left")
    this.assertNoErrors()
  }

  assertNoErrors(): void {
    assert.deepEqual(
      this.lines.filter(({ level }) => level === "error"),
      [],
    )
  }

  /** Closes the entity; then everything must be gone. */
  async close(): Promise<void> {
    let closed = false
    const closing = this.entity.close().then(() => {
      closed = true
    })
    await this.until("the target to close", () => closed)
    await closing
    await this.assertIdle()
  }
}
