import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { sleep } from "../../../../src/base/clock.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import {
  bench,
  type BenchOptions,
  type BenchResult,
  type BenchTick,
} from "../../../../src/control/bench/bench.ts"
import { LatencyHistogram } from "../../../../src/control/bench/histogram.ts"

/** A disk that takes 1 ms to read and 4 ms to write, and remembers where. */
function slowDisk(clock: VirtualClock) {
  const reads: number[] = []
  const writes: number[] = []
  let busy = 0
  let busiest = 0
  const take = async (ms: number) => {
    busiest = Math.max(busiest, ++busy)
    await sleep(clock, ms, "disk")
    busy--
  }
  return {
    sizeBytes: 1024 * 1024,
    blockBytes: 512,
    reads,
    writes,
    busiest: () => busiest,
    read: (offsetBytes: number) => {
      reads.push(offsetBytes)
      return take(1)
    },
    write: (offsetBytes: number) => {
      writes.push(offsetBytes)
      return take(4)
    },
  }
}

const base = { depth: 4, ioBytes: 4096, writePercent: 0, pattern: "random", durationMs: 1000 } as const

/** Runs it in virtual time. */
async function measure(options: Partial<BenchOptions>) {
  const clock = new VirtualClock()
  const disk = slowDisk(clock)
  let result: BenchResult | undefined
  const done = bench(disk, { ...base, clock, random: new SeededRandom(1), ...options }).then((value) => {
    result = value
  })
  await clock.advance(60_000, () => result !== undefined)
  await done
  assert.ok(result)
  return { disk, result }
}

describe("a benchmark", () => {
  test("keeps the depth and counts what it did", async () => {
    const { disk, result } = await measure({})
    assert.equal(disk.busiest(), 4)
    assert.equal(disk.writes.length, 0)
    assert.equal(result.total.operations, disk.reads.length)
    assert.ok(Math.abs(result.total.iops - 4000) < 20, String(result.total.iops))
    assert.equal(Math.round(result.total.bytesPerSecond / result.total.iops), 4096)
    assert.equal(result.reads?.operations, result.total.operations)
    assert.equal(result.writes, undefined)
    assert.ok(Math.abs(result.total.latencyMs.p50 - 1) < 0.04)
    assert.equal(result.total.latencyMs.max, 1)
  })

  test("offsets are whole operations within the disk; sequential ones follow each other", async () => {
    const { disk } = await measure({})
    assert.ok(disk.reads.every((offset) => offset % 4096 === 0 && offset + 4096 <= disk.sizeBytes))
    assert.ok(new Set(disk.reads).size > 200)
    const { disk: other } = await measure({ pattern: "sequential" })
    other.reads.forEach((offset, i) => assert.equal(offset, (i * 4096) % other.sizeBytes))
  })

  test("mixes reads and writes as told, and tells them apart", async () => {
    const { disk, result } = await measure({ writePercent: 25, depth: 16 })
    const share = disk.writes.length / (disk.reads.length + disk.writes.length)
    assert.ok(Math.abs(share - 0.25) < 0.04, String(share))
    assert.ok(Math.abs((result.writes?.latencyMs.p50 ?? 0) - 4) < 0.15)
    assert.ok(Math.abs((result.reads?.latencyMs.p50 ?? 0) - 1) < 0.04)
    const { disk: all } = await measure({ writePercent: 100 })
    assert.equal(all.reads.length, 0)
  })

  test("tells how it goes while it goes", async () => {
    const ticks: BenchTick[] = []
    await measure({ onTick: (tick) => ticks.push(tick), tickMs: 100 })
    assert.ok(ticks.length >= 9, String(ticks.length))
    for (const tick of ticks) assert.ok(Math.abs(tick.iops - 4000) < 100, String(tick.iops))
  })

  test("a signal ends it early, with what there is", async () => {
    const { result } = await measure({ signal: AbortSignal.abort() })
    assert.equal(result.total.operations, 0)
    assert.equal(result.total.iops, 0)
  })

  test("operations that don't suit the disk are refused", async () => {
    const clock = new VirtualClock()
    const options = { ...base, clock, random: new SeededRandom(1) }
    for (const ioBytes of [1000, 2 * 1024 * 1024]) {
      await assert.rejects(bench(slowDisk(clock), { ...options, ioBytes }), { code: "ERR_BENCH_OPTIONS" })
    }
  })

  test("a failure ends it", async () => {
    const clock = new VirtualClock()
    const broken = { ...slowDisk(clock), read: () => Promise.reject(new Error("broken")) }
    await assert.rejects(bench(broken, { ...base, clock, random: new SeededRandom(1) }), /^Error: broken$/)
    assert.deepEqual(clock.pending(), [])
  })
})

test("percentiles are right to within a thirty-second", () => {
  const durations = fc.array(fc.double({ min: 0.00004, max: 1e6, noNaN: true }), {
    minLength: 1,
    maxLength: 200,
  })
  fc.assert(
    fc.property(durations, fc.integer({ min: 1, max: 100 }), (values, percent) => {
      const histogram = new LatencyHistogram()
      for (const value of values) histogram.add(value)
      const sorted = values.toSorted((a, b) => a - b)
      const exact = sorted[Math.max(0, Math.ceil((values.length * percent) / 100) - 1)]!
      const found = histogram.percentileMs(percent)
      assert.ok(found >= exact * 0.999 && found <= exact * (1 + 1 / 16) + 1e-6, `${found} for ${exact}`)
      assert.equal(histogram.count, values.length)
      assert.equal(histogram.maxMs, sorted.at(-1))
      assert.equal(histogram.minMs, sorted[0])
    }),
  )
})
