import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { serialAdd, serialAfter, serialBefore, serialDistance } from "../../../src/wire/serial.ts"

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })

test("serial numbers go round", () => {
  assert.equal(serialAdd(0xffffffff, 1), 0)
  assert.equal(serialDistance(0, 0xffffffff), 1)
  assert.ok(serialBefore(0xfffffff0, 5))
  assert.ok(serialAfter(5, 0xfffffff0))
})

test("what is added comes after, by so much", () => {
  fc.assert(
    fc.property(uint32, fc.integer({ min: 1, max: 2 ** 31 - 1 }), (a, n) => {
      const b = serialAdd(a, n)
      assert.equal(serialDistance(b, a), n)
      assert.equal(serialDistance(a, b), -n)
      assert.equal(serialBefore(a, b), true)
      assert.equal(serialAfter(a, b), false)
      assert.equal(serialAfter(b, a), true)
    }),
  )
})
