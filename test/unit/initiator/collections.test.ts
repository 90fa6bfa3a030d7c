import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { type Change, ChangeSet } from "../../../src/initiator/change-set.ts"
import { Fifo } from "../../../src/initiator/fifo.ts"

describe("Fifo", () => {
  it("does what an array does", () => {
    const step = fc.oneof(
      fc.record({ push: fc.nat() }),
      fc.record({ front: fc.array(fc.nat(), { maxLength: 3 }) }),
      fc.constant("shift" as const),
      fc.constant("takeAll" as const),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const fifo = new Fifo<number>()
        let model: number[] = []
        for (const next of steps) {
          if (next === "shift") assert.equal(fifo.shift(), model.shift())
          else if (next === "takeAll") {
            assert.deepEqual(fifo.takeAll(), model)
            model = []
          } else if ("push" in next) {
            fifo.push(next.push)
            model.push(next.push)
          } else {
            fifo.pushFront(next.front)
            model.unshift(...next.front)
          }
          assert.equal(fifo.length, model.length)
        }
        assert.deepEqual(fifo.takeAll(), model)
      }),
    )
  })

  it("stays quick and small over a long life", () => {
    const fifo = new Fifo<number>()
    for (let i = 0; i < 100_000; i++) {
      fifo.push(i)
      if (i >= 10) assert.equal(fifo.shift(), i - 10)
    }
    assert.equal(fifo.length, 10)
  })
})

describe("ChangeSet", () => {
  const change = (from: number, to: number): Change & { met: number } => ({
    from,
    to,
    changeIndex: -1,
    met: 0,
    overlapped() {
      this.met++
    },
  })

  it("tells exactly those that overlap while both are under way", () => {
    const set = new ChangeSet()
    const [a, b, c, d] = [change(0, 8), change(8, 16), change(7, 9), change(100, 101)]
    set.add(a)
    set.add(b)
    assert.equal(a.met + b.met, 0)
    set.add(c)
    set.add(d)
    assert.deepEqual([a.met > 0, b.met > 0, c.met > 0, d.met > 0], [true, true, true, false])
    set.delete(a)
    const later = change(0, 4)
    set.add(later)
    assert.equal(later.met, 0)
    for (const one of [b, c, d, later]) set.delete(one)
    assert.equal(set.size, 0)
  })

  it("agrees with comparing all pairs", () => {
    const range = fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 8 }), fc.boolean())
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), (ranges) => {
        const set = new ChangeSet()
        const live: ReturnType<typeof change>[] = []
        for (const [from, length, drop] of ranges) {
          const next = change(from, from + length)
          const met = live.filter((other) => other.from < next.to && next.from < other.to)
          const before = met.map((other) => other.met)
          set.add(next)
          assert.equal(next.met, met.length)
          met.forEach((other, i) => assert.equal(other.met, before[i]! + 1))
          live.push(next)
          if (drop) set.delete(live.splice(from % live.length, 1)[0]!)
          assert.equal(set.size, live.length)
        }
      }),
    )
  })
})
