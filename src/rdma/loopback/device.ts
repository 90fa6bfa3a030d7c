import type { Listener } from "../../base/byte-stream.ts"
import { hostAndPort, NetworkError } from "../../base/network-error.ts"
import { Access } from "../verbs/index.ts"
import type {
  Connection,
  ConnectionRequest,
  ConnectOptions,
  DeviceCapabilities,
  DeviceLimits,
  QueuePairOptions,
} from "../verbs/index.ts"
import { SoftwareDevice } from "../verbs/software/device.ts"
import { connect, PortListener } from "./connect.ts"
import type { LoopbackFabric } from "./fabric.ts"
import { LoopbackQueuePair } from "./queue-pair.ts"

const CAPABILITIES: DeviceCapabilities = {
  remoteInvalidate: true,
  fastRegistration: true,
  acknowledged: true,
  receiverNotReady: true,
  wholeMessageChecks: true,
  readSinkAccess: Access.LocalWrite,
}

/** A device of the loopback fabric. */
export class LoopbackDevice extends SoftwareDevice {
  readonly transport = "loopback"
  readonly name: string
  readonly address: string
  readonly capabilities = CAPABILITIES
  readonly fabric: LoopbackFabric
  readonly listeners = new Map<number, PortListener>()

  constructor(fabric: LoopbackFabric, address: string, deviceLimits: Partial<DeviceLimits>) {
    super(fabric.clock, fabric.random, deviceLimits)
    this.fabric = fabric
    this.address = address
    this.name = `loopback ${address}`
  }

  listen(
    at: { host: string; port: number },
    requested: (request: ConnectionRequest) => void,
  ): Promise<Listener> {
    try {
      this.checkOpen()
      if (at.host !== this.address && at.host !== "0.0.0.0" && at.host !== "::") {
        const message = `can't listen at ${hostAndPort(at.host, at.port)}: the address is not one of this device`
        throw new NetworkError("ERR_ADDRESS_NOT_AVAILABLE", message, "EADDRNOTAVAIL")
      }
      const listener = new PortListener(this, this.#port(at.port), requested)
      this.listeners.set(listener.local.port, listener)
      return Promise.resolve(listener)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  connect(to: { host: string; port: number }, options: ConnectOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.checkOpen()
      connect(this, to, options, resolve, reject)
    })
  }

  override close(): Promise<void> {
    for (const listener of this.listeners.values()) void listener.close()
    this.fabric.remove(this)
    return super.close()
  }

  protected override makeQp(number: number, options: QueuePairOptions): LoopbackQueuePair {
    return new LoopbackQueuePair(this, number, options)
  }

  #port(asked: number): number {
    if (asked !== 0 && !this.listeners.has(asked)) return asked
    if (asked !== 0) {
      const message = `can't listen at ${hostAndPort(this.address, asked)}: the address is in use`
      throw new NetworkError("ERR_ADDRESS_IN_USE", message, "EADDRINUSE")
    }
    let port = this.fabric.nextPort()
    while (this.listeners.has(port)) port = this.fabric.nextPort()
    return port
  }
}
