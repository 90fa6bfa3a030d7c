import type { MemoryRegion } from "../../rdma/verbs/index.ts"
import type { Regions } from "./regions.ts"

/**
 * Data of a command that is sent from where it lies. Its region is given back when both the request that sends it and the
 * command have ended: a device may send it again as long as the request hasn't.
 */
export class LentData {
  readonly region: MemoryRegion
  readonly length: number
  /** What the headers in front of it lie in; let go with the request. */
  head: { release(): void } | undefined
  readonly #regions: Regions
  #holds = 2

  /** Throws VerbsError. */
  constructor(regions: Regions, data: Uint8Array) {
    this.#regions = regions
    this.region = regions.take(data, 0)
    this.length = data.length
  }

  /** The request has ended. */
  release(): void {
    this.head?.release()
    this.#drop()
  }

  /** The command has ended. */
  commandEnded(): void {
    this.#drop()
  }

  #drop(): void {
    if (--this.#holds === 0) this.#regions.give(this.region)
  }
}
