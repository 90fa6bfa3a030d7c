import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { crc32c, crc32cOfView } from "../../../src/wire/crc32c.ts"

/** Bit by bit, as the polynomial says. */
function slowly(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const readCommand = `01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018
  28000000 00000000 02000000 00000000`

/** RFC 3720 §B.4 (RFC 7143 appendix): the bytes, and the digest as it stands on the wire. */
const vectors: [string, Buffer, string][] = [
  ["32 zeros", Buffer.alloc(32), "aa36918a"],
  ["32 ones", Buffer.alloc(32, 0xff), "43aba862"],
  ["rising", Buffer.from(Array.from({ length: 32 }, (_, i) => i)), "4e79dd46"],
  ["falling", Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), "5cdb3f11"],
  ["a SCSI Read (10) Command PDU", Buffer.from(readCommand.replace(/\s/g, ""), "hex"), "563a96d9"],
]

describe("CRC-32C", () => {
  for (const [name, bytes, wire] of vectors) {
    test(`vector: ${name}`, () => {
      const four = Buffer.alloc(4)
      four.writeUInt32LE(crc32c(bytes))
      assert.equal(four.toString("hex"), wire)
    })
  }

  test("any bytes, at any place, in any parts", () => {
    const bytes = fc.uint8Array({ maxLength: 700 })
    fc.assert(
      fc.property(bytes, fc.nat(700), fc.nat(9), (data, cut, shift) => {
        const memory = new Uint8Array(shift + data.length + 3)
        memory.set(data, shift)
        const end = shift + data.length
        const middle = Math.min(shift + cut, end)
        const expected = slowly(data)
        assert.equal(crc32c(memory, shift, end), expected)
        assert.equal(crc32cOfView(viewOf(memory), shift, end), expected)
        assert.equal(crc32c(memory, middle, end, crc32c(memory, shift, middle)), expected)
        const first = crc32cOfView(viewOf(memory), shift, middle)
        assert.equal(crc32cOfView(viewOf(memory), middle, end, first), expected)
      }),
    )
  })
})
