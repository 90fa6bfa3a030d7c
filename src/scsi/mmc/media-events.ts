import type { Nexus } from "../sam/nexus.ts"
import type { TrayEvent } from "../sbc/tray.ts"

/** The latest event of the medium each nexus hasn't asked for yet: what came before is over by then. */
export class MediaEvents {
  readonly #latest = new WeakMap<Nexus, TrayEvent>()

  note(event: TrayEvent, nexuses: Iterable<Nexus>): void {
    for (const nexus of nexuses) this.#latest.set(nexus, event)
  }

  pending(nexus: Nexus): boolean {
    return this.#latest.has(nexus)
  }

  /** Takes it, to be reported. */
  take(nexus: Nexus): TrayEvent | undefined {
    const event = this.#latest.get(nexus)
    this.#latest.delete(nexus)
    return event
  }
}
