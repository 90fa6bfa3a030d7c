import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { ABORT_DEADLINE_MS } from "../../../../src/base/limits.ts"
import { TaskManagementFunction } from "../../../../src/scsi/sam/transport-services.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../src/scsi/sbc/disk-unit.ts"
import type { TrayEvent } from "../../../../src/scsi/sbc/tray.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { blockCdb, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"
import { ALLOW, driveBench, EJECT, LOAD, PREVENT, TEST_UNIT_READY } from "./tray-bench.ts"

const { notReady, unitAttention, illegalRequest, dataProtect } = SenseKey
const READ = [...blockCdb(0x28, 0, 1)]
const WRITE = [...blockCdb(0x2a, 0, 1)]
const MODE_SENSE_CACHING = [0x1a, 0x08, 0x08, 0, 0xff, 0]

function removable(medium: TestDevice | undefined = new TestDevice(64 * 512), options: DiskUnitOptions = {}) {
  const bench = driveBench((clock) => new DiskUnit(medium, { removable: true, clock, ...options }))
  const { tray } = bench.unit
  assert.ok(tray)
  const events: TrayEvent[] = []
  tray.onEvent((event) => events.push(event))
  return { ...bench, tray, events, medium }
}

const empty = () => {
  const bench = driveBench((clock) => new DiskUnit(undefined, { removable: true, clock }))
  assert.ok(bench.unit.tray)
  return { ...bench, tray: bench.unit.tray }
}

describe("a removable disk", () => {
  it("says so in INQUIRY (RMB), and a fixed one has no tray", async () => {
    const { run, nexuses } = removable()
    const inquiry = good(await run(nexuses[0], [0x12, 0, 0, 0, 96, 0]))
    assert.equal(inquiry[1], 0x80)
    const fixed = driveBench(() => new DiskUnit(new TestDevice(64 * 512)))
    assert.equal(good(await fixed.run(fixed.nexuses[0], [0x12, 0, 0, 0, 96, 0]))[1], 0)
    assert.equal(fixed.unit.tray, undefined)
    for (const cdb of [EJECT, LOAD]) {
      const sense = checkCondition(
        await fixed.run(fixed.nexuses[0], cdb),
        illegalRequest,
        Asc.invalidFieldInCdb,
      )
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 4, bit: 1 })
    }
  })

  it("is ejected and loaded by START STOP UNIT; all but who loaded it are told once", async () => {
    const { run, nexuses, tray, events } = removable()
    const [a, b, c] = nexuses
    good(await run(a, EJECT))
    assert.equal(tray.open, true)
    for (const nexus of nexuses) {
      for (const cdb of [TEST_UNIT_READY, READ, WRITE, [...blockCdb(0x25, 0, 0)]]) {
        checkCondition(await run(nexus, cdb), notReady, Asc.mediumNotPresentTrayOpen)
      }
    }
    good(await run(a, EJECT)) // once more does no harm
    good(await run(a, LOAD))
    good(await run(a, TEST_UNIT_READY))
    for (const nexus of [b, c]) {
      checkCondition(await run(nexus, TEST_UNIT_READY), unitAttention, Asc.notReadyToReadyChange)
      good(await run(nexus, TEST_UNIT_READY))
      good(await run(nexus, READ))
    }
    good(await run(a, LOAD)) // nothing has changed: nobody is told
    good(await run(b, TEST_UNIT_READY))
    assert.deepEqual(events, ["mediaRemoval", "newMedia"])
  })

  it("writes its cache back before it opens, and stays closed when that fails", async () => {
    const { run, nexuses, medium, tray } = removable()
    medium.failures.set("flush", new BlockError("write-lost", "as told"))
    checkCondition(await run(nexuses[0], EJECT), SenseKey.mediumError, Asc.writeError)
    assert.equal(tray.loaded, true)
    good(await run(nexuses[0], READ))
    medium.calls.length = 0
    good(await run(nexuses[0], EJECT))
    assert.ok(medium.calls.includes("flush"))
    assert.equal(tray.loaded, false)
  })

  it("stays ready when it is stopped, and closed whatever the power condition", async () => {
    const { run, nexuses } = removable()
    const [a] = nexuses
    good(await run(a, [0x1b, 0, 0, 0, 0x00, 0]))
    good(await run(a, TEST_UNIT_READY))
    for (let condition = 1; condition < 16; condition++) {
      good(await run(a, [0x1b, 1, 0, 0, (condition << 4) | 0x02, 0]))
      good(await run(a, TEST_UNIT_READY))
    }
    good(await run(a, EJECT))
    for (const byte4 of [0x10, 0x20, 0x30, 0x70]) {
      good(await run(a, [0x1b, 0, 0, 0, byte4, 0]))
      checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayOpen)
    }
    checkCondition(await run(a, [0x1b, 0, 0, 0, 0x01, 0]), notReady, Asc.mediumNotPresentTrayOpen)
  })

  it("stays out over a logical unit reset", async () => {
    const { run, nexuses, target } = removable()
    const [a] = nexuses
    good(await run(a, EJECT))
    await target.taskManagementRequestReceived(a, {
      function: TaskManagementFunction.logicalUnitReset,
      lunHigh: 0,
      lunLow: 0,
      taskTag: 0,
    })
    checkCondition(await run(a, TEST_UNIT_READY), unitAttention, Asc.busDeviceResetFunction)
    checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayOpen)
  })

  it("ends what is under way as what comes later ends, when the tray opens", async () => {
    const { send, run, nexuses, medium } = removable()
    const [a, b, c] = nexuses
    medium.slow = true
    const read = send(b, READ)
    const write = send(c, WRITE, { dataOut: new Uint8Array(512), buffers: "held" })
    const eject = send(a, EJECT)
    medium.slow = false
    medium.waiting.pop()?.finish() // the flush, with which opening begins
    await new Promise(setImmediate)
    medium.waiting.pop()?.finish()
    await new Promise(setImmediate)
    assert.equal(eject.status, undefined, "the write still waits for its data")
    write.deliver()
    good(await eject.ended)
    checkCondition(await read.ended, notReady, Asc.mediumNotPresentTrayOpen)
    checkCondition(await write.ended, notReady, Asc.mediumNotPresentTrayOpen)
    assert.ok(medium.bytes.every((byte) => byte === 0))
    assert.ok(!medium.calls.some((call) => call.startsWith("write")))
    good(await run(a, EJECT))
  })

  it("waits no longer than the deadline for an initiator that owes a task its data", async () => {
    const { send, nexuses, clock } = removable()
    const [a, , c] = nexuses
    const write = send(c, WRITE, { dataOut: new Uint8Array(512), buffers: "held" })
    const eject = send(a, EJECT)
    await new Promise(setImmediate)
    await clock.advance(ABORT_DEADLINE_MS)
    good(await eject.ended)
    assert.equal(write.aborts, 1)
  })
})

describe("PREVENT ALLOW MEDIUM REMOVAL", () => {
  it("keeps the medium in as long as one nexus prevents its removal", async () => {
    const { run, nexuses } = removable()
    const [a, b, c] = nexuses
    good(await run(a, PREVENT))
    good(await run(b, PREVENT))
    good(await run(a, ALLOW))
    for (const nexus of nexuses) {
      checkCondition(await run(nexus, EJECT), illegalRequest, Asc.mediumRemovalPrevented)
      good(await run(nexus, READ))
    }
    good(await run(c, ALLOW)) // not c's to allow
    checkCondition(await run(b, EJECT), illegalRequest, Asc.mediumRemovalPrevented)
    good(await run(b, ALLOW))
    good(await run(a, EJECT))
  })

  it("refuses to load as well as to eject, as libiscsi's suite wants it", async () => {
    const { run, nexuses } = removable()
    const [a, b] = nexuses
    good(await run(a, EJECT))
    good(await run(b, PREVENT))
    checkCondition(await run(a, LOAD), illegalRequest, Asc.mediumRemovalPrevented)
    good(await run(b, ALLOW))
    good(await run(a, LOAD))
  })

  it("ends with the nexus, and with a reset", async () => {
    const { run, nexuses, target, unit } = removable()
    const [a, b, c] = nexuses
    good(await run(b, PREVENT))
    checkCondition(await run(a, EJECT), illegalRequest, Asc.mediumRemovalPrevented)
    await target.detachNexus(b)
    good(await run(a, EJECT))
    good(await run(a, LOAD))
    unit.takeUnitAttention(c)
    good(await run(c, PREVENT))
    await unit.reset(Asc.busDeviceResetFunction)
    unit.takeUnitAttention(a)
    good(await run(a, EJECT))
  })
})

describe("the operator", () => {
  it("changes the medium: everybody is told, and reads the new one", async () => {
    const { run, nexuses, tray, medium, unit } = removable()
    const other = new TestDevice(128 * 512)
    other.bytes.set(pattern(512, 7))
    assert.equal(await tray.change(other), medium)
    assert.equal(unit.blocks, 128)
    for (const nexus of nexuses) {
      checkCondition(await run(nexus, READ), unitAttention, Asc.notReadyToReadyChange)
      assert.deepEqual(good(await run(nexus, READ)), pattern(512, 7))
      assert.equal(Buffer.from(good(await run(nexus, [...blockCdb(0x25, 0, 0)]))).readUInt32BE(0), 127)
    }
    medium.calls.length = 0
    await medium.resize(256 * 512) // no longer ours
    assert.equal(unit.blocks, 128)
    await other.resize(32 * 512)
    assert.equal(unit.blocks, 32)
  })

  it("takes the medium away and puts one into an empty drive", async () => {
    const { run, nexuses, tray } = empty()
    const [a, b] = nexuses
    checkCondition(await run(a, TEST_UNIT_READY), notReady, Asc.mediumNotPresentTrayClosed)
    good(await run(a, EJECT))
    checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayOpen)
    good(await run(a, LOAD)) // nothing lies in it
    checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayClosed)
    const medium = new TestDevice(64 * 512)
    assert.equal(await tray.change(medium), undefined)
    for (const nexus of [a, b]) {
      checkCondition(await run(nexus, TEST_UNIT_READY), unitAttention, Asc.notReadyToReadyChange)
      good(await run(nexus, READ))
    }
    assert.equal(await tray.change(undefined), medium)
    checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayClosed)
  })

  it("ejects and loads as well; who loads isn't spared then", async () => {
    const { run, nexuses, tray } = removable()
    await tray.eject()
    checkCondition(await run(nexuses[0], READ), notReady, Asc.mediumNotPresentTrayOpen)
    await tray.load()
    for (const nexus of nexuses) {
      checkCondition(await run(nexus, READ), unitAttention, Asc.notReadyToReadyChange)
      good(await run(nexus, READ))
    }
  })

  it("has to use force where an initiator keeps the medium in", async () => {
    const { run, nexuses, tray, events, medium } = removable()
    const [a] = nexuses
    good(await run(a, PREVENT))
    await assert.rejects(tray.eject(), { code: "ERR_MEDIUM_LOCKED" })
    await assert.rejects(tray.change(new TestDevice(512)), { code: "ERR_MEDIUM_LOCKED" })
    assert.deepEqual(events, ["ejectRequest", "ejectRequest"])
    assert.equal(tray.loaded, true)
    good(await run(a, READ))
    assert.equal(await tray.change(undefined, { force: true }), medium)
    checkCondition(await run(a, READ), notReady, Asc.mediumNotPresentTrayClosed)
    assert.equal(tray.locked, false)
  })

  it("can't put in what doesn't fit; all stays as it was", async () => {
    const { run, nexuses, tray } = removable(new TestDevice(64 * 512), { thin: true })
    for (const wrong of [
      new TestDevice(100),
      new TestDevice(4096, { alignmentBytes: 4096 }),
      new TestDevice(4096, { discard: false }),
    ]) {
      await assert.rejects(tray.change(wrong), { code: "ERR_DISK_OPTION" })
      good(await run(nexuses[0], READ))
    }
  })

  it("may put in one that is read-only, and one that isn't again", async () => {
    const { run, nexuses, tray, unit } = removable()
    const [a] = nexuses
    await tray.change(new TestDevice(64 * 512, { readOnly: true, discard: false }))
    unit.takeUnitAttention(a)
    assert.equal(good(await run(a, MODE_SENSE_CACHING))[2], 0x90)
    const write = () => run(a, WRITE, { dataOut: new Uint8Array(512) })
    checkCondition(await write(), dataProtect, Asc.writeProtected)
    await tray.change(new TestDevice(64 * 512))
    unit.takeUnitAttention(a)
    assert.equal(good(await run(a, MODE_SENSE_CACHING))[2], 0x10)
    good(await write())
  })

  it("leaves the write cache off for an initiator that has switched it off", async () => {
    const { run, nexuses, tray, unit } = removable()
    const [a] = nexuses
    const wce = async () => good(await run(a, MODE_SENSE_CACHING))[6]! & 0x04
    assert.equal(await wce(), 4)
    const list = Uint8Array.of(0, 0, 0, 0, 0x08, 0x12, ...new Uint8Array(18))
    good(await run(a, [0x15, 0x10, 0, 0, list.length, 0], { dataOut: list }))
    assert.equal(await wce(), 0)
    for (const features of [{}, { writeCache: false }, {}]) {
      const medium = new TestDevice(64 * 512, features)
      await tray.change(medium)
      unit.takeUnitAttention(a)
      assert.equal(await wce(), 0)
      good(await run(a, WRITE, { dataOut: new Uint8Array(512) }))
      assert.ok(medium.calls.includes("write 0+512 fua"))
    }
  })
})

it("a disk without a medium has to be removable", () => {
  assert.throws(() => new DiskUnit(undefined), { code: "ERR_DISK_OPTION" })
})

it("a disk that is never written refuses UNMAP and WRITE SAME with UNMAP for that", async () => {
  const device = new TestDevice(64 * 512, { readOnly: true, discard: false })
  const { run, nexuses } = driveBench(() => new DiskUnit(device))
  const list = { dataOut: new Uint8Array(24) }
  checkCondition(await run(nexuses[0], [...blockCdb(0x42, 0, 24)], list), dataProtect, Asc.writeProtected)
  const block = { dataOut: new Uint8Array(512) }
  for (const opcode of [0x41, 0x93]) {
    const task = await run(nexuses[0], [...blockCdb(opcode, 0, 1, 0x08)], block)
    checkCondition(task, dataProtect, Asc.writeProtected)
  }
})

it("what has to be remembered of a medium isn't offered where it can be taken elsewhere", async () => {
  const device = () => new TestDevice(64 * 512, { volatile: true })
  const known = (unit: DiskUnit) => new Set(unit.commands.map(({ name }) => name))
  const fixed = known(new DiskUnit(device()))
  const removed = known(new DiskUnit(device(), { removable: true }))
  const missing = [...fixed].filter((name) => !removed.has(name))
  assert.ok(missing.includes("WRITE ATOMIC (16)") && missing.includes("FORMAT UNIT"), missing.join())
  assert.ok(
    missing.every((name) => /ATOMIC|FORMAT|SANITIZE/.test(name)),
    missing.join(),
  )
})
