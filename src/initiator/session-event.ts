import type { Sense } from "../scsi/spec/sense.ts"

/** What happens to a session besides its commands. */
export type SessionEvent =
  /** Recovery has begun. */
  | { readonly kind: "connection-lost"; readonly error: Error }
  /** It is logged in again; `attempts` it took. */
  | { readonly kind: "reconnected"; readonly attempts: number }
  /** Recovery has given up, or was not wanted: the session is closed. */
  | { readonly kind: "session-lost"; readonly error: Error }
  /** The target wants to be left alone; the session logs out and comes back. */
  | { readonly kind: "logout-requested"; readonly withinMs: number }
  /** Something about a logical unit, by Async Message. */
  | { readonly kind: "scsi-event"; readonly lun: number; readonly sense?: Sense }
  | { readonly kind: "vendor-event"; readonly code: number; readonly data: Uint8Array }
  /** By unit attention. The disk has taken note of it already. */
  | { readonly kind: "capacity-changed"; readonly lun: number; readonly sizeBytes: number }
  | { readonly kind: "unit-attention"; readonly lun: number; readonly sense: Sense }
