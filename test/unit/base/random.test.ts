import assert from "node:assert/strict"
import { test } from "node:test"
import { systemRandom } from "../../../src/base/random.ts"

test("the system's words are spread over all bits, and none comes twice, across what is fetched ahead", () => {
  const words = Array.from({ length: 5000 }, () => systemRandom.uint32())
  assert.ok(words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32))
  // Two of 5000 alike: once in 340 runs. A batch given out again: 1024 of them.
  assert.ok(new Set(words).size >= 4990)
  for (let bit = 0; bit < 32; bit++) {
    const set = words.filter((word) => (word >>> bit) & 1).length
    assert.ok(set > 2200 && set < 2800, `bit ${bit} is set in ${set} of 5000`)
  }
})

test("fills what it is given, and nothing around it", () => {
  const whole = new Uint8Array(300)
  const part = whole.subarray(20, 280)
  assert.equal(systemRandom.fill(part), part)
  assert.ok(
    whole.subarray(0, 20).every((byte) => byte === 0) && whole.subarray(280).every((byte) => byte === 0),
  )
  assert.ok(new Set(part).size > 100)
})
