import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { IntervalSet } from "../../../../src/datamover/tcp/interval-set.ts"

test("takes parts in any order, and none twice", () => {
  const part = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 20 }))
  fc.assert(
    fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
      const set = new IntervalSet()
      const filled = new Set<number>()
      for (const [start, length] of parts) {
        const bytes = Array.from({ length }, (_, i) => start + i)
        const isFree = bytes.every((at) => !filled.has(at))
        assert.equal(set.add(start, start + length), isFree)
        if (isFree) for (const at of bytes) filled.add(at)
        assert.equal(set.filledBytes, filled.size)
      }
    }),
  )
})
