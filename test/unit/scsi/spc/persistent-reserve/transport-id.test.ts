import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import {
  decodeTransportId,
  encodeTransportId,
} from "../../../../../src/scsi/spc/persistent-reserve/transport-id.ts"
import { Asc, SenseError } from "../../../../../src/scsi/spec/sense.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** A TransportID whose parts are as told, right or wrong. */
function raw(first: number, name: string, additional?: number): Uint8Array {
  const bytes = text(name)
  const id = new Uint8Array(4 + Math.max(20, (bytes.length + 4) & ~3))
  id.set(bytes, 4)
  id[0] = first
  id[3] = additional ?? id.length - 4
  return id
}

describe("a TransportID of iSCSI (SPC-4 §7.6.4.6)", () => {
  test("golden: a port is format 01b, null-terminated and padded to a multiple of 4", () => {
    const id = encodeTransportId("iqn.2026-01.org.example:a,i,0x800001020304")
    const name = hex(text("iqn.2026-01.org.example:a,i,0x800001020304"))
    assert.equal(hex(id), `4500002c${name}0000`)
  })

  test("golden: a device is format 00b; 24 bytes are the least", () => {
    assert.equal(
      hex(encodeTransportId("iqn.2026-01.a:b")),
      `05000014${hex(text("iqn.2026-01.a:b"))}0000000000`,
    )
    assert.deepEqual(decodeTransportId(encodeTransportId("iqn.2026-01.a:b"), 0, 24), {
      initiatorName: "iqn.2026-01.a:b",
      bytes: 24,
    })
  })

  test("names are compared as iSCSI does: without case; an ISID is a number", () => {
    const id = raw(0x45, "IQN.2026-01.org.Example:A,i,0x00AB")
    assert.deepEqual(decodeTransportId(id, 0, id.length), {
      initiatorName: "iqn.2026-01.org.example:a",
      initiatorPortName: "iqn.2026-01.org.example:a,i,0x0000000000ab",
      bytes: id.length,
    })
  })

  test("what follows the first null means nothing", () => {
    const id = raw(0x05, "iqn.2026-01.org.example:a\0rubbish")
    assert.equal(decodeTransportId(id, 0, id.length).initiatorName, "iqn.2026-01.org.example:a")
  })

  test("there and back again, anywhere in a list", () => {
    const name = fc
      .stringMatching(/^[a-z0-9.:-]{1,200}$/)
      .map((it) => `iqn.2026-01.org.example:${it}`.slice(0, 223))
    const isid = fc.bigInt({ min: 0n, max: 2n ** 48n - 1n }).map((it) => it.toString(16).padStart(12, "0"))
    fc.assert(
      fc.property(name, isid, fc.nat(40), (node, digits, at) => {
        const port = `${node},i,0x${digits}`
        const list = new Uint8Array(at + 300)
        const id = encodeTransportId(port)
        list.set(id, at)
        assert.equal(id.length % 4, 0)
        const end = at + id.length
        assert.deepEqual(decodeTransportId(list, at, end), {
          initiatorName: node,
          initiatorPortName: port,
          bytes: id.length,
        })
        assert.throws(() => decodeTransportId(list, at, end - 1), SenseError)
      }),
    )
  })

  for (const [what, id] of [
    ["another protocol", raw(0x46, "iqn.2026-01.org.example:a,i,0x1")],
    ["a reserved format", raw(0x85, "iqn.2026-01.org.example:a")],
    ["no ISID in format 01b", raw(0x45, "iqn.2026-01.org.example:a")],
    ["a port's name in format 00b", raw(0x05, "iqn.2026-01.org.example:a,i,0x1")],
    ["an ISID that is too long", raw(0x45, "iqn.2026-01.org.example:a,i,0x0000000000001")],
    ["no iSCSI name", raw(0x05, "example")],
    ["no name", raw(0x05, "")],
    ["a length that is too short", raw(0x05, "iqn.2026-01.a:b", 16)],
    ["a length that is no multiple of 4", raw(0x05, "iqn.2026-01.org.example:abc", 22)],
    ["a length beyond the list", raw(0x05, "iqn.2026-01.org.example:abc", 200)],
  ] as const) {
    test(`refused: ${what}`, () => {
      assert.throws(
        () => decodeTransportId(id, 0, id.length),
        (error) => error instanceof SenseError && error.asc === Asc.invalidFieldInParameterList,
      )
    })
  }
})
