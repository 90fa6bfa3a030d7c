import { type Clock, systemClock } from "../base/clock.ts"
import type { Completion } from "../base/completion.ts"
import { type Random, systemRandom } from "../base/random.ts"
import type { BlockDevice } from "./block-device.ts"
import { HeldOperations } from "./held-operations.ts"
import { checkRange, closedError } from "./range.ts"
import { type OperationKind, StackedStore } from "./stacked.ts"

/** How long an operation waits, in ms: always the same, or drawn evenly from a range. */
export type Delay = number | { readonly minMs: number; readonly maxMs: number }

/** The delay of each kind of operation; a kind that is absent isn't delayed. */
export type Delays = { readonly [kind in OperationKind]?: Delay }

/**
 * Another device made slow: each operation waits before it is passed on. What waits is ended by `cancel` (then
 * it has had no effect) and by `close`.
 */
export class DelayStore extends StackedStore {
  /** May be changed while in use; what waits already keeps its time. */
  delays: Delays
  readonly #clock: Clock
  readonly #random: Random
  readonly #held: HeldOperations
  #closed = false

  constructor(below: BlockDevice, delays: Delays, options: { clock?: Clock; random?: Random } = {}) {
    super(`delay(${below.name})`, below)
    this.delays = delays
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#held = new HeldOperations(this.name)
  }

  /** Operations that wait now. */
  get waiting(): number {
    return this.#held.count
  }

  override read(offsetBytes: number, into: Uint8Array, task?: object): Completion {
    this.#check(offsetBytes, into.length)
    return this.#delayed("read", task, () => this.below.read(offsetBytes, into, task))
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean, task?: object): Completion {
    this.#check(offsetBytes, from.length)
    return this.#delayed("write", task, () => this.below.write(offsetBytes, from, fua, task))
  }

  override flush(task?: object): Completion {
    this.#check(0, 0)
    return this.#delayed("flush", task, () => this.below.flush(task))
  }

  override discard(offsetBytes: number, lengthBytes: number, task?: object): Completion {
    this.#check(offsetBytes, lengthBytes)
    return this.#delayed("discard", task, () => this.below.discard(offsetBytes, lengthBytes, task))
  }

  override writeZeroes(offsetBytes: number, lengthBytes: number, fua: boolean, task?: object): Completion {
    this.#check(offsetBytes, lengthBytes)
    return this.#delayed("writeZeroes", task, () =>
      this.below.writeZeroes(offsetBytes, lengthBytes, fua, task),
    )
  }

  override cancel(task: object): void {
    this.#held.cancel(task)
    this.below.cancel(task)
  }

  override close(): Promise<void> {
    this.#closed = true
    this.#held.close()
    return this.below.close()
  }

  #check(offsetBytes: number, lengthBytes: number): void {
    if (this.#closed) throw closedError(this.name)
    checkRange(this.name, this.sizeBytes, offsetBytes, lengthBytes)
  }

  #delayed(kind: OperationKind, task: object | undefined, perform: () => Completion): Completion {
    const delay = this.delays[kind] ?? 0
    const ms = typeof delay === "number" ? delay : this.#between(delay.minMs, delay.maxMs)
    return ms > 0 ? this.#held.hold(task, perform, { clock: this.#clock, ms }) : perform()
  }

  #between(minMs: number, maxMs: number): number {
    return minMs + (maxMs - minMs) * (this.#random.uint32() / 2 ** 32)
  }
}
