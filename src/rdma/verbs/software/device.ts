import type { Listener } from "../../../base/byte-stream.ts"
import type { Clock } from "../../../base/clock.ts"
import * as limits from "../../../base/limits.ts"
import type { Random } from "../../../base/random.ts"
import type { Connection, ConnectionRequest, ConnectOptions } from "../connection.ts"
import type { Device, DeviceCapabilities, DeviceLimits } from "../device.ts"
import { VerbsError } from "../errors.ts"
import type { QueuePairOptions } from "../queue-pair.ts"
import type { SharedReceiveQueueOptions } from "../srq.ts"
import { SoftwareCompletionQueue } from "./completion-queue.ts"
import { RegionTable, SoftwareProtectionDomain } from "./memory.ts"
import type { SoftwareQueuePair } from "./queue-pair.ts"
import { SoftwareSharedReceiveQueue } from "./srq.ts"
import { checkCount } from "./work-queue.ts"

/** What a device made of software has room for, when it isn't told otherwise. */
export const SOFTWARE_LIMITS: DeviceLimits = {
  queuePairsMax: limits.RDMA_QUEUE_PAIRS_MAX,
  workRequestsMax: limits.RDMA_WORK_REQUESTS_MAX,
  entriesMax: limits.RDMA_ENTRIES_MAX,
  inlineBytesMax: limits.RDMA_INLINE_BYTES_MAX,
  completionQueuesMax: limits.RDMA_COMPLETION_QUEUES_MAX,
  completionsMax: limits.RDMA_COMPLETIONS_MAX,
  sharedReceiveQueuesMax: limits.RDMA_QUEUE_PAIRS_MAX,
  protectionDomainsMax: limits.RDMA_PROTECTION_DOMAINS_MAX,
  regionsMax: limits.RDMA_REGIONS_MAX,
  regionBytesMax: limits.RDMA_REGION_BYTES_MAX,
  messageBytesMax: limits.RDMA_MESSAGE_BYTES_MAX,
  responderResourcesMax: limits.RDMA_READS_MAX,
  initiatorDepthMax: limits.RDMA_READS_MAX,
  privateDataBytesMax: limits.RDMA_PRIVATE_DATA_BYTES_MAX,
}

/** The part of a device made of software that is alike in all of them: what was made from it, and its bounds. */
export abstract class SoftwareDevice implements Device {
  abstract readonly name: string
  abstract readonly transport: Device["transport"]
  abstract readonly capabilities: DeviceCapabilities
  readonly limits: DeviceLimits
  readonly clock: Clock
  /** Ends what is neither a connection nor none yet: attempts of ours, requests of others. */
  readonly unsettled = new Set<(error: Error) => void>()
  readonly #table: RegionTable
  readonly #queuePairs = new Set<SoftwareQueuePair>()
  readonly #completionQueues = new Set<SoftwareCompletionQueue>()
  readonly #sharedQueues = new Set<SoftwareSharedReceiveQueue>()
  readonly #domains = new Set<SoftwareProtectionDomain>()
  #nextNumber: number
  #closed = false

  constructor(clock: Clock, random: Random, deviceLimits: Partial<DeviceLimits> = {}) {
    this.clock = clock
    this.limits = { ...SOFTWARE_LIMITS, ...deviceLimits }
    this.#table = new RegionTable(this.limits, random)
    this.#nextNumber = random.uint32() & 0xffffff
  }

  /** Queue pairs that weren't destroyed. */
  get queuePairCount(): number {
    return this.#queuePairs.size
  }

  abstract listen(
    at: { host: string; port: number },
    requested: (request: ConnectionRequest) => void,
  ): Promise<Listener>

  abstract connect(to: { host: string; port: number }, options: ConnectOptions): Promise<Connection>

  allocatePd(): SoftwareProtectionDomain {
    this.#room("protection domains", this.#domains.size, this.limits.protectionDomainsMax)
    const pd = new SoftwareProtectionDomain(this, this.#table, () => this.#domains.delete(pd))
    this.#domains.add(pd)
    return pd
  }

  createCq(entries: number, notify: () => void): SoftwareCompletionQueue {
    this.#room("completion queues", this.#completionQueues.size, this.limits.completionQueuesMax)
    checkCount("a completion queue", entries, this.limits.completionsMax)
    const released = (): void => void this.#completionQueues.delete(cq)
    const cq = new SoftwareCompletionQueue((call) => this.wake(call), entries, notify, released)
    this.#completionQueues.add(cq)
    return cq
  }

  /** How somebody who has armed a completion queue is called: once the events already waiting are handled. */
  protected wake(call: () => void): void {
    this.clock.after(0, "rdma: completions", call)
  }

  createSrq(options: SharedReceiveQueueOptions): SoftwareSharedReceiveQueue {
    this.#room("shared receive queues", this.#sharedQueues.size, this.limits.sharedReceiveQueuesMax)
    const released = (): void => void this.#sharedQueues.delete(srq)
    const srq = new SoftwareSharedReceiveQueue(this, options, released)
    this.#sharedQueues.add(srq)
    return srq
  }

  createQp(options: QueuePairOptions): SoftwareQueuePair {
    this.#room("queue pairs", this.#queuePairs.size, this.limits.queuePairsMax)
    // 24 bits; 0 and 1 are special on InfiniBand (IB spec §10.2.4).
    this.#nextNumber = (this.#nextNumber + 1) % 2 ** 24 || 2
    const qp = this.makeQp(Math.max(2, this.#nextNumber), options)
    this.#queuePairs.add(qp)
    return qp
  }

  forget(qp: SoftwareQueuePair): void {
    this.#queuePairs.delete(qp)
  }

  close(): Promise<void> {
    this.#closed = true
    for (const end of this.unsettled) end(new VerbsError("closed", "the device was closed"))
    for (const qp of this.#queuePairs) qp.destroy()
    for (const cq of this.#completionQueues) cq.discard()
    for (const srq of this.#sharedQueues) srq.destroy()
    for (const pd of this.#domains) pd.discard()
    return Promise.resolve()
  }

  /** Throws VerbsError when it was closed. */
  checkOpen(): void {
    if (this.#closed) throw new VerbsError("closed", "the device was closed")
  }

  protected abstract makeQp(number: number, options: QueuePairOptions): SoftwareQueuePair

  #room(what: string, have: number, max: number): void {
    this.checkOpen()
    if (have >= max) throw new VerbsError("limit", `the device has no room for more than ${max} ${what}`)
  }
}
