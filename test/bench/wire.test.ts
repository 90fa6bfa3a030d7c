/** The benchmarks still run, and do the work they claim to measure. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { benchWire } from "../../bench/wire.ts"

test("bench/wire.ts measures every way, and its sums are stable", () => {
  const first = benchWire(512)
  const second = benchWire(512)
  assert.ok(first.length >= 7)
  for (const [i, { name, nsPerOperation, sum }] of first.entries()) {
    assert.ok(nsPerOperation > 0, name)
    assert.notEqual(sum, 0, name)
    assert.equal(sum, second[i]?.sum, name)
  }
  const sumOf = (name: string): number | undefined => first.find((result) => result.name === name)?.sum
  assert.equal(sumOf("read 8 fields, a fresh view"), sumOf("read 8 fields, a moved view"))
  assert.equal(sumOf("read 4 words by hand, DataView"), sumOf("read 4 words by hand, Buffer"))
})
