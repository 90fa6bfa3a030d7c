import type { Clock } from "../../base/clock.ts"
import type { Random } from "../../base/random.ts"
import { bench, type BenchResult, type BenchSubject } from "./bench.ts"
import type { CpuMeter } from "./process-cpu.ts"
import { type Spread, spreadOf } from "./statistics.ts"

const GIB = 2 ** 30

/** One of those that are compared, open and ready; it stays so from the first round to the last. */
export interface Contestant {
  /** "tcp", "iser": unlike the others' */
  readonly label: string
  readonly subject: BenchSubject
  /** Absent: what the target uses is not known. */
  readonly targetCpu?: CpuMeter | undefined
}

/** What each contestant is made to do. */
export interface BenchWorkload {
  readonly ioBytes: number
  readonly depth: number
  /** 0 to 100. */
  readonly writePercent: number
  readonly pattern: "random" | "sequential"
}

export interface CompareOptions {
  readonly workloads: readonly BenchWorkload[]
  /** How often each contestant has its turn at a workload. */
  readonly rounds: number
  /** How long a turn is measured. */
  readonly roundMs: number
  /** What runs before the first turn of a workload, and isn't measured. */
  readonly warmUpMs: number
  readonly ownCpu: CpuMeter
  readonly clock: Clock
  readonly random: Random
  /** Told about twice a second. */
  readonly onProgress?: (progress: CompareProgress) => void
  readonly signal?: AbortSignal
}

export interface CompareProgress {
  readonly workload: BenchWorkload
  readonly label: string
  /** From 1; 0: warming up. */
  readonly round: number
  /** Of all that is to be done, 0 to 1. */
  readonly share: number
  readonly iops: number
  readonly bytesPerSecond: number
}

/** What is measured, in the order people read it. Latencies in ms, CPU time in ms per GiB moved. */
export const metrics = [
  "bytesPerSecond",
  "iops",
  "latencyP50",
  "latencyP99",
  "latencyP999",
  "initiatorCpu",
  "targetCpu",
] as const
export type Metric = (typeof metrics)[number]

/** One turn of one contestant. Absent: not known. */
export type RoundFigures = Readonly<Partial<Record<Metric, number>>>

/** Over all rounds. Absent: not known. */
export type Figures = Readonly<Partial<Record<Metric, Spread>>>

export interface ComparedSide {
  readonly label: string
  readonly rounds: readonly RoundFigures[]
  readonly figures: Figures
  /**
   * To the first contestant, made round by round: both halves of a ratio were measured one right after the other, so
   * that what else the machine did hit both alike. Of the first itself: none.
   */
  readonly ratios: Figures
}

export interface ComparedWorkload extends BenchWorkload {
  readonly sides: readonly ComparedSide[]
}

/**
 * Measures contestants in turns: each round begins with another one. Rejects as `bench` does; when the signal is
 * aborted, with its reason.
 */
export async function compare(
  contestants: readonly Contestant[],
  options: CompareOptions,
): Promise<ComparedWorkload[]> {
  return await new ComparisonRun(contestants, options).run()
}

class ComparisonRun {
  readonly #contestants: readonly Contestant[]
  readonly #options: CompareOptions
  readonly #totalMs: number
  #doneMs = 0

  constructor(contestants: readonly Contestant[], options: CompareOptions) {
    this.#contestants = contestants
    this.#options = options
    const { rounds, roundMs, warmUpMs, workloads } = options
    this.#totalMs = contestants.length * workloads.length * (rounds * roundMs + warmUpMs)
  }

  async run(): Promise<ComparedWorkload[]> {
    const compared: ComparedWorkload[] = []
    for (const workload of this.#options.workloads) compared.push(await this.#workload(workload))
    return compared
  }

  async #workload(workload: BenchWorkload): Promise<ComparedWorkload> {
    const { random, rounds } = this.#options
    // The same memory for everyone: its pages are there from the first round on.
    const memory = Array.from({ length: workload.depth }, () => random.fill(new Uint8Array(workload.ioBytes)))
    for (const contestant of this.#contestants) await this.#turn(contestant, workload, memory, 0)
    const figures = this.#contestants.map((): RoundFigures[] => [])
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < this.#contestants.length; i++) {
        const index = (round + i) % this.#contestants.length
        const contestant = this.#contestants[index]!
        figures[index]!.push(await this.#turn(contestant, workload, memory, round + 1))
      }
    }
    const sides = this.#contestants.map(({ label }, i) =>
      summary(label, figures[i]!, i > 0 ? figures[0] : undefined),
    )
    return { ...workload, sides }
  }

  /** Round 0 is the warming up. */
  async #turn(
    { label, subject, targetCpu }: Contestant,
    workload: BenchWorkload,
    memory: readonly Uint8Array[],
    round: number,
  ): Promise<RoundFigures> {
    const { clock, onProgress, ownCpu, random, roundMs, signal, warmUpMs } = this.#options
    const durationMs = round === 0 ? warmUpMs : roundMs
    const before = { own: ownCpu(), target: targetCpu?.() }
    const result = await bench(subject, {
      ...workload,
      durationMs,
      clock,
      random,
      memory,
      ...(signal && { signal }),
      ...(onProgress && {
        tickMs: Math.min(500, durationMs),
        onTick: ({ elapsedMs, iops, bytesPerSecond }) => {
          const share = Math.min(1, (this.#doneMs + elapsedMs) / this.#totalMs)
          onProgress({ workload, label, round, share, iops, bytesPerSecond })
        },
      }),
    })
    signal?.throwIfAborted()
    this.#doneMs += durationMs
    const targetMs = targetCpu && before.target !== undefined ? targetCpu() - before.target : undefined
    return figuresOf(result, workload, ownCpu() - before.own, targetMs)
  }
}

function figuresOf(
  { total }: BenchResult,
  { ioBytes }: BenchWorkload,
  ownMs: number,
  targetMs: number | undefined,
): RoundFigures {
  const moved = (total.operations * ioBytes) / GIB
  if (moved === 0) return { bytesPerSecond: 0, iops: 0 }
  return {
    bytesPerSecond: total.bytesPerSecond,
    iops: total.iops,
    latencyP50: total.latencyMs.p50,
    latencyP99: total.latencyMs.p99,
    latencyP999: total.latencyMs.p999,
    initiatorCpu: ownMs / moved,
    ...(targetMs !== undefined && { targetCpu: targetMs / moved }),
  }
}

/** `reference`: the rounds of whom this one is measured against. */
export function summary(
  label: string,
  rounds: readonly RoundFigures[],
  reference: readonly RoundFigures[] | undefined,
): ComparedSide {
  return {
    label,
    rounds,
    figures: spreads((metric) => rounds.map((round) => round[metric])),
    ratios: spreads((metric) => rounds.map((round, i) => ratio(round[metric], reference?.[i]?.[metric]))),
  }
}

const ratio = (value: number | undefined, to: number | undefined): number | undefined =>
  value !== undefined && to !== undefined && to > 0 ? value / to : undefined

/** Figures that are missing in some rounds count where they are there. */
function spreads(valuesOf: (metric: Metric) => readonly (number | undefined)[]): Figures {
  const entries = metrics.flatMap((metric) => {
    const spread = spreadOf(valuesOf(metric).filter((value) => value !== undefined))
    return spread ? [[metric, spread] as const] : []
  })
  return Object.fromEntries(entries)
}
