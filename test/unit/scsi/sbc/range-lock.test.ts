import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { isPromise } from "../../../../src/base/completion.ts"
import { type HeldRange, RangeLock } from "../../../../src/scsi/sbc/range-lock.ts"

describe("a lock on ranges", () => {
  it("grants what doesn't conflict at once", () => {
    const lock = new RangeLock()
    assert.equal(lock.contended, false)
    assert.ok(!isPromise(lock.enter(0, 10, false)))
    assert.ok(!isPromise(lock.enter(5, 15, false)))
    assert.equal(lock.contended, false)
    assert.ok(!isPromise(lock.enter(15, 20, true)))
    assert.equal(lock.contended, true)
    assert.ok(!isPromise(lock.enter(20, 30, true)))
    assert.ok(isPromise(lock.enter(29, 31, false)))
  })

  it("serves in the order of arrival, so that nobody starves", async () => {
    const lock = new RangeLock()
    const order: string[] = []
    const hold = async (name: string, exclusive: boolean) => {
      const held = await lock.enter(0, 10, exclusive)
      order.push(name)
      await Promise.resolve()
      lock.leave(held)
    }
    await Promise.all([
      hold("a", false),
      hold("B", true),
      hold("c", false),
      hold("d", false),
      hold("E", true),
    ])
    assert.deepEqual(order, ["a", "B", "c", "d", "E"])
    assert.equal(lock.size, 0)
    assert.equal(lock.contended, false)
  })

  it("never lets two hold what one of them wants alone, and grants everything in the end", async () => {
    const wish = fc.record({
      start: fc.nat(20),
      length: fc.integer({ min: 1, max: 8 }),
      exclusive: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(wish, { maxLength: 30 }),
        fc.infiniteStream(fc.nat()),
        async (wishes, choice) => {
          const lock = new RangeLock()
          const held: HeldRange[] = []
          let granted = 0
          const take = (range: HeldRange) => {
            granted++
            for (const other of held) {
              const apart = other.end <= range.start || range.end <= other.start
              assert.ok(apart || (!other.exclusive && !range.exclusive))
            }
            held.push(range)
          }
          for (const { start, length, exclusive } of wishes) {
            const range = lock.enter(start, start + length, exclusive)
            if (isPromise(range)) void range.then(take)
            else take(range)
          }
          while (held.length > 0) {
            lock.leave(held.splice(choice.next().value % held.length, 1)[0]!)
            await Promise.resolve()
          }
          assert.equal(granted, wishes.length)
          assert.equal(lock.size, 0)
        },
      ),
    )
  })
})
