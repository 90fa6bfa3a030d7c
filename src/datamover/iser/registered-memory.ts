import {
  ISER_DATA_SEGMENT_BYTES_MAX,
  ISER_RECEIVE_BYTES_MAX,
  LOGIN_DATA_SEGMENT_BYTES_MAX,
} from "../../base/limits.ts"
import { Access } from "../../rdma/verbs/index.ts"
import type { Device, MemoryRegion, ProtectionDomain } from "../../rdma/verbs/index.ts"
import { Arena } from "../shared/arena.ts"
import { Memory, MemoryPool, poisonByDefault } from "../shared/memory.ts"

const REMOTE = Access.RemoteWrite | Access.RemoteRead
/** Pieces of the arena where each connection has its own, in bytes: enough for a turn's commands. */
const OWN_PIECE_BYTES = 64 * 1024

/** Memory of a pool that is registered for as long as the pool keeps it. */
export class RegisteredMemory extends Memory {
  readonly region: MemoryRegion

  constructor(pool: MemoryPool, bytes: Uint8Array, region: MemoryRegion) {
    super(pool, bytes)
    this.region = region
  }
}

/**
 * Memory of one protection domain: each piece is registered once, when it's made, and used for many
 * transfers. Peers get no access to any of it: it is what our own requests take from and put to.
 */
export class RegisteredPool {
  readonly pd: ProtectionDomain
  readonly pool: MemoryPool
  readonly arena: Arena
  readonly #access: number
  readonly #byBuffer = new Map<ArrayBufferLike, RegisteredMemory>()

  /** One connection's alone: it goes when the connection does. */
  readonly own: boolean

  constructor(pd: ProtectionDomain, { own }: { own: boolean }) {
    this.pd = pd
    this.own = own
    this.#access = Access.LocalWrite | pd.device.capabilities.readSinkAccess
    this.pool = new MemoryPool(poisonByDefault, {
      make: (pool, bytes) => this.#make(pool, bytes),
      dropped: (memory) => this.#drop(memory),
    })
    this.arena = new Arena(this.pool, own ? OWN_PIECE_BYTES : undefined)
  }

  #make(pool: MemoryPool, bytes: Uint8Array): RegisteredMemory {
    const memory = new RegisteredMemory(pool, bytes, this.pd.registerMemory(bytes, this.#access))
    this.#byBuffer.set(bytes.buffer, memory)
    return memory
  }

  #drop(memory: Memory): void {
    if (!(memory instanceof RegisteredMemory)) return
    this.#byBuffer.delete(memory.bytes.buffer)
    memory.region.deregister()
  }

  /** The memory of the pool these bytes are a part of. */
  holding(bytes: Uint8Array): RegisteredMemory | undefined {
    return this.#byBuffer.get(bytes.buffer)
  }

  /** What the last `arena.take` was from. */
  get current(): RegisteredMemory {
    return this.arena.memory as RegisteredMemory
  }

  /** Gives all of it up, with its protection domain; none of it is in use. */
  close(): void {
    for (const memory of this.#byBuffer.values()) memory.region.deregister()
    this.#byBuffer.clear()
    this.pd.deallocate()
  }
}

/** What all iSER connections of one device share. */
export class DeviceMemory {
  /** Of all receives, in bytes. */
  receiveBytes = 0
  readonly #device: Device
  #shared: RegisteredPool | undefined

  constructor(device: Device) {
    this.#device = device
  }

  /**
   * The largest data segment that a target's connection may agree to take, in bytes: with half of the memory for receives
   * gone, no more than each initiator is used to.
   */
  get targetSegmentBytes(): number {
    const isShort = this.receiveBytes > ISER_RECEIVE_BYTES_MAX / 2
    return isShort ? LOGIN_DATA_SEGMENT_BYTES_MAX : ISER_DATA_SEGMENT_BYTES_MAX
  }

  /**
   * Memory for a target's connection. Targets lend their peers nothing, so one protection domain serves them
   * all, and memory registered once serves every connection; unless it has to be open to peers to be read
   * into. Throws VerbsError.
   */
  forTarget(): RegisteredPool {
    const exposed = this.#device.capabilities.readSinkAccess & REMOTE
    if (exposed !== 0) return new RegisteredPool(this.#device.allocatePd(), { own: true })
    this.#shared ??= new RegisteredPool(this.#device.allocatePd(), { own: false })
    return this.#shared
  }

  /**
   * Memory for an initiator's connection, in a protection domain of its own: no target reaches what another
   * one was lent (RFC 5042 §5.3). Throws VerbsError.
   */
  forInitiator(): RegisteredPool {
    return new RegisteredPool(this.#device.allocatePd(), { own: true })
  }
}

const devices = new WeakMap<Device, DeviceMemory>()

export function memoryOf(device: Device): DeviceMemory {
  let memory = devices.get(device)
  if (memory === undefined) {
    memory = new DeviceMemory(device)
    devices.set(device, memory)
  }
  return memory
}
