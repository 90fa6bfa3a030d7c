/**
 * Seeds of simulations and fuzzers. A run takes SANLET_SEED (`npm test -- --seed N FILE`) or draws one; a failing
 * seed comes back with the command that reproduces it.
 */
import { relative } from "node:path"

const given = process.env["SANLET_SEED"]

/** The seed of this run: an unsigned 32-bit number. */
export const baseSeed = given === undefined ? (Math.random() * 2 ** 32) >>> 0 : Number(given) >>> 0

/** How many seeds to run: one when a seed was asked for, else `usual` times SANLET_SEED_FACTOR. */
export function seedCount(usual: number): number {
  if (given !== undefined) return 1
  return Math.max(1, Math.round(usual * Number(process.env["SANLET_SEED_FACTOR"] ?? "1")))
}

/** The command that runs `file` (a path or import.meta.url) again with one seed. */
export function reproduce(seed: number, file: string): string {
  const path = file.startsWith("file:") ? new URL(file).pathname : file
  return `npm test -- --seed ${seed} ${relative(process.cwd(), path)}`
}

/**
 * Runs `body` with consecutive seeds; the first failing one is reported with its reproducing command, its own error
 * as the cause.
 */
export async function forEachSeed(
  file: string,
  usual: number,
  body: (seed: number) => void | Promise<void>,
): Promise<void> {
  const count = seedCount(usual)
  for (let i = 0; i < count; i++) {
    const seed = (baseSeed + i) >>> 0
    try {
      await body(seed)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`seed ${seed} failed: ${why}\nreproduce: ${reproduce(seed, file)}`, { cause })
    }
  }
}
