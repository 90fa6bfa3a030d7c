/**
 * Sizes as people write them, with the meaning they have in qemu-img and coreutils: K, M, G, T, P and KiB … are
 * powers of 1024; KB, MB … are powers of 1000; a bare number is bytes.
 */
export const SIZE_PATTERN = /^(\d+(?:\.\d+)?) ?([KMGTP](?:iB|B)?|B)?$/i

/** For messages. */
export const SIZE_EXPECTED = "a size such as 512MiB, 10G or a number of bytes"

const POWERS = "KMGTP"

/** In bytes; undefined: it isn't one, or it is no whole number of bytes below 2^53. */
export function parseSize(text: string): number | undefined {
  const match = SIZE_PATTERN.exec(text.trim())
  if (!match) return undefined
  const [, digits = "", unit = ""] = match
  const power = unit === "" ? 0 : POWERS.indexOf(unit[0]!.toUpperCase()) + 1
  const base = /^[KMGTP]B$/i.test(unit) ? 1000 : 1024
  const bytes = Number(digits) * base ** power
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

/** As "10 GiB", "1.5 MiB", "512 B": three digits at most after which people stop reading. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < BINARY_UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  const rounded = Number(value.toFixed(digits))
  // 1023.9 KiB would otherwise read as 1024 KiB.
  if (rounded >= 1024 && unit < BINARY_UNITS.length - 1) return `1 ${BINARY_UNITS[unit + 1]}`
  return `${rounded} ${BINARY_UNITS[unit]}`
}
