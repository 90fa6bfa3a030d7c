import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { sleep } from "../../../../src/base/clock.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import {
  compare,
  type CompareOptions,
  type CompareProgress,
  type ComparedWorkload,
  type Contestant,
  summary,
} from "../../../../src/control/bench/compare.ts"
import { median, spreadOf } from "../../../../src/control/bench/statistics.ts"

const workload = { ioBytes: 1 << 20, depth: 4, writePercent: 0, pattern: "sequential" } as const

/** Contestants that take so many ms per operation, in virtual time, and use a tenth of it on CPU; whose turn it was. */
async function race(times: Readonly<Record<string, number>>, more: Partial<CompareOptions> = {}) {
  const clock = new VirtualClock()
  const turns: string[] = []
  const memories = new Set<Uint8Array>()
  let cpuMs = 0
  const contestants = Object.entries(times).map(([label, takesMs]): Contestant => {
    const read = async (_offsetBytes: number, into: Uint8Array) => {
      if (turns.at(-1) !== label) turns.push(label)
      memories.add(into)
      await sleep(clock, takesMs, "disk")
      cpuMs += takesMs / 10
    }
    return {
      label,
      subject: { sizeBytes: 1 << 30, blockBytes: 512, read, write: read },
      targetCpu: () => cpuMs * 2,
    }
  })
  let result: ComparedWorkload[] | undefined
  let failure: unknown
  const options = {
    workloads: [workload],
    rounds: 3,
    roundMs: 1000,
    warmUpMs: 200,
    ownCpu: () => cpuMs,
    clock,
    random: new SeededRandom(1),
    ...more,
  }
  compare(contestants, options).then(
    (value) => {
      result = value
    },
    (error: unknown) => {
      failure = error
    },
  )
  await clock.advance(60_000, () => result !== undefined || failure !== undefined)
  return { result, failure, turns, memories }
}

const near = (actual: number | undefined, expected: number) =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) <= expected * 0.04, `${actual} is not ${expected}`)

describe("a comparison", () => {
  test("gives contestants their turns: all warm up, and every round begins with another", async () => {
    const { turns } = await race({ a: 4, b: 8 })
    // Where one round ends and the next begins with the same one, two turns look like one.
    assert.deepEqual(turns, ["a", "b", "a", "b", "a", "b"])
    const three = await race({ a: 4, b: 8, c: 2 })
    assert.deepEqual(three.turns, ["a", "b", "c", "a", "b", "c", "b", "c", "a", "c", "a", "b"])
  })

  test("measures throughput, latencies and CPU time of both sides, and tells the ratios to the first", async () => {
    const { result } = await race({ slow: 8, fast: 4 })
    const [slow, fast] = result?.[0]?.sides ?? []
    assert.ok(slow && fast)
    near(slow.figures.iops?.median, 500)
    near(fast.figures.bytesPerSecond?.median, 1000 * 2 ** 20)
    near(slow.figures.latencyP50?.median, 8)
    near(fast.figures.latencyP999?.median, 4)
    near(slow.figures.initiatorCpu?.median, 0.8 * 1024)
    near(slow.figures.targetCpu?.median, 1.6 * 1024)
    near(fast.ratios.iops?.median, 2)
    near(fast.ratios.latencyP99?.median, 0.5)
    near(fast.ratios.targetCpu?.median, 0.5)
    assert.deepEqual(slow.ratios, {}, "the first has no ratio to itself")
    assert.equal(slow.rounds.length, 3)
  })

  test("everybody reads into the same memory", async () => {
    const { memories } = await race({ a: 4, b: 8 })
    assert.equal(memories.size, workload.depth)
  })

  test("tells how far it is, up to the end", async () => {
    const seen: CompareProgress[] = []
    await race(
      { a: 4, b: 8 },
      { onProgress: (progress) => seen.push(progress), workloads: [workload, workload] },
    )
    const shares = seen.map(({ share }) => share)
    assert.deepEqual(
      shares,
      shares.toSorted((x, y) => x - y),
    )
    assert.ok(shares.at(0)! < 0.05 && shares.at(-1)! > 0.9, shares.join())
    assert.deepEqual([...new Set(seen.map(({ round }) => round))], [0, 1, 2, 3])
  })

  test("an aborted signal ends it with its reason", async () => {
    const reason = new Error("enough")
    const { failure, result } = await race({ a: 4, b: 8 }, { signal: AbortSignal.abort(reason) })
    assert.equal(result, undefined)
    assert.equal(failure, reason)
  })
})

test("ratios are made round by round, not of the medians", () => {
  const rounds = (...all: number[]) => all.map((iops) => ({ iops }))
  const side = summary("b", rounds(50, 200, 90), rounds(100, 200, 100))
  assert.deepEqual(side.ratios.iops, { median: 0.9, low: 0.5, high: 1 })
  assert.deepEqual(side.figures.iops, { median: 90, low: 50, high: 200 })
  assert.equal(side.figures.targetCpu, undefined)
})

test("a median is the middle, or the mean of the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5)
  assert.equal(median([9, 1, 5, 7]), 6)
  assert.equal(spreadOf([]), undefined)
  assert.deepEqual(spreadOf([10, 9]), { median: 9.5, low: 9, high: 10 })
})
