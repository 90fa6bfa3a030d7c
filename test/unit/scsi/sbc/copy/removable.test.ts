import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { CdUnit } from "../../../../../src/scsi/mmc/cd-unit.ts"
import { ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../../suites/scsi-task.ts"
import { TestDevice } from "../test-device.ts"
import { blockSegment, CopyBench, cscdOf, extendedCopyCdb, lid4List, settle } from "./copy-bench.ts"

const BLOCKS = 8 * 2048
const EJECT = Uint8Array.of(0x1b, 0, 0, 0, 0x02, 0)
const TEST_UNIT_READY = new Uint8Array(6)

describe("copies and removable units", () => {
  it("a copy ends before the tray opens, wherever it was sent, and its command is told so", async () => {
    const bench = new CopyBench({ blocks: BLOCKS }, { blocks: BLOCKS, removable: true })
    const { device } = bench.disk(1)
    device.slow = true
    const segment = blockSegment({ blocks: BLOCKS, from: 0, to: 0 })
    const dataOut = lid4List([bench.cscd(0), bench.cscd(1)], [segment], { listId: 7 })
    const copy = bench.send(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), { dataOut })
    await settle()
    assert.equal(device.waiting.length, 2, "two steps are under way")
    const eject = bench.run(EJECT, { lun: 1 })
    await bench.finishAll("newest")
    good(await eject)
    checkCondition(await copy.ended, SenseKey.copyAborted, Asc.copyTargetDeviceNotReachable)
    const writes = device.calls.filter((call) => call.startsWith("write")).length
    assert.ok(writes < 8, `${writes} of 8 steps`)
    assert.equal(bench.disk(1).unit.guests.count, 0)
  })

  it("none begins at a unit without its medium", async () => {
    const bench = new CopyBench({}, { removable: true })
    await bench.disk(1).unit.tray?.eject()
    const segment = blockSegment({ blocks: 8, from: 0, to: 0 })
    const dataOut = lid4List([bench.cscd(0), bench.cscd(1)], [segment], { listId: 7 })
    const copy = await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), {
      dataOut,
    })
    const { detail } = checkCondition(copy, SenseKey.copyAborted, Asc.thirdPartyDeviceFailure)
    const sense = detail.forwarded?.sense
    assert.ok(sense === undefined || (sense[12] === 0x3a && sense[13] === 0x02))
  })

  it("a CD-ROM drive is no end of a copy", async () => {
    const bench = new CopyBench({})
    const drive = new CdUnit(new TestDevice(64 * 2048), { clock: bench.clock })
    bench.target.addLogicalUnit(1, drive)
    await bench.run(TEST_UNIT_READY) // REPORTED LUNS DATA HAS CHANGED
    const cd = cscdOf(drive, { deviceType: 5 })
    for (const [source, destination] of [
      [cd, bench.cscd(0)],
      [bench.cscd(0), cd],
    ] as const) {
      const segment = blockSegment({ blocks: 1, from: 0, to: 0 })
      const dataOut = lid4List([source, destination], [segment], { listId: 7 })
      const copy = await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, dataOut.length), {
        dataOut,
      })
      checkCondition(copy, SenseKey.copyAborted, Asc.incorrectCopyTargetDeviceType)
    }
  })
})
