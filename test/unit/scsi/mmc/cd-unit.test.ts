import assert from "node:assert/strict"
import { describe, it } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { CdUnit } from "../../../../src/scsi/mmc/cd-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { blockCdb, pattern } from "../sbc/disk.ts"
import { TestDevice } from "../sbc/test-device.ts"
import { EJECT, LOAD, PREVENT, TEST_UNIT_READY } from "../sbc/tray-bench.ts"
import { cdBench, cdbOf, discOf } from "./drive-bench.ts"

const { illegalRequest, notReady, unitAttention } = SenseKey
const READ = [...blockCdb(0x28, 0, 1)]

describe("a CD-ROM drive", () => {
  it("is of device type 05h, removable, without a copy manager, after MMC-6", async () => {
    const { run, nexuses } = cdBench(100)
    const inquiry = good(await run(nexuses[0], [0x12, 0, 0, 0, 96, 0]))
    assert.deepEqual([...inquiry.subarray(0, 8)], [0x05, 0x80, 0x06, 0x32, 91, 0x10, 0, 0x02])
    assert.equal(Buffer.from(inquiry).toString("latin1", 8, 32), "sanlet  CD/DVD-ROM      ")
    assert.equal(Buffer.from(inquiry).readUInt16BE(64), 0x04e0)
    const pages = good(await run(nexuses[0], [0x12, 1, 0, 0, 255, 0]))
    assert.deepEqual([...pages.subarray(4)].slice(0, 4), [0x00, 0x80, 0x83, 0x86])
    assert.ok(!pages.subarray(4).includes(0xb0))
  })

  it("tells its capacity in blocks of 2048 bytes and reads them", async () => {
    const { run, nexuses, disc } = cdBench(100)
    const [a] = nexuses
    disc?.bytes.set(pattern(3 * 2048), 5 * 2048)
    const capacity = Buffer.from(good(await run(a, [...blockCdb(0x25, 0, 0)])))
    assert.deepEqual([capacity.readUInt32BE(0), capacity.readUInt32BE(4)], [99, 2048])
    for (const opcode of [0x28, 0xa8]) {
      assert.deepEqual(good(await run(a, [...blockCdb(opcode, 5, 3)])), pattern(3 * 2048))
      checkCondition(await run(a, [...blockCdb(opcode, 99, 2)]), illegalRequest, Asc.lbaOutOfRange)
    }
    good(await run(a, [...blockCdb(0x2f, 0, 8)]))
  })

  it("knows no command that writes", async () => {
    const { run, nexuses } = cdBench(100)
    for (const opcode of [0x0a, 0x2a, 0xaa, 0x8a, 0x41, 0x93, 0x42, 0x35, 0x2e, 0x83, 0x04]) {
      const task = await run(nexuses[0], [...blockCdb(opcode, 0, 1)])
      checkCondition(task, illegalRequest, Asc.invalidCommandOperationCode)
    }
  })

  it("without a disc tells everything but the disc", async () => {
    const { run, nexuses, unit } = cdBench(undefined)
    const [a] = nexuses
    for (const cdb of [
      TEST_UNIT_READY,
      READ,
      [...blockCdb(0x25, 0, 0)],
      cdbOf(0x43, { 8: 20 }),
      cdbOf(0x51, { 8: 34 }),
      cdbOf(0x52, { 1: 1, 5: 1, 8: 48 }),
      cdbOf(0xac, { 9: 1 }),
      cdbOf(0xad, { 9: 20 }),
      cdbOf(0xbe, { 8: 1, 9: 0x10 }),
    ]) {
      checkCondition(await run(a, cdb), notReady, Asc.mediumNotPresentTrayClosed)
    }
    for (const cdb of [
      cdbOf(0x46, { 8: 255 }),
      cdbOf(0x4a, { 1: 1, 4: 0x10, 8: 8 }),
      cdbOf(0xbd, { 9: 8 }),
    ]) {
      good(await run(a, cdb))
    }
    good(await run(a, [0x1a, 0, 0x3f, 0, 255, 0]))
    await unit.drive.change(discOf(50))
    checkCondition(await run(a, READ), unitAttention, Asc.notReadyToReadyChange)
    good(await run(a, READ))
  })

  it("takes discs only: images of at least one sector, whose alignment a sector fits", async () => {
    const { unit } = cdBench(undefined)
    await assert.rejects(unit.drive.change(new TestDevice(2047)), { code: "ERR_DISK_OPTION" })
    await assert.rejects(unit.drive.change(new TestDevice(8192, { alignmentBytes: 4096 })), {
      code: "ERR_DISK_OPTION",
    })
    assert.throws(() => new CdUnit(new TestDevice(100)), { code: "ERR_DISK_OPTION" })
    await unit.drive.change(new TestDevice(5000))
    assert.equal(unit.blocks, 2) // what is left over stays out of reach
  })
})

describe("GET EVENT STATUS NOTIFICATION", () => {
  const gesn = (classes: number, room = 8) => cdbOf(0x4a, { 1: 1, 4: classes, 8: room })
  const MEDIA = 0x10

  it("tells each nexus once what happened to the medium", async () => {
    const { run, nexuses, unit } = cdBench(100)
    const [a, b] = nexuses
    const poll = async (nexus: typeof a) => [...good(await run(nexus, gesn(MEDIA)))]
    assert.deepEqual(await poll(a), [0, 6, 4, 0x54, 0, 2, 0, 0])
    good(await run(a, EJECT))
    assert.deepEqual(await poll(a), [0, 6, 4, 0x54, 3, 1, 0, 0])
    assert.deepEqual(await poll(a), [0, 6, 4, 0x54, 0, 1, 0, 0])
    good(await run(a, LOAD))
    assert.deepEqual(await poll(b), [0, 6, 4, 0x54, 2, 2, 0, 0]) // the latest: in again
    assert.deepEqual(await poll(b), [0, 6, 4, 0x54, 0, 2, 0, 0])
    await unit.drive.change(undefined)
    assert.deepEqual(await poll(b), [0, 6, 4, 0x54, 3, 0, 0, 0])
  })

  it("tells of the operator's wish to have the medium, where a nexus keeps it in", async () => {
    const { run, nexuses, unit } = cdBench(100)
    const [a, b] = nexuses
    good(await run(a, PREVENT))
    await assert.rejects(unit.drive.eject(), { code: "ERR_MEDIUM_LOCKED" })
    for (const nexus of [a, b]) assert.equal(good(await run(nexus, gesn(MEDIA)))[4], 1)
  })

  it("runs while a unit attention is pending, and leaves it", async () => {
    const { run, nexuses, unit } = cdBench(100)
    const [a] = nexuses
    await unit.drive.change(discOf(50))
    assert.equal(good(await run(a, gesn(MEDIA)))[4], 2)
    good(await run(a, cdbOf(0x46, { 8: 8 })))
    checkCondition(await run(a, READ), unitAttention, Asc.notReadyToReadyChange)
  })

  it("prefers the class that has an event; else the lowest; keeps the event where there is no room", async () => {
    const { run, nexuses, unit } = cdBench(100)
    const [a] = nexuses
    const poll = async (classes: number, room?: number) => [...good(await run(a, gesn(classes, room)))]
    assert.deepEqual(await poll(0x54), [0, 6, 2, 0x54, 0, 1, 0, 0]) // power: active
    assert.deepEqual(await poll(0x40), [0, 6, 6, 0x54, 0, 0, 0, 0]) // not busy
    assert.deepEqual(await poll(0x0a), [0, 2, 0x80, 0x54])
    assert.deepEqual(await poll(0), [0, 2, 0x80, 0x54])
    await unit.drive.eject()
    assert.deepEqual(await poll(0x54, 4), [0, 6, 4, 0x54])
    assert.deepEqual(await poll(0x54), [0, 6, 4, 0x54, 3, 1, 0, 0])
  })

  it("is for those who poll", async () => {
    const { run, nexuses } = cdBench(100)
    const task = await run(nexuses[0], cdbOf(0x4a, { 4: MEDIA, 8: 8 }))
    const { detail } = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(detail.field, { in: "cdb", byte: 1, bit: 0 })
  })
})

describe("MODE SENSE of a CD-ROM drive", () => {
  it("has page 2Ah: reads DVDs, a tray, and whether it is locked", async () => {
    const { run, nexuses } = cdBench(100)
    const [a] = nexuses
    const page = async () => [...good(await run(a, cdbOf(0x5a, { 2: 0x2a, 8: 0xff })))]
    const expected = [0, 28, 0, 0, 0, 0, 0, 0, 0x2a, 0x14, 0x08, 0, 0, 0, 0x29, 0, 0x56, 0x90, 0, 0, 4, 0]
    assert.deepEqual((await page()).slice(0, 22), expected)
    good(await run(a, PREVENT))
    assert.equal((await page())[14], 0x2b)
  })

  it("has the pages its features need, in order, and no block descriptor", async () => {
    const { run, nexuses } = cdBench(100)
    const all = good(await run(nexuses[0], cdbOf(0x5a, { 2: 0x3f, 8: 0xff })))
    assert.deepEqual([...all.subarray(2, 8)], [0, 0, 0, 0, 0, 0])
    const codes: number[] = []
    for (let at = 8; at < all.length; at += 2 + all[at + 1]!) codes.push(all[at]!)
    for (const code of [0x01, 0x0a, 0x1a, 0x1c, 0x1d, 0x2a]) assert.ok(codes.includes(code), `${code}`)
    assert.deepEqual(
      codes,
      codes.toSorted((a, b) => a - b),
    )
    assert.ok(!codes.includes(0x08))
  })

  it("has Power Condition and Timeout and Protect, of which nothing can be changed", async () => {
    const { run, nexuses } = cdBench(100)
    for (const [code, bytes] of [
      [0x1a, 0x0a],
      [0x1d, 0x08],
    ] as const) {
      for (const control of [cdb.PageControl.current, cdb.PageControl.changeable, cdb.PageControl.default]) {
        const page = good(await run(nexuses[0], [...cdb.modeSense10(code, 255, { control })]))
        assert.deepEqual([...page.subarray(8)], [code, bytes, ...new Uint8Array(bytes)])
      }
    }
  })

  it("takes a block descriptor of 2048 bytes in MODE SELECT, and no other", async () => {
    const { run, nexuses } = cdBench(100)
    const select = (bytes: number) => {
      const list = Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0, 0, 0, bytes >> 8, bytes & 0xff)
      return run(nexuses[0], [0x15, 0x10, 0, 0, 12, 0], { dataOut: list })
    }
    good(await select(2048))
    checkCondition(await select(2352), illegalRequest, Asc.invalidFieldInParameterList)
  })
})
