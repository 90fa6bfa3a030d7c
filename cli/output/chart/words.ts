import type { BenchWorkload } from "../../../src/control/bench/compare.ts"
import { formatBytes } from "../../../src/control/sizes.ts"

const NAMES: Readonly<Record<string, string>> = { tcp: "TCP", iser: "iSER" }

/** A contestant's label as people write it: "TCP", "iSER", "iSER with CRC". */
export const nameOf = (label: string): string =>
  label.replace(/^(tcp|iser)(?![a-z])/, (transport) => NAMES[transport] ?? transport)

/** As "4 KiB random reads". */
export function workloadName({ ioBytes, pattern, writePercent }: BenchWorkload): string {
  const kind =
    writePercent === 0
      ? "reads"
      : writePercent === 100
        ? "writes"
        : `reads and writes (${writePercent} % writes)`
  return `${formatBytes(ioBytes)} ${pattern} ${kind}`
}

/** "0.92x". */
export const formatRatio = (ratio: number): string => `${ratio.toFixed(2)}x`

/** CPU time in ms, as "85 ms", "1.22 s". */
export function formatCpu(milliseconds: number): string {
  if (milliseconds < 999.5) return `${milliseconds.toFixed(milliseconds < 9.95 ? 1 : 0)} ms`
  return `${(milliseconds / 1000).toFixed(2)} s`
}
