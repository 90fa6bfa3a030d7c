import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { LUNS_MAX } from "../../../../src/base/limits.ts"
import {
  decodeLun,
  isLun,
  lunFieldHead,
  NO_LUN,
  REPORT_LUNS_WELL_KNOWN,
} from "../../../../src/scsi/sam/lun.ts"

describe("LUN fields", () => {
  test("the addressing methods there are", () => {
    const cases: readonly (readonly [high: number, low: number, lun: number])[] = [
      [0x0000_0000, 0, 0],
      [0x0005_0000, 0, 5],
      [0x00ff_0000, 0, 255],
      [0x4000_0000, 0, 0], // flat space
      [0x4005_0000, 0, 5],
      [0x4100_0000, 0, 256],
      [0x7fff_0000, 0, 16383],
      [0xc101_0000, 0, REPORT_LUNS_WELL_KNOWN],
      [0x0100_0000, 0, NO_LUN], // bus 1
      [0x8000_0000, 0, NO_LUN], // logical unit addressing
      [0xc102_0000, 0, NO_LUN], // well-known ACCESS CONTROLS
      [0xd200_0000, 0, NO_LUN], // extended flat space
      [0x0000_0001, 0, NO_LUN], // a second level
      [0x0000_0000, 1, NO_LUN],
    ]
    for (const [high, low, lun] of cases) assert.equal(decodeLun(high, low), lun, high.toString(16))
  })

  test("what REPORT LUNS says is understood", () => {
    fc.assert(
      fc.property(fc.nat(LUNS_MAX - 1), (lun) => {
        assert.equal(decodeLun(lunFieldHead(lun) * 0x1_0000, 0), lun)
      }),
    )
    assert.equal(lunFieldHead(3), 3)
    assert.equal(lunFieldHead(256), 0x4100)
    assert.equal(lunFieldHead(REPORT_LUNS_WELL_KNOWN), 0xc101)
  })

  test("any field is a LUN, the well-known one, or none", () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(0xffff), fc.nat(1), (first, second, low) => {
        const lun = decodeLun(first * 0x1_0000 + second, low)
        assert.ok(lun === NO_LUN || lun === REPORT_LUNS_WELL_KNOWN || isLun(lun))
        if (second !== 0 || low !== 0) assert.equal(lun, NO_LUN)
      }),
    )
  })
})
