import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, makeDisk, nexus, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, mediumError, dataProtect, notReady, abortedCommand } = SenseKey
const EVERY_CDB = [6, 10, 12, 16] as const
const READ = { 6: 0x08, 10: 0x28, 12: 0xa8, 16: 0x88 } as const
const WRITE = { 6: 0x0a, 10: 0x2a, 12: 0xaa, 16: 0x8a } as const

for (const bytes of EVERY_CDB) {
  describe(`READ (${bytes}) and WRITE (${bytes})`, () => {
    it("move blocks at the start, in the middle and at the end", async () => {
      const disk = makeDisk()
      for (const [lba, blocks] of [
        [0, 1],
        [7, 9],
        [63, 1],
        [0, 64],
      ] as const) {
        const data = pattern(blocks * 512, lba + blocks)
        await disk.good(blockCdb(WRITE[bytes], lba, blocks), { dataOut: data })
        assert.deepEqual(disk.device.bytes.subarray(lba * 512, (lba + blocks) * 512), data)
        const { dataIn, task } = await disk.run(blockCdb(READ[bytes], lba, blocks))
        assert.deepEqual(Uint8Array.from(dataIn), data)
        assert.equal(task.dataInBytes, blocks * 512)
        assert.equal(task.last, true)
      }
    })

    it("refuse what lies beyond the end, naming the first block that isn't there", async () => {
      const disk = makeDisk()
      const big = bytes === 6 ? 0x1fffff : bytes === 16 ? 2n ** 63n : 0x80000000
      for (const [lba, blocks] of [
        [63, 2],
        [64, 1],
        [65, 1],
        [big, 1],
      ] as const) {
        for (const opcode of [READ[bytes], WRITE[bytes]]) {
          const sense = await disk.fails(blockCdb(opcode, lba, blocks), illegalRequest, Asc.lbaOutOfRange)
          if (Number(lba) < 2 ** 53) assert.equal(sense.detail.information, Math.max(Number(lba), 64))
        }
      }
      assert.deepEqual(disk.device.calls, [])
    })

    it("send with the device's error the block that failed", async () => {
      const disk = makeDisk()
      const io = () => new BlockError("io", "EIO", { offsetBytes: 5 * 512 })
      disk.device.failures.set("read", io())
      const read = await disk.fails(blockCdb(READ[bytes], 2, 8), mediumError, Asc.unrecoveredReadError)
      assert.equal(read.detail.information, 5)
      disk.device.failures.set("write", io())
      const write = await disk.fails(blockCdb(WRITE[bytes], 2, 8), mediumError, Asc.writeError, {
        dataOut: pattern(8 * 512),
      })
      assert.equal(write.detail.information, 5)
    })
  })
}

describe("READ and WRITE", () => {
  it("take a TRANSFER LENGTH of 0 as nothing to do, up to the end and not beyond", async () => {
    const disk = makeDisk()
    for (const bytes of [10, 12, 16] as const) {
      for (const opcode of [READ[bytes], WRITE[bytes]]) {
        await disk.good(blockCdb(opcode, 0, 0))
        await disk.good(blockCdb(opcode, 64, 0))
        await disk.fails(blockCdb(opcode, 65, 0), illegalRequest, Asc.lbaOutOfRange)
        await disk.fails(
          blockCdb(opcode, bytes === 16 ? 2n ** 64n - 1n : 0xffffffff, 0),
          illegalRequest,
          Asc.lbaOutOfRange,
        )
      }
    }
    assert.deepEqual(disk.device.calls, [])
  })

  it("take 0 as 256 blocks in a 6-byte CDB", async () => {
    const disk = makeDisk({ blocks: 256 })
    const data = pattern(256 * 512)
    await disk.good(blockCdb(WRITE[6], 0, 0), { dataOut: data })
    assert.deepEqual(disk.device.bytes, data)
    assert.deepEqual(Uint8Array.from(await disk.good(blockCdb(READ[6], 0, 0))), data)
    await disk.fails(blockCdb(READ[6], 1, 0), illegalRequest, Asc.lbaOutOfRange)
  })

  it("refuse protection information, in every value", async () => {
    const disk = makeDisk()
    for (const bytes of [10, 12, 16] as const) {
      for (const opcode of [READ[bytes], WRITE[bytes]]) {
        for (let protect = 1; protect < 8; protect++) {
          await disk.fails(blockCdb(opcode, 0, 1, protect << 5), illegalRequest, Asc.invalidFieldInCdb)
        }
      }
    }
  })

  it("accept DPO, FUA and a group number", async () => {
    const disk = makeDisk()
    for (const flags of [0x10, 0x08, 0x18, 0x02]) {
      await disk.good(blockCdb(READ[10], 0, 1, flags))
      const cdb = blockCdb(WRITE[10], 0, 1, flags)
      cdb[6] = 3
      await disk.good(cdb, { dataOut: pattern(512) })
    }
  })

  it("carry FUA to the device; a READ with it writes the cache back first", async () => {
    const disk = makeDisk()
    await disk.good(blockCdb(WRITE[16], 0, 1, 0x08), { dataOut: pattern(512) })
    await disk.good(blockCdb(WRITE[16], 1, 1), { dataOut: pattern(512) })
    await disk.good(blockCdb(READ[16], 0, 1, 0x08))
    assert.deepEqual(disk.device.calls, ["write 0+512 fua", "write 512+512", "flush", "read 0+512"])
    const durable = makeDisk({ device: new TestDevice(64 * 512, { writeCache: false }) })
    await durable.good(blockCdb(READ[16], 0, 1, 0x08))
    assert.deepEqual(durable.device.calls, ["read 0+512"])
  })

  it("make every write stable when the write cache is off", async () => {
    const disk = makeDisk({ writeCache: false })
    await disk.good(blockCdb(WRITE[10], 3, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.device.calls, ["write 1536+512 fua"])
  })

  it("move large transfers in steps of 1 MiB", async () => {
    const disk = makeDisk({ blocks: 8192 })
    const data = pattern(5 * 512 * 1024)
    const write = await disk.run(blockCdb(WRITE[16], 1, 5120), { dataOut: data })
    assert.equal(write.sense, undefined)
    assert.deepEqual(
      disk.device.calls.map((call) => call.split("+")[1]),
      ["1048576", "1048576", "524288"],
    )
    assert.deepEqual(disk.device.bytes.subarray(512, 512 + data.length), data)
    const read = await disk.run(blockCdb(READ[16], 1, 5120))
    assert.deepEqual(Uint8Array.from(read.dataIn), data)
  })

  it("refuse more than the MAXIMUM TRANSFER LENGTH", async () => {
    const disk = makeDisk({ blocks: 140_000 })
    const blocks = disk.unit.limits.transferBlocks + 1
    for (const opcode of [READ[16], WRITE[16]]) {
      const sense = await disk.fails(blockCdb(opcode, 0, blocks), illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 10 })
    }
  })

  it("end without a promise when nobody waits, and wait for slow buffers and devices", async () => {
    const disk = makeDisk()
    assert.equal((await disk.run(blockCdb(WRITE[10], 0, 8), { dataOut: pattern(4096) })).atOnce, true)
    assert.equal((await disk.run(blockCdb(READ[10], 0, 8))).atOnce, true)
    const data = pattern(4096, 9)
    const slow = await disk.run(blockCdb(WRITE[10], 0, 8), { dataOut: data, buffers: "slow" })
    assert.equal(slow.atOnce, false)
    disk.device.slow = true
    const pending = disk.run(blockCdb(READ[10], 0, 8), { buffers: "slow" })
    for (let turns = 0; turns < 5; turns++) await Promise.resolve()
    disk.device.finishNext()
    assert.deepEqual(Uint8Array.from((await pending).dataIn), data)
  })

  it("work in blocks of 4096 bytes", async () => {
    const disk = makeDisk({ logicalBlockBytes: 4096 })
    const data = pattern(2 * 4096)
    await disk.good(blockCdb(WRITE[10], 62, 2), { dataOut: data })
    assert.deepEqual(disk.device.bytes.subarray(62 * 4096), data)
    await disk.fails(blockCdb(READ[10], 63, 2), illegalRequest, Asc.lbaOutOfRange)
  })
})

describe("an aborted task", () => {
  for (const opcode of [READ[16], WRITE[16]]) {
    it(`goes no further than the step it is in (${opcode.toString(16)}h)`, async () => {
      const disk = makeDisk({ blocks: 8192 })
      disk.device.slow = true
      const pending = disk.run(blockCdb(opcode, 0, 6144), { dataOut: new Uint8Array(6144 * 512) })
      for (let steps = 0; steps < 2; steps++) {
        await settle()
        if (steps === 0) disk.device.finishNext()
      }
      assert.equal(disk.device.waiting.length, 1)
      const ended = disk.unit.abortTasks(disk.unit.tasksOf(nexus))
      disk.device.finishNext()
      await ended
      const { task } = await pending
      assert.equal(task.status, undefined)
      assert.equal(task.buffersOut, 0)
      assert.equal(disk.device.calls.filter((call) => call !== "cancel").length, 2)
    })
  }
})

/** Lets promise callbacks run, so that operations get as far as they can. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe("expected lengths that differ from the CDB's", () => {
  const disk = makeDisk()
  disk.device.bytes.set(pattern(64 * 512))

  it("READ sends no more than the initiator takes, and says how much there was", async () => {
    for (const [blocks, max, sent] of [
      [1, 0, 0],
      [1, 10_000, 512],
      [1, 200, 200],
      [2, 512, 512],
      [3, 1300, 1300],
    ] as const) {
      const { task, dataIn, sense } = await disk.run(blockCdb(READ[10], 5, blocks), { dataInBytesMax: max })
      assert.equal(sense, undefined)
      assert.equal(task.dataInBytes, blocks * 512)
      assert.deepEqual(Uint8Array.from(dataIn), disk.device.bytes.slice(5 * 512, 5 * 512 + sent))
    }
  })

  it("WRITE writes the whole blocks it gets, never more than the CDB says", async () => {
    for (const [blocks, max, written] of [
      [1, 0, 0],
      [1, 1024, 512],
      [2, 512, 512],
      [1, 10_000, 512],
    ] as const) {
      const fresh = makeDisk()
      const dataOut = pattern(max, 3)
      const { task, sense } = await fresh.run(blockCdb(WRITE[10], 0, blocks), {
        dataOut,
        dataOutBytesMax: max,
      })
      assert.equal(sense, undefined)
      assert.equal(task.dataOutBytes, blocks * 512)
      assert.deepEqual(fresh.device.bytes.subarray(0, written), dataOut.subarray(0, written))
      assert.ok(fresh.device.bytes.subarray(written).every((byte) => byte === 0))
    }
  })

  it("WRITE refuses a part of a block before it writes any", async () => {
    const fresh = makeDisk()
    for (const max of [200, 700]) {
      const { task, sense } = await fresh.run(blockCdb(WRITE[10], 0, 2), { dataOut: pattern(max) })
      assert.equal(sense?.key, illegalRequest)
      assert.equal(sense?.asc, Asc.invalidFieldInCommandInformationUnit)
      assert.equal(task.dataOutBytes, 1024)
    }
    assert.deepEqual(fresh.device.calls, [])
  })
})

describe("what the device reports", () => {
  const causes = [
    ["no-space", dataProtect, Asc.spaceAllocationFailed],
    ["read-only", dataProtect, Asc.writeProtected],
    ["write-lost", mediumError, Asc.writeError],
    ["io", mediumError, Asc.writeError],
    ["out-of-range", illegalRequest, Asc.lbaOutOfRange],
    ["cancelled", abortedCommand, Asc.noAdditionalSense],
    ["closed", notReady, Asc.logicalUnitNotReadyCauseNotReportable],
  ] as const
  for (const [reason, key, asc] of causes) {
    it(`becomes sense: ${reason}, thrown and rejected`, async () => {
      const disk = makeDisk()
      const dataOut = pattern(512)
      disk.device.failures.set("write", new BlockError(reason, reason))
      await disk.fails(blockCdb(WRITE[10], 1, 1), key, asc, { dataOut })
      disk.device.slow = true
      disk.device.failures.set("write", new BlockError(reason, reason))
      const pending = disk.run(blockCdb(WRITE[10], 1, 1), { dataOut })
      disk.device.finishNext()
      const { sense } = await pending
      assert.deepEqual([sense?.key, sense?.asc], [key, asc])
    })
  }
})
