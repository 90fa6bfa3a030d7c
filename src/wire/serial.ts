/**
 * Serial number arithmetic on 32 bits (RFC 1982), as CmdSN, StatSN and their kind use it (RFC 7143 §4.2.2.1).
 * Sequence numbers are compared only through these.
 */

/** a + n, modulo 2^32. */
export const serialAdd = (a: number, n: number): number => (a + n) >>> 0

/** The signed distance from `b` to `a`: negative when `a` comes before `b`. */
export const serialDistance = (a: number, b: number): number => (a - b) | 0

export const serialBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0

export const serialAfter = (a: number, b: number): boolean => ((a - b) | 0) > 0
