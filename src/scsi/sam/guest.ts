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
