import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, makeDisk, pattern } from "./disk.ts"

const { illegalRequest, miscompare, mediumError } = SenseKey
const CDBS = [10, 12, 16] as const
const VERIFY = { 10: 0x2f, 12: 0xaf, 16: 0x8f } as const
const WRITE_AND_VERIFY = { 10: 0x2e, 12: 0xae, 16: 0x8e } as const
const BYTCHK = { none: 0, data: 0x02, reserved: 0x04, oneBlock: 0x06 } as const

for (const bytes of CDBS) {
  describe(`VERIFY (${bytes})`, () => {
    it("compares what is sent with what is stored", async () => {
      const disk = makeDisk()
      const data = pattern(10 * 512)
      disk.device.bytes.set(data, 20 * 512)
      await disk.good(blockCdb(VERIFY[bytes], 20, 10, BYTCHK.data), { dataOut: data })
    })

    it("tells where the first byte differs", async () => {
      const disk = makeDisk()
      disk.device.bytes.set(pattern(10 * 512), 20 * 512)
      for (const at of [0, 511, 512, 3000, 5119]) {
        const dataOut = pattern(10 * 512)
        dataOut[at]! ^= 0x58
        dataOut[5119]! ^= 0x01
        const cdb = blockCdb(VERIFY[bytes], 20, 10, BYTCHK.data)
        const sense = await disk.fails(cdb, miscompare, Asc.miscompareDuringVerify, { dataOut })
        assert.equal(sense.detail.information, at)
      }
    })

    it("with BYTCHK 00b reads the medium and takes no data", async () => {
      const disk = makeDisk()
      const { task, sense } = await disk.run(blockCdb(VERIFY[bytes], 3, 5), { dataOut: pattern(5 * 512) })
      assert.equal(sense, undefined)
      assert.equal(task.dataOutBytes, 0)
      assert.deepEqual(disk.device.calls, ["flush", `read ${3 * 512}+${5 * 512}`])
      disk.device.failures.set("read", new BlockError("io", "EIO"))
      await disk.fails(blockCdb(VERIFY[bytes], 3, 5), mediumError, Asc.unrecoveredReadError)
    })

    it("with BYTCHK 11b compares one block with each", async () => {
      const disk = makeDisk({ blocks: 1024 })
      const block = pattern(512)
      for (let lba = 4; lba < 604; lba++) disk.device.bytes.set(block, lba * 512)
      const cdb = blockCdb(VERIFY[bytes], 4, 600, BYTCHK.oneBlock)
      const { task, sense } = await disk.run(cdb, { dataOut: block })
      assert.equal(sense, undefined)
      assert.equal(task.dataOutBytes, 512)
      disk.device.bytes[(4 + 500) * 512 + 7]! ^= 1
      const failed = await disk.fails(cdb, miscompare, Asc.miscompareDuringVerify, { dataOut: block })
      assert.equal(failed.detail.information, 500 * 512 + 7)
      await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCommandInformationUnit, {
        dataOut: pattern(100),
      })
    })

    it("refuses BYTCHK 10b, protection, and what lies beyond the end", async () => {
      const disk = makeDisk()
      const dataOut = pattern(2 * 512)
      await disk.fails(blockCdb(VERIFY[bytes], 0, 1, BYTCHK.reserved), illegalRequest, Asc.invalidFieldInCdb)
      for (let protect = 1; protect < 8; protect++) {
        const cdb = blockCdb(VERIFY[bytes], 0, 1, (protect << 5) | BYTCHK.data)
        await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb, { dataOut })
      }
      for (const [lba, blocks] of [
        [63, 2],
        [64, 1],
        [65, 0],
        [0xffffffff, 0],
      ] as const) {
        for (const flags of [BYTCHK.none, BYTCHK.data, BYTCHK.oneBlock]) {
          await disk.fails(blockCdb(VERIFY[bytes], lba, blocks, flags), illegalRequest, Asc.lbaOutOfRange, {
            dataOut,
          })
        }
      }
    })

    it("with length 0 does nothing", async () => {
      const disk = makeDisk()
      for (const flags of [BYTCHK.none, BYTCHK.data, BYTCHK.oneBlock, 0x10]) {
        await disk.good(blockCdb(VERIFY[bytes], 0, 0, flags))
      }
      assert.deepEqual(disk.device.calls, [])
    })
  })

  describe(`WRITE AND VERIFY (${bytes})`, () => {
    it("writes to the medium and reads back", async () => {
      const disk = makeDisk()
      const data = pattern(4 * 512)
      for (const flags of [BYTCHK.none, BYTCHK.data]) {
        disk.device.calls.length = 0
        await disk.good(blockCdb(WRITE_AND_VERIFY[bytes], 9, 4, flags), { dataOut: data })
        assert.deepEqual(disk.device.calls, [`write ${9 * 512}+2048 fua`, `read ${9 * 512}+2048`])
        assert.deepEqual(disk.device.bytes.subarray(9 * 512, 13 * 512), data)
      }
    })

    it("tells when the medium doesn't keep what was written", async () => {
      const disk = makeDisk()
      const read = disk.device.read.bind(disk.device)
      disk.device.read = (offset, into) => {
        const done = read(offset, into)
        into[600]! ^= 0xff
        return done
      }
      const dataOut = pattern(4 * 512)
      await disk.good(blockCdb(WRITE_AND_VERIFY[bytes], 9, 4), { dataOut })
      const cdb = blockCdb(WRITE_AND_VERIFY[bytes], 9, 4, BYTCHK.data)
      const sense = await disk.fails(cdb, miscompare, Asc.miscompareDuringVerify, { dataOut })
      assert.equal(sense.detail.information, 600)
    })

    it("writes the whole blocks it gets", async () => {
      for (const [blocks, sent, written] of [
        [1, 0, 0],
        [1, 1024, 512],
        [2, 512, 512],
      ] as const) {
        const disk = makeDisk()
        const dataOut = pattern(sent)
        const { task, sense } = await disk.run(blockCdb(WRITE_AND_VERIFY[bytes], 0, blocks, BYTCHK.data), {
          dataOut,
        })
        assert.equal(sense, undefined)
        assert.equal(task.dataOutBytes, blocks * 512)
        assert.deepEqual(disk.device.bytes.subarray(0, written), dataOut.subarray(0, written))
        assert.ok(disk.device.bytes.subarray(written).every((byte) => byte === 0))
      }
    })

    it("refuses BYTCHK 10b and 11b, protection, and what lies beyond the end", async () => {
      const disk = makeDisk()
      const dataOut = pattern(1024)
      for (const flags of [BYTCHK.reserved, BYTCHK.oneBlock, 0x20, 0xe0]) {
        const cdb = blockCdb(WRITE_AND_VERIFY[bytes], 0, 2, flags)
        await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb, { dataOut })
      }
      const beyond = blockCdb(WRITE_AND_VERIFY[bytes], 63, 2)
      await disk.fails(beyond, illegalRequest, Asc.lbaOutOfRange, { dataOut })
      await disk.fails(blockCdb(WRITE_AND_VERIFY[bytes], 65, 0), illegalRequest, Asc.lbaOutOfRange)
      await disk.good(blockCdb(WRITE_AND_VERIFY[bytes], 0, 0))
      assert.deepEqual(disk.device.calls, [])
    })
  })
}

describe("large comparisons", () => {
  it("go in steps and keep count", async () => {
    const disk = makeDisk({ blocks: 8192 })
    const data = pattern(5000 * 512)
    disk.device.bytes.set(data, 512)
    const cdb = blockCdb(0x8f, 1, 5000, BYTCHK.data)
    await disk.good(cdb, { dataOut: data })
    data[2_400_001]! ^= 1
    const sense = await disk.fails(cdb, miscompare, Asc.miscompareDuringVerify, { dataOut: data })
    assert.equal(sense.detail.information, 2_400_001)
  })
})
