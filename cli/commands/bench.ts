import { systemRandom } from "../../src/base/random.ts"
import { bench, type BenchPart, type BenchResult, type BenchTick } from "../../src/control/bench/bench.ts"
import { located } from "../../src/control/located.ts"
import { formatIscsiUrl, parseDiskUrl } from "../../src/initiator/index.ts"
import { UsageError } from "../errors.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { workloadName } from "../output/chart/words.ts"
import { formatCount, formatLatency, formatRate, formatSeconds } from "../output/numbers.ts"
import { LiveLine } from "../output/progress.ts"
import type { Style } from "../output/style.ts"
import { table } from "../output/table.ts"
import type { Session } from "../session.ts"
import { print, printJson } from "../terminal.ts"
import { type CompareCommandOptions, compareTransports, type Transport } from "./bench-compare.ts"

export interface BenchCommandOptions extends LoginOptions {
  /** Absent: 32; in a comparison 8 where operations are large. */
  readonly depth?: number
  /** Sizes of operations; several only in a comparison. Absent: 4 KiB; in a comparison 4 KiB, 256 KiB and 1 MiB. */
  readonly block?: readonly number[]
  /** Percent; true: all. */
  readonly write?: number | true
  readonly pattern: "random" | "sequential"
  readonly duration: number
  readonly json?: boolean
  /** Transports to compare. Absent: the LUN is measured as its URL says. */
  readonly compare?: readonly Transport[]
  readonly rounds?: number
  readonly targetPid?: number
  readonly chart?: string
}

const DEPTH = 32
/** From here on operations are large: fewer of them fill a connection. */
const LARGE_BYTES = 64 * 1024
const DEPTH_LARGE = 8
const COMPARED_BLOCKS = [4 * 1024, 256 * 1024, 1024 * 1024]
const ROUNDS = 5

/** Measures a LUN, or compares the transports that lead to it. */
export async function benchDisk(url: string, options: BenchCommandOptions, session: Session): Promise<void> {
  if (options.compare) await compareTransports(url, comparisonOf(options, options.compare), session)
  else await measure(url, options, session)
}

const writePercentOf = ({ write }: Pick<BenchCommandOptions, "write">): number =>
  write === true ? 100 : (write ?? 0)

function comparisonOf(options: BenchCommandOptions, transports: readonly Transport[]): CompareCommandOptions {
  const { depth, pattern, duration, rounds = ROUNDS, initiator, targetPid, chart, json } = options
  const workloads = (options.block ?? COMPARED_BLOCKS).map((ioBytes) => ({
    ioBytes,
    depth: depth ?? (ioBytes < LARGE_BYTES ? DEPTH : DEPTH_LARGE),
    writePercent: writePercentOf(options),
    pattern,
  }))
  return {
    transports,
    workloads,
    rounds,
    durationMs: duration,
    ...(initiator !== undefined && { initiator }),
    ...(targetPid !== undefined && { targetPid }),
    ...(chart !== undefined && { chart }),
    ...(json !== undefined && { json }),
  }
}

async function measure(url: string, options: BenchCommandOptions, session: Session): Promise<void> {
  const [block = COMPARED_BLOCKS[0]!, ...more] = options.block ?? []
  const useless = ["rounds", "targetPid", "chart"].filter((name) => name in options)
  if (more.length > 0 || useless.length > 0) {
    throw new UsageError("several block sizes, --rounds, --target-pid and --chart belong to --compare")
  }
  await measureOne(url, { ...options, depth: options.depth ?? DEPTH, block }, session)
}

type MeasureOptions = Omit<BenchCommandOptions, "block"> & { readonly depth: number; readonly block: number }

async function measureOne(url: string, options: MeasureOptions, session: Session): Promise<void> {
  const { terminal, signal } = session
  const where = parseDiskUrl(url, terminal.env)
  const writePercent = writePercentOf(options)
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

function describe({ block, pattern, depth, duration }: MeasureOptions, writePercent: number): string {
  const what = workloadName({ ioBytes: block, depth, pattern, writePercent })
  return `${what}, depth ${depth}, ${formatSeconds(duration / 1000)}`
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
  { depth, block, pattern }: MeasureOptions,
  writePercent: number,
  result: BenchResult,
): object {
  return { url, depth, ioBytes: block, pattern, writePercent, ...result }
}
