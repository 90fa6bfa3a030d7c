/** Up to here a loop is faster than making the view that `set` asks for, and leaves nothing to collect. */
const LOOP_BYTES_MAX = 128

/** Copies from[at, at + count) to into[to, to + count); the two don't overlap. */
export function copyBytes(from: Uint8Array, at: number, count: number, into: Uint8Array, to: number): void {
  if (count > LOOP_BYTES_MAX) return into.set(from.subarray(at, at + count), to)
  for (let i = 0; i < count; i++) into[to + i] = from[at + i]!
}

/** A run of memory lent by its owner. Whoever holds it calls `release` exactly once, and doesn't touch it after. */
export interface DataBuffer {
  readonly bytes: Uint8Array
  release(): void
}
