import type { Command } from "./command.ts"
import type { Nexus } from "./nexus.ts"

/**
 * Who may use a logical unit: the one place the task router asks before a command runs. It knows the RESERVE of SPC-2
 * (§5.5.1), which one nexus holds until it releases it, is lost, or the unit is reset. Persistent reservations belong
 * here too.
 */
export class Reservation {
  #holder: Nexus | undefined

  get holder(): Nexus | undefined {
    return this.#holder
  }

  /** Whether the command gets RESERVATION CONFLICT. */
  conflicts(nexus: Nexus, command: Command): boolean {
    return this.#holder !== undefined && this.#holder !== nexus && command.access !== "none"
  }

  /** Returns false when another nexus holds it. */
  reserve(nexus: Nexus): boolean {
    this.#holder ??= nexus
    return this.#holder === nexus
  }

  /** By whoever doesn't hold it: nothing happens, as SPC-2 §7.18 wants it. */
  release(nexus: Nexus): void {
    if (this.#holder === nexus) this.#holder = undefined
  }

  clear(): void {
    this.#holder = undefined
  }
}
