import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import {
  bits,
  defineHeader,
  flag,
  reserved,
  reservedBytes,
  span,
  u16,
  u24,
  u32,
  u48,
  u8,
} from "../../../src/wire/layout.ts"

class Sample extends defineHeader("Sample", "nowhere", 24, {
  top: flag(0, 7),
  middle: bits(0, 2, 5),
  low: reserved(0, 0b11),
  byte: u8(1),
  half: u16(2),
  three: u24(4),
  gap: reservedBytes(7, 1),
  word: u32(8),
  six: u48(12),
  run: span(18, 6),
}) {}

describe("layout", () => {
  test("every field reads what was written, and touches nothing else", () => {
    const header = fc.uint8Array({ minLength: 40, maxLength: 40 })
    const values = fc.tuple(
      fc.boolean(),
      fc.nat(31),
      fc.nat(255),
      fc.nat(65535),
      fc.nat(2 ** 24 - 1),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    )
    fc.assert(
      fc.property(header, fc.nat(16), values, (bytes, at, [top, middle, byte, half, three, word, six]) => {
        const before = bytes.slice()
        const view = new Sample(new DataView(bytes.buffer), at)
        Object.assign(view, { top, middle, byte, half, three, word, six })
        assert.deepEqual(
          [view.top, view.middle, view.byte, view.half, view.three, view.word, view.six, view.run],
          [top, middle, byte, half, three, word, six, at + 18],
        )
        assert.equal(bytes[at]! & 0b11, before[at]! & 0b11)
        assert.equal(bytes[at + 7], before[at + 7])
        assert.deepEqual(bytes.slice(0, at), before.slice(0, at))
        assert.deepEqual(bytes.slice(at + 18), before.slice(at + 18))
      }),
    )
  })

  test("a field behind the end, an overlap and a gap are found when the table is made", () => {
    assert.throws(() => defineHeader("X", "", 3, { word: u32(0) }), /X: word ends behind the header/)
    assert.throws(
      () => defineHeader("X", "", 4, { word: u32(0), bit: flag(2, 0) }),
      /X: bit overlaps another field at byte 2/,
    )
    assert.throws(
      () => defineHeader("X", "", 2, { byte: u8(0), low: bits(1, 0, 7) }),
      /X: byte 1 is not fully declared/,
    )
  })
})
