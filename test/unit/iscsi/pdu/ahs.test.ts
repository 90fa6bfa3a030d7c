import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { encodeAhs, parseAhs } from "../../../../src/iscsi/pdu/index.ts"

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"))
const parse = (bytes: Uint8Array) => parseAhs(bytes, 0, bytes.length)

/** Hex and decoded twin. */
const golden: [string, string, { extendedCdb?: Uint8Array; bidirectionalReadBytes?: number }][] = [
  ["a CDB of 20 bytes", "0005 01 00 11223344", { extendedCdb: bytesOf("11223344") }],
  ["a CDB of 22 bytes, padded", "0007 01 00 112233445566 0000", { extendedCdb: bytesOf("112233445566") }],
  ["a bidirectional read length", "0005 02 00 00010002", { bidirectionalReadBytes: 0x10002 }],
  [
    "both",
    "0002 01 00 aa000000 0005 02 00 00000200",
    { extendedCdb: bytesOf("aa"), bidirectionalReadBytes: 512 },
  ],
]

describe("additional header segments", () => {
  for (const [name, hex, twin] of golden) {
    test(`golden: ${name}`, () => {
      const bytes = bytesOf(hex)
      assert.deepEqual(parse(bytes), twin)
      assert.deepEqual(encodeAhs(twin), bytes)
    })
  }

  for (const [name, hex] of [
    ["of unknown type", "0005 03 00 00000000"],
    ["of type 0", "0005 00 00 00000000"],
    ["longer than there is", "0009 01 00 11223344"],
    ["far longer than there is", "ffff 01 00 11223344"],
    ["of no length", "0000 01 00"],
    ["an extended CDB of nothing", "0001 01 00"],
    ["a read length that is too short", "0004 02 00 00000000"],
    ["a read length that is too long", "0006 02 00 00000000 00000000"],
    ["an extended CDB twice", "0002 01 00 aa000000 0002 01 00 aa000000"],
    ["a read length twice", "0005 02 00 00000001 0005 02 00 00000001"],
    ["zeros behind the last", "0005 02 00 00000001 00000000"],
  ] as const) {
    test(`refused: ${name}`, () => {
      assert.equal(parse(bytesOf(hex)), undefined)
    })
  }

  test("what is written is read, wherever it lies", () => {
    const headers = fc.record(
      {
        extendedCdb: fc.uint8Array({ minLength: 1, maxLength: 244 }),
        bidirectionalReadBytes: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(headers, fc.nat(9), (given, shift) => {
        const bytes = encodeAhs(given)
        assert.equal(bytes.length % 4, 0)
        const memory = new Uint8Array(shift + bytes.length + 7).fill(0xff)
        memory.set(bytes, shift)
        assert.deepEqual({ ...parseAhs(memory, shift, bytes.length) }, { ...given })
      }),
    )
  })

  test("random bytes are read or refused, nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const length = bytes.length & ~3
        const found = parseAhs(bytes, 0, length)
        assert.ok((found?.extendedCdb?.length ?? 0) <= length)
      }),
    )
  })
})
