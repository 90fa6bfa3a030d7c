import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { PREFETCH_BYTES_MAX } from "../../../../src/base/limits.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, makeDisk } from "./disk.ts"

const { illegalRequest, mediumError } = SenseKey

describe("SYNCHRONIZE CACHE", () => {
  for (const opcode of [0x35, 0x91]) {
    it(`(${opcode === 0x35 ? 10 : 16}) flushes, and tells when that fails`, async () => {
      const disk = makeDisk()
      await disk.good(blockCdb(opcode, 0, 0))
      await disk.good(blockCdb(opcode, 5, 10))
      assert.deepEqual(disk.device.calls, ["flush", "flush"])
      disk.device.failures.set("flush", new BlockError("write-lost", "fsync failed"))
      const sense = await disk.fails(blockCdb(opcode, 0, 0), mediumError, Asc.writeError)
      assert.equal(sense.detail.information, undefined)
      await disk.fails(blockCdb(opcode, 60, 5), illegalRequest, Asc.lbaOutOfRange)
      await disk.fails(blockCdb(opcode, 65, 0), illegalRequest, Asc.lbaOutOfRange)
    })

    it(`(${opcode === 0x35 ? 10 : 16}) with IMMED doesn't wait, and outlives a failure`, async () => {
      const disk = makeDisk()
      disk.device.slow = true
      const { atOnce, sense } = await disk.run(blockCdb(opcode, 0, 0, 0x02))
      assert.equal(sense, undefined)
      assert.equal(atOnce, true)
      assert.deepEqual(
        disk.device.waiting.map(({ call }) => call),
        ["flush"],
      )
      disk.device.failures.set("flush", new BlockError("io", "EIO"))
      disk.device.finishNext()
      disk.device.slow = false
      disk.device.failures.set("flush", new BlockError("io", "EIO"))
      await disk.good(blockCdb(opcode, 0, 0, 0x02))
    })
  }
})

describe("PRE-FETCH", () => {
  for (const opcode of [0x34, 0x90]) {
    it(`(${opcode === 0x34 ? 10 : 16}) reads its range ahead, up to a bound`, async () => {
      const disk = makeDisk()
      await disk.good(blockCdb(opcode, 4, 2))
      await disk.good(blockCdb(opcode, 62, 0))
      await disk.good(blockCdb(opcode, 64, 0))
      assert.deepEqual(disk.device.calls, ["read 2048+1024", "read 31744+1024"])
      const long = makeDisk({ blocks: 20_000 })
      await long.good(blockCdb(opcode, 0, 0))
      const read = long.device.calls
        .map((call) => Number(call.split("+")[1]))
        .reduce((sum, bytes) => sum + bytes)
      assert.equal(read, PREFETCH_BYTES_MAX)
    })

    it(`(${opcode === 0x34 ? 10 : 16}) keeps its bounds and ignores a group number`, async () => {
      const disk = makeDisk()
      for (const [lba, blocks] of [
        [65, 0],
        [0x80000000, 0],
        [0xffffffff, 1],
        [63, 2],
      ] as const) {
        await disk.fails(blockCdb(opcode, lba, blocks), illegalRequest, Asc.lbaOutOfRange)
      }
      const cdb = blockCdb(opcode, 0, 1, 0x02)
      cdb[opcode === 0x34 ? 6 : 14] = 3
      await disk.good(cdb)
    })
  }

  it("with IMMED reads on after it has ended, one at a time", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    await disk.good(blockCdb(0x90, 0, 1, 0x02))
    await disk.good(blockCdb(0x90, 1, 1, 0x02))
    assert.equal(disk.device.waiting.length, 1)
    disk.device.failures.set("read", new BlockError("io", "EIO"))
    disk.device.finishNext()
    await new Promise((resolve) => setImmediate(resolve))
    await disk.good(blockCdb(0x90, 1, 1, 0x02))
    assert.deepEqual(disk.device.calls, ["read 0+512", "read 512+512"])
  })
})
