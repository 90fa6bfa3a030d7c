import { Arena } from "./arena.ts"
import { MemoryPool, poisonByDefault } from "./memory.ts"

/**
 * The memory all connections of a process share for the data of tasks. A connection may hold as much as is still
 * free (so one alone gets half, n greedy ones 1/(n+1) of it each), which leaves something for the next one
 * whatever the others do. Whoever has nothing yet and waits goes before those who have.
 */
export class DataBufferBudget {
  readonly bytesMax: number
  readonly pool: MemoryPool
  readonly arena: Arena
  /** Bytes taken by tasks now. */
  takenBytes = 0
  readonly #waiting = new Set<BudgetShare>()
  #starving = 0

  constructor(bytesMax: number, options: { poison?: boolean } = {}) {
    this.bytesMax = bytesMax
    this.pool = new MemoryPool(options.poison ?? poisonByDefault)
    this.arena = new Arena(this.pool)
  }

  /** One connection's part of it. `onRoom` is called while it waits and may try again; true: it waits no longer. */
  share(onRoom: () => boolean): BudgetShare {
    return new BudgetShare(this, onRoom)
  }

  /** Only BudgetShare calls this. */
  take(share: BudgetShare, bytes: number): boolean {
    const freeBytes = this.bytesMax - this.takenBytes
    const fits = share.heldBytes + bytes <= freeBytes && bytes <= freeBytes
    const first = share.heldBytes === 0
    // More than there will ever be is granted to whoever is alone.
    if (!(fits && (first || this.#starving === 0)) && this.takenBytes > 0) return false
    this.takenBytes += bytes
    share.heldBytes += bytes
    return true
  }

  /** Only BudgetShare calls this. */
  give(share: BudgetShare, bytes: number): void {
    this.takenBytes -= bytes
    share.heldBytes -= bytes
    if (this.#waiting.size > 0) this.#serve()
  }

  wait(share: BudgetShare): void {
    if (this.#waiting.has(share)) return
    this.#waiting.add(share)
    if (share.heldBytes === 0) this.#starving++
    share.starving = share.heldBytes === 0
  }

  leave(share: BudgetShare): void {
    if (!this.#waiting.delete(share)) return
    if (share.starving) this.#starving--
  }

  /** Each that waits tries again, in the order they came. */
  #serve(): void {
    for (const share of this.#waiting) {
      if (this.takenBytes >= this.bytesMax) return
      if (share.onRoom()) this.leave(share)
    }
  }
}

export class BudgetShare {
  readonly #budget: DataBufferBudget
  readonly onRoom: () => boolean
  heldBytes = 0
  starving = false

  constructor(budget: DataBufferBudget, onRoom: () => boolean) {
    this.#budget = budget
    this.onRoom = onRoom
  }

  /** False: not now; `wait` for room. Then give back what was taken, all of it. */
  take(bytes: number): boolean {
    return this.#budget.take(this, bytes)
  }

  give(bytes: number): void {
    this.#budget.give(this, bytes)
  }

  wait(): void {
    this.#budget.wait(this)
  }

  leave(): void {
    this.#budget.leave(this)
  }
}
