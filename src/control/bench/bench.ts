import type { Clock, Timer } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import type { Random } from "../../base/random.ts"
import { LatencyHistogram } from "./histogram.ts"

/** What is measured: a LUN, or anything that reads and writes runs of whole blocks. */
export interface BenchSubject {
  readonly sizeBytes: number
  readonly blockBytes: number
  read(offsetBytes: number, into: Uint8Array): Promise<unknown>
  write(offsetBytes: number, from: Uint8Array): Promise<unknown>
}

export interface BenchOptions {
  /** Operations under way at once. */
  readonly depth: number
  /** Bytes of an operation, a multiple of the subject's blocks. */
  readonly ioBytes: number
  /** Share of writes, 0 to 100. */
  readonly writePercent: number
  readonly pattern: "random" | "sequential"
  readonly durationMs: number
  readonly clock: Clock
  readonly random: Random
  /** What is read into and written from: `depth` pieces of `ioBytes`. Absent: new memory, random bytes. */
  readonly memory?: readonly Uint8Array[]
  /** Told every `tickMs` (default 1000) and at the end, with what was done since. */
  readonly onTick?: (tick: BenchTick) => void
  readonly tickMs?: number
  readonly signal?: AbortSignal
}

export interface BenchTick {
  readonly elapsedMs: number
  readonly iops: number
  readonly bytesPerSecond: number
}

/** Latencies in ms. */
export interface BenchLatency {
  readonly mean: number
  readonly min: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface BenchPart {
  readonly operations: number
  readonly iops: number
  readonly bytesPerSecond: number
  readonly latencyMs: BenchLatency
}

export interface BenchResult {
  readonly elapsedMs: number
  readonly total: BenchPart
  /** Absent: there were none. */
  readonly reads?: BenchPart
  readonly writes?: BenchPart
}

/**
 * Keeps `depth` operations under way for a while and measures each. Rejects with SanletError ERR_BENCH_OPTIONS, or
 * with the first operation that fails; an aborted signal ends it early with what there is.
 */
export async function bench(subject: BenchSubject, options: BenchOptions): Promise<BenchResult> {
  const run = new BenchRun(subject, options)
  return await run.run()
}

class BenchRun {
  readonly #subject: BenchSubject
  readonly #options: BenchOptions
  readonly #total = new LatencyHistogram()
  readonly #reads = new LatencyHistogram()
  readonly #writes = new LatencyHistogram()
  readonly #slots: number
  #next = 0
  #startedMs = 0
  #stopped = false
  #tick: Timer | undefined
  #ticked = { atMs: 0, operations: 0 }

  constructor(subject: BenchSubject, options: BenchOptions) {
    const { ioBytes } = options
    if (ioBytes % subject.blockBytes !== 0 || ioBytes > subject.sizeBytes) {
      throw new SanletError(
        "ERR_BENCH_OPTIONS",
        `${ioBytes} bytes at once don't suit a disk of ${subject.sizeBytes} bytes in blocks of ${subject.blockBytes}`,
      )
    }
    this.#subject = subject
    this.#options = options
    this.#slots = Math.floor(subject.sizeBytes / ioBytes)
  }

  async run(): Promise<BenchResult> {
    const { clock, depth, durationMs, signal } = this.#options
    this.#startedMs = clock.nowMs()
    this.#ticked = { atMs: this.#startedMs, operations: 0 }
    const stop = () => {
      this.#stopped = true
    }
    const end = clock.after(durationMs, "end of the benchmark", stop)
    signal?.addEventListener("abort", stop, { once: true })
    if (signal?.aborted) stop()
    this.#scheduleTick()
    try {
      const lanes = await Promise.allSettled(Array.from({ length: depth }, (_, i) => this.#lane(i)))
      const failure = lanes.find((lane) => lane.status === "rejected")
      if (failure) throw failure.reason
    } finally {
      end.cancel()
      this.#tick?.cancel()
      signal?.removeEventListener("abort", stop)
    }
    return this.#result(clock.nowMs() - this.#startedMs)
  }

  /** One operation after the other, with memory of its own. */
  async #lane(index: number): Promise<void> {
    const { clock, ioBytes, random, writePercent } = this.#options
    const memory = this.#options.memory?.[index] ?? random.fill(new Uint8Array(ioBytes))
    try {
      while (!this.#stopped) {
        const write =
          writePercent > 0 && (writePercent >= 100 || random.uint32() < (writePercent / 100) * 2 ** 32)
        const offsetBytes = this.#slot() * ioBytes
        const begunMs = clock.nowMs()
        if (write) await this.#subject.write(offsetBytes, memory)
        else await this.#subject.read(offsetBytes, memory)
        const tookMs = clock.nowMs() - begunMs
        this.#total.add(tookMs)
        ;(write ? this.#writes : this.#reads).add(tookMs)
      }
    } catch (error) {
      this.#stopped = true
      throw error
    }
  }

  #slot(): number {
    if (this.#options.pattern === "random") {
      return Math.floor((this.#options.random.uint32() / 2 ** 32) * this.#slots)
    }
    const slot = this.#next
    this.#next = (slot + 1) % this.#slots
    return slot
  }

  #scheduleTick(): void {
    const { clock, onTick, tickMs = 1000 } = this.#options
    if (!onTick) return
    this.#tick = clock.after(tickMs, "benchmark tick", () => {
      const now = { atMs: clock.nowMs(), operations: this.#total.count }
      const seconds = (now.atMs - this.#ticked.atMs) / 1000
      const iops = (now.operations - this.#ticked.operations) / seconds
      this.#ticked = now
      onTick({ elapsedMs: now.atMs - this.#startedMs, iops, bytesPerSecond: iops * this.#options.ioBytes })
      if (!this.#stopped) this.#scheduleTick()
    })
  }

  #result(elapsedMs: number): BenchResult {
    const part = (latencies: LatencyHistogram): BenchPart => {
      const iops = elapsedMs > 0 ? (latencies.count * 1000) / elapsedMs : 0
      return {
        operations: latencies.count,
        iops,
        bytesPerSecond: iops * this.#options.ioBytes,
        latencyMs: summary(latencies),
      }
    }
    return {
      elapsedMs,
      total: part(this.#total),
      ...(this.#reads.count > 0 && { reads: part(this.#reads) }),
      ...(this.#writes.count > 0 && { writes: part(this.#writes) }),
    }
  }
}

const summary = (latencies: LatencyHistogram): BenchLatency => ({
  mean: latencies.meanMs,
  min: latencies.minMs,
  p50: latencies.percentileMs(50),
  p90: latencies.percentileMs(90),
  p99: latencies.percentileMs(99),
  p999: latencies.percentileMs(99.9),
  max: latencies.maxMs,
})
