import { type Clock, systemClock } from "../../base/clock.ts"
import { SeededRandom } from "../../base/random.ts"
import type { DeviceLimits } from "../verbs/index.ts"
import { VerbsError } from "../verbs/index.ts"
import type { LoopbackConnection } from "./connection.ts"
import { LoopbackDevice } from "./device.ts"
import type { FabricContext, LoopbackTiming } from "./pipe.ts"

const DEFAULTS: LoopbackTiming = {
  latencyMs: [0, 0],
  segmentBytes: [4096, 65536],
  ackTimeoutMs: 1000,
  rnrDelayMs: 1,
}

const FIRST_EPHEMERAL_PORT = 49152

export interface LoopbackOptions extends Partial<LoopbackTiming> {
  readonly clock?: Clock
  /** Decides latencies, the cut of messages, and the order of what has none. */
  readonly random?: SeededRandom
}

/** A connection, as whoever makes it misbehave sees it. */
export class LoopbackLink {
  readonly active: LoopbackConnection
  readonly passive: LoopbackConnection

  constructor(active: LoopbackConnection, passive: LoopbackConnection) {
    this.active = active
    this.passive = passive
  }

  /** Nothing arrives at either end any more, until `stall(false)`. */
  stall(stalled = true): void {
    for (const end of [this.active, this.passive])
      for (const pipe of [end.requests, end.responses, end.notices]) pipe.hold(stalled)
  }
}

/**
 * RDMA within the process: devices that reach each other by address. It keeps every rule of the verbs seam to
 * the letter, and what the rules leave open it varies by seed; so it is the oracle the other providers are
 * held against.
 */
export class LoopbackFabric implements FabricContext {
  readonly clock: Clock
  readonly random: SeededRandom
  readonly timing: LoopbackTiming
  /** Every connection that hasn't ended on both sides. */
  readonly links: LoopbackLink[] = []
  readonly #devices = new Map<string, LoopbackDevice>()
  #nextPort = FIRST_EPHEMERAL_PORT

  constructor(options: LoopbackOptions = {}) {
    const { clock = systemClock, random = new SeededRandom(0), ...timing } = options
    this.clock = clock
    this.random = random
    this.timing = { ...DEFAULTS, ...timing }
  }

  /**
   * A device with that address, which stands for a whole machine. Throws VerbsError when the address is
   * taken.
   */
  openDevice(address: string, limits: Partial<DeviceLimits> = {}): LoopbackDevice {
    if (this.#devices.has(address)) throw new VerbsError("busy", `there is a device with address ${address}`)
    const device = new LoopbackDevice(this, address, limits)
    this.#devices.set(address, device)
    return device
  }

  find(address: string): LoopbackDevice | undefined {
    return this.#devices.get(address)
  }

  remove(device: LoopbackDevice): void {
    if (this.#devices.get(device.address) === device) this.#devices.delete(device.address)
  }

  nextPort(): number {
    const port = this.#nextPort++
    if (this.#nextPort > 65535) this.#nextPort = FIRST_EPHEMERAL_PORT
    return port
  }

  addLink(active: LoopbackConnection, passive: LoopbackConnection): void {
    for (let i = this.links.length - 1; i >= 0; i--) {
      const link = this.links[i]!
      if (link.active.ended && link.passive.ended) this.links.splice(i, 1)
    }
    this.links.push(new LoopbackLink(active, passive))
  }
}
