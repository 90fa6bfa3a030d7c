import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { testNexus } from "../../../suites/scsi-task.ts"
import { blockCdb, compareAndWriteCdb, type Disk, makeDisk, nexus, pattern } from "./disk.ts"

const { notReady, illegalRequest, mediumError } = SenseKey
const LOEJ = 0x02
const START = 0x01

const startStop = (byte4: number) => Uint8Array.of(0x1b, 0, 0, 0, byte4, 0)
const prevent = (on: boolean) => Uint8Array.of(0x1e, 0, 0, 0, on ? 1 : 0, 0)
const testUnitReady = new Uint8Array(6)
const out = (disk: Disk, cdb: Uint8Array, dataOut = pattern(1024)) =>
  disk.fails(cdb, notReady, Asc.mediumNotPresentTrayOpen, { dataOut })

describe("a removable disk", () => {
  it("says so, and others say that they aren't", async () => {
    const inquiry = Uint8Array.of(0x12, 0, 0, 0, 96, 0)
    assert.equal((await makeDisk({ removable: true }).good(inquiry))[1], 0x80)
    const fixed = makeDisk()
    assert.equal((await fixed.good(inquiry))[1], 0)
    await fixed.fails(startStop(LOEJ), illegalRequest, Asc.invalidFieldInCdb)
  })

  it("without its medium refuses every command that wants it, also after a reset", async () => {
    const disk = makeDisk({ removable: true })
    await disk.good(startStop(LOEJ))
    assert.deepEqual(disk.device.calls, ["flush", "flush"])
    await disk.good(startStop(LOEJ))
    await disk.unit.reset(Asc.busDeviceResetFunction)
    await disk.run(testUnitReady)
    disk.unit.control.descriptorSense = true
    await out(disk, testUnitReady)
    for (const opcode of [0x08, 0x0a, 0x28, 0x2a, 0x88, 0x8a, 0x2f, 0x2e, 0x8b, 0x35, 0x34, 0x41, 0x93]) {
      await out(disk, blockCdb(opcode, 0, 1))
    }
    for (const cdb of [compareAndWriteCdb(0, 1), blockCdb(0x42, 0, 24), blockCdb(0x25, 0, 0)])
      await out(disk, cdb)
    for (const action of [0x10, 0x12]) await out(disk, blockCdb(0x9e, 0, 32, action))
    await out(disk, startStop(START))
    await disk.good(Uint8Array.of(0x12, 0, 0, 0, 36, 0))
    assert.deepEqual(disk.device.calls, ["flush", "flush"])
  })

  it("is ready again once the medium is in; the other nexuses hear that it may be another one", async () => {
    const disk = makeDisk({ removable: true })
    const other = testNexus("other")
    disk.unit.attachNexus(other)
    await disk.good(startStop(LOEJ))
    await disk.good(startStop(LOEJ | START))
    await disk.good(testUnitReady)
    assert.equal(disk.unit.takeUnitAttention(other), Asc.notReadyToReadyChange)
    await disk.good(startStop(LOEJ | START))
    assert.equal(disk.unit.takeUnitAttention(other), undefined)
  })

  it("keeps its medium when the cache can't be written back", async () => {
    const disk = makeDisk({ removable: true })
    disk.device.failures.set("flush", new BlockError("io", "EIO"))
    await disk.fails(startStop(LOEJ), mediumError, Asc.writeError)
    await disk.good(testUnitReady)
  })

  it("neither ejects nor loads while one nexus prevents it, until that allows it or is lost", async () => {
    const disk = makeDisk({ removable: true })
    const other = testNexus("other")
    disk.unit.attachNexus(other)
    disk.unit.preventingRemoval.add(other)
    await disk.fails(startStop(LOEJ), illegalRequest, Asc.mediumRemovalPrevented)
    await disk.good(testUnitReady)
    await disk.unit.detachNexus(other)
    await disk.good(startStop(LOEJ))
    await disk.good(prevent(true))
    await disk.fails(startStop(LOEJ | START), illegalRequest, Asc.mediumRemovalPrevented)
    await disk.good(prevent(false))
    await disk.good(startStop(LOEJ | START))
    assert.equal(disk.unit.preventingRemoval.has(nexus), false)
  })
})
