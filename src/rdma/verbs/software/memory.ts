import type { Random } from "../../../base/random.ts"
import { isAccess, REMOTE_ACCESS } from "../access.ts"
import { addressDistance } from "../address.ts"
import type { Device, DeviceLimits } from "../device.ts"
import { VerbsError } from "../errors.ts"
import type { MemoryRegion, ProtectionDomain } from "../memory.ts"

/**
 * A key is the region's slot in the lower half and a number that changes with each registration in the upper.
 */
const SLOT_BITS = 16
const SLOT_MASK = 2 ** SLOT_BITS - 1

/**
 * The memory regions of a device made of software. Every use of a key goes through `find`; slots are used
 * again in the order they were freed, so a key that has gone stays unknown for as long as possible.
 */
export class RegionTable {
  readonly #limits: DeviceLimits
  readonly #random: Random
  readonly #regions: (SoftwareRegion | undefined)[] = []
  /** The generation each slot had last. */
  readonly #generations: number[] = []
  readonly #free: number[] = []

  constructor(limits: DeviceLimits, random: Random) {
    this.#limits = limits
    this.#random = random
  }

  /**
   * The valid region with that key (lkey and rkey are the same number). Its memory may have shrunk or been
   * detached since it was registered, so bounds are those it has now.
   */
  find(key: number): SoftwareRegion | undefined {
    const region = this.#regions[key & SLOT_MASK]
    return region !== undefined && region.lkey === key && region.valid ? region : undefined
  }

  /** Throws VerbsError. */
  check(bytes: Uint8Array, access: number): void {
    if (!(bytes instanceof Uint8Array))
      throw new VerbsError("registration", "only a Uint8Array can be registered")
    if (!isAccess(access))
      throw new VerbsError(
        "registration",
        `access ${access}: unknown rights, or RemoteWrite without LocalWrite`,
      )
    if (bytes.byteLength > this.#limits.regionBytesMax)
      throw new VerbsError(
        "limit",
        `a region of ${bytes.byteLength} bytes is more than the device can register`,
      )
  }

  /** Takes a slot. Throws VerbsError when there is none. */
  add(region: SoftwareRegion): number {
    const fresh = this.#regions.length < Math.min(this.#limits.regionsMax, SLOT_MASK + 1)
    // Fresh slots first: the longer a freed one rests, the better.
    const slot = fresh ? this.#regions.length : this.#free.shift()
    if (slot === undefined)
      throw new VerbsError(
        "limit",
        `the device has no room for another memory region (${this.#limits.regionsMax})`,
      )
    if (fresh) this.#generations.push(this.#random.uint32() & SLOT_MASK)
    this.#regions[slot] = region
    return slot
  }

  remove(slot: number): void {
    this.#regions[slot] = undefined
    this.#free.push(slot)
  }

  /** A key for the slot that it hasn't had for 65,535 registrations; never 0. */
  freshKey(slot: number): number {
    const generation = ((this.#generations[slot] ?? 0) + 1) & SLOT_MASK || 1
    this.#generations[slot] = generation
    return ((generation << SLOT_BITS) | slot) >>> 0
  }

  /**
   * A virtual address for `bytes`. Memory has none in JavaScript, so any will do that doesn't wrap; half of
   * them put 2^32 in the middle of the region, so that whoever forgets to carry finds out.
   */
  lowAddress(bytes: number): number {
    const random = this.#random.uint32()
    return random & 1 ? random : (2 ** 32 - (bytes >>> 1)) >>> 0
  }

  highAddress(): number {
    return (this.#random.uint32() & 0xffff7fff) >>> 0
  }
}

export class SoftwareProtectionDomain implements ProtectionDomain {
  readonly device: Device
  readonly table: RegionTable
  /** Regions and queue pairs in it. */
  users = 0
  #released: (() => void) | undefined

  constructor(device: Device, table: RegionTable, released: () => void) {
    this.device = device
    this.table = table
    this.#released = released
  }

  get gone(): boolean {
    return this.#released === undefined
  }

  registerMemory(bytes: Uint8Array, access: number): SoftwareRegion {
    if (this.gone) throw new VerbsError("closed", "the protection domain is gone")
    return new SoftwareRegion(this, bytes, access)
  }

  deallocate(): void {
    if (this.users > 0) throw new VerbsError("busy", `the protection domain is in use (${this.users} times)`)
    this.discard()
  }

  /** Gives it up whatever is in it: the device closes. */
  discard(): void {
    const released = this.#released
    this.#released = undefined
    released?.()
  }
}

/** Who has handed a region's memory on, to be told when it is taken out of use. */
export interface RegionUser {
  /** The region is invalid from now on: see to it that nothing reaches its memory any more, before returning. */
  revoked(region: SoftwareRegion): void
}

export class SoftwareRegion implements MemoryRegion {
  readonly pd: SoftwareProtectionDomain
  bytes: Uint8Array = new Uint8Array(0)
  access = 0
  lkey = 0
  addressHigh = 0
  addressLow = 0
  valid = false
  readonly #slot: number
  #registered = true
  /** Those who use its memory at the moment, as often as they do. */
  #users: RegionUser[] | undefined

  constructor(pd: SoftwareProtectionDomain, bytes: Uint8Array, access: number) {
    this.pd = pd
    pd.table.check(bytes, access)
    this.#slot = pd.table.add(this)
    pd.users++
    this.#set(bytes, access)
  }

  get rkey(): number {
    return this.lkey
  }

  invalidate(): void {
    this.valid = false
    this.#revoke()
  }

  /** `user` hands its memory on, until `returned` or told that it must not. */
  lentTo(user: RegionUser): void {
    this.#users ??= []
    this.#users.push(user)
  }

  returned(user: RegionUser): void {
    const users = this.#users
    if (users === undefined) return
    const last = users.length - 1
    // Mostly there is no other.
    if (users[last] === user) users.length = last
    else if (users.includes(user)) users.splice(users.indexOf(user), 1)
  }

  #revoke(): void {
    const users = this.#users
    this.#users = undefined
    if (users !== undefined) for (const user of users) user.revoked(this)
  }

  reregister(bytes: Uint8Array, access: number): void {
    if (!this.#registered || this.pd.gone)
      throw new VerbsError("closed", "the memory region was deregistered")
    this.invalidate()
    this.pd.table.check(bytes, access)
    this.#set(bytes, access)
  }

  deregister(): void {
    this.invalidate()
    if (!this.#registered) return
    this.#registered = false
    this.pd.users--
    this.pd.table.remove(this.#slot)
  }

  /**
   * Where in the region the peer's address lies, when the peer may use `length` bytes there in the way
   * `right` says; else -1 (IB spec §10.6, RFC 5042 §6).
   */
  remoteOffset(pd: ProtectionDomain, right: number, high: number, low: number, length: number): number {
    if (this.pd !== pd || (this.access & right) === 0) return -1
    const offset = addressDistance(this.addressHigh, this.addressLow, high, low)
    return offset >= 0 && offset + length <= this.bytes.byteLength ? offset : -1
  }

  /** Whether a peer in `pd` may invalidate it: only what was opened to peers. */
  remotelyInvalidable(pd: ProtectionDomain): boolean {
    return this.pd === pd && (this.access & REMOTE_ACCESS) !== 0
  }

  #set(bytes: Uint8Array, access: number): void {
    const { table } = this.pd
    this.bytes = bytes
    this.access = access
    this.lkey = table.freshKey(this.#slot)
    this.addressHigh = table.highAddress()
    this.addressLow = table.lowAddress(bytes.byteLength)
    this.valid = true
  }
}
