import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import { MemoryPool } from "../../../../src/datamover/shared/memory.ts"

const never = () => false

describe("budget", () => {
  test("one connection may have half, the next half of the rest: something is left for everybody", () => {
    const budget = new DataBufferBudget(1000)
    const take = (share: { take(bytes: number): boolean }) => {
      let bytes = 0
      while (share.take(1)) bytes++
      return bytes
    }
    assert.equal(take(budget.share(never)), 500)
    assert.equal(take(budget.share(never)), 250)
    assert.equal(take(budget.share(never)), 125)
  })

  test("more than there is goes to whoever is alone", () => {
    const budget = new DataBufferBudget(10)
    const share = budget.share(never)
    assert.equal(share.take(100), true)
    assert.equal(budget.share(never).take(1), false)
    share.give(100)
    assert.equal(budget.takenBytes, 0)
  })

  test("whoever waits with nothing comes before those who have something", () => {
    const budget = new DataBufferBudget(100)
    const rich = budget.share(never)
    for (let i = 0; i < 5; i++) assert.ok(rich.take(10))
    const order: string[] = []
    const poor = budget.share(() => {
      const granted = poor.take(60)
      if (granted) order.push("poor")
      return granted
    })
    assert.equal(poor.take(60), false)
    poor.wait()
    rich.give(10)
    assert.equal(rich.take(10), false, "the poor one waits")
    rich.give(10)
    assert.deepEqual(order, ["poor"])
    poor.give(60)
    assert.ok(rich.take(10))
  })

  test("whoever waits is served in the order it came, once there is room", () => {
    const budget = new DataBufferBudget(100)
    const first = budget.share(never)
    assert.ok(first.take(100))
    const served: number[] = []
    for (let i = 0; i < 4; i++) {
      const share = budget.share(() => share.take(20) && served.push(i) > 0)
      assert.equal(share.take(20), false)
      share.wait()
    }
    first.give(50)
    assert.deepEqual(served, [0, 1])
    first.give(50)
    assert.deepEqual(served, [0, 1, 2, 3])
  })
})

describe("memory", () => {
  test("a piece has room for what was asked for, and is given out once at a time", () => {
    const random = new SeededRandom(1)
    const pool = new MemoryPool(true)
    const held = new Map<ArrayBufferLike, () => void>()
    for (let i = 0; i < 500; i++) {
      if (held.size > 20 || (held.size > 0 && random.chance(0.4))) {
        const [key, release] = random.pick([...held])
        held.delete(key)
        release()
        continue
      }
      const bytes = random.below(random.chance(0.1) ? 2_000_000 : 100_000)
      const memory = pool.take(bytes)
      assert.ok(memory.bytes.length >= bytes + 1100)
      assert.equal(held.has(memory.bytes.buffer), false)
      held.set(memory.bytes.buffer, () => memory.release())
    }
    assert.equal(pool.taken, held.size)
  })

  test("the arena hands out runs side by side, and starts over when all came back", () => {
    const { arena } = new DataBufferBudget(1)
    const starts = [arena.take(100), arena.take(200), arena.take(50)]
    assert.deepEqual(starts, [0, 100, 300])
    const { memory } = arena
    for (let i = 0; i < 3; i++) memory.release()
    assert.equal(arena.take(10), 0)
    assert.equal(arena.memory, memory)
    arena.take(300_000)
    assert.notEqual(arena.memory, memory)
  })
})
