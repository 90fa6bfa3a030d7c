import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { RangeHold, RangeLock } from "../../../src/backstore/range-lock.ts"

describe("RangeLock", () => {
  test("grants at once what doesn't conflict", () => {
    const lock = new RangeLock()
    assert.equal(lock.acquire(new RangeHold(0, 10, true)), undefined)
    assert.equal(lock.acquire(new RangeHold(10, 20, true)), undefined)
    assert.equal(lock.acquire(new RangeHold(20, 30, false)), undefined)
    assert.equal(lock.acquire(new RangeHold(25, 40, false)), undefined)
    assert.notEqual(lock.acquire(new RangeHold(29, 50, true)), undefined)
    assert.notEqual(lock.acquire(new RangeHold(45, 46, false)), undefined, "not past one that waits")
  })

  test("never lets two that conflict hold at once, serves first come first, and everyone in the end", async () => {
    const request = fc.record({
      start: fc.nat(30),
      length: fc.integer({ min: 1, max: 10 }),
      exclusive: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { maxLength: 30 }),
        fc.infiniteStream(fc.nat(1000)),
        async (requests, picks) => {
          const lock = new RangeLock()
          const held: RangeHold[] = []
          const granted: RangeHold[] = []
          const holds = requests.map(
            ({ start, length, exclusive }) => new RangeHold(start, start + length, exclusive),
          )
          const grant = (hold: RangeHold) => {
            assert.ok(!held.some((other) => other.conflicts(hold)))
            held.push(hold)
            granted.push(hold)
          }
          for (const hold of holds) {
            const wait = lock.acquire(hold)
            if (wait === undefined) grant(hold)
            else void wait.then(() => grant(hold))
          }
          while (held.length > 0) {
            const at = Number(picks.next().value) % held.length
            lock.release(held.splice(at, 1)[0]!)
            await Promise.resolve()
            await Promise.resolve()
          }
          assert.equal(granted.length, holds.length)
          for (const [i, hold] of holds.entries())
            for (const later of holds.slice(i + 1))
              if (hold.conflicts(later)) assert.ok(granted.indexOf(hold) < granted.indexOf(later))
        },
      ),
      { numRuns: 60 },
    )
  })
})
