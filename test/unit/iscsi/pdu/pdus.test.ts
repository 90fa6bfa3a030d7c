/** Every PDU against its golden bytes and their decoded twin, and what holds for all of them. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import {
  BHS_BYTES,
  decodePdu,
  encodePdu,
  Opcode,
  pduTypeOf,
  pduTypes,
} from "../../../../src/iscsi/pdu/index.ts"
import type { PduRecord, PduType } from "../../../../src/iscsi/pdu/index.ts"
import type { Fields } from "../../../../src/wire/layout.ts"

interface Golden {
  readonly spec: string
  readonly hex: readonly string[]
  readonly twin: Readonly<Record<string, number | boolean | string>> & { readonly pdu: string }
}

const path = new URL("../../../golden/pdus.json", import.meta.url)
const golden = JSON.parse(readFileSync(path, "utf8")) as Golden[]

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Runs of bytes as hex, as the twin has them. */
const readable = (record: PduRecord) =>
  Object.fromEntries(
    Object.entries(record).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
    ]),
  )

/** The twin as values to encode. */
function valuesOf(twin: Golden["twin"]): Record<string, number | boolean | Uint8Array> {
  const values: Record<string, number | boolean | Uint8Array> = {}
  for (const [name, value] of Object.entries(twin)) {
    if (name !== "pdu") values[name] = typeof value === "string" ? Buffer.from(value, "hex") : value
  }
  return values
}

describe("golden PDUs", () => {
  test("there is one of every type", () => {
    const opcodes = new Set(golden.map(({ twin }) => twin["opcode"]))
    assert.deepEqual(opcodes, new Set(pduTypes.map(({ opcode }) => opcode)))
    assert.equal(golden.length, opcodes.size)
    assert.equal(pduTypes.length, Object.values(Opcode).length)
  })

  for (const { spec, hex, twin } of golden) {
    test(`${twin.pdu}, ${spec}`, () => {
      const bytes = new Uint8Array(Buffer.from(hex.join(""), "hex"))
      const type = pduTypeOf(twin["opcode"] as number)!
      assert.equal(type.title, twin.pdu)
      assert.equal(type.spec, spec)
      assert.deepEqual(readable(decodePdu(viewOf(bytes), 0)!), twin)
      assert.deepEqual(encodePdu(type as unknown as PduType<Fields>, valuesOf(twin)), bytes)
    })
  }

  test("the SCSI Read Command of RFC 3720 §B.4 says what the RFC says of it", () => {
    const hex = `01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018
      28000000 00000000 02000000 00000000`
    const bytes = new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"))
    const record = decodePdu(viewOf(bytes), 0)!
    assert.equal(record.pdu, "SCSI Command")
    const { final, read, write, initiatorTaskTag, expectedDataTransferLength, cmdSn, expStatSn } = record
    assert.deepEqual(
      { final, read, write, initiatorTaskTag, expectedDataTransferLength, cmdSn, expStatSn },
      {
        final: true,
        read: true,
        write: false,
        initiatorTaskTag: 0x14000000,
        expectedDataTransferLength: 0x400,
        cmdSn: 0x14,
        expStatSn: 0x18,
      },
    )
    assert.equal((record["cdb"] as Uint8Array)[0], 0x28)
  })
})

describe("every PDU type", () => {
  for (const type of pduTypes) {
    test(`${type.title}: random bytes read the same as view and as record, anywhere in memory`, () => {
      const random = new SeededRandom(type.opcode + 1)
      for (let i = 0; i < 50; i++) {
        const bytes = random.fill(new Uint8Array(200))
        const at = random.below(100)
        bytes[at] = (bytes[at]! & 0xc0) | type.opcode
        const record = decodePdu(viewOf(bytes), at)!
        assert.equal(record.pdu, type.title)
        // Written anew from the record, only reserved bits may differ.
        const { pdu: _title, ...values } = record
        const again = encodePdu(type as unknown as PduType<Fields>, values)
        assert.deepEqual(decodePdu(viewOf(again), 0), record)
        for (const [name, field] of Object.entries(type.fields)) {
          field.claims.forEach((mask, k) => {
            const expected = field.accessor ? bytes[at + field.offset + k]! & mask : 0
            assert.equal(again[field.offset + k]! & mask, expected, name)
          })
        }
      }
    })

    test(`${type.title}: reserved bits change nothing that is read`, () => {
      const bytes = new Uint8Array(BHS_BYTES)
      bytes[0] = type.opcode
      const before = decodePdu(viewOf(bytes), 0)
      for (const { offset, claims, accessor } of Object.values(type.fields)) {
        if (!accessor) for (const [k, mask] of claims.entries()) bytes[offset + k]! |= mask
      }
      assert.deepEqual(decodePdu(viewOf(bytes), 0), before)
    })
  }

  test("an opcode that is none has no record", () => {
    assert.equal(decodePdu(viewOf(new Uint8Array(48).fill(0x1e)), 0), undefined)
  })
})
