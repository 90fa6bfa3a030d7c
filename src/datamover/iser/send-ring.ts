import { SendOpcode, SendRequest, WorkStatus } from "../../rdma/verbs/index.ts"
import type { MemoryRegion, QueuePair, ScatterGatherEntry } from "../../rdma/verbs/index.ts"

/** Pieces of memory a request moves, at most: a header, and what isn't copied behind it. */
export const SEND_ENTRIES = 2
const FIRST_LENGTH = 64
/** So many bytes at most go without asking for word of their end, so that memory comes back in time. */
const UNSIGNALED_BYTES_MAX = 256 * 1024

/** Who wants to know how an RDMA Read has ended. */
export interface ReadOwner {
  /** `ok` false: its data is not there. */
  readEnded(bytes: number, ok: boolean): void
}

/** A request of ours, from being asked for to its completion. */
export class Work extends SendRequest {
  bytes = 0
  /** Given back with its completion: a hold on the memory it takes from, or the buffer it was given. */
  lent: { release(): void } | undefined
  /** RDMA Reads: whose. */
  owner: ReadOwner | undefined
  /** Whom it is for, where that may end before it. */
  task: object | undefined
  /** It hasn't been posted and never will be. */
  cancelled = false

  /** An entry that isn't in the list now. */
  #spare: ScatterGatherEntry | undefined

  /** Bytes [offset, offset + bytes) of a region are what is moved. */
  use(region: MemoryRegion, offset: number, bytes: number): void {
    if (this.sgl.length === 2) this.#spare = this.sgl.pop()
    const entry = this.sgl[0]
    if (entry === undefined) this.sgl.push({ mr: region, offset, length: bytes })
    else {
      entry.mr = region
      entry.offset = offset
      entry.length = bytes
    }
    this.bytes = bytes
  }

  /** And behind them these. */
  useToo(region: MemoryRegion, offset: number, bytes: number): void {
    const entry = this.#spare ?? { mr: region, offset, length: bytes }
    entry.mr = region
    entry.offset = offset
    entry.length = bytes
    this.sgl.push(entry)
    this.bytes += bytes
  }
}

/**
 * The requests of a connection, in their order: those that wait to be posted, and behind them nothing; before
 * them those under way. What gathers in a turn is posted together, so that the device sets it off at once,
 * and only the last of a batch asks for a completion, as those before it are complete by then.
 */
export class SendRing {
  /** Bytes on their way to the peer: of sends and writes that aren't complete. */
  queuedBytes = 0
  readonly #qp: QueuePair
  #works: Work[] = []
  #mask = -1
  /** Counts, ever: requests that have ended, were posted, were added. */
  #ended = 0
  #posted = 0
  #added = 0

  constructor(qp: QueuePair) {
    this.#qp = qp
  }

  get unposted(): boolean {
    return this.#posted < this.#added
  }

  get empty(): boolean {
    return this.#ended === this.#added
  }

  /**
   * The next request, for these bytes of a region; the caller fills in the rest. `lent` is released when it
   * has ended.
   */
  add(
    opcode: SendOpcode,
    region: MemoryRegion,
    offset: number,
    bytes: number,
    lent: { release(): void } | undefined,
  ): Work {
    if (this.#added - this.#ended > this.#mask) this.#grow()
    const work = this.#works[this.#added++ & this.#mask]!
    work.opcode = opcode
    work.use(region, offset, bytes)
    work.lent = lent
    work.fence = false
    work.cancelled = false
    if (opcode !== SendOpcode.rdmaRead) this.queuedBytes += bytes
    return work
  }

  /** What was added last moves these bytes of a second region, too. */
  append(work: Work, region: MemoryRegion, offset: number, bytes: number): void {
    work.useToo(region, offset, bytes)
    this.queuedBytes += bytes
  }

  #grow(): void {
    const length = Math.max(FIRST_LENGTH, 2 * this.#works.length)
    const works: Work[] = []
    for (let i = this.#ended; i < this.#added; i++) works[i & (length - 1)] = this.#works[i & this.#mask]!
    for (let i = this.#added; i < this.#ended + length; i++) works[i & (length - 1)] = new Work()
    this.#works = works
    this.#mask = length - 1
  }

  /** Ends the requests not posted yet for which `which` says so: their memory is free. */
  cancel(which: (work: Work) => boolean): void {
    for (let i = this.#posted; i < this.#added; i++) {
      const work = this.#works[i & this.#mask]!
      if (work.cancelled || !which(work)) continue
      work.cancelled = true
      this.#end(work, false)
    }
    while (this.#posted < this.#added && this.#works[this.#posted & this.#mask]!.cancelled) this.#posted++
    this.#skipCancelled()
  }

  /** Posts what there are places for. Throws VerbsError. */
  post(): void {
    const free = this.#qp.sendQueueDepth - (this.#posted - this.#ended)
    const end = this.#posted + Math.min(free, this.#added - this.#posted)
    let last = end - 1
    while (last >= this.#posted && this.#works[last & this.#mask]!.cancelled) last--
    let unsignaledBytes = 0
    while (this.#posted < end) {
      const sequence = this.#posted++
      const work = this.#works[sequence & this.#mask]!
      if (work.cancelled) continue
      unsignaledBytes += work.bytes
      work.wrId = sequence >>> 0
      work.signaled = sequence === last || work.owner !== undefined || unsignaledBytes >= UNSIGNALED_BYTES_MAX
      if (work.signaled) unsignaledBytes = 0
      this.#qp.postSend(work, sequence !== last)
    }
    this.#skipCancelled()
  }

  /** A completion was polled: it and all before it have ended. */
  completed(wrId: number, status: WorkStatus): void {
    const count = ((wrId - this.#ended) >>> 0) + 1
    for (let i = 1; i <= count; i++) {
      const work = this.#works[this.#ended++ & this.#mask]!
      if (!work.cancelled) this.#end(work, i < count || status === WorkStatus.success)
    }
    this.#skipCancelled()
  }

  /** Those that were never posted get no completion. */
  #skipCancelled(): void {
    while (this.#ended < this.#posted && this.#works[this.#ended & this.#mask]!.cancelled) this.#ended++
  }

  #end(work: Work, ok: boolean): void {
    if (work.opcode !== SendOpcode.rdmaRead) this.queuedBytes -= work.bytes
    const { lent, owner } = work
    work.lent = undefined
    work.owner = undefined
    work.task = undefined
    lent?.release()
    owner?.readEnded(work.bytes, ok)
  }

  /** No completion comes any more: everything has ended. */
  abandon(): void {
    while (this.#ended < this.#added) {
      const work = this.#works[this.#ended++ & this.#mask]!
      if (!work.cancelled) this.#end(work, false)
    }
    this.#posted = this.#ended
  }
}
