import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { SUMMABLE_BYTES_MAX } from "../../../src/base/limits.ts"
import { allocateSummable, crc32c, crc32cOfView } from "../../../src/wire/crc32c.ts"

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

  test("long runs, which take other ways than short ones: lengths around every limit", () => {
    const memory = Uint8Array.from({ length: 140_000 }, (_, i) => (i * 2654435761) >>> 13)
    const inPieces = (start: number, end: number): number => {
      let crc = 0
      for (let at = start; at < end; at += 250) crc = crc32c(memory, at, Math.min(end, at + 250), crc)
      return crc
    }
    for (const base of [1024, 1344, 3344, 20480, 20480 + 64, 65536, 65536 + 20480, 2 * 65536]) {
      for (let length = base - 20; length <= base + 20; length++) {
        assert.equal(crc32c(memory, 3, 3 + length), inPieces(3, 3 + length), `${length} bytes`)
      }
    }
    const whole = inPieces(0, memory.length)
    assert.equal(crc32cOfView(viewOf(memory), 70_001, memory.length, crc32c(memory, 0, 70_001)), whole)
  })

  test("long runs bit by bit: a single bit anywhere makes the difference it should", () => {
    for (const length of [8192, 32768]) {
      const bytes = new Uint8Array(length)
      for (let bit = 0; bit < 8 * length; bit += 997) {
        bytes[bit >> 3] = 1 << (bit & 7)
        assert.equal(crc32c(bytes), slowly(bytes), `bit ${bit}`)
        bytes[bit >> 3] = 0
      }
    }
  })

  test("memory that is summed where it lies gives the same sums, and stays as it is", () => {
    const length = 70_000
    const summable = allocateSummable(length)
    assert.ok(summable, "there is such memory")
    const other = Uint8Array.from({ length }, (_, i) => (i * 40503) >>> 7)
    summable.set(other)
    for (const [start, end] of [
      [0, length],
      [5, 61_447],
      [1, 3345],
      [17, 3377],
      [3, 3401],
      [9, 1200],
    ] as const) {
      assert.equal(crc32c(summable, start, end, 77), crc32c(other, start, end, 77), `${start} to ${end}`)
    }
    assert.deepEqual(summable, other)
    assert.equal(allocateSummable(SUMMABLE_BYTES_MAX), undefined, "more than there is")
  })
})
