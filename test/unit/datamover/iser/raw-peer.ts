/**
 * The other end of an iSER connection with nothing but verbs: it sends any bytes, and sees what really comes.
 */
import assert from "node:assert/strict"
import { SeededRandom } from "../../../../src/base/random.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { acceptIser, connectIser } from "../../../../src/datamover/iser/index.ts"
import type { IserInitiatorDatamover, IserTargetDatamover } from "../../../../src/datamover/iser/index.ts"
import { memoryOf } from "../../../../src/datamover/iser/registered-memory.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/budget.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { encodePdu, LoginRequest, LoginResponse } from "../../../../src/iscsi/pdu/index.ts"
import { LoopbackFabric } from "../../../../src/rdma/loopback/index.ts"
import type { LoopbackDevice } from "../../../../src/rdma/loopback/device.ts"
import type { LoopbackTiming } from "../../../../src/rdma/loopback/pipe.ts"
import {
  Access,
  ReceiveRequest,
  SendOpcode,
  SendRequest,
  WorkCompletion,
  WorkStatus,
} from "../../../../src/rdma/verbs/index.ts"
import type {
  CompletionQueue,
  Connection,
  ConnectionRequest,
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
} from "../../../../src/rdma/verbs/index.ts"
import { defaultKeys, InitiatorEnd, TargetEnd } from "../../../suites/datamover-ends.ts"
import { iserKeys } from "./pairs.ts"

const SLOT_BYTES = 16384
export const ISER = 28
export const MESSAGE = 76

/** A message that came: the bytes of the Send, and the key it took out of use. */
export interface Message {
  readonly bytes: Buffer
  readonly view: DataView
  readonly invalidated: number
}

/** Bytes of a message: iSER header, PDU, data and as much padding as there shall be. */
export interface MessageOptions {
  readonly first?: number
  readonly write?: MemoryRegion | undefined
  readonly writeOffset?: number
  readonly read?: MemoryRegion | undefined
  readonly pad?: number
}

export function message(
  header: Uint8Array,
  data: Uint8Array = new Uint8Array(),
  options: MessageOptions = {},
) {
  const { write, read, writeOffset = 0, pad = -data.length & 3 } = options
  const iser = Buffer.alloc(ISER)
  iser[0] = options.first ?? 0x10 | (write ? 0x08 : 0) | (read ? 0x04 : 0)
  if (write) putMemory(iser, 4, write, writeOffset)
  if (read) putMemory(iser, 16, read, 0)
  const pdu = Buffer.from(header)
  pdu[4] = (header.length - 48) / 4
  pdu.writeUIntBE(data.length, 5, 3)
  return Buffer.concat([iser, pdu, data, Buffer.alloc(pad)])
}

function putMemory(header: Buffer, at: number, region: MemoryRegion, offset: number): void {
  header.writeUInt32BE(region.rkey, at)
  const address = (BigInt(region.addressHigh) << 32n) + BigInt(region.addressLow) + BigInt(offset)
  header.writeBigUInt64BE(address & 0xffffffffffffffffn, at + 4)
}

/** Verbs by hand. */
export class RawPeer {
  readonly pd: ProtectionDomain
  readonly qp: QueuePair
  readonly messages: Message[] = []
  /** How requests of ours ended that weren't a success, flushed ones left out. */
  readonly failures: number[] = []
  reads = 0
  ended: string | undefined
  connection: Connection | undefined
  readonly #cq: CompletionQueue
  readonly #slots: MemoryRegion[] = []
  readonly #done = new WorkCompletion()

  constructor(device: LoopbackDevice) {
    this.pd = device.allocatePd()
    this.#cq = device.createCq(2048, () => this.#poll())
    this.qp = device.createQp({
      pd: this.pd,
      sendCq: this.#cq,
      receiveCq: this.#cq,
      sendQueueDepth: 1024,
      receiveQueueDepth: 1024,
    })
    this.#cq.arm()
  }

  readonly disconnected = ({ reason }: { reason: string }): void => {
    this.ended = reason
  }

  /** Posts receives for messages of at most `bytes`. */
  receive(count: number, bytes = SLOT_BYTES): void {
    for (let i = 0; i < count; i++) {
      const region = this.pd.registerMemory(new Uint8Array(bytes), Access.LocalWrite)
      const request = new ReceiveRequest()
      request.wrId = this.#slots.push(region) - 1
      request.sgl = [{ mr: region, offset: 0, length: bytes }]
      this.qp.postRecv(request)
    }
  }

  lend(bytes: Uint8Array): MemoryRegion {
    return this.pd.registerMemory(bytes, Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead)
  }

  send(bytes: Uint8Array, invalidateRkey?: number): void {
    const region = this.pd.registerMemory(Uint8Array.from(bytes), 0)
    const request = new SendRequest()
    request.opcode = invalidateRkey === undefined ? SendOpcode.send : SendOpcode.sendWithInvalidate
    request.invalidateRkey = invalidateRkey ?? 0
    request.wrId = 0xffff
    request.sgl = [{ mr: region, offset: 0, length: bytes.length }]
    this.qp.postSend(request)
  }

  /** RDMA Write to an address that was advertised. */
  write(bytes: Uint8Array, stag: DataView, at: number): void {
    this.#rdma(
      SendOpcode.rdmaWrite,
      this.pd.registerMemory(Uint8Array.from(bytes), 0),
      bytes.length,
      stag,
      at,
    )
  }

  /** RDMA Read; the result is in the array once `reads` has risen. */
  read(bytes: number, stag: DataView, at: number): Uint8Array {
    const into = new Uint8Array(bytes)
    this.#rdma(SendOpcode.rdmaRead, this.pd.registerMemory(into, Access.LocalWrite), bytes, stag, at)
    return into
  }

  #rdma(opcode: SendOpcode, region: MemoryRegion, bytes: number, stag: DataView, at: number): void {
    const request = new SendRequest()
    request.opcode = opcode
    request.wrId = 0xffff
    request.sgl = [{ mr: region, offset: 0, length: bytes }]
    request.rkey = stag.getUint32(at)
    request.remoteHigh = stag.getUint32(at + 4)
    request.remoteLow = stag.getUint32(at + 8)
    this.qp.postSend(request)
  }

  #poll(): void {
    this.#cq.arm()
    while (this.#cq.poll([this.#done]) > 0) {
      const { wrId, status, byteLength, invalidatedRkey, opcode } = this.#done
      if (status !== WorkStatus.success) {
        if (status !== WorkStatus.workRequestFlushedError) this.failures.push(status)
      } else if (opcode === 128) {
        const bytes = Buffer.from(this.#slots[wrId]!.bytes.subarray(0, byteLength))
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
        this.messages.push({ bytes, view, invalidated: invalidatedRkey })
      } else if (opcode === 2) this.reads++
    }
  }
}

export interface WorldOptions {
  readonly seed?: number
  /** The raw end's words in the connection's private data; null: none. */
  readonly privateData?: Uint8Array | null
  readonly keys?: Partial<DatamoverKeys>
  /** Reads the raw initiator serves. */
  readonly responderResources?: number
  readonly timing?: Partial<LoopbackTiming>
  /** Receives of the raw end during the login, and their length. */
  readonly receives?: number
  readonly receiveBytes?: number
  /** How often our end may send again what the raw end has no receive for; 7: for ever. Default: never. */
  readonly rnrRetryCount?: number
}

function makeWorld(options: WorldOptions) {
  const clock = new VirtualClock()
  const fabric = new LoopbackFabric({
    clock,
    random: new SeededRandom(options.seed ?? 3),
    latencyMs: [0.01, 0.1],
    rnrDelayMs: 1,
    ...options.timing,
  })
  const passive = fabric.openDevice("10.0.0.1")
  const active = fabric.openDevice("10.0.0.2")
  const budget = new DataBufferBudget(16 * 1024 * 1024)
  const until = async (what: string, done: () => boolean) => {
    if (!(await clock.advance(60_000, done))) throw new Error(`${what}: not within a minute`)
  }
  return { clock, fabric, passive, active, budget, until, settle: async () => void (await clock.advance(50)) }
}

const FLAGS = Uint8Array.of(0x80, 0, 0, 0)

/** Our target's end, and a raw initiator that has connected to it. */
export async function rawInitiator(options: WorldOptions = {}) {
  const world = makeWorld(options)
  const { clock, passive, active, budget, until, fabric } = world
  let datamover: IserTargetDatamover | undefined
  const listener = await passive.listen({ host: "10.0.0.1", port: 3260 }, (request) => {
    void acceptIser(request, { clock, budget, device: passive }).then((made) => {
      datamover = made
    })
  })
  const raw = new RawPeer(active)
  raw.receive(options.receives ?? 64, options.receiveBytes)
  const privateData = options.privateData === undefined ? FLAGS : options.privateData
  const connecting = active.connect(
    { host: "10.0.0.1", port: 3260 },
    {
      qp: raw.qp,
      ...(privateData && { privateData }),
      responderResources: options.responderResources ?? 16,
      initiatorDepth: 1,
      rnrRetryCount: options.rnrRetryCount ?? 0,
      disconnected: raw.disconnected,
    },
  )
  void connecting.then((connection) => {
    raw.connection = connection
  })
  await until("the connection", () => raw.connection !== undefined && datamover !== undefined)
  const end = new TargetEnd(datamover!)
  datamover!.start(end, end)
  const keys: DatamoverKeys = { ...defaultKeys, ...iserKeys, ...options.keys }
  return {
    ...world,
    fabric,
    raw,
    datamover: datamover!,
    end,
    keys,
    /** Logs in: the target's part is done as the iSCSI layer does it. */
    async login() {
      const serve = end.onPdu
      end.onPdu = () => {
        end.onPdu = serve
        datamover!.noticeKeyValues(keys)
        datamover!.allocateConnectionResources()
        datamover!.enableDatamover({ header: encodePdu(LoginResponse, { transit: true }) })
      }
      raw.send(message(encodePdu(LoginRequest, { transit: true }), Buffer.from("InitiatorName=iqn.x\0")))
      await until("the login", () => raw.messages.length === 1)
      raw.messages.length = 0
      end.seen.length = 0
    },
    async finish() {
      datamover!.connectionTerminate()
      await until("tasks to settle", () => end.running === 0)
      await until("memory", () => budget.takenBytes === 0)
      await until("pieces", () => memoryOf(passive).forTarget().pool.taken <= 1)
      await until("receives", () => memoryOf(passive).receiveBytes === 0)
      await listener.close()
      assert.deepEqual(end.escaped, [])
    },
  }
}

export type TargetWorld = Awaited<ReturnType<typeof rawInitiator>>

/** Our initiator's end, and a raw target it has connected to. */
export async function rawTarget(options: WorldOptions = {}) {
  const world = makeWorld(options)
  const { clock, passive, active, budget, until } = world
  const raw = new RawPeer(passive)
  raw.receive(options.receives ?? 64, options.receiveBytes)
  let request: ConnectionRequest | undefined
  const listener = await passive.listen({ host: "10.0.0.1", port: 3260 }, (come) => {
    request = come
    const privateData = options.privateData === undefined ? FLAGS : options.privateData
    void come
      .accept({
        qp: raw.qp,
        ...(privateData && { privateData }),
        rnrRetryCount: options.rnrRetryCount ?? 0,
        disconnected: raw.disconnected,
      })
      .then((connection) => {
        raw.connection = connection
      })
  })
  let datamover: IserInitiatorDatamover | undefined
  void connectIser((how) => active.connect({ host: "10.0.0.1", port: 3260 }, how), {
    clock,
    budget,
    device: active,
  }).then((made) => {
    datamover = made
  })
  await until("the connection", () => raw.connection !== undefined && datamover !== undefined)
  const end = new InitiatorEnd(datamover!)
  datamover!.start(end, end)
  const keys: DatamoverKeys = { ...defaultKeys, ...iserKeys, ...options.keys }
  return {
    ...world,
    raw,
    request: request!,
    datamover: datamover!,
    end,
    keys,
    /** `behind`: what the target sends right behind its final Login Response. */
    async login(behind: readonly Uint8Array[] = []) {
      end.onPdu = () => {
        end.onPdu = () => {}
        datamover!.noticeKeyValues(keys)
        datamover!.allocateConnectionResources()
        datamover!.enableDatamover()
      }
      datamover!.sendControl(encodePdu(LoginRequest, { transit: true, currentStage: 1, nextStage: 3 }))
      await until("the request", () => raw.messages.length === 1)
      raw.send(message(encodePdu(LoginResponse, { transit: true })))
      for (const bytes of behind) raw.send(bytes)
      await until("the login", () => end.seen.length === 1 + behind.length)
      raw.messages.length = 0
      end.seen.length = 0
    },
    async finish() {
      datamover!.connectionTerminate()
      await until("receives", () => memoryOf(active).receiveBytes === 0)
      await listener.close()
    },
  }
}

export type InitiatorWorld = Awaited<ReturnType<typeof rawTarget>>
