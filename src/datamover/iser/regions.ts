import type { MemoryRegion, ProtectionDomain } from "../../rdma/verbs/index.ts"

/**
 * Regions that are registered anew for one command after the other. A key is never in use twice in a row:
 * what a target still has of an earlier command leads nowhere.
 */
export class Regions {
  readonly #pd: ProtectionDomain
  readonly #free: MemoryRegion[] = []
  #closed = false

  constructor(pd: ProtectionDomain) {
    this.#pd = pd
  }

  /** Registers the memory. Throws VerbsError. */
  take(bytes: Uint8Array, access: number): MemoryRegion {
    const region = this.#free.pop()
    if (region === undefined) return this.#pd.registerMemory(bytes, access)
    region.reregister(bytes, access)
    return region
  }

  /** Nobody reaches the memory any more when this returns. */
  give(region: MemoryRegion): void {
    if (this.#closed) return region.deregister()
    if (region.valid) region.invalidate()
    this.#free.push(region)
  }

  /** Gives up those that are free, and each other one when it's given back. */
  close(): void {
    this.#closed = true
    for (const region of this.#free.splice(0)) region.deregister()
  }
}
