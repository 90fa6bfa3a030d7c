import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { DelayStore } from "../../../../src/backstore/delay.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { blockCdb, Disk, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, notReady, mediumError, dataProtect } = SenseKey
const MiB = 1024 * 1024
const FMTDATA = 0x10
const LONGLIST = 0x20
const FOV = 0x80
const IP = 0x08
const IMMED = 0x02

const format = (flags = 0, fast = 0): Uint8Array => Uint8Array.of(0x04, flags, 0, 0, fast, 0)
const testUnitReady = new Uint8Array(6)
const requestSense = Uint8Array.of(0x03, 0x01, 0, 0, 252, 0)

/** A short header, and an initialization pattern descriptor of type 01h. */
const patternList = (bytes: Uint8Array, flags = 0): Uint8Array =>
  Uint8Array.of(0, FOV | IP | flags, 0, 0, 0, 1, bytes.length >> 8, bytes.length & 0xff, ...bytes)

function makeDisk(options: { thin?: boolean; device?: TestDevice; records?: VolatileRecords } = {}): Disk {
  const { device = new TestDevice(MiB), records = new VolatileRecords(), ...rest } = options
  return new Disk(new DiskUnit(device, { records, ...rest }), device)
}

function filled(disk: Disk): Disk {
  disk.device.bytes.set(pattern(MiB))
  disk.device.allocated.fill(1)
  return disk
}

describe("FORMAT UNIT", () => {
  it("unmaps a thin disk and zeroes another, when nothing else is said", async () => {
    for (const thin of [true, false]) {
      for (const list of [undefined, Uint8Array.of(0, 0, 0, 0), patternList(new Uint8Array(4))]) {
        const disk = filled(makeDisk({ thin }))
        await disk.good(format(list ? FMTDATA : 0), list ? { dataOut: list } : {})
        assert.deepEqual(disk.device.calls, [thin ? `discard 0+${MiB}` : `zero 0+${MiB}`, "flush"])
        assert.ok(disk.device.bytes.every((byte) => byte === 0))
      }
    }
  })

  it("writes the initialization pattern into each block", async () => {
    const disk = filled(makeDisk())
    await disk.good(format(FMTDATA), { dataOut: patternList(Uint8Array.of(9, 8, 7)) })
    const block = Buffer.alloc(512, Uint8Array.of(9, 8, 7))
    assert.equal(Buffer.compare(disk.device.bytes, Buffer.alloc(MiB, block)), 0)
    const long = Uint8Array.of(0, FOV | IP, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0x55)
    await disk.good(format(FMTDATA | LONGLIST), { dataOut: long })
    assert.ok(disk.device.bytes.every((byte) => byte === 0x55))
  })

  it("only deallocates, or does nothing, in a fast format", async () => {
    for (const fast of [1, 2]) {
      const thin = filled(makeDisk({ thin: true }))
      await thin.good(format(0, fast))
      assert.deepEqual(thin.device.calls, [`discard 0+${MiB}`, "flush"])
      const thick = filled(makeDisk({ thin: false }))
      await thick.good(format(0, fast))
      assert.deepEqual(thick.device.calls, [])
      await thick.fails(format(FMTDATA, fast), illegalRequest, Asc.invalidFastFormat, {
        dataOut: patternList(Uint8Array.of(1)),
      })
    }
    await makeDisk().fails(format(0, 3), illegalRequest, Asc.invalidFieldInCdb)
  })

  it("refuses protection information, defect lists and what makes no sense", async () => {
    const disk = makeDisk()
    for (const flags of [0x40, 0x80, 0xc0, FMTDATA | 6, FMTDATA | 7]) {
      await disk.fails(format(flags), illegalRequest, Asc.invalidFieldInCdb, { dataOut: new Uint8Array(4) })
    }
    const wrong: [list: number[], byte: number, flags?: number][] = [
      [[1, 0, 0, 0], 0],
      [[0, IP, 0, 0], 1],
      [[0, 0x40, 0, 0], 1],
      [[0, 0, 0, 4, 0, 0, 0, 0], 2],
      [[0, 0, 0, 0, 0, 0, 0, 4], 4, LONGLIST],
      [[0, 0, 0, 1, 0, 0, 0, 0], 3, LONGLIST],
      [[0, FOV | IP, 0, 0, 0x20, 1, 0, 1, 0], 4],
      [[0, FOV | IP, 0, 0, 0, 0, 0, 1, 0], 5],
      [[0, FOV | IP, 0, 0, 0, 2, 0, 1, 0], 5],
      [[0, FOV | IP, 0, 0, 0, 1, 0, 0], 6],
      [[0, FOV | IP, 0, 0, 0, 1, 2, 1, ...new Array<number>(513).fill(1)], 6],
    ]
    for (const [list, byte, flags = 0] of wrong) {
      const dataOut = Uint8Array.from(list)
      const sense = await disk.fails(
        format(FMTDATA | flags),
        illegalRequest,
        Asc.invalidFieldInParameterList,
        { dataOut },
      )
      assert.equal(sense.detail.field?.byte, byte)
    }
    for (const list of [[0], [0, FOV | IP, 0, 0, 0], [0, FOV | IP, 0, 0, 0, 1, 0, 4, 1]]) {
      const dataOut = Uint8Array.from(list)
      await disk.fails(format(FMTDATA), illegalRequest, Asc.parameterListLengthError, { dataOut })
    }
    disk.unit.control.softwareWriteProtect = true
    await disk.fails(format(), dataProtect, Asc.logicalUnitSoftwareWriteProtected)
    assert.deepEqual(disk.device.calls, [])
  })

  it("tells how far it is, and lets through INQUIRY, REPORT LUNS and REQUEST SENSE alone", async () => {
    const clock = new VirtualClock()
    const device = new TestDevice(4 * MiB)
    const slow = new DelayStore(device, { write: 1000 }, { clock })
    const disk = new Disk(new DiskUnit(slow, { records: new VolatileRecords(), clock }), device)
    const now = async (cdb: Uint8Array) => {
      const outcome = disk.run(cdb)
      await clock.advance(0)
      return (await outcome).task
    }
    const begun = disk.run(format(FMTDATA), { dataOut: patternList(Uint8Array.of(3), IMMED) })
    await clock.advance(1000)
    good((await begun).task)
    for (const cdb of [
      testUnitReady,
      blockCdb(0x25, 0, 0),
      Uint8Array.of(0x1a, 0, 0x0a, 0, 255, 0),
      format(),
    ]) {
      const sense = checkCondition(await now(cdb), notReady, Asc.logicalUnitNotReadyFormatInProgress)
      assert.equal(sense.detail.progress, 0x4000)
    }
    assert.deepEqual([...good(await now(requestSense))].slice(0, 4), [0x72, notReady, 0x04, 0x04])
    good(await now(Uint8Array.of(0x12, 0, 0, 0, 36, 0)))
    good(await now(Uint8Array.of(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0)))
    await clock.advance(3000)
    good(await now(testUnitReady))
  })
})

describe("a format operation that didn't come to its end", () => {
  const corrupt = async (disk: Disk) => {
    for (const cdb of [testUnitReady, blockCdb(0x28, 0, 1), blockCdb(0x8a, 0, 1), blockCdb(0x42, 0, 0)]) {
      await disk.fails(cdb, mediumError, Asc.mediumFormatCorrupted)
    }
    await disk.good(blockCdb(0x25, 0, 0))
    await disk.good(Uint8Array.of(0x1a, 0, 0x3f, 0, 255, 0))
    assert.equal((await disk.good(requestSense))[1], SenseKey.noSense)
  }

  it("leaves the medium format corrupt, also after a restart, until another one ends well", async () => {
    const records = new VolatileRecords()
    const disk = makeDisk({ records })
    disk.device.failures.set("discard", new BlockError("io", "EIO"))
    await disk.fails(format(), mediumError, Asc.mediumFormatCorrupted)
    await corrupt(disk)
    const after = makeDisk({ records, device: disk.device })
    await corrupt(after)
    await after.good(format())
    await after.good(testUnitReady)
    await makeDisk({ records, device: disk.device }).good(testUnitReady)
  })

  it("isn't taken up again after a restart, and SANITIZE mends what it left", async () => {
    const records = new VolatileRecords()
    const before = makeDisk({ records })
    before.device.slow = true
    void before.run(format())
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(before.device.calls, [`discard 0+${MiB}`])
    const after = makeDisk({ records, device: new TestDevice(MiB) })
    await corrupt(after)
    assert.deepEqual(after.device.calls, [])
    await after.good(Uint8Array.of(0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0))
    await after.good(testUnitReady)
  })
})
