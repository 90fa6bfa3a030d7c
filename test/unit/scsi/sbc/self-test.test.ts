import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { SELF_TEST_BYTES_PER_SECOND } from "../../../../src/base/limits.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { type Disk, makeDisk } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const MiB = 1 << 20
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** SELF-TEST CODE and result, address, sense key and code of the newest result. */
async function newest(disk: Disk): Promise<{ byte: number; address: bigint; sense: string }> {
  const data = Buffer.from(await disk.good(cdb.logSense(0x10, 24)))
  return {
    byte: data[8]!,
    address: data.readBigUInt64BE(12),
    sense: data.subarray(20, 23).toString("hex"),
  }
}

const nowhere = 2n ** 64n - 1n

describe("self-tests of a disk", () => {
  it("the default one flushes, and reads the first, the middle and the last block", async () => {
    const disk = makeDisk({ blocks: 64 })
    await disk.good(cdb.selfTest())
    assert.deepEqual(disk.device.calls, ["flush", "read 0+512", "read 16384+512", "read 32256+512"])
    assert.deepEqual(await newest(disk), { byte: 0x00, address: nowhere, sense: "000000" })
  })

  it("what can't be read is where the log says", async () => {
    const disk = makeDisk({ blocks: 64 })
    disk.device.failures.set("read 16384", new BlockError("io", "as told"))
    await disk.fails(cdb.selfTest(), SenseKey.hardwareError, Asc.logicalUnitFailedSelfTest)
    assert.deepEqual(await newest(disk), { byte: 0x04, address: 32n, sense: "031100" })
  })

  it("a device that lost writes fails it", async () => {
    const disk = makeDisk()
    disk.device.failures.set("flush", new BlockError("write-lost", "as told"))
    await disk.fails(cdb.selfTest(), SenseKey.hardwareError, Asc.logicalUnitFailedSelfTest)
    assert.equal((await newest(disk)).byte, 0x04)
  })

  it("an extended one reads every byte, and others work meanwhile", async () => {
    const disk = makeDisk({ blocks: 2048 + 3 })
    await disk.good(cdb.backgroundSelfTest(2))
    await turn()
    assert.equal((await newest(disk)).byte, 0x40)
    const reads = disk.device.calls.slice(4).map((call) => call.match(/read (\d+)\+(\d+)/)!)
    let next = 0
    for (const [, at, bytes] of reads) {
      assert.equal(Number(at), next)
      next += Number(bytes)
    }
    assert.equal(next, (2048 + 3) * 512)
  })

  it("an extended one takes its time: as long as the control mode page and VPD page 86h say", async () => {
    const bytes = 70 * SELF_TEST_BYTES_PER_SECOND
    const device = new TestDevice(MiB)
    Object.defineProperty(device, "sizeBytes", { value: bytes })
    device.read = () => {}
    const disk = makeDisk({ device })
    const clock = new VirtualClock()
    const target = new ScsiTarget({ clock })
    target.addLogicalUnit(0, disk.unit)
    await disk.good(cdb.backgroundSelfTest(2))
    assert.equal((await newest(disk)).byte, 0x4f)
    await clock.advance(69_000)
    assert.equal((await newest(disk)).byte, 0x4f)
    const sense = await disk.good(cdb.requestSense(18))
    const progress = ((sense[16]! << 8) | sense[17]!) / 65536
    assert.ok(Math.abs(progress - 69 / 70) < 0.001, `${progress}`)
    await clock.advance(1_000)
    assert.equal((await newest(disk)).byte, 0x40)
    const control = await disk.good(cdb.modeSense6(0x0a, 255, { withoutBlockDescriptors: true }))
    assert.equal((control[14]! << 8) | control[15]!, 70)
    const extended = await disk.good(cdb.inquiry(64, 0x86))
    assert.equal((extended[10]! << 8) | extended[11]!, 2)
  })

  it("an extended one in the foreground that is aborted begins no read any more", async () => {
    const disk = makeDisk({ blocks: 2048 })
    disk.device.slow = true
    void disk.run(cdb.foregroundSelfTest(6))
    await turn()
    void disk.unit.abortTasks(disk.tasks)
    assert.equal(disk.device.calls.at(-1), "cancel")
    disk.device.slow = false
    const calls = disk.device.calls.length
    for (const { finish } of disk.device.waiting.splice(0)) finish()
    await turn()
    assert.equal(disk.device.calls.length, calls)
    assert.equal((await newest(disk)).byte, 0xc2)
  })

  it("one in the background ends at the first bad block, when it is aborted, and when the unit is stopped", async () => {
    const disk = makeDisk({ blocks: 2048 })
    disk.device.failures.set("read 131072", new BlockError("io", "as told"))
    await disk.good(cdb.backgroundSelfTest(2))
    await turn()
    assert.deepEqual(await newest(disk), { byte: 0x44, address: 256n, sense: "031100" })
    for (const [end, byte] of [
      [cdb.backgroundSelfTest(4), 0x21],
      [cdb.startStopUnit(false, { noFlush: true }), 0x22],
    ] as const) {
      disk.device.slow = true
      await disk.good(cdb.backgroundSelfTest(1))
      await turn()
      await disk.good(end)
      assert.equal(disk.device.calls.at(-1), "cancel")
      disk.device.slow = false
      const calls = disk.device.calls.length
      for (const { finish } of disk.device.waiting.splice(0)) finish()
      await turn()
      assert.equal(disk.device.calls.length, calls, "it begins nothing any more")
      assert.equal((await newest(disk)).byte, byte)
    }
  })
})
