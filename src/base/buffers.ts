/** A run of memory lent by its owner. Whoever holds it calls `release` exactly once, and doesn't touch it after. */
export interface DataBuffer {
  readonly bytes: Uint8Array
  release(): void
}
