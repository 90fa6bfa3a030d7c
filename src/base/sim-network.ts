import type { ByteStream, Endpoint, Listener, Network } from "./byte-stream.ts"
import type { Clock } from "./clock.ts"
import { hostAndPort, NetworkError } from "./network-error.ts"
import type { SeededRandom } from "./random.ts"
import { SimStream } from "./sim-stream.ts"
import type { SimLinkOptions } from "./sim-stream.ts"

const DEFAULTS: SimLinkOptions = {
  latencyMs: [0.05, 0.5],
  bytesPerMs: 1_000_000,
  chunkBytesMax: 65536,
  windowBytes: 262144,
}

const FIRST_EPHEMERAL_PORT = 49152

/** A connection of the simulated network, as whoever makes it misbehave sees it. */
export class SimLink {
  readonly client: SimStream
  readonly server: SimStream

  constructor(client: SimStream, server: SimStream) {
    this.client = client
    this.server = server
  }

  get closed(): boolean {
    return this.client.closed && this.server.closed
  }

  /** The connection is lost; both ends notice. */
  cut(): void {
    this.client.lose()
    this.server.lose()
  }

  /** Nothing arrives at either end any more, until `stall(false)`; neither end notices. */
  stall(stalled = true): void {
    this.client.stall(stalled)
    this.server.stall(stalled)
  }
}

/**
 * A network in virtual time: with latency, bandwidth, and bytes cut at arbitrary points. What it does is a
 * function of the clock and the seed alone.
 */
export class SimNetwork implements Network {
  /** Every connection made that has not closed. */
  readonly links: SimLink[] = []
  readonly #clock: Clock
  readonly #random: SeededRandom
  readonly #options: SimLinkOptions
  readonly #listeners = new Map<number, (stream: ByteStream) => void>()
  readonly #refused = new Set<number>()
  #nextPort = FIRST_EPHEMERAL_PORT

  constructor(clock: Clock, random: SeededRandom, options: Partial<SimLinkOptions> = {}) {
    this.#clock = clock
    this.#random = random
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Connections to that port are refused, though somebody listens there. */
  refuse(port: number, refused = true): void {
    if (refused) this.#refused.add(port)
    else this.#refused.delete(port)
  }

  connect(to: { host: string; port: number }, options: { signal?: AbortSignal } = {}): Promise<ByteStream> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const [min, max] = this.#options.latencyMs
      const timer = this.#clock.after(min + max, "sim: connect", () => {
        signal?.removeEventListener("abort", onAbort)
        const accept = this.#refused.has(to.port) ? undefined : this.#listeners.get(to.port)
        if (accept) return resolve(this.#link(to, accept))
        reject(
          new NetworkError(
            "ERR_CONNECTION_REFUSED",
            `can't connect to ${hostAndPort(to.host, to.port)}: nobody listens there`,
            "ECONNREFUSED",
          ),
        )
      })
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason as Error)
      }
      signal?.addEventListener("abort", onAbort, { once: true })
    })
  }

  #link(to: { host: string; port: number }, accept: (stream: ByteStream) => void): SimStream {
    const near: Endpoint = { address: "127.0.0.1", port: this.#nextPort++ }
    const far: Endpoint = { address: to.host, port: to.port }
    const client = new SimStream(near, far, this.#clock, this.#random, this.#options)
    const server = new SimStream(far, near, this.#clock, this.#random, this.#options)
    client.peer = server
    server.peer = client
    for (let i = this.links.length - 1; i >= 0; i--) if (this.links[i]!.closed) this.links.splice(i, 1)
    this.links.push(new SimLink(client, server))
    accept(server)
    return client
  }

  listen(at: { host: string; port: number }, accept: (stream: ByteStream) => void): Promise<Listener> {
    const port = at.port === 0 ? this.#nextPort++ : at.port
    if (this.#listeners.has(port)) {
      const where = hostAndPort(at.host, port)
      const message = `can't listen at ${where}: the address is in use (EADDRINUSE)`
      return Promise.reject(new NetworkError("ERR_ADDRESS_IN_USE", message, "EADDRINUSE"))
    }
    this.#listeners.set(port, accept)
    return Promise.resolve({
      local: { address: at.host, port },
      close: () => {
        this.#listeners.delete(port)
        return Promise.resolve()
      },
    })
  }
}
