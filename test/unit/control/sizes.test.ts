import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { formatBytes, parseSize } from "../../../src/control/sizes.ts"

test("sizes mean what they mean in qemu-img and coreutils", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["512", 512],
    ["512B", 512],
    ["10G", 10 * 2 ** 30],
    ["10GiB", 10 * 2 ** 30],
    ["10 GiB", 10 * 2 ** 30],
    ["10GB", 10e9],
    ["1.5k", 1536],
    ["0.5K", 512],
    ["64mib", 64 * 2 ** 20],
    ["1T", 2 ** 40],
    ["7P", 7 * 2 ** 50],
    ["8P", undefined],
    ["0.3K", undefined],
    ["", undefined],
    ["G", undefined],
    ["-1G", undefined],
    ["10 apples", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["Infinity", undefined],
  ]
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text)
})

test("any whole number of bytes is read back as itself", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(String(bytes)) === bytes))
})

test("formatted sizes have a unit and few digits", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [10 * 2 ** 30, "10 GiB"],
    [10.24 * 2 ** 20, "10.2 MiB"],
    [2 ** 20 - 1, "1 MiB"],
    [123 * 2 ** 40, "123 TiB"],
  ]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => /^\d{1,4}(\.\d{1,2})? [KMGTPE]?i?B$/.test(formatBytes(bytes))),
  )
})
