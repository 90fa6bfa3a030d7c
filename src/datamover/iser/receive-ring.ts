import { ISER_AHS_BYTES, ISER_RECEIVE_BYTES_MAX } from "../../base/limits.ts"
import { DatamoverError } from "../../iscsi/da.ts"
import { BHS_BYTES } from "../../iscsi/pdu/index.ts"
import { Access, ReceiveRequest } from "../../rdma/verbs/index.ts"
import type {
  MemoryRegion,
  ProtectionDomain,
  QueuePair,
  ScatterGatherEntry,
  SharedReceiveQueue,
} from "../../rdma/verbs/index.ts"
import type { ReceiveMemory } from "../shared/arrived-pdu.ts"
import { poisonByDefault } from "../shared/memory.ts"
import { ISER_HEADER_BYTES } from "./message.ts"
import type { DeviceMemory } from "./registered-memory.ts"

const POISON = 0xa5
/** Messages begin on cache lines. */
const ALIGNMENT = 64

/** Place for one message. It is posted again once nobody holds what came. */
export class ReceiveSlot implements ReceiveMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly region: MemoryRegion
  /** The longest message it has room for, in bytes. */
  readonly length: number
  /** Which one it is of its ring. */
  readonly index: number
  /** Where it begins in `bytes`, which it shares with others. */
  readonly at: number
  /** Length of the message in it. */
  messageBytes = 0
  readonly #ring: ReceiveRing
  #holds = 0

  constructor(ring: ReceiveRing, index: number, slab: Slab, at: number, length: number) {
    this.#ring = ring
    this.length = length
    this.index = index
    this.bytes = slab.bytes
    this.view = slab.view
    this.region = slab.region
    this.at = at
  }

  hold(): void {
    this.#holds++
  }

  release(): void {
    if (--this.#holds === 0) this.#ring.freed(this)
  }
}

/** Memory many slots lie in: registered once. */
class Slab {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly region: MemoryRegion

  constructor(pd: ProtectionDomain, bytes: number) {
    const { buffer } = Buffer.allocUnsafeSlow(bytes)
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.region = pd.registerMemory(this.bytes, Access.LocalWrite)
  }
}

/**
 * The receives of a connection: made a few at a time, posted whenever they are free. Where the device has shared receive
 * queues, one of them takes them, as those give out first what is still in the processor's caches. A slot that is held by
 * somebody belongs to a command that is outstanding, and so to one less that the peer may send: those posted
 * suffice.
 */
export class ReceiveRing {
  /** Slots there are, posted or not. */
  count = 0
  /** Slots of which a message is being looked at or held. */
  held = 0
  readonly #memory: DeviceMemory
  readonly #pd: ProtectionDomain
  readonly #whenGone: () => void
  readonly #qp: QueuePair
  readonly #srq: SharedReceiveQueue | undefined
  readonly #slots: ReceiveSlot[] = []
  readonly #slabs: Slab[] = []
  readonly #free: ReceiveSlot[] = []
  readonly #request = new ReceiveRequest()
  #entry!: ScatterGatherEntry
  #posted = 0
  #bytes = 0
  #closed = false

  /**
   * `memory`: what it counts in; `srq`: of the queue pair, and nobody else's; `whenGone`: it is closed, and nobody holds any
   * of it.
   */
  constructor(
    memory: DeviceMemory,
    pd: ProtectionDomain,
    qp: QueuePair,
    srq: SharedReceiveQueue | undefined,
    whenGone: () => void,
  ) {
    this.#memory = memory
    this.#pd = pd
    this.#qp = qp
    this.#srq = srq
    this.#whenGone = whenGone
  }

  /** Receives that are still to come back, when the connection has ended: of a shared queue, none. */
  get due(): number {
    return this.#srq === undefined ? this.#posted : 0
  }

  /**
   * Makes slots until there are `count`, the new ones for data segments of up to `dataBytes`; they are posted
   * with `post`. Throws DatamoverError when there is no room for them.
   */
  grow(count: number, dataBytes: number): void {
    const more = count - this.count
    if (more <= 0) return
    const messageBytes = ISER_HEADER_BYTES + BHS_BYTES + ISER_AHS_BYTES + ((dataBytes + 3) & ~3)
    const stride = (messageBytes + ALIGNMENT - 1) & -ALIGNMENT
    const slab = this.#slab(more, more * stride)
    if (this.#slabs.length === 0) {
      this.#entry = { mr: slab.region, offset: 0, length: messageBytes }
      this.#request.sgl.push(this.#entry)
    }
    this.#slabs.push(slab)
    for (let i = 0; i < more; i++) {
      const slot = new ReceiveSlot(this, this.#slots.length, slab, i * stride, messageBytes)
      this.#slots.push(slot)
      this.#free.push(slot)
    }
    this.count += more
  }

  #slab(slots: number, bytes: number): Slab {
    const { receiveQueueDepth } = this.#qp
    if (this.count + slots > receiveQueueDepth)
      throw noRoom(`${this.count + slots} receives are more than the ${receiveQueueDepth} there may be`)
    if (this.#memory.receiveBytes + bytes > ISER_RECEIVE_BYTES_MAX)
      throw noRoom(`receives of all connections take ${this.#memory.receiveBytes} bytes already`)
    try {
      const slab = new Slab(this.#pd, bytes)
      this.#memory.receiveBytes += bytes
      this.#bytes += bytes
      return slab
    } catch (error) {
      throw noRoom((error as Error).message, error as Error)
    }
  }

  /** Posts all slots that are free. Throws VerbsError. */
  post(): void {
    if (this.#closed) return
    const to = this.#srq ?? this.#qp
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      this.#request.wrId = slot.index
      this.#entry.mr = slot.region
      this.#entry.offset = slot.at
      this.#entry.length = slot.length
      to.postRecv(this.#request)
      this.#posted++
    }
  }

  /** The receive of that number is complete, with so many bytes: its slot is held once. */
  take(wrId: number, messageBytes: number): ReceiveSlot {
    this.#posted--
    this.held++
    const slot = this.#slots[wrId]!
    slot.messageBytes = messageBytes
    slot.hold()
    return slot
  }

  /** Only ReceiveSlot calls this. */
  freed(slot: ReceiveSlot): void {
    this.held--
    if (poisonByDefault) slot.bytes.fill(POISON, slot.at, slot.at + slot.messageBytes)
    this.#free.push(slot)
    if (this.held === 0 && this.#closed) this.#deregister()
  }

  /** The queue pair is gone, and no completion comes any more; what is held stays as it is until it's released. */
  close(): void {
    this.#closed = true
    this.#posted = 0
    this.#srq?.destroy()
    if (this.held === 0) this.#deregister()
  }

  #deregister(): void {
    for (const slab of this.#slabs.splice(0)) slab.region.deregister()
    this.#memory.receiveBytes -= this.#bytes
    this.#whenGone()
  }
}

const noRoom = (message: string, cause?: Error): DatamoverError =>
  new DatamoverError("ERR_ISER_RESOURCES", `no resources for an iSER connection: ${message}`, { cause })
