import type { DeviceLimits } from "../device.ts"
import { VerbsError } from "../errors.ts"
import type { MemoryRegion } from "../memory.ts"
import type { ScatterGatherEntry } from "../work.ts"
import type { CompletionSource } from "./completion-queue.ts"

/** A scatter/gather entry as it was when posted. */
export interface Piece {
  mr: MemoryRegion | undefined
  lkey: number
  offset: number
  length: number
}

/** A place of a work queue, with its own copy of the request in it. */
export class WorkPlace {
  wrId = 0
  readonly pieces: Piece[] = []
  /** How many of the pieces count. */
  pieceCount = 0
  /** Bytes of them all. */
  length = 0

  /** Copies wrId and list. Throws VerbsError for what no request can be, and leaves the place unused. */
  fill(wrId: number, sgl: readonly ScatterGatherEntry[], entriesMax: number, bytesMax: number): void {
    if (!(wrId >= 0 && wrId < 2 ** 32 && Number.isInteger(wrId))) throw bad(`wrId ${wrId} is no u32`)
    if (sgl.length > entriesMax) throw bad(`${sgl.length} scatter/gather entries are more than ${entriesMax}`)
    this.length = 0
    for (let i = 0; i < sgl.length; i++) {
      const { mr, offset, length } = sgl[i]!
      if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0))
        throw bad(`scatter/gather entry ${i}: offset ${offset} and length ${length} make no sense`)
      const piece = (this.pieces[i] ??= { mr: undefined, lkey: 0, offset: 0, length: 0 })
      piece.mr = mr
      piece.lkey = mr.lkey
      piece.offset = offset
      piece.length = length
      this.length += length
    }
    this.pieceCount = sgl.length
    this.wrId = wrId
    if (this.length > bytesMax) throw bad(`${this.length} bytes are more than one message can have`)
  }
}

const bad = (message: string): VerbsError => new VerbsError("request", message)

/**
 * A ring of places. A request is known by its sequence number: how many were posted before it. Places are in
 * use from being posted to having been polled.
 */
export class WorkQueue<P extends WorkPlace> implements CompletionSource {
  readonly depth: number
  /** Counts, ever; released ≤ completed ≤ posted ≤ released + depth. */
  posted = 0
  completed = 0
  #released = 0
  readonly #make: () => P
  readonly #places: P[] = []

  constructor(depth: number, make: () => P) {
    this.depth = depth
    this.#make = make
  }

  /** The place of a request in use, or the next free one: at(posted). */
  at(sequence: number): P {
    return (this.#places[sequence % this.depth] ??= this.#make())
  }

  /** Whether there is a place for another request. */
  get hasPlace(): boolean {
    return this.posted - this.#released < this.depth
  }

  /**
   * The place for the next request; it counts once `posted` is raised. Throws VerbsError when all are taken.
   */
  next(): P {
    if (!this.hasPlace)
      throw new VerbsError("queue-full", `all ${this.depth} places of the work queue are taken`)
    return this.at(this.posted)
  }

  /** Posts a place that was filled elsewhere; there has to be room. Returns the one whose stead it takes. */
  exchange(place: P): P {
    const free = this.at(this.posted)
    this.#places[this.posted++ % this.depth] = place
    return free
  }

  release(sequence: number): void {
    if (sequence >= this.#released) this.#released = sequence + 1
  }
}

/** Bounds `value` named `what` to 1..max (0 allowed: 0..max). Throws VerbsError. */
export function checkCount(what: string, value: number, max: number, min = 1): number {
  if (!Number.isInteger(value) || value < min) throw new VerbsError("request", `${what} can't be ${value}`)
  if (value > max) throw new VerbsError("limit", `${what} of ${value} is more than the device's ${max}`)
  return value
}

/** What a queue pair was asked for, checked against the device. */
export function checkEntries(limits: DeviceLimits, asked: number | undefined): number {
  return checkCount(
    "entries of a scatter/gather list",
    asked ?? Math.min(4, limits.entriesMax),
    limits.entriesMax,
  )
}
