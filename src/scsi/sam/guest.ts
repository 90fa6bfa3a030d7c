import type { Nexus } from "./nexus.ts"

/**
 * Work at a logical unit that none of its tasks accounts for: that of another unit's task, or of a task that has ended
 * (a copy that goes on in the background). It lives no longer there than a task of its nexus would.
 */
export interface Guest {
  /** On whose behalf. */
  readonly nexus: Nexus
  /** Ends it; resolves when nothing of it runs any more. */
  evict(): Promise<void>
}

/** The guests of a logical unit. */
export class Guests {
  readonly #guests = new Set<Guest>()

  get count(): number {
    return this.#guests.size
  }

  /** Until it is taken out again it is evicted with its nexus, and by a reset. */
  admit(guest: Guest): void {
    this.#guests.add(guest)
  }

  dismiss(guest: Guest): void {
    this.#guests.delete(guest)
  }

  /** Ends what they do for a nexus, or for all; resolves when nothing of it runs any more, and `others` have ended too. */
  evict(nexus: Nexus | undefined, others: Promise<void> = Promise.resolve()): Promise<void> {
    if (this.#guests.size === 0) return others
    const leaving = [...this.#guests].filter((guest) => nexus === undefined || guest.nexus === nexus)
    return Promise.all([others, ...leaving.map((guest) => guest.evict())]).then(() => {})
  }
}
