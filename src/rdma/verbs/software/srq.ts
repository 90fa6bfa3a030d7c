import { VerbsError } from "../errors.ts"
import type { SharedReceiveQueue, SharedReceiveQueueOptions } from "../srq.ts"
import type { ReceiveRequest } from "../work.ts"
import type { SoftwareDevice } from "./device.ts"
import { SoftwareProtectionDomain } from "./memory.ts"
import { checkCount, checkEntries, WorkPlace } from "./work-queue.ts"
import type { WorkQueue } from "./work-queue.ts"

/** A stack: what was posted last is taken first. */
export class SoftwareSharedReceiveQueue implements SharedReceiveQueue {
  readonly pd: SoftwareProtectionDomain
  readonly depth: number
  /** Queue pairs that take from it. */
  users = 0
  readonly #entriesMax: number
  readonly #released: () => void
  /** The first `#count` are posted; the others are kept for reuse. */
  readonly #places: WorkPlace[] = []
  #count = 0
  #gone = false

  constructor(device: SoftwareDevice, options: SharedReceiveQueueOptions, released: () => void) {
    const { limits } = device
    const { pd } = options
    if (!(pd instanceof SoftwareProtectionDomain) || pd.device !== device || pd.gone)
      throw new VerbsError("request", "the protection domain is not one of this device")
    this.depth = checkCount("a shared receive queue", options.depth, limits.workRequestsMax)
    this.#entriesMax = checkEntries(limits, options.entriesMax)
    this.#released = released
    this.pd = pd
    pd.users++
  }

  get gone(): boolean {
    return this.#gone
  }

  postRecv(request: ReceiveRequest): void {
    if (this.#gone) throw new VerbsError("closed", "the shared receive queue was destroyed")
    if (this.#count === this.depth)
      throw new VerbsError("queue-full", `all ${this.depth} places of the shared receive queue are taken`)
    const place = (this.#places[this.#count] ??= new WorkPlace())
    place.fill(request.wrId, request.sgl, this.#entriesMax, Number.MAX_SAFE_INTEGER)
    this.#count++
  }

  /** Moves one of those posted to the end of a receive queue. False: there is none, or no place for it. */
  moveTo(receives: WorkQueue<WorkPlace>): boolean {
    if (this.#count === 0 || !receives.hasPlace) return false
    const top = --this.#count
    this.#places[top] = receives.exchange(this.#places[top]!)
    return true
  }

  destroy(): void {
    if (this.#gone) return
    if (this.users > 0)
      throw new VerbsError("busy", `${this.users} queue pairs still use the shared receive queue`)
    this.#gone = true
    this.#count = 0
    this.pd.users--
    this.#released()
  }
}
