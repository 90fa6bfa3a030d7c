import { REMOTE_ACCESS } from "../verbs/access.ts"
import type { SoftwareRegion } from "../verbs/software/memory.ts"
import type { IwarpQueuePair } from "./queue-pair.ts"
import { Terminate } from "./terminate.ts"
import type { TerminateCode } from "./terminate.ts"

/**
 * The errors of a use of memory, which each layer has in codes of its own: DDP for what it places, RDMAP for what it
 * reads (RFC 5041 §7.1, RFC 5040 §4.8). Access rights are RDMAP's business alone.
 */
export interface MemoryErrors {
  readonly badStag: TerminateCode
  readonly bounds: TerminateCode
  readonly otherStream: TerminateCode
  readonly wrap: TerminateCode
}

export const PLACING: MemoryErrors = {
  badStag: Terminate.taggedBadStag,
  bounds: Terminate.taggedBounds,
  otherStream: Terminate.taggedStagOfOtherStream,
  wrap: Terminate.taggedOffsetWrap,
}
export const READING: MemoryErrors = {
  badStag: Terminate.badStag,
  bounds: Terminate.bounds,
  otherStream: Terminate.stagOfOtherStream,
  wrap: Terminate.offsetWrap,
}

/** Whether the last of `count` bytes from an address on would lie behind the end of all addresses. */
const wraps = (high: number, low: number, count: number): boolean =>
  high === 0xffffffff && low + count > 2 ** 32

/** Finds what a peer's STags stand for, for one use of it each time (RFC 5042 §6.1). */
export class RemoteMemory {
  /** What the last `find` that had no objection has found. */
  region: SoftwareRegion | undefined
  at = 0
  readonly #qp: IwarpQueuePair

  constructor(qp: IwarpQueuePair) {
    this.#qp = qp
  }

  /** Why the peer may not use these `count` bytes in the way `right` says; undefined: it may, at `at` of `region`. */
  find(
    stag: number,
    high: number,
    low: number,
    count: number,
    right: number,
    errors: MemoryErrors,
  ): TerminateCode | undefined {
    const { table, pd } = this.#qp
    const region = table.find(stag)
    // What was never opened to any peer is as good as not there.
    if (region === undefined || (region.access & REMOTE_ACCESS) === 0) return errors.badStag
    if (region.pd !== pd) return errors.otherStream
    if (wraps(high, low, count)) return errors.wrap
    if ((region.access & right) === 0) return Terminate.accessRights
    this.at = region.remoteOffset(pd, right, high, low, count)
    this.region = region
    return this.at < 0 ? errors.bounds : undefined
  }
}
