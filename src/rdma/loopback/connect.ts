import type { Endpoint, Listener } from "../../base/byte-stream.ts"
import type { Timer } from "../../base/clock.ts"
import {
  RDMA_ACCEPT_DEADLINE_MS,
  RDMA_CONNECT_DEADLINE_MS,
  RDMA_REQUESTS_PENDING_MAX,
} from "../../base/limits.ts"
import { hostAndPort, NetworkError } from "../../base/network-error.ts"
import { ConnectionRejectedError, VerbsError } from "../verbs/index.ts"
import type { Connection, ConnectionParameters, ConnectionRequest, ConnectOptions } from "../verbs/index.ts"
import { checkPrivateData, checkRetries, claim } from "../verbs/software/parameters.ts"
import type { AgreedParameters } from "../verbs/software/parameters.ts"
import { LoopbackConnection } from "./connection.ts"
import type { LoopbackDevice } from "./device.ts"
import { latencyOf } from "./pipe.ts"
import type { LoopbackQueuePair } from "./queue-pair.ts"

const lost = (message: string): NetworkError => new NetworkError("ERR_CONNECTION_LOST", message, "ECONNRESET")

/** What listens at one port of a device. */
export class PortListener implements Listener {
  readonly local: Endpoint
  readonly requested: (request: ConnectionRequest) => void
  /** Requests not answered yet. */
  pending = 0
  readonly #device: LoopbackDevice

  constructor(device: LoopbackDevice, port: number, requested: (request: ConnectionRequest) => void) {
    this.#device = device
    this.local = { address: device.address, port }
    this.requested = requested
  }

  close(): Promise<void> {
    if (this.#device.listeners.get(this.local.port) === this) this.#device.listeners.delete(this.local.port)
    return Promise.resolve()
  }
}

/** The asking side: one attempt, until it is settled one way or the other. */
class Attempt {
  readonly device: LoopbackDevice
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly offer: AgreedParameters
  readonly retryCount: number
  readonly disconnected: ConnectOptions["disconnected"]
  settled = false
  readonly #resolve: (connection: Connection) => void
  readonly #reject: (error: Error) => void
  readonly #cleanUp: () => void

  constructor(
    device: LoopbackDevice,
    to: { host: string; port: number },
    options: ConnectOptions,
    resolve: (connection: Connection) => void,
    reject: (error: Error) => void,
  ) {
    const { clock } = device.fabric
    const { signal, deadlineMs = RDMA_CONNECT_DEADLINE_MS } = options
    this.device = device
    this.retryCount = checkRetries(options.retryCount)
    this.offer = claim(device, options)
    this.local = { address: device.address, port: device.fabric.nextPort() }
    this.remote = { address: to.host, port: to.port }
    this.disconnected = options.disconnected
    this.#resolve = resolve
    this.#reject = reject
    const fail = (error: Error): void => this.fail(error)
    const onAbort = (): void => fail(signal?.reason as Error)
    const timer = clock.after(deadlineMs, "loopback: connect", () => fail(this.timeout()))
    signal?.addEventListener("abort", onAbort, { once: true })
    device.unsettled.add(fail)
    this.offer.qp.abandon = () => fail(new VerbsError("closed", "the queue pair was destroyed"))
    this.#cleanUp = () => {
      timer.cancel()
      signal?.removeEventListener("abort", onAbort)
      device.unsettled.delete(fail)
      this.offer.qp.abandon = undefined
    }
  }

  get where(): string {
    return hostAndPort(this.remote.address, this.remote.port)
  }

  timeout(): NetworkError {
    const message = `can't connect to ${this.where}: no answer in time`
    return new NetworkError("ERR_CONNECTION_TIMED_OUT", message, "ETIMEDOUT")
  }

  fail(error: Error): void {
    if (this.settled) return
    this.settled = true
    this.#cleanUp()
    this.offer.qp.enterError()
    this.#reject(error)
  }

  established(connection: LoopbackConnection): void {
    this.settled = true
    this.#cleanUp()
    connection.established()
    this.#resolve(connection)
  }

  /** Does something once it has got to the other side. */
  carry(arrive: () => void): void {
    const { fabric } = this.device
    fabric.clock.after(latencyOf(fabric), "loopback: connection management", arrive)
  }
}

/** The asked side, until it has answered. */
class Request implements ConnectionRequest {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  readonly responderResources: number
  readonly initiatorDepth: number
  readonly #attempt: Attempt
  readonly #listener: PortListener
  readonly #device: LoopbackDevice
  readonly #deadline: Timer
  readonly #drop: () => void
  #answered = false

  constructor(attempt: Attempt, device: LoopbackDevice, listener: PortListener) {
    const { offer } = attempt
    this.#attempt = attempt
    this.#listener = listener
    this.#device = device
    this.local = { address: device.address, port: listener.local.port }
    this.remote = attempt.local
    this.privateData = offer.privateData
    this.responderResources = Math.min(offer.initiatorDepth, device.limits.responderResourcesMax)
    this.initiatorDepth = Math.min(offer.responderResources, device.limits.initiatorDepthMax)
    listener.pending++
    this.#drop = () => {
      if (this.#answer()) attempt.carry(() => attempt.fail(attempt.timeout()))
    }
    device.unsettled.add(this.#drop)
    const { clock } = device.fabric
    this.#deadline = clock.after(RDMA_ACCEPT_DEADLINE_MS, "loopback: accept", this.#drop)
  }

  /** Whether this is the first answer. */
  #answer(): boolean {
    if (this.#answered) return false
    this.#answered = true
    this.#listener.pending--
    this.#deadline.cancel()
    this.#device.unsettled.delete(this.#drop)
    return true
  }

  accept(parameters: ConnectionParameters): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const agreed = claim(this.#device, parameters)
      if (!this.#answer()) {
        agreed.qp.enterError()
        throw lost(`the request of ${hostAndPort(this.remote.address, this.remote.port)} has had its answer`)
      }
      this.#connect(agreed, parameters.disconnected, resolve, reject)
    })
  }

  reject(privateData?: Uint8Array): void {
    const said = checkPrivateData(this.#device, privateData)
    const attempt = this.#attempt
    if (!this.#answer()) return
    const error = new ConnectionRejectedError(`${attempt.where} has rejected the connection`, said)
    attempt.carry(() => attempt.fail(error))
  }

  #connect(
    agreed: AgreedParameters,
    disconnected: ConnectionParameters["disconnected"],
    resolve: (connection: Connection) => void,
    reject: (error: Error) => void,
  ): void {
    const attempt = this.#attempt
    const { offer } = attempt
    const { fabric } = this.#device
    const responderResources = Math.min(agreed.responderResources, this.responderResources)
    const initiatorDepth = Math.min(agreed.initiatorDepth, this.initiatorDepth)
    const passive = new LoopbackConnection(fabric, {
      qp: agreed.qp as LoopbackQueuePair,
      local: this.local,
      remote: this.remote,
      privateData: offer.privateData,
      responderResources,
      initiatorDepth,
      retryCount: attempt.retryCount,
      rnrRetryCount: offer.rnrRetryCount,
      disconnected,
    })
    passive.onEstablished = () => resolve(passive)
    passive.onFailed = () =>
      reject(lost(`the connection of ${hostAndPort(this.remote.address, this.remote.port)} is gone`))
    attempt.carry(() => {
      if (attempt.settled || passive.ended)
        return attempt.carry(() => {
          passive.end("lost", "the peer has gone")
          attempt.fail(lost(`${attempt.where} has dropped the connection`))
        })
      const active = new LoopbackConnection(fabric, {
        qp: offer.qp as LoopbackQueuePair,
        local: attempt.local,
        remote: attempt.remote,
        privateData: agreed.privateData,
        responderResources: initiatorDepth,
        initiatorDepth: responderResources,
        retryCount: attempt.retryCount,
        rnrRetryCount: agreed.rnrRetryCount,
        disconnected: attempt.disconnected,
      })
      active.peer = passive
      passive.peer = active
      fabric.addLink(active, passive)
      attempt.established(active)
      attempt.carry(() => passive.established())
    })
  }
}

/** rdma_connect; what is wrong with the parameters is thrown. */
export function connect(
  device: LoopbackDevice,
  to: { host: string; port: number },
  options: ConnectOptions,
  resolve: (connection: Connection) => void,
  reject: (error: Error) => void,
): void {
  if (options.signal?.aborted) return reject(options.signal.reason as Error)
  const attempt = new Attempt(device, to, options, resolve, reject)
  attempt.carry(() => {
    if (attempt.settled) return
    const there = device.fabric.find(to.host)
    const listener = there?.listeners.get(to.port)
    if (there !== undefined && listener !== undefined && listener.pending < RDMA_REQUESTS_PENDING_MAX)
      return listener.requested(new Request(attempt, there, listener))
    const [code, why, system] =
      there === undefined
        ? ["ERR_HOST_UNREACHABLE", "no way to that host", "EHOSTUNREACH"]
        : ["ERR_CONNECTION_REFUSED", "nobody listens there", "ECONNREFUSED"]
    const error = new NetworkError(code, `can't connect to ${attempt.where}: ${why}`, system)
    attempt.carry(() => attempt.fail(error))
  })
}
