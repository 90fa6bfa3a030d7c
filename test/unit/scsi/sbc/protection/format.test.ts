import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { VolatileRecords } from "../../../../../src/scsi/sam/unit-records.ts"
import { blockCdb, pattern } from "../disk.ts"
import { makeProtectedDisk } from "./protected-disk.ts"

const FMTDATA = 0x10
const unmapped = Buffer.concat([Buffer.alloc(512), Buffer.alloc(8, 0xff)])
const formatUnit = (fmtpinfo: number, fmtdata = 0) =>
  Uint8Array.of(0x04, (fmtpinfo << 6) | fmtdata, 0, 0, 0, 0)
const list = (fieldUsage: number) => ({ dataOut: Uint8Array.of(fieldUsage, 0, 0, 0) })
const made = (type: 1 | 2 | 3) => makeProtectedDisk(type, { records: new VolatileRecords() })

describe("FORMAT UNIT of a disk with protection information", () => {
  test("it asks for the type there is, and the blocks are as if never written", async () => {
    for (const [type, fmtpinfo, options] of [
      [1, 0b10, undefined],
      [1, 0b10, list(0)],
      [2, 0b11, list(0)],
      [3, 0b11, list(1)],
    ] as const) {
      const { disk, store } = await made(type)
      await disk.good(blockCdb(0x2a, 3, 1), { dataOut: pattern(512) })
      await disk.good(formatUnit(fmtpinfo, options ? FMTDATA : 0), options)
      const into = Buffer.alloc(520)
      await store.readProtected(3, into, {
        guard: false,
        applicationTag: undefined,
        referenceTagOffset: undefined,
      })
      assert.deepEqual(into, unmapped)
    }
  })

  test("another type, or none, is refused", async () => {
    const { disk } = await made(1)
    for (const fmtpinfo of [0b00, 0b01, 0b11]) await disk.fails(formatUnit(fmtpinfo), 5, 0x2400)
    await disk.fails(formatUnit(0b10, FMTDATA), 5, 0x2600, list(1))
    const three = (await made(3)).disk
    await three.fails(formatUnit(0b11), 5, 0x2400)
    await three.fails(formatUnit(0b11, FMTDATA), 5, 0x2600, list(0))
  })
})
