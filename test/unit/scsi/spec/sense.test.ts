import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import {
  Asc,
  decodeSense,
  encodeSense,
  SENSE_BYTES_MAX,
  type Sense,
  SenseError,
  SenseKey,
} from "../../../../src/scsi/spec/sense.ts"
import { limitSense } from "../../../../src/scsi/spec/sense-limit.ts"
import { ascText, senseKeyText, senseText } from "../../../../src/scsi/spec/sense-text.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))

const invalidField: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.invalidFieldInCdb,
  detail: { field: { in: "cdb", byte: 0x0102, bit: 5 } },
}

describe("sense data", () => {
  test("fixed format, as SPC-4 table 53 draws it", () => {
    const miscompare: Sense = {
      key: SenseKey.miscompare,
      asc: Asc.miscompareDuringVerify,
      detail: { information: 0x12345678 },
    }
    assert.equal(hex(encodeSense(miscompare, "fixed")), "f0000e123456780a000000001d0000000000")
    assert.equal(hex(encodeSense(invalidField, "fixed")), "700005000000000a000000002400" + "00cd0102")
    assert.equal(hex(encodeSense({ ...miscompare, deferred: true }, "fixed")).slice(0, 2), "f1")
  })

  test("descriptor format, with information and field pointer", () => {
    const both = { ...invalidField, detail: { ...invalidField.detail, information: 2 ** 40 + 3 } }
    assert.equal(
      hex(encodeSense(both, "descriptor")),
      "7205240000000014" + "000a800000000100" + "00000003" + "02060000cd010200",
    )
    assert.equal(
      hex(encodeSense({ key: SenseKey.unitAttention, asc: Asc.powerOn, detail: {} }, "descriptor")),
      "7206290100000000",
    )
  })

  test("of a copy: the segment, a pointer into it, and what its source or destination answered", () => {
    const forwarded = { from: "destination", status: 0x02, sense: Uint8Array.of(0x70, 0, 0x07) } as const
    const sense: Sense = {
      key: SenseKey.copyAborted,
      asc: Asc.thirdPartyDeviceFailure,
      detail: { commandSpecific: 0x0102, field: { in: "segment", byte: 20, bit: 7 }, forwarded },
    }
    assert.equal(
      hex(encodeSense(sense, "fixed")),
      "70000a000000000e" + "00120102" + "0d0100" + "00af0014".slice(2) + "02" + "700007",
    )
    assert.equal(
      hex(encodeSense(sense, "descriptor")),
      "720a0d010000001b" + "010a0000000001020000" + "0000" + "02060000af001400" + "0c050202700007",
    )
    const source: Sense = { ...sense, detail: { forwarded: { ...forwarded, from: "source" } } }
    assert.equal(hex(encodeSense(source, "fixed")).slice(16, 24), "12000000")
    for (const format of ["fixed", "descriptor"] as const) {
      const { commandSpecific, field } = decodeSense(encodeSense(sense, format))?.detail ?? {}
      assert.deepEqual({ commandSpecific, field }, { commandSpecific: 0x0102, field: sense.detail.field })
      const list: Sense = { ...sense, detail: { field: { in: "parameters", byte: 48 } } }
      assert.deepEqual(decodeSense(encodeSense(list, format))?.detail.field, { in: "parameters", byte: 48 })
    }
    assert.equal(
      senseText(sense),
      "COPY ABORTED, THIRD PARTY DEVICE FAILURE (a/0d/01) at byte 20, bit 7 of the segment descriptor",
    )
  })

  test("an information field too long for fixed format is left out", () => {
    const sense: Sense = { key: SenseKey.mediumError, asc: Asc.writeError, detail: { information: 2 ** 32 } }
    assert.deepEqual(decodeSense(encodeSense(sense, "fixed"))?.detail, {})
    assert.deepEqual(decodeSense(encodeSense(sense, "descriptor"))?.detail, { information: 2 ** 32 })
  })

  test("decoding gives back what was encoded", () => {
    // Of a copy that was aborted the fixed format always tells a segment.
    const special: readonly number[] = [SenseKey.illegalRequest, SenseKey.copyAborted]
    const keys = Object.values(SenseKey).filter((key) => !special.includes(key))
    const field = fc.record({
      in: fc.constantFrom("cdb" as const, "parameters" as const),
      byte: fc.nat(0xffff),
      bit: fc.nat(7),
    })
    const sense = fc.oneof(
      fc.record({
        key: fc.constantFrom(...keys),
        asc: fc.nat(0xffff),
        detail: fc.record({ information: fc.nat(0xffff_ffff) }, { requiredKeys: [] }),
      }),
      fc.record({
        key: fc.constantFrom(SenseKey.noSense, SenseKey.notReady),
        asc: fc.nat(0xffff),
        detail: fc.record({ progress: fc.nat(0xffff) }),
      }),
      fc.record({
        key: fc.constant(SenseKey.illegalRequest),
        asc: fc.nat(0xffff),
        detail: fc.record({ information: fc.nat(0xffff_ffff), field }, { requiredKeys: [] }),
      }),
      fc.record({
        key: fc.constantFrom(SenseKey.notReady, SenseKey.noSense),
        asc: fc.nat(0xffff),
        detail: fc.record({ progress: fc.nat(0xffff) }, { requiredKeys: [] }),
      }),
      fc.record({
        key: fc.constant(SenseKey.hardwareError),
        asc: fc.nat(0xffff),
        detail: fc.record({ commandSpecific: fc.integer({ min: 1, max: 0xffff_ffff }) }),
      }),
    )
    fc.assert(
      fc.property(sense, fc.constantFrom("fixed" as const, "descriptor" as const), (value, format) => {
        assert.deepEqual(decodeSense(encodeSense(value, format)), structuredClone(value))
      }),
    )
  })

  test("progress and command-specific information, byte by byte", () => {
    const inProgress = { key: SenseKey.notReady, asc: 0x041b, detail: { progress: 0x8001 } }
    assert.equal(hex(encodeSense(inProgress, "fixed")), "700002000000000a00000000041b00808001")
    assert.equal(hex(encodeSense(inProgress, "descriptor")), "7202041b00000008" + "0206000080800100")
    assert.equal(
      senseText(inProgress),
      "NOT READY, LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS (2/04/1b), 50 % done",
    )
    const reassigned = { key: SenseKey.hardwareError, asc: 0x3200, detail: { commandSpecific: 2 ** 33 + 5 } }
    assert.equal(hex(encodeSense(reassigned, "fixed")), "700004000000000affffffff320000000000")
    assert.equal(hex(encodeSense(reassigned, "descriptor")), "720432000000000c" + "010a00000000000200000005")
    // With other keys it means something else, and isn't told.
    const other = { ...inProgress, key: SenseKey.mediumError }
    assert.equal(hex(encodeSense(other, "fixed")), "700003000000000a00000000041b00000000")
  })

  test("what others send is read: longer, shorter, unknown descriptors first", () => {
    assert.deepEqual(decodeSense(bytesOf("70 00 06 00000000 0a 00000000 29 00 00 000000 0000")), {
      key: SenseKey.unitAttention,
      asc: 0x2900,
      detail: {},
    })
    assert.deepEqual(decodeSense(bytesOf("70 00 02")), { key: SenseKey.notReady, asc: 0, detail: {} })
    const vendorFirst = "72 03 1100 000000 10" + "80 02 abcd" + "00 0a 80 00 0000000000000007"
    assert.deepEqual(decodeSense(bytesOf(vendorFirst)), {
      key: SenseKey.mediumError,
      asc: Asc.unrecoveredReadError,
      detail: { information: 7 },
    })
    assert.deepEqual(decodeSense(bytesOf("73 0b 4b00 00000000")), {
      key: SenseKey.abortedCommand,
      asc: 0x4b00,
      detail: {},
      deferred: true,
    })
    assert.equal(decodeSense(bytesOf("7f 00")), undefined)
    assert.equal(decodeSense(new Uint8Array(0)), undefined)
  })

  test("no bytes make decoding fail", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0x70, 0x71, 0x72, 0x73, 0xf0, 0x00),
        fc.uint8Array({ maxLength: 40 }),
        (code, rest) => {
          const sense = decodeSense(Uint8Array.of(code, ...rest))
          assert.equal(sense === undefined, code === 0)
          if (sense) assert.equal(typeof senseText(sense), "string")
        },
      ),
    )
  })

  test("sense data cut to a limit can be read, and says that it was cut", () => {
    const detail = { information: 5, commandSpecific: 6, field: { in: "cdb", byte: 1, bit: 2 } } as const
    const forwarded = { from: "source", status: 2, sense: new Uint8Array(18).fill(0x70) } as const
    for (const format of ["fixed", "descriptor"] as const) {
      const sense = { key: SenseKey.illegalRequest, asc: 0x2400, detail: { ...detail, forwarded } }
      const whole = encodeSense(sense, format)
      assert.equal(limitSense(whole, 0), whole)
      for (let max = 1; max <= whole.length + 1; max++) {
        const cut = limitSense(whole, max)
        assert.ok(cut.length <= max)
        if (max >= whole.length) assert.equal(cut, whole)
        else if (max >= 8) {
          assert.equal(8 + cut[7]!, cut.length)
          const at = format === "fixed" ? 2 : 4
          assert.equal(cut[at]! ^ whole[at]!, format === "fixed" ? 0x10 : 0x80)
        }
        if (max < 18) continue
        const { key, asc } = decodeSense(cut)!
        assert.deepEqual([key, asc], [SenseKey.illegalRequest, 0x2400])
      }
    }
    const longest = { ...detail, forwarded: { ...forwarded, sense: new Uint8Array(64) } }
    const encoded = encodeSense({ key: SenseKey.illegalRequest, asc: 0, detail: longest }, "descriptor")
    assert.equal(encoded.length, SENSE_BYTES_MAX)
    const two = encodeSense({ key: SenseKey.illegalRequest, asc: 0x2400, detail }, "descriptor")
    assert.equal(limitSense(two, 8 + 12 + 11).length, 20, "a descriptor is there as a whole or not at all")
  })

  test("texts for people", () => {
    assert.equal(
      senseText(invalidField),
      "ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00) at byte 258, bit 5 of the CDB",
    )
    assert.equal(
      senseText({ key: SenseKey.miscompare, asc: 0x1d00, detail: { information: 9 } }),
      "MISCOMPARE, MISCOMPARE DURING VERIFY OPERATION (e/1d/00), information 9",
    )
    assert.equal(ascText(0x9912), "ASC 99h ASCQ 12h")
    assert.equal(senseKeyText(0xd), "sense key dh")
    for (const asc of Object.values(Asc))
      assert.doesNotMatch(ascText(asc), /^ASC /, `${asc.toString(16)} has words`)
  })

  test("a SenseError is a Sense", () => {
    const error = new SenseError(SenseKey.dataProtect, Asc.writeProtected, "no")
    assert.equal(error.code, "ERR_SENSE")
    assert.equal(hex(encodeSense(error, "fixed")), "700007000000000a00000000270000000000")
  })
})
