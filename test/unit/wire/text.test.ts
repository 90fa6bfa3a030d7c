import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { TEXT_BYTES_MAX, TEXT_PAIRS_MAX, TEXT_VALUE_BYTES_MAX } from "../../../src/base/limits.ts"
import {
  decodeText,
  encodeText,
  formatBase64,
  formatBoolean,
  formatHex,
  parseBinary,
  parseBoolean,
  parseIscsiName,
  parseList,
  parseNumber,
  parseRange,
  splitText,
  TextError,
  TextGatherer,
} from "../../../src/wire/text.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const code = (expected: string) => (error: unknown) => error instanceof TextError && error.code === expected

test("pairs come out in order, whatever stands between them", () => {
  const expected = [
    { key: "A", value: "1" },
    { key: "B", value: "x=y" },
    { key: "C", value: "" },
  ]
  assert.deepEqual(decodeText(bytes("A=1\0B=x=y\0C=\0")), expected)
  assert.deepEqual(decodeText(bytes("\0A=1\0\0B=x=y\0C=\0\0\0")), expected, "padded with NULs")
  assert.deepEqual(decodeText(bytes("A=1\0B=x=y\0C=")), expected, "the last NUL is missing")
  assert.deepEqual(decodeText(bytes("")), [])
})

test("what isn't a text is refused with a typed error", () => {
  assert.throws(() => decodeText(bytes("novalue\0")), code("ERR_TEXT_FORMAT"))
  assert.throws(() => decodeText(bytes("=x\0")), code("ERR_TEXT_FORMAT"))
  assert.throws(() => decodeText(bytes("a b=x\0")), code("ERR_TEXT_FORMAT"))
  assert.throws(() => decodeText(bytes("ü=x\0")), code("ERR_TEXT_FORMAT"))
  assert.throws(() => decodeText(Uint8Array.of(0x41, 0x3d, 0xff, 0)), code("ERR_TEXT_FORMAT"))
  assert.throws(() => encodeText([{ key: "A", value: "a\0B=1" }]), code("ERR_TEXT_FORMAT"))
  assert.throws(() => encodeText([{ key: "", value: "" }]), code("ERR_TEXT_FORMAT"))
})

test("every limit holds at its edge", () => {
  const key = "K".repeat(63)
  assert.equal(decodeText(bytes(`${key}=1\0`))[0]!.key, key)
  assert.throws(() => decodeText(bytes(`${key}K=1\0`)), code("ERR_TEXT_TOO_LONG"))
  const value = "v".repeat(TEXT_VALUE_BYTES_MAX)
  assert.equal(decodeText(bytes(`A=${value}\0`))[0]!.value, value)
  assert.throws(() => decodeText(bytes(`A=${value}v\0`)), code("ERR_TEXT_TOO_LONG"))
  assert.equal(decodeText(bytes("a=\0".repeat(TEXT_PAIRS_MAX))).length, TEXT_PAIRS_MAX)
  assert.throws(() => decodeText(bytes("a=\0".repeat(TEXT_PAIRS_MAX + 1))), code("ERR_TEXT_TOO_LONG"))
  assert.throws(() => decodeText(new Uint8Array(TEXT_BYTES_MAX + 1)), code("ERR_TEXT_TOO_LONG"))
})

test("a text may be gathered in any pieces, but not for ever", () => {
  const whole = bytes("InitiatorName=iqn.2026-01.org.example:a\0SessionType=Normal\0")
  for (let size = 1; size <= whole.length; size++) {
    const gatherer = new TextGatherer()
    for (const piece of splitText(whole, size)) {
      assert.ok(piece.length <= size)
      gatherer.add(piece)
    }
    assert.deepEqual(gatherer.take(), whole)
    assert.ok(gatherer.empty)
  }
  const gatherer = new TextGatherer()
  gatherer.add(new Uint8Array(TEXT_BYTES_MAX))
  assert.throws(() => gatherer.add(new Uint8Array(1)), code("ERR_TEXT_TOO_LONG"))
  assert.deepEqual(
    splitText(new Uint8Array(0), 512),
    [new Uint8Array(0)],
    "an empty text is one empty segment",
  )
})

test("a gathered piece is copied: its buffer may be used again", () => {
  const piece = bytes("A=1\0")
  const gatherer = new TextGatherer()
  gatherer.add(piece)
  piece.fill(0xa5)
  assert.deepEqual(decodeText(gatherer.take()), [{ key: "A", value: "1" }])
})

test("values of every type", () => {
  assert.deepEqual(["Yes", "No", "yes", ""].map(parseBoolean), [true, false, undefined, undefined])
  assert.deepEqual([true, false].map(formatBoolean), ["Yes", "No"])
  assert.deepEqual(
    ["0", "16777215", "0x1F", "0X1f", "-1", "", "1.5", "1e3", "0x", " 1", "99999999999999999999"].map(
      parseNumber,
    ),
    [0, 16777215, 31, 31, ...Array<undefined>(7).fill(undefined)],
  )
  assert.deepEqual(parseRange("2048~0x2000"), { low: 2048, high: 8192 })
  for (const wrong of ["1", "2~1", "1~2~3", "~", "a~b"]) assert.equal(parseRange(wrong), undefined, wrong)
  assert.deepEqual(parseList("CRC32C,None"), ["CRC32C", "None"])
  assert.deepEqual(parseList(",,"), [])
})

test("binary values: hex, base64, and neither", () => {
  assert.deepEqual(parseBinary("0x00ff", 8), Uint8Array.of(0, 255))
  assert.deepEqual(parseBinary("0Xabc", 8), Uint8Array.of(0x0a, 0xbc))
  assert.deepEqual(parseBinary("0bAP8=", 8), Uint8Array.of(0, 255))
  assert.deepEqual(parseBinary("0BAP8", 8), Uint8Array.of(0, 255), "without its padding")
  const wrong = [
    "",
    "0x",
    "0b",
    "00ff",
    "0xzz",
    "0x0g",
    "0b*",
    "0bA",
    "0b====",
    "0x112233445566778899",
    "0bAAAAAAAAAAAAAAA=",
  ]
  for (const value of wrong) assert.equal(parseBinary(value, 8), undefined, value)
  assert.equal(parseBinary(`0x${"00".repeat(1024)}`, 1024)?.length, 1024)
})

test("property: pairs and binary values survive the wire", () => {
  const key = fc.stringMatching(/^[A-Za-z0-9.+@_#-]{1,63}$/)
  const value = fc.string({ unit: "grapheme", maxLength: 100 }).filter((text) => !text.includes("\0"))
  fc.assert(
    fc.property(fc.array(fc.record({ key, value }), { maxLength: 20 }), (pairs) => {
      assert.deepEqual(
        decodeText(encodeText(pairs)),
        pairs.map((pair) => ({ ...pair })),
      )
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 1024 }), (data) => {
      assert.deepEqual(parseBinary(formatHex(data), 1024), data)
      assert.deepEqual(parseBinary(formatBase64(data), 1024), data)
    }),
  )
})

test("property: random bytes give pairs or a TextError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (data) => {
      try {
        for (const { key } of decodeText(data)) assert.ok(key.length >= 1 && key.length <= 63)
      } catch (error) {
        assert.ok(error instanceof TextError, String(error))
      }
    }),
    { numRuns: 500 },
  )
})

test("iSCSI names come out in normal form, other strings not at all", () => {
  assert.equal(
    parseIscsiName("IQN.1992-01.com.Example:Disk_1.SN.5003"),
    "iqn.1992-01.com.example:disk_1.sn.5003",
  )
  assert.equal(parseIscsiName("eui.02004567A425678D"), "eui.02004567a425678d")
  assert.equal(parseIscsiName("naa.62004567BA64678D0123456789ABCDEF"), "naa.62004567ba64678d0123456789abcdef")
  const wrong = [
    "",
    "disk",
    "iqn.",
    "iqn.2026-01.",
    "iqn.x",
    "eui.1",
    "naa.0123456789abcdef0",
    "iqn.2026-01.a b",
    "iqn.2026-01.a\n",
    "iqn.2026-01.a/../b",
  ]
  for (const name of wrong) assert.equal(parseIscsiName(name), undefined, name)
  assert.equal(parseIscsiName(`iqn.2026-01.org.example:${"a".repeat(199)}`)?.length, 223)
  assert.equal(parseIscsiName(`iqn.2026-01.org.example:${"a".repeat(200)}`), undefined)
})
