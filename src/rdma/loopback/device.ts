import type { Listener } from "../../base/byte-stream.ts"
import { hostAndPort, NetworkError } from "../../base/network-error.ts"
import * as limits from "../../base/limits.ts"
import { Access, VerbsError } from "../verbs/index.ts"
import type {
  Connection,
  ConnectionRequest,
  ConnectOptions,
  Device,
  DeviceCapabilities,
  DeviceLimits,
  QueuePairOptions,
} from "../verbs/index.ts"
import { SoftwareCompletionQueue } from "../verbs/software/completion-queue.ts"
import { RegionTable, SoftwareProtectionDomain } from "../verbs/software/memory.ts"
import { checkCount } from "../verbs/software/work-queue.ts"
import { connect, PortListener } from "./connect.ts"
import type { LoopbackFabric } from "./fabric.ts"
import { LoopbackQueuePair } from "./queue-pair.ts"

const LIMITS: DeviceLimits = {
  queuePairsMax: limits.RDMA_QUEUE_PAIRS_MAX,
  workRequestsMax: limits.RDMA_WORK_REQUESTS_MAX,
  entriesMax: limits.RDMA_ENTRIES_MAX,
  inlineBytesMax: limits.RDMA_INLINE_BYTES_MAX,
  completionQueuesMax: limits.RDMA_COMPLETION_QUEUES_MAX,
  completionsMax: limits.RDMA_COMPLETIONS_MAX,
  protectionDomainsMax: limits.RDMA_PROTECTION_DOMAINS_MAX,
  regionsMax: limits.RDMA_REGIONS_MAX,
  regionBytesMax: limits.RDMA_REGION_BYTES_MAX,
  messageBytesMax: limits.RDMA_MESSAGE_BYTES_MAX,
  responderResourcesMax: limits.RDMA_READS_MAX,
  initiatorDepthMax: limits.RDMA_READS_MAX,
  privateDataBytesMax: limits.RDMA_PRIVATE_DATA_BYTES_MAX,
}

const CAPABILITIES: DeviceCapabilities = {
  remoteInvalidate: true,
  fastRegistration: true,
  acknowledged: true,
  receiverNotReady: true,
  wholeMessageChecks: true,
  readSinkAccess: Access.LocalWrite,
}

/** A device of the loopback fabric. */
export class LoopbackDevice implements Device {
  readonly transport = "loopback"
  readonly name: string
  readonly address: string
  readonly limits: DeviceLimits
  readonly capabilities = CAPABILITIES
  readonly fabric: LoopbackFabric
  readonly listeners = new Map<number, PortListener>()
  /** Ends what is neither a connection nor none yet: attempts of ours, requests of others. */
  readonly unsettled = new Set<(error: Error) => void>()
  readonly #table: RegionTable
  readonly #queuePairs = new Set<LoopbackQueuePair>()
  readonly #completionQueues = new Set<SoftwareCompletionQueue>()
  readonly #domains = new Set<SoftwareProtectionDomain>()
  #nextNumber: number
  #closed = false

  constructor(fabric: LoopbackFabric, address: string, deviceLimits: Partial<DeviceLimits>) {
    this.fabric = fabric
    this.address = address
    this.name = `loopback ${address}`
    this.limits = { ...LIMITS, ...deviceLimits }
    this.#table = new RegionTable(this.limits, fabric.random)
    this.#nextNumber = fabric.random.below(2 ** 24)
  }

  allocatePd(): SoftwareProtectionDomain {
    this.#room("protection domains", this.#domains.size, this.limits.protectionDomainsMax)
    const pd = new SoftwareProtectionDomain(this, this.#table, () => this.#domains.delete(pd))
    this.#domains.add(pd)
    return pd
  }

  createCq(entries: number, notify: () => void): SoftwareCompletionQueue {
    this.#room("completion queues", this.#completionQueues.size, this.limits.completionQueuesMax)
    checkCount("a completion queue", entries, this.limits.completionsMax)
    const { clock } = this.fabric
    const cq = new SoftwareCompletionQueue(clock, entries, notify, () => this.#completionQueues.delete(cq))
    this.#completionQueues.add(cq)
    return cq
  }

  createQp(options: QueuePairOptions): LoopbackQueuePair {
    this.#room("queue pairs", this.#queuePairs.size, this.limits.queuePairsMax)
    // 24 bits; 0 and 1 are special on InfiniBand (IB spec §10.2.4).
    this.#nextNumber = (this.#nextNumber + 1) % 2 ** 24 || 2
    const qp = new LoopbackQueuePair(this, Math.max(2, this.#nextNumber), options)
    this.#queuePairs.add(qp)
    return qp
  }

  forget(qp: LoopbackQueuePair): void {
    this.#queuePairs.delete(qp)
  }

  listen(
    at: { host: string; port: number },
    requested: (request: ConnectionRequest) => void,
  ): Promise<Listener> {
    try {
      this.#open()
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
      this.#open()
      connect(this, to, options, resolve, reject)
    })
  }

  close(): Promise<void> {
    this.#closed = true
    for (const listener of this.listeners.values()) void listener.close()
    for (const end of this.unsettled) end(new VerbsError("closed", "the device was closed"))
    for (const qp of this.#queuePairs) qp.destroy()
    for (const cq of this.#completionQueues) cq.discard()
    for (const pd of this.#domains) pd.discard()
    this.fabric.remove(this)
    return Promise.resolve()
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

  #room(what: string, have: number, max: number): void {
    this.#open()
    if (have >= max) throw new VerbsError("limit", `the device has no room for more than ${max} ${what}`)
  }

  #open(): void {
    if (this.#closed) throw new VerbsError("closed", "the device was closed")
  }
}
