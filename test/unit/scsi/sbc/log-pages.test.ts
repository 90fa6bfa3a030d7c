import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { compareAndWriteCdb, type Disk, makeDisk, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { mediumError, miscompare } = SenseKey
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const failure = (): BlockError => new BlockError("io", "as told")

/** The counters of eight bytes of a page's parameter. */
async function counters(disk: Disk, page: number, code: number): Promise<number[]> {
  const data = Buffer.from(await disk.good(cdb.logSense(page, 1024)))
  for (let at = 4; at < data.length; at += 4 + data[at + 3]!) {
    if (data.readUInt16BE(at) !== code) continue
    const values = data.subarray(at + 4, at + 4 + data[at + 3]!)
    return Array.from({ length: values.length / 8 }, (_, i) => Number(values.readBigUInt64BE(8 * i)))
  }
  throw new Error("no such parameter")
}

const processed = async (disk: Disk, page: number): Promise<number> => (await counters(disk, page, 5))[0]!
const uncorrected = async (disk: Disk, page: number): Promise<number> => (await counters(disk, page, 6))[0]!

describe("log pages of a disk", () => {
  it("are listed by rising code; 0Ch where blocks can be without storage", async () => {
    assert.equal(hex(await makeDisk().good(cdb.logSense(0x00, 64))), "0000000b" + "00020305060c0d0e10192f")
    const thick = makeDisk({ device: new TestDevice(1 << 16, { discard: false }) })
    assert.equal(hex(await thick.good(cdb.logSense(0x00, 64))), "0000000a" + "00020305060d0e10192f")
    await thick.fails(cdb.logSense(0x0c, 64), SenseKey.illegalRequest, Asc.invalidFieldInCdb)
    const blind = makeDisk({ device: new TestDevice(1 << 16, { extents: false }) })
    await blind.fails(cdb.logSense(0x0c, 64), SenseKey.illegalRequest, Asc.invalidFieldInCdb)
  })

  it("19h counts commands and blocks, in one step and in several, at once and later", async () => {
    for (const buffers of [undefined, "slow"] as const) {
      const disk = makeDisk({ blocks: 8192 })
      const how = buffers === undefined ? {} : { buffers }
      await disk.good(cdb.read10(0, 3), how)
      await disk.good(cdb.read16(0, 4096), how)
      await disk.good(cdb.read6(0, 1), { dataInBytesMax: 512 })
      await disk.good(cdb.write10(0, 2), { dataOut: pattern(1024), ...how })
      await disk.good(cdb.write16(0, 3000), { dataOut: pattern(3000 * 512), ...how })
      await disk.good(cdb.writeAndVerify10(0, 1), { dataOut: pattern(512), ...how })
      const values = await counters(disk, 0x19, 1)
      assert.deepEqual(values, [3, 3, 3003, 4100, 0, 0, 0, 0])
      assert.deepEqual(await counters(disk, 0x19, 2), [0], "it is part of no target, and has no clock")
      assert.deepEqual(await counters(disk, 0x19, 3), [6 * 2 ** 32 + 1], "an interval is a microsecond")
      const page = await disk.good(cdb.logSense(0x19, 8))
      assert.equal(hex(page), "9900005c00012240")
    }
  })

  it("19h tells how long the unit was idle, and how long it read and wrote, from the first question on", async () => {
    const disk = makeDisk()
    const clock = new VirtualClock()
    disk.unit.startClock(clock)
    const times = async () => {
      const [idle] = await counters(disk, 0x19, 2)
      const [read, write] = (await counters(disk, 0x19, 1)).slice(4)
      return { idle, read, write }
    }
    await clock.advance(1000)
    assert.deepEqual(await times(), { idle: 0, read: 0, write: 0 })
    await clock.advance(5)
    assert.deepEqual(await times(), { idle: 5000, read: 0, write: 0 })

    disk.device.slow = true
    void disk.run(cdb.read10(0, 1))
    await clock.advance(2)
    void disk.run(cdb.write10(8, 1), { dataOut: pattern(512) })
    void disk.run(cdb.verify10(0, 1))
    await clock.advance(3)
    for (const { finish } of disk.device.waiting.splice(0)) finish()
    disk.device.slow = false
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(disk.unit.allTasks().length, 0)
    await clock.advance(7)
    assert.deepEqual(await times(), { idle: 5000 + 7000, read: 5000, write: 3000 })

    // What waits, and is aborted, is in the task set, too.
    disk.device.slow = true
    void disk.run(cdb.read10(0, 1))
    void disk.run(cdb.read10(0, 1), { attribute: TaskAttribute.ordered })
    await clock.advance(4)
    void disk.unit.abortTasks(disk.unit.allTasks())
    disk.device.slow = false
    for (const { finish } of disk.device.waiting.splice(0)) finish()
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(1)
    assert.deepEqual(await times(), { idle: 13_000, read: 5000 + 8000, write: 3000 })
    await disk.good(cdb.logSelect(0, { reset: true }))
    await clock.advance(2)
    assert.deepEqual(await times(), { idle: 2000, read: 0, write: 0 })
  })

  it("19h measures the tasks of each nexus' own set (TST), and of those there before", async () => {
    const disk = makeDisk()
    const clock = new VirtualClock()
    disk.unit.startClock(clock)
    disk.device.slow = true
    void disk.run(cdb.read10(0, 1)) // its own time isn't known
    await counters(disk, 0x19, 2)
    await clock.advance(3)
    disk.unit.control.separateTaskSets = true
    disk.unit.arrangeTaskSets()
    const other = testNexus("other")
    disk.unit.attachNexus(other)
    const task = new TestTask(other, cdb.write10(0, 1), { dataOut: pattern(512) })
    disk.unit.commandReceived(task)
    await clock.advance(3)
    for (const { finish } of disk.device.waiting.splice(0)) finish()
    disk.device.slow = false
    await task.ended
    await clock.advance(4)
    assert.deepEqual(await counters(disk, 0x19, 2), [4000])
    assert.deepEqual((await counters(disk, 0x19, 1)).slice(4), [0, 3000, 0, 0])
  })

  it("02h, 03h and 05h count bytes", async () => {
    const disk = makeDisk()
    const two = pattern(1024)
    await disk.good(cdb.write10(0, 2), { dataOut: two })
    await disk.good(cdb.orWrite16(0, 1), { dataOut: new Uint8Array(512) })
    await disk.good(compareAndWriteCdb(0, 1), { dataOut: pattern(1024).fill(7, 512) })
    await disk.good(cdb.read10(0, 5))
    await disk.good(cdb.verify10(0, 4))
    await disk.good(cdb.verify10(1, 1, cdb.ByteCheck.all), { dataOut: two.subarray(512) })
    await disk.fails(cdb.verify10(8, 2, cdb.ByteCheck.one), miscompare, Asc.miscompareDuringVerify, {
      dataOut: two.subarray(0, 512),
    })
    assert.deepEqual(
      [await processed(disk, 0x02), await processed(disk, 0x03), await processed(disk, 0x05)],
      [1024 + 512 + 512, 5 * 512, (4 + 1 + 2) * 512],
    )
    assert.deepEqual(
      [await uncorrected(disk, 0x02), await uncorrected(disk, 0x03), await uncorrected(disk, 0x05)],
      [0, 0, 0],
      "what differs is no error of the medium's",
    )
  })

  it("count errors of the medium by what was asked of it", async () => {
    const disk = makeDisk()
    for (const [command, call, times] of [
      [cdb.read10(0, 1), "read", 3],
      [cdb.write10(0, 1), "write", 2],
      [cdb.verify10(0, 1), "read", 1],
    ] as const) {
      for (let i = 0; i < times; i++) {
        disk.device.failures.set(call, failure())
        const asc = call === "write" ? Asc.writeError : Asc.unrecoveredReadError
        await disk.fails(command, mediumError, asc, { dataOut: new Uint8Array(512) })
      }
    }
    assert.deepEqual(
      [await uncorrected(disk, 0x02), await uncorrected(disk, 0x03), await uncorrected(disk, 0x05)],
      [2, 3, 1],
    )
    assert.deepEqual(await counters(disk, 6, 0), [0])
    assert.equal((await counters(disk, 0x19, 1))[3], 0, "what wasn't read wasn't transmitted")
  })

  it("0Ch tells how many blocks have storage", async () => {
    const disk = makeDisk({ blocks: 256 })
    const page = async () => hex(await disk.good(cdb.logSense(0x0c, 64)))
    assert.equal(await page(), "8c00000c" + "00022308" + "0000000001000000")
    await disk.good(cdb.write10(0, 1), { dataOut: pattern(512) })
    await disk.good(cdb.write10(64, 9), { dataOut: pattern(9 * 512) })
    assert.equal(await page(), "8c00000c" + "00022308" + "0000001801000000", "three pages of 8 blocks")
    await disk.good(cdb.writeSame16(64, 8, cdb.WriteSameBit.unmap), { dataOut: new Uint8Array(512) })
    assert.equal(await page(), "8c00000c" + "00022308" + "0000001001000000")
  })

  it("0Ch asks for more extents than one answer holds", async () => {
    const device = new TestDevice(4096 * 4096)
    const disk = makeDisk({ device })
    for (let i = 0; i < device.allocated.length; i += 2) device.allocated[i] = 1
    assert.equal(
      hex(await disk.good(cdb.logSense(0x0c, 64))).slice(16, 24),
      (2048 * 8).toString(16).padStart(8, "0"),
    )
  })

  it("counts blocks in sets where 32 bits don't do, as VPD page B2h says", async () => {
    const disk = makeDisk()
    const exponent = async () => (await disk.good(cdb.inquiry(64, 0xb2)))[4]
    assert.equal(await exponent(), 0)
    disk.unit.blocks = 2 ** 32 - 1
    assert.equal(await exponent(), 0)
    disk.unit.blocks = 2 ** 32
    assert.equal(await exponent(), 1)
    disk.unit.blocks = 2 ** 40
    assert.equal(await exponent(), 9)
  })

  it("0Eh counts how often the unit was stopped", async () => {
    const disk = makeDisk()
    for (const start of [false, false, true, false, true]) await disk.good(cdb.startStopUnit(start))
    assert.equal(hex(await disk.good(cdb.logSense(0x0e, 64))), "8e000008" + "00042304" + "00000002")
  })

  it("are reset by LOG SELECT", async () => {
    const disk = makeDisk()
    await disk.good(cdb.read10(0, 5))
    await disk.good(cdb.logSelect(0, { reset: true }))
    assert.deepEqual(await counters(disk, 0x19, 1), [0, 0, 0, 0, 0, 0, 0, 0])
    await disk.good(cdb.read10(0, 2))
    assert.deepEqual(await counters(disk, 0x19, 1), [1, 0, 0, 2, 0, 0, 0, 0])
    assert.equal(await processed(disk, 0x03), 1024)
  })
})
