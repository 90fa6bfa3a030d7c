/** Two ends of an RDMA connection, for the contract suite of its providers. */
import assert from "node:assert/strict"
import {
  Access,
  addressHighAt,
  addressLowAt,
  ReceiveRequest,
  SendOpcode,
  SendRequest,
  VerbsError,
  WorkCompletion,
  workStatusName,
} from "../../src/rdma/verbs/index.ts"
import type {
  CompletionQueue,
  Connection,
  ConnectionParameters,
  ConnectOptions,
  Device,
  Disconnection,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  QueuePairOptions,
  ScatterGatherEntry,
  SharedReceiveQueue,
} from "../../src/rdma/verbs/index.ts"

/** A provider under test. */
export interface VerbsSubject {
  readonly name: string
  /** A fresh pair of devices; what a provider may do this way or that is a function of the seed. */
  open(seed: number): Promise<VerbsPair>
  /** A reason to skip everything, printed. */
  readonly skip?: string | false
}

export interface VerbsPair {
  /** The device that connects, and the one that listens; maybe the same. */
  readonly active: Device
  readonly passive: Device
  /** Where `passive` listens. */
  readonly host: string
  /** Lets time pass until `done` says so; rejects when that takes longer than anything should. */
  until(what: string, done: () => boolean): Promise<void>
  /** Lets so much time pass that whatever is under way is over. */
  rest(): Promise<void>
  /** Stops and resumes what goes between the devices, when the provider can be told to. */
  readonly stall?: (stalled: boolean) => void
  dispose(): Promise<void>
}

export const ALL_ACCESS = Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead

/** What a completion said. */
export interface Ended {
  readonly wrId: number
  readonly status: number
  readonly opcode: number
  readonly byteLength: number
  readonly invalidatedRkey: number
}

/** A peer's memory as requests name it. */
export interface Remote {
  readonly rkey: number
  readonly addressHigh: number
  readonly addressLow: number
}

/** One end: a queue pair with its own queues and memory, and a record of all that happened to it. */
export class VerbsEnd {
  readonly device: Device
  readonly pd: ProtectionDomain
  readonly sendCq: CompletionQueue
  readonly receiveCq: CompletionQueue
  readonly qp: QueuePair
  /** Where its receives are posted, if not at the queue pair. */
  readonly srq: SharedReceiveQueue | undefined
  readonly memory: Uint8Array
  readonly mr: MemoryRegion
  readonly sends: Ended[] = []
  readonly receives: Ended[] = []
  readonly disconnections: Disconnection[] = []
  connection: Connection | undefined
  /** Whether completions are polled when a queue calls; else by `collect`. */
  automatic = true
  /** How often each queue has called. */
  sendCalls = 0
  receiveCalls = 0
  readonly #found = [new WorkCompletion(), new WorkCompletion(), new WorkCompletion()]
  readonly #request = new SendRequest()
  readonly #receive = new ReceiveRequest()

  /** `shared`: with a shared receive queue of its own. */
  constructor(device: Device, memoryBytes: number, options: Partial<QueuePairOptions> = {}, shared = false) {
    this.device = device
    this.pd = options.pd ?? device.allocatePd()
    this.srq = shared ? device.createSrq({ pd: this.pd, depth: 64 }) : options.srq
    const { sendQueueDepth = 64, receiveQueueDepth = 64 } = options
    this.sendCq = device.createCq(sendQueueDepth, () => {
      this.sendCalls++
      if (this.automatic) this.collect()
    })
    this.receiveCq = device.createCq(receiveQueueDepth, () => {
      this.receiveCalls++
      if (this.automatic) this.collect()
    })
    this.qp = device.createQp({
      pd: this.pd,
      sendCq: this.sendCq,
      receiveCq: this.receiveCq,
      sendQueueDepth,
      receiveQueueDepth,
      ...options,
      ...(this.srq && { srq: this.srq }),
    })
    this.memory = new Uint8Array(memoryBytes)
    this.mr = this.pd.registerMemory(this.memory, ALL_ACCESS)
    this.sendCq.arm()
    this.receiveCq.arm()
  }

  /** Arms, then polls, as the seam asks for, so that nothing is missed. */
  collect(): void {
    this.sendCq.arm()
    this.receiveCq.arm()
    this.#poll(this.sendCq, this.sends)
    this.#poll(this.receiveCq, this.receives)
  }

  #poll(cq: CompletionQueue, into: Ended[]): void {
    for (let count = cq.poll(this.#found); count > 0; count = cq.poll(this.#found)) {
      for (const found of this.#found.slice(0, count)) {
        const { wrId, status, opcode, byteLength, invalidatedRkey, qpNumber } = found
        assert.equal(qpNumber, this.qp.number)
        into.push({ wrId, status, opcode, byteLength, invalidatedRkey })
      }
    }
  }

  parameters(more: Partial<ConnectOptions> = {}): ConnectionParameters & ConnectOptions {
    return { qp: this.qp, disconnected: (event) => this.disconnections.push(event), ...more }
  }

  at(offset: number, length: number): ScatterGatherEntry {
    return { mr: this.mr, offset, length }
  }

  /** Posts a request; whatever isn't given has its default. `more`: another one follows. */
  post(
    wrId: number,
    opcode: number,
    sgl: ScatterGatherEntry[],
    fields: Partial<SendRequest> = {},
    more = false,
  ): void {
    Object.assign(this.#request, new SendRequest(), { wrId, opcode, sgl }, fields)
    this.qp.postSend(this.#request, more)
    // The request was copied: nobody may look at this one any more.
    Object.assign(this.#request, { wrId: 0xdead, opcode: 99, rkey: 0xdead, sgl: [] })
  }

  send(wrId: number, offset: number, length: number, fields: Partial<SendRequest> = {}, more = false): void {
    this.post(wrId, SendOpcode.send, [this.at(offset, length)], fields, more)
  }

  write(
    wrId: number,
    offset: number,
    length: number,
    to: Remote,
    toOffset: number,
    fields: Partial<SendRequest> = {},
    more = false,
  ): void {
    const all = { ...remote(to, toOffset), ...fields }
    this.post(wrId, SendOpcode.rdmaWrite, [this.at(offset, length)], all, more)
  }

  read(
    wrId: number,
    offset: number,
    length: number,
    from: Remote,
    fromOffset: number,
    fields: Partial<SendRequest> = {},
  ): void {
    this.post(wrId, SendOpcode.rdmaRead, [this.at(offset, length)], {
      ...remote(from, fromOffset),
      ...fields,
    })
  }

  receive(wrId: number, offset: number, length: number): void {
    this.receiveInto(wrId, [this.at(offset, length)])
  }

  receiveInto(wrId: number, sgl: ScatterGatherEntry[]): void {
    this.#receive.wrId = wrId
    this.#receive.sgl = sgl
    if (this.srq === undefined) this.qp.postRecv(this.#receive)
    else this.srq.postRecv(this.#receive)
    this.#receive.sgl = []
  }
}

/** Where byte `offset` of a region lies, as fields of a request; offsets before it wrap around. */
export function remote(to: Remote, offset: number): Partial<SendRequest> {
  const from = offset < 0 ? 2 ** 32 + offset : offset
  const borrowed = offset < 0 ? (to.addressHigh - 1) >>> 0 : to.addressHigh
  return {
    rkey: to.rkey,
    remoteHigh: addressHighAt(borrowed, to.addressLow, from),
    remoteLow: addressLowAt(to.addressLow, from),
  }
}

export interface Ends {
  readonly pair: VerbsPair
  readonly active: VerbsEnd
  readonly passive: VerbsEnd
}

export interface EndsOptions {
  readonly memoryBytes?: number
  readonly queues?: Partial<QueuePairOptions>
  /** Both ends have a shared receive queue. */
  readonly shared?: boolean
  readonly active?: Partial<ConnectOptions>
  readonly passive?: Partial<ConnectionParameters>
}

/** Runs the body on two connected ends, for several seeds. */
export type WithEnds = (title: string, body: (ends: Ends) => Promise<void>, options?: EndsOptions) => void

/** Both ends, not connected. */
export function makeEnds(pair: VerbsPair, options: EndsOptions = {}): Ends {
  const bytes = options.memoryBytes ?? 65536
  return {
    pair,
    active: new VerbsEnd(pair.active, bytes, options.queues, options.shared),
    passive: new VerbsEnd(pair.passive, bytes, options.queues, options.shared),
  }
}

/** Connects them. */
export async function connectEnds({ pair, active, passive }: Ends, options: EndsOptions = {}): Promise<void> {
  let accepted: Connection | undefined
  const listener = await pair.passive.listen({ host: pair.host, port: 0 }, (request) => {
    void request.accept(passive.parameters(options.passive)).then((connection) => (accepted = connection))
  })
  const to = { host: pair.host, port: listener.local.port }
  let connected: Connection | undefined
  void pair.active
    .connect(to, active.parameters(options.active))
    .then((connection) => (connected = connection))
  await pair.until("the connection", () => connected !== undefined && accepted !== undefined)
  active.connection = connected
  passive.connection = accepted
  await listener.close()
}

export const statusNames = (ended: readonly Ended[]): string[] =>
  ended.map(({ status }) => workStatusName(status))

export const ids = (ended: readonly Ended[]): number[] => ended.map(({ wrId }) => wrId)

/** Bytes that differ everywhere and by seed. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31 + 1) & 0xff)
}

export function same(found: Uint8Array, wanted: Uint8Array, what = "bytes"): void {
  if (Buffer.compare(found, wanted) === 0) return
  const at = found.findIndex((byte, i) => byte !== wanted[i])
  assert.fail(
    `${what} differ at ${at}: ${found[at]} is not ${wanted[at]} (${found.length}, ${wanted.length})`,
  )
}

export function throwsVerbs(problem: string, act: () => unknown): void {
  assert.throws(act, (error) => error instanceof VerbsError && error.problem === problem, `no ${problem}`)
}

/** Both ends have heard of the end of their connection, once, and everything posted has ended. */
export async function bothEnd({ pair, active, passive }: Ends): Promise<void> {
  await pair.until("the end", () => active.disconnections.length > 0 && passive.disconnections.length > 0)
  await pair.rest()
  active.collect()
  passive.collect()
  assert.equal(active.disconnections.length, 1)
  assert.equal(passive.disconnections.length, 1)
  assert.equal(active.qp.state, "ERROR")
  assert.equal(passive.qp.state, "ERROR")
}
