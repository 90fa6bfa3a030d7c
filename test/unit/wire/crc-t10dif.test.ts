import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { crcT10Dif } from "../../../src/wire/crc-t10dif.ts"

/** Bit by bit, as the polynomial is written. */
function slowly(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const out = (crc >> 15) ^ ((byte >> bit) & 1)
      crc = ((crc << 1) & 0xffff) ^ (out === 1 ? 0x8bb7 : 0)
    }
  }
  return crc
}

const rising = (from: number, step: number) => Uint8Array.from({ length: 32 }, (_, i) => from + i * step)

describe("CRC-16/T10-DIF", () => {
  test("the standard's test cases (SBC-3 §4.22.4), and the check value of the catalogues", () => {
    assert.equal(crcT10Dif(new Uint8Array(32)), 0x0000)
    assert.equal(crcT10Dif(new Uint8Array(32).fill(0xff)), 0xa293)
    assert.equal(crcT10Dif(rising(0, 1)), 0x0224)
    assert.equal(crcT10Dif(Uint8Array.from({ length: 32 }, (_, i) => (i < 2 ? 0xff : 0))), 0x21b8)
    assert.equal(crcT10Dif(rising(0xff, -1)), 0xa0b7)
    assert.equal(crcT10Dif(Buffer.from("123456789")), 0xd0db)
  })

  test("any bytes, wherever they lie: what the polynomial says bit by bit", () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat(100),
      fc.nat(100),
      (bytes, a, b) => {
        const [start, end] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)]
        assert.equal(crcT10Dif(bytes, start, end), slowly(bytes.subarray(start, end)))
      },
    )
    fc.assert(property)
  })
})
