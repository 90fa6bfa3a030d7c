/**
 * Virtual addresses and tagged offsets are 64 bits wide, and kernels do use the upper half (0xffff8880…), so
 * a Number can't hold one and a BigInt is thirty times slower. They travel as two u32; offsets into a region
 * are Numbers.
 */

/** The lower half of address + offset (0 ≤ offset ≤ 2^52). */
export const addressLowAt = (low: number, offset: number): number => (low + offset) >>> 0

/** The upper half of address + offset, modulo 2^64. */
export const addressHighAt = (high: number, low: number, offset: number): number =>
  (high + Math.floor((low + offset) / 2 ** 32)) >>> 0

/**
 * How far the second address lies behind the first; negative when before it. Exact up to 2^53; what is
 * further is rounded, and so still far outside of any region.
 */
export const addressDistance = (fromHigh: number, fromLow: number, high: number, low: number): number =>
  (high - fromHigh) * 2 ** 32 + (low - fromLow)

/** "0xffff888012345678", for people. */
export const addressText = (high: number, low: number): string =>
  `0x${high.toString(16).padStart(8, "0")}${low.toString(16).padStart(8, "0")}`
