import { systemRandom } from "../../src/base/random.ts"
import { bench, type BenchPart, type BenchResult, type BenchTick } from "../../src/control/bench/bench.ts"
import { located } from "../../src/control/located.ts"
import { formatBytes } from "../../src/control/sizes.ts"
import { formatIscsiUrl, parseDiskUrl } from "../../src/initiator/index.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { formatCount, formatLatency, formatRate, formatSeconds } from "../output/numbers.ts"
import { LiveLine } from "../output/progress.ts"
import type { Style } from "../output/style.ts"
import { table } from "../output/table.ts"
import type { Session } from "../session.ts"
import { print, printJson } from "../terminal.ts"

export interface BenchCommandOptions extends LoginOptions {
  readonly depth: number
  readonly block: number
  /** Percent; true: all. */
  readonly write?: number | true
  readonly pattern: "random" | "sequential"
  readonly duration: number
  readonly json?: boolean
}

/** Measures a LUN. */
export async function benchDisk(url: string, options: BenchCommandOptions, session: Session): Promise<void> {
  const { terminal, signal } = session
  const where = parseDiskUrl(url, terminal.env)
  const writePercent = options.write === true ? 100 : (options.write ?? 0)
  const initiator = initiatorFor(options, session, { queueDepth: options.depth })
  const shown = formatIscsiUrl(where)
  const disk = await located(shown, initiator.open(where, { signal }))
  const line = new LiveLine(terminal.err, terminal.clock)
  const what = describe(options, writePercent)
  try {
    const result = await bench(disk, {
      depth: options.depth,
      ioBytes: options.block,
      writePercent,
      pattern: options.pattern,
      durationMs: options.duration,
      clock: terminal.clock,
      random: systemRandom,
      signal,
      tickMs: 500,
      onTick: (tick) => line.update(() => tickLine(tick, options.duration, terminal.errStyle)),
    })
    line.clear()
    if (options.json) printJson(terminal, report(shown, options, writePercent, result))
    else print(terminal, what, "", ...resultTable(result, terminal.style))
  } finally {
    line.clear()
    await disk.close()
  }
}

function describe({ block, pattern, depth, duration }: BenchCommandOptions, writePercent: number): string {
  const kind =
    writePercent === 0
      ? "reads"
      : writePercent === 100
        ? "writes"
        : `reads and writes (${writePercent} % writes)`
  return `${formatBytes(block)} ${pattern} ${kind}, depth ${depth}, ${formatSeconds(duration / 1000)}`
}

function tickLine({ elapsedMs, iops, bytesPerSecond }: BenchTick, durationMs: number, style: Style): string {
  const time = `${formatSeconds(elapsedMs / 1000)} of ${formatSeconds(durationMs / 1000)}`
  return `${style.dim(time)}  ${style.bold(formatCount(iops))} IOPS  ${formatRate(bytesPerSecond)}`
}

const columns = [
  { title: "" },
  { title: "IOPS", align: "right" },
  { title: "RATE", align: "right" },
  ...["MEAN", "MIN", "P50", "P90", "P99", "P99.9", "MAX"].map((title) => ({
    title,
    align: "right" as const,
  })),
] as const

function resultTable({ total, reads, writes }: BenchResult, style: Style): string[] {
  const both = reads !== undefined && writes !== undefined
  const parts: [string, BenchPart | undefined][] = [
    ["reads", reads],
    ["writes", writes],
    ["all", both || (!reads && !writes) ? total : undefined],
  ]
  const rows = parts.flatMap(([name, part]) => (part ? [rowOf(name, part)] : []))
  return table(columns, rows, style)
}

function rowOf(name: string, { iops, bytesPerSecond, latencyMs }: BenchPart): string[] {
  const { mean, min, p50, p90, p99, p999, max } = latencyMs
  return [
    name,
    formatCount(iops),
    formatRate(bytesPerSecond),
    ...[mean, min, p50, p90, p99, p999, max].map(formatLatency),
  ]
}

function report(
  url: string,
  { depth, block, pattern }: BenchCommandOptions,
  writePercent: number,
  result: BenchResult,
): object {
  return { url, depth, ioBytes: block, pattern, writePercent, ...result }
}
