import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  type BlockErrorCause,
  DelayStore,
  FaultStore,
  MemoryStore,
  NullStore,
  ReadOnlyStore,
} from "../../../src/backstore/index.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { FAULT_RULES_MAX } from "../../../src/base/limits.ts"
import { fails, pattern, readBytes, same } from "../../suites/block-device.ts"

const KiB = 1024
const SIZE = 256 * KiB
const memory = () => new MemoryStore({ sizeBytes: SIZE })

describe("MemoryStore", () => {
  test("takes memory for what is written, and gives it back", () => {
    const store = new MemoryStore({ sizeBytes: 2 ** 40 })
    assert.equal(store.allocatedBytes, 0)
    store.write(2 ** 39 + 5, pattern(1000, 1), false)
    store.write(2 ** 40 - 10, pattern(10, 2), false)
    assert.equal(store.allocatedBytes, 128 * KiB)
    const into = new Uint8Array(1002)
    store.read(2 ** 39 + 4, into)
    same(into.subarray(1, 1001), pattern(1000, 1))
    assert.equal(store.extents(0, 2 ** 40, 100).length, 4)
    store.discard(0, 2 ** 40)
    assert.equal(store.allocatedBytes, 0)
  })

  test("is full when its memory is", async () => {
    const store = new MemoryStore({ sizeBytes: SIZE, allocatedBytesMax: 64 * KiB })
    store.write(0, pattern(64 * KiB, 1), false)
    await fails("no-space", () => store.write(64 * KiB, pattern(1, 1), false))
    await fails("no-space", () => store.writeZeroes(64 * KiB, 1, false))
    store.write(1000, pattern(10, 2), false)
    store.discard(0, 64 * KiB)
    store.write(64 * KiB, pattern(1, 1), false)
  })

  test("refuses sizes that can't be", async () => {
    for (const sizeBytes of [0, -1, 0.5, Number.NaN, 2 ** 53]) {
      await fails("out-of-range", () => new MemoryStore({ sizeBytes }))
      await fails("out-of-range", () => new NullStore({ sizeBytes }))
    }
  })
})

describe("ReadOnlyStore", () => {
  test("reads, and refuses everything that changes", async () => {
    const below = memory()
    below.write(0, pattern(SIZE, 1), false)
    const store = new ReadOnlyStore(below)
    assert.deepEqual(
      [store.features.readOnly, store.features.writeCache, store.features.discard],
      [true, false, false],
    )
    assert.equal(store.name, "readonly(memory)")
    same(await readBytes(store, 0, SIZE), pattern(SIZE, 1))
    await fails("read-only", () => store.write(0, pattern(1, 1)))
    await fails("read-only", () => store.discard(0, 1))
    await fails("read-only", () => store.writeZeroes(0, 1))
    await fails("read-only", () => store.resize())
    await fails("out-of-range", () => store.write(SIZE, pattern(1, 1)))
    await store.flush()
    same(await readBytes(store, 0, SIZE), pattern(SIZE, 1))
    const told: number[] = []
    store.onResize((sizeBytes) => told.push(sizeBytes))
    await below.resize(2 * SIZE)
    assert.deepEqual([told, store.sizeBytes], [[2 * SIZE], 2 * SIZE])
    await store.close()
    await fails("closed", () => below.flush())
  })
})

describe("DelayStore", () => {
  test("lets each kind wait its time, before it has any effect", async () => {
    const clock = new VirtualClock()
    const below = memory()
    const store = new DelayStore(below, { write: 10, flush: 25 }, { clock })
    const done: string[] = []
    void Promise.resolve(store.write(0, pattern(512, 1), false)).then(() => done.push("write"))
    void Promise.resolve(store.flush()).then(() => done.push("flush"))
    assert.equal(store.read(0, new Uint8Array(512)), undefined, "not delayed")
    await clock.advance(9)
    assert.deepEqual(done, [])
    assert.equal(below.allocatedBytes, 0)
    await clock.advance(1)
    assert.deepEqual(done, ["write"])
    same(await readBytes(below, 0, 512), pattern(512, 1))
    await clock.advance(15)
    assert.deepEqual(done, ["write", "flush"])
    store.delays = {}
    assert.equal(store.write(0, pattern(512, 2), false), undefined)
  })

  test("draws from a range, the same with the same seed", async () => {
    const ends = async (seed: number) => {
      const clock = new VirtualClock()
      const store = new DelayStore(
        memory(),
        { read: { minMs: 5, maxMs: 50 } },
        { clock, random: new SeededRandom(seed) },
      )
      const times: number[] = []
      const reads = Array.from({ length: 20 }, () =>
        Promise.resolve(store.read(0, new Uint8Array(1))).then(() => times.push(clock.nowMs())),
      )
      await clock.advance(60)
      await Promise.all(reads)
      return times
    }
    const times = await ends(1)
    assert.ok(times.every((ms) => ms >= 5 && ms <= 50))
    assert.ok(new Set(times).size > 10)
    assert.deepEqual(await ends(1), times)
  })

  test("what waits is cancelled by its task, and by closing", async () => {
    const clock = new VirtualClock()
    const below = memory()
    const store = new DelayStore(below, { write: 10, discard: 10, writeZeroes: 10, read: 10 }, { clock })
    const [mine, other] = [{}, {}]
    const cancelled = [
      fails("cancelled", () => store.write(0, pattern(512, 1), false, mine)),
      fails("cancelled", () => store.writeZeroes(0, 512, false, mine)),
      fails("cancelled", () => store.discard(0, 512, mine)),
    ]
    const kept = store.write(64 * KiB, pattern(512, 2), false, other)
    assert.equal(store.waiting, 4)
    store.cancel(mine)
    await Promise.all(cancelled)
    assert.equal(store.waiting, 1)
    await clock.advance(10)
    await kept
    assert.equal(below.allocatedBytes, 64 * KiB)
    const closed = fails("closed", () => store.read(0, new Uint8Array(1)))
    await store.close()
    await closed
    assert.deepEqual(clock.pending(), [])
  })
})

describe("FaultStore", () => {
  test("strikes by kind, by place, after some and so often", async () => {
    const store = new FaultStore(memory(), [
      {
        operations: ["write"],
        range: { offsetBytes: 8 * KiB, lengthBytes: 4 * KiB },
        skip: 1,
        count: 2,
        effect: { kind: "error", reason: "no-space" },
      },
    ])
    const write = (offset: number, length = 512) => store.write(offset, pattern(length, 1), false)
    await write(8 * KiB) // let through
    await write(0) // elsewhere
    await write(12 * KiB)
    await store.read(8 * KiB, new Uint8Array(512))
    await store.discard(8 * KiB, 512)
    await fails("no-space", () => write(12 * KiB - 1))
    const error = await fails("no-space", () => write(0, 16 * KiB))
    assert.equal(error.code, "ERR_BLOCK_NO_SPACE")
    await write(8 * KiB) // spent
    assert.deepEqual([store.rules[0]?.matched, store.rules[0]?.struck], [3, 2])
  })

  test("strikes by chance, the same with the same seed", async () => {
    const struck = async (seed: number) => {
      const rules = [{ probability: 0.25, effect: { kind: "error", reason: "io" } }] as const
      const store = new FaultStore(memory(), rules, { random: new SeededRandom(seed) })
      const list: boolean[] = []
      for (let i = 0; i < 200; i++) {
        try {
          await store.flush()
          list.push(false)
        } catch {
          list.push(true)
        }
      }
      return list
    }
    const list = await struck(7)
    const count = list.filter(Boolean).length
    assert.ok(count > 30 && count < 70, `${count} of 200`)
    assert.deepEqual(await struck(7), list)
  })

  test("tears writes and cuts reads short", async () => {
    const below = memory()
    below.write(0, pattern(16 * KiB, 1), false)
    const store = new FaultStore(below, [{ effect: { kind: "torn", bytes: 1000 } }])
    await fails("io", () => store.write(0, pattern(4 * KiB, 2), false))
    same(await readBytes(below, 0, 1000), pattern(4 * KiB, 2).subarray(0, 1000))
    same(await readBytes(below, 1000, 3000), pattern(16 * KiB, 1).subarray(1000, 4000))
    const into = new Uint8Array(4 * KiB)
    await fails("io", () => store.read(4 * KiB, into))
    same(into.subarray(0, 1000), pattern(16 * KiB, 1).subarray(4 * KiB, 4 * KiB + 1000))
    assert.ok(into.subarray(1000).every((byte) => byte === 0))
    await fails("io", () => store.writeZeroes(8 * KiB, 4 * KiB, false))
    await fails("io", () => store.discard(12 * KiB, 4 * KiB))
    assert.equal(
      (await readBytes(below, 8 * KiB, 1000)).findIndex((byte) => byte !== 0),
      -1,
    )
    same(await readBytes(below, 9 * KiB, 3 * KiB), pattern(16 * KiB, 1).subarray(9 * KiB, 12 * KiB))
    await fails("io", () => store.flush())
  })

  test("hangs until cancelled, let go, or closed", async () => {
    const below = memory()
    const store = new FaultStore(below)
    const remove = store.addRule({ operations: ["write"], effect: { kind: "hang" } })
    const task = {}
    const cancelled = fails("cancelled", () => store.write(0, pattern(512, 1), false, task))
    const released = store.write(512, pattern(512, 2), false)
    assert.equal(store.hanging, 2)
    store.cancel(task)
    await cancelled
    remove()
    await store.write(1024, pattern(512, 3), false)
    store.release()
    await released
    same(await readBytes(below, 512, 512), pattern(512, 2))
    assert.ok((await readBytes(below, 0, 512)).every((byte) => byte === 0))
    store.addRule({ operations: ["write"], effect: { kind: "hang" } })
    const closed = fails("closed", () => store.write(0, pattern(512, 1), false))
    await store.close()
    await closed
  })

  test("a lost write refuses all writes, until healed", async () => {
    const store = new FaultStore(memory(), [
      { operations: ["flush"], count: 1, effect: { kind: "error", reason: "write-lost" } },
    ])
    await store.write(0, pattern(512, 1), false)
    const lost: BlockErrorCause = "write-lost"
    await fails(lost, () => store.flush())
    await fails(lost, () => store.write(0, pattern(512, 1), false))
    await fails(lost, () => store.flush())
    same(await readBytes(store, 0, 512), pattern(512, 1))
    store.heal()
    await store.write(0, pattern(512, 2), true)
    await store.flush()
  })

  test("holds a bounded number of rules", async () => {
    const store = new FaultStore(memory())
    for (let i = 0; i < FAULT_RULES_MAX; i++) store.addRule({ count: 0, effect: { kind: "hang" } })
    await fails("out-of-range", () => store.addRule({ effect: { kind: "hang" } }))
    await store.flush()
  })
})
