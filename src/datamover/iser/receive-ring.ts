import { Access, ReceiveRequest } from "../../rdma/verbs/index.ts"
import type { MemoryRegion, ProtectionDomain, QueuePair, ScatterGatherEntry } from "../../rdma/verbs/index.ts"
import type { ReceiveMemory } from "../shared/arrived-pdu.ts"
import { poisonByDefault } from "../shared/memory.ts"

const POISON = 0xa5
/** Messages begin on cache lines. */
const ALIGNMENT = 64

/** Place for one message. It is posted again once nobody holds what came. */
export class ReceiveSlot implements ReceiveMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly region: MemoryRegion
  /** Which one it is of its ring. */
  readonly index: number
  /** Where it begins in `bytes`, which it shares with others. */
  readonly at: number
  readonly #ring: ReceiveRing
  #holds = 0

  constructor(ring: ReceiveRing, index: number, slab: Slab, at: number) {
    this.#ring = ring
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
 * The receives of a connection: all of one size, posted in the order they get free. A slot that is held by somebody
 * belongs to a command that is outstanding, and so to one less that the peer may send: those posted suffice.
 */
export class ReceiveRing {
  /** Slots there are, posted or not. */
  count = 0
  /** Slots of which a message is being looked at or held. */
  held = 0
  readonly messageBytes: number
  readonly #pd: ProtectionDomain
  readonly #whenGone: () => void
  readonly #qp: QueuePair
  readonly #slots: ReceiveSlot[] = []
  readonly #slabs: Slab[] = []
  readonly #free: ReceiveSlot[] = []
  readonly #request = new ReceiveRequest()
  #entry!: ScatterGatherEntry
  #posted = 0
  #closed = false

  /** `messageBytes`: the longest message there may be; `whenGone`: it is closed, and nobody holds any of it. */
  constructor(pd: ProtectionDomain, qp: QueuePair, messageBytes: number, whenGone: () => void) {
    this.#pd = pd
    this.#qp = qp
    this.messageBytes = messageBytes
    this.#whenGone = whenGone
  }

  /** Bytes of memory one slot takes. */
  get strideBytes(): number {
    return (this.messageBytes + ALIGNMENT - 1) & -ALIGNMENT
  }

  get posted(): number {
    return this.#posted
  }

  /** Makes slots until there are `count`; they are posted with `post`. Throws VerbsError. */
  grow(count: number): void {
    const more = count - this.count
    if (more <= 0) return
    const stride = this.strideBytes
    const slab = new Slab(this.#pd, more * stride)
    if (this.#slabs.length === 0) {
      this.#entry = { mr: slab.region, offset: 0, length: this.messageBytes }
      this.#request.sgl.push(this.#entry)
    }
    this.#slabs.push(slab)
    for (let i = 0; i < more; i++) {
      const slot = new ReceiveSlot(this, this.#slots.length, slab, i * stride)
      this.#slots.push(slot)
      this.#free.push(slot)
    }
    this.count = count
  }

  /** Posts all slots that are free. Throws VerbsError. */
  post(): void {
    if (this.#closed) return
    for (let slot = this.#free.pop(); slot !== undefined; slot = this.#free.pop()) {
      this.#request.wrId = slot.index
      this.#entry.mr = slot.region
      this.#entry.offset = slot.at
      this.#qp.postRecv(this.#request)
      this.#posted++
    }
  }

  /** The receive of that number is complete: its slot is held once. */
  take(wrId: number): ReceiveSlot {
    this.#posted--
    this.held++
    const slot = this.#slots[wrId]!
    slot.hold()
    return slot
  }

  /** Only ReceiveSlot calls this. */
  freed(slot: ReceiveSlot): void {
    this.held--
    if (poisonByDefault) slot.bytes.fill(POISON, slot.at, slot.at + this.messageBytes)
    this.#free.push(slot)
    if (this.held === 0 && this.#closed) this.#deregister()
  }

  /** No completion comes any more; what is held stays as it is until it's released. */
  close(): void {
    this.#closed = true
    this.#posted = 0
    if (this.held === 0) this.#deregister()
  }

  #deregister(): void {
    for (const slab of this.#slabs.splice(0)) slab.region.deregister()
    this.#whenGone()
  }
}
