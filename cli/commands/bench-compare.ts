import { closeSync, openSync, writeFileSync } from "node:fs"
import { systemRandom } from "../../src/base/random.ts"
import { type BenchWorkload, compare, type CompareProgress } from "../../src/control/bench/compare.ts"
import {
  type CpuMeter,
  cpuOf,
  type LocalProcess,
  ownCpu,
  peerProcess,
  processOf,
} from "../../src/control/bench/process-cpu.ts"
import { type ComparisonReport, dayOf, machineName } from "../../src/control/bench/report.ts"
import { located } from "../../src/control/located.ts"
import { type Disk, formatIscsiUrl, parseDiskUrl } from "../../src/initiator/index.ts"
import { UsageError } from "../errors.ts"
import { initiatorFor, type LoginOptions } from "../initiator.ts"
import { comparisonPage } from "../output/chart/page.ts"
import { nameOf, workloadName } from "../output/chart/words.ts"
import { comparisonTable } from "../output/comparison-table.ts"
import { formatCount, formatRate, formatSeconds } from "../output/numbers.ts"
import { LiveLine } from "../output/progress.ts"
import type { Style } from "../output/style.ts"
import type { Session } from "../session.ts"
import { print, printJson, type Terminal, tell } from "../terminal.ts"

export type Transport = "tcp" | "iser"

export interface CompareCommandOptions extends LoginOptions {
  /** In the order they are shown; ratios are to the first. */
  readonly transports: readonly Transport[]
  readonly workloads: readonly BenchWorkload[]
  readonly rounds: number
  /** All rounds of one transport at one workload together. */
  readonly durationMs: number
  /** The process whose CPU time is the target's. Absent: the one found at the other end of the connections. */
  readonly targetPid?: number
  /** Where the page with the charts goes. */
  readonly chart?: string
  readonly json?: boolean
}

const WARM_UP_MS = 500

/** Measures a LUN over several transports in turns. */
export async function compareTransports(
  url: string,
  options: CompareCommandOptions,
  session: Session,
): Promise<void> {
  const { terminal, signal } = session
  const shown = formatIscsiUrl(parseDiskUrl(url, terminal.env))
  // What can't be written shall be told before minutes of measuring.
  if (options.chart !== undefined) closeSync(openSync(options.chart, "a"))
  const disks: Disk[] = []
  const line = new LiveLine(terminal.err, terminal.clock)
  try {
    for (const transport of options.transports) disks.push(await open(url, transport, options, session))
    const target = targetOf(options, disks)
    const roundMs = options.durationMs / options.rounds
    const workloads = await compare(
      disks.map((subject, i) => ({
        label: labelOf(options.transports, i),
        subject,
        targetCpu: target?.meter,
      })),
      {
        workloads: options.workloads,
        rounds: options.rounds,
        roundMs,
        warmUpMs: Math.min(WARM_UP_MS, roundMs),
        ownCpu,
        clock: terminal.clock,
        random: systemRandom,
        signal,
        onProgress: (progress) => line.update(() => progressText(progress, options, terminal.errStyle)),
      },
    )
    line.clear()
    const report: ComparisonReport = {
      subject: shown,
      date: dayOf(terminal.clock.wallMs()),
      machine: machineName(),
      rounds: options.rounds,
      roundMs,
      ...(target && { targetProcess: target.process }),
      workloads,
    }
    show(report, options, terminal)
  } finally {
    line.clear()
    await Promise.all(disks.map((disk) => disk.close()))
  }
}

async function open(
  url: string,
  transport: Transport,
  options: CompareCommandOptions,
  session: Session,
): Promise<Disk> {
  const queueDepth = Math.max(...options.workloads.map(({ depth }) => depth))
  const where = parseDiskUrl(url, session.terminal.env)
  const initiator = initiatorFor({ ...options, transport }, session, { queueDepth })
  return await located(
    `${formatIscsiUrl(where)} over ${nameOf(transport)}`,
    initiator.open(where, { signal: session.signal }),
  )
}

/** The same transport twice is a measure of the noise: "tcp", "tcp (2)". */
function labelOf(transports: readonly Transport[], index: number): string {
  const label = transports[index]!
  const before = transports.slice(0, index).filter((other) => other === label).length
  return before === 0 ? label : `${label} (${before + 1})`
}

function targetOf(
  { targetPid }: CompareCommandOptions,
  disks: readonly Disk[],
): { process: LocalProcess; meter: CpuMeter } | undefined {
  const port = disks[0]?.session.portal.port
  const found = targetPid === undefined ? port !== undefined && peerProcess(port) : processOf(targetPid)
  const meter = found && cpuOf(found.pid)
  if (targetPid !== undefined && !meter) {
    throw new UsageError(`--target-pid ${targetPid}: this machine has no such process`)
  }
  return found && meter ? { process: found, meter } : undefined
}

function progressText(progress: CompareProgress, options: CompareCommandOptions, style: Style): string {
  const { workload, label, round, share, iops, bytesPerSecond } = progress
  const turn = round === 0 ? "warming up" : `round ${round} of ${options.rounds}`
  const percent = `${String(Math.floor(share * 100)).padStart(2)} %`
  const now = `${style.bold(formatCount(iops))} IOPS  ${formatRate(bytesPerSecond)}`
  return `${style.dim(percent)}  ${workloadName(workload)}, ${nameOf(label)}, ${style.dim(turn)}  ${now}`
}

function show(report: ComparisonReport, options: CompareCommandOptions, terminal: Terminal): void {
  if (options.json) printJson(terminal, report)
  else print(terminal, ...text(report, terminal))
  if (options.chart === undefined) return
  writeFileSync(options.chart, comparisonPage(report))
  tell(terminal, `charts written to ${options.chart}`)
}

const COLUMNS = 80

function text(report: ComparisonReport, { out, style }: Terminal): string[] {
  const { rounds, roundMs, targetProcess, workloads } = report
  const first = nameOf(workloads[0]?.sides[0]?.label ?? "")
  const target = targetProcess
    ? `process ${targetProcess.pid} (${targetProcess.name})`
    : "not found on this machine; --target-pid names it"
  return [
    ...workloads.flatMap((workload) => [...comparisonTable(workload, style, out.columns ?? COLUMNS), ""]),
    style.dim(
      `Medians of ${rounds} rounds of ${formatSeconds(roundMs / 1000)}, in turns. Ratios to ${first} are made round by round,`,
    ),
    style.dim(`with the lowest and the highest. Target: ${target}.`),
  ]
}
