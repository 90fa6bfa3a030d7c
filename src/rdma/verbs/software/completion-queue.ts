import type { CompletionQueue } from "../completion-queue.ts"
import { VerbsError } from "../errors.ts"
import type { WorkStatus } from "../status.ts"
import { WorkCompletion } from "../work.ts"

/** A work queue, as its completion queue sees it. */
export interface CompletionSource {
  /** The completion of request `sequence` was polled: its place and those before it are free. */
  release(sequence: number): void
}

/** A completion that waits to be polled. */
class Entry extends WorkCompletion {
  source: CompletionSource | undefined
  sequence = 0
}

/** The completion queue of a device made of software: a ring of entries that are used again and again. */
export class SoftwareCompletionQueue implements CompletionQueue {
  readonly entries: number
  readonly #wake: (call: () => void) => void
  readonly #notify: () => void
  #released: (() => void) | undefined
  /** Made as they are first needed: many queues never fill. */
  readonly #ring: Entry[] = []
  /** Counts of what was pushed and polled, ever. */
  #pushed = 0
  #polled = 0
  #reserved = 0
  #armed: "no" | "solicited" | "any" = "no"

  /** `wake` calls what it is given soon, but not within the call to the device that gave cause for it. */
  constructor(wake: (call: () => void) => void, entries: number, notify: () => void, released: () => void) {
    this.entries = entries
    this.#wake = wake
    this.#notify = () => {
      if (this.#released !== undefined) notify()
    }
    this.#released = released
  }

  /** Keeps room for a work queue. Throws VerbsError. */
  reserve(places: number): void {
    if (this.#released === undefined) throw new VerbsError("closed", "the completion queue is gone")
    if (this.#reserved + places > this.entries)
      throw new VerbsError(
        "limit",
        `the completion queue has ${this.entries} entries, ${this.#reserved} are taken: not enough for ${places} requests`,
      )
    this.#reserved += places
  }

  unreserve(places: number): void {
    this.#reserved -= places
  }

  /**
   * Adds a completion; the caller fills in what it returns at once: opcode, lengths and key are those of
   * success. A solicited or failed one wakes who waits for that.
   */
  push(source: CompletionSource, sequence: number, status: WorkStatus, solicited: boolean): WorkCompletion {
    const at = this.#pushed++ % this.entries
    const entry = (this.#ring[at] ??= new Entry())
    entry.source = source
    entry.sequence = sequence
    entry.status = status
    entry.byteLength = 0
    entry.invalidatedRkey = 0
    const wakes = this.#armed === "any" || (this.#armed === "solicited" && (solicited || status !== 0))
    if (wakes) {
      this.#armed = "no"
      this.#wake(this.#notify)
    }
    return entry
  }

  poll(into: readonly WorkCompletion[], max = into.length): number {
    const count = Math.min(max, into.length, this.#pushed - this.#polled)
    for (let i = 0; i < count; i++) {
      const entry = this.#ring[this.#polled++ % this.entries]!
      const to = into[i]!
      to.wrId = entry.wrId
      to.status = entry.status
      to.opcode = entry.opcode
      to.qpNumber = entry.qpNumber
      to.byteLength = entry.byteLength
      to.invalidatedRkey = entry.invalidatedRkey
      entry.source?.release(entry.sequence)
      entry.source = undefined
    }
    return Math.max(0, count)
  }

  arm(solicitedOnly = false): void {
    // Asking for all outdoes asking for some (ibv_req_notify_cq(3)).
    if (!solicitedOnly) this.#armed = "any"
    else if (this.#armed === "no") this.#armed = "solicited"
  }

  /** Forgets what of `source` was not polled. */
  drop(source: CompletionSource): void {
    const kept: Entry[] = []
    for (let i = this.#polled; i < this.#pushed; i++) {
      const entry = this.#ring[i % this.entries]!
      if (entry.source !== source) kept.push(entry)
    }
    if (kept.length === this.#pushed - this.#polled) return
    this.#ring.length = 0
    this.#ring.push(...kept)
    this.#polled = 0
    this.#pushed = kept.length
  }

  destroy(): void {
    if (this.#reserved > 0) throw new VerbsError("busy", "queue pairs use the completion queue")
    this.discard()
  }

  /** Gives it up whoever uses it: the device closes. */
  discard(): void {
    const released = this.#released
    this.#released = undefined
    this.#polled = this.#pushed
    released?.()
  }
}
