import type { PersistentState } from "./persistent-state.ts"

/**
 * Where the persistent reservations of one logical unit outlive a loss of power (SPC-4 §5.13.5). A unit without one
 * refuses APTPL.
 */
export interface ReservationStore {
  /** What was found at start; "lost": there was something, and nobody can tell what (SPC-4 §5.13.5.3). */
  readonly found: PersistentState | "lost" | undefined
  /**
   * Resolves when a loss of power would find `state`; undefined: nothing is to be found any more. After a
   * rejection it would find what was there before, or `state`. One call at a time.
   */
  save(state: PersistentState | undefined): Promise<void>
}
