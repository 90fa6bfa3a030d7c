import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { DelayStore } from "../../../../src/backstore/delay.ts"
import { SanletError } from "../../../../src/base/errors.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { backgroundSelfTest, logSense, selfTest } from "../../../../src/scsi/cdb/index.ts"
import { ScsiTarget } from "../../../../src/scsi/sam/scsi-target.ts"
import { SelfTestResult } from "../../../../src/scsi/sam/self-tests.ts"
import { TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { TaskManagementFunction } from "../../../../src/scsi/sam/transport-services.ts"
import {
  type UnitRecordName,
  type UnitRecords,
  VolatileRecords,
} from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { SanitizeAction } from "../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, TestTask, testNexus } from "../../../suites/scsi-task.ts"
import { blockCdb, Disk, nexus, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, notReady, mediumError, hardwareError, dataProtect, noSense } = SenseKey
const STEP_MS = 1000
const MiB = 1024 * 1024
const OVERWRITE = SanitizeAction.overwrite
const BLOCK_ERASE = SanitizeAction.blockErase
const EXIT_FAILURE_MODE = SanitizeAction.exitFailureMode
const IMMED = 0x80
const AUSE = 0x20
const TEMPERATURE = 0x0d

const sanitize = (action: number, listBytes = 0, flags = 0): Uint8Array =>
  Uint8Array.of(0x48, flags | action, 0, 0, 0, 0, 0, listBytes >> 8, listBytes & 0xff, 0)

const overwriteList = (count: number, bytes: Uint8Array, flags = 0): Uint8Array =>
  Uint8Array.of(flags | count, 0, bytes.length >> 8, bytes.length & 0xff, ...bytes)

const requestSense = Uint8Array.of(0x03, 0x01, 0, 0, 252, 0)
const testUnitReady = new Uint8Array(6)

/** A disk of 4 MiB each write of which takes a second of virtual time. */
function slowDisk(
  records: UnitRecords = new VolatileRecords(),
  device = new TestDevice(4 * MiB),
  clock = new VirtualClock(),
) {
  const slow = new DelayStore(device, { write: STEP_MS }, { clock })
  const unit = new DiskUnit(slow, { records, clock })
  const disk = new Disk(unit, device)
  /** Runs a command to its end, which takes no time. */
  const now = async (cdb: Uint8Array, dataOut?: Uint8Array) => {
    const outcome = disk.run(cdb, dataOut ? { dataOut } : {})
    await clock.advance(0)
    return (await outcome).task
  }
  const overwrite = (flags = 0, list = overwriteList(1, Uint8Array.of(0xaa))) =>
    disk.run(sanitize(OVERWRITE, list.length, flags), { dataOut: list })
  return { disk, unit, device, clock, records, now, overwrite, slow }
}

/** Records that can't be kept. */
class FullRecords extends VolatileRecords {
  full = true

  override async put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    if (this.full) throw new SanletError("ERR_STATE_FOLDER", "no space")
    await super.put(name, value)
  }
}

describe("SANITIZE with OVERWRITE", () => {
  it("fills each block with the pattern, and flushes before it ends", async () => {
    const { disk, device, clock, overwrite } = slowDisk()
    device.bytes.set(pattern(4 * MiB))
    const done = overwrite(0, overwriteList(1, Uint8Array.of(1, 2, 3)))
    await clock.advance(10 * STEP_MS)
    good((await done).task)
    const block = Buffer.alloc(512, Uint8Array.of(1, 2, 3))
    assert.equal(Buffer.compare(device.bytes, Buffer.alloc(4 * MiB, block)), 0)
    assert.equal(device.calls.at(-1), "flush")
    await disk.good(blockCdb(0x25, 0, 0))
  })

  it("inverts between passes, so that the last one writes the pattern itself; each pass reaches the medium", async () => {
    for (const count of [2, 3]) {
      const { device, clock, overwrite } = slowDisk()
      const first: number[] = []
      const write = device.write.bind(device)
      device.write = (offset, from, fua) => {
        if (offset === 0) first.push(from[0]!)
        return write(offset, from, fua)
      }
      const done = overwrite(0, overwriteList(count, Uint8Array.of(0x0f), 0x80))
      await clock.advance(20 * STEP_MS)
      good((await done).task)
      assert.deepEqual(first, count === 2 ? [0xf0, 0x0f] : [0x0f, 0xf0, 0x0f])
      assert.equal(device.calls.filter((call) => call === "flush").length, count)
    }
  })

  it("reaches what is left over beyond the last block", async () => {
    const { device, clock, overwrite } = slowDisk(new VolatileRecords(), new TestDevice(MiB + 100))
    device.bytes.fill(7)
    const done = overwrite()
    await clock.advance(10 * STEP_MS)
    good((await done).task)
    assert.ok(device.bytes.every((byte) => byte === 0xaa))
  })

  it("refuses lists that make no sense, before anything happens", async () => {
    const { disk, device, unit } = slowDisk()
    for (const bytes of [0, 1, 2, 3, 4, 517]) {
      const dataOut = new Uint8Array(Math.max(bytes, 1))
      const sense = await disk.fails(sanitize(OVERWRITE, bytes), illegalRequest, Asc.invalidFieldInCdb, {
        dataOut,
      })
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 7 })
    }
    const block = new Uint8Array(512)
    const wrong: [list: Uint8Array, byte: number][] = [
      [overwriteList(0, block), 0],
      [overwriteList(1, block, 0x20), 0],
      [Uint8Array.of(1, 0, 0, 0, ...block), 2],
      [Uint8Array.of(1, 0, 2, 1, ...block), 2],
      [Uint8Array.of(1, 0, 0, 9, 1, 2, 3, 4), 2],
    ]
    for (const [dataOut, byte] of wrong) {
      const cdb = sanitize(OVERWRITE, dataOut.length)
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInParameterList, { dataOut })
      assert.equal(sense.detail.field?.byte, byte)
    }
    assert.deepEqual(device.calls, [])
    assert.equal(unit.restriction, undefined)
  })
})

describe("SANITIZE with BLOCK ERASE", () => {
  it("writes zeroes to the medium before it gives the storage back; all blocks are unmapped then", async () => {
    const { disk, device, clock } = slowDisk()
    device.bytes.set(pattern(4 * MiB))
    device.allocated.fill(1)
    const done = disk.run(sanitize(BLOCK_ERASE))
    await clock.advance(10 * STEP_MS)
    good((await done).task)
    assert.deepEqual(device.calls.slice(0, 2), [`write 0+${MiB} fua`, `discard 0+${MiB}`])
    assert.ok(device.bytes.every((byte) => byte === 0))
    assert.ok(device.allocated.every((page) => page === 0))
    const status = Buffer.from(await disk.good(blockCdb(0x9e, 0, 64, 0x12)))
    assert.deepEqual([status.readUInt32BE(16), status[20]], [8192, 1])
  })

  it("takes no list, and is unknown to a disk that isn't thin", async () => {
    const { disk } = slowDisk()
    await disk.fails(sanitize(BLOCK_ERASE, 8), illegalRequest, Asc.invalidFieldInCdb, {
      dataOut: new Uint8Array(8),
    })
    const device = new TestDevice(MiB)
    const thick = new Disk(new DiskUnit(device, { thin: false, records: new VolatileRecords() }), device)
    await thick.fails(sanitize(BLOCK_ERASE), illegalRequest, Asc.invalidFieldInCdb)
  })
})

describe("SANITIZE", () => {
  it("knows no other service action, CRYPTOGRAPHIC ERASE among them, and no reserved bit", async () => {
    const { disk } = slowDisk()
    const known: readonly number[] = [OVERWRITE, BLOCK_ERASE, EXIT_FAILURE_MODE]
    for (let action = 0; action < 0x20; action++) {
      if (known.includes(action)) continue
      await disk.fails(sanitize(action), illegalRequest, Asc.invalidFieldInCdb)
    }
    await disk.fails(sanitize(BLOCK_ERASE, 0, 0x40), illegalRequest, Asc.invalidFieldInCdb)
    for (let byte = 2; byte < 7; byte++) {
      const cdb = sanitize(BLOCK_ERASE)
      cdb[byte] = byte
      await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb)
    }
  })

  it("isn't offered where a restart would forget of it", async () => {
    const device = new TestDevice(MiB)
    const disk = new Disk(new DiskUnit(device), device)
    await disk.fails(sanitize(BLOCK_ERASE), illegalRequest, Asc.invalidCommandOperationCode)
    await disk.fails(Uint8Array.of(4, 0, 0, 0, 0, 0), illegalRequest, Asc.invalidCommandOperationCode)
    const memory = new TestDevice(MiB, { volatile: true })
    await new Disk(new DiskUnit(memory), memory).good(sanitize(BLOCK_ERASE))
  })

  it("is refused while the medium is write protected, and conflicts with a reservation", async () => {
    const { disk, unit, device } = slowDisk()
    unit.control.softwareWriteProtect = true
    await disk.fails(sanitize(BLOCK_ERASE), dataProtect, Asc.logicalUnitSoftwareWriteProtected)
    unit.control.softwareWriteProtect = false
    const other = testNexus("other")
    unit.attachNexus(other)
    unit.reservation.reserve(other)
    const task = new TestTask(nexus, sanitize(BLOCK_ERASE))
    unit.commandReceived(task)
    assert.equal((await task.ended).status, Status.reservationConflict)
    assert.deepEqual(device.calls, [])
  })

  it("doesn't begin when it can't be remembered", async () => {
    const records = new FullRecords()
    const { disk, device, unit } = slowDisk(records)
    await disk.fails(sanitize(BLOCK_ERASE), hardwareError, Asc.internalTargetFailure)
    assert.deepEqual([device.calls, unit.restriction], [[], undefined])
  })

  it("goes ahead of what waits behind an ORDERED task, and ends all of it", async () => {
    const { unit, clock, device } = slowDisk()
    const send = (cdb: Uint8Array, attribute: TaskAttribute, dataOut?: Uint8Array) => {
      const task = new TestTask(nexus, cdb, { attribute, ...(dataOut && { dataOut }) })
      unit.commandReceived(task)
      return task
    }
    const { simple, ordered } = TaskAttribute
    const writing = send(blockCdb(0x2a, 0, 1), simple, pattern(512))
    const waiting = send(blockCdb(0x2a, 1, 1), ordered, pattern(512))
    const asking = send(Uint8Array.of(0x12, 0, 0, 0, 36, 0), simple)
    const erasing = send(sanitize(BLOCK_ERASE), ordered)
    await clock.advance(20 * STEP_MS)
    for (const task of [writing, waiting]) {
      const sense = checkCondition(task, notReady, Asc.logicalUnitNotReadySanitizeInProgress)
      assert.equal(sense.detail.progress, 0)
    }
    good(asking)
    good(erasing)
    assert.equal(unit.allTasks().length, 0)
    assert.ok(
      device.bytes.every((byte) => byte === 0),
      "a write that was under way came before it",
    )
  })
})

describe("a sanitize operation in progress", () => {
  it("tells how far it is, in REQUEST SENSE and in every refusal", async () => {
    const { clock, now, overwrite } = slowDisk()
    const done = overwrite(IMMED)
    await clock.advance(0)
    good((await done).task)
    const told: number[] = []
    for (let step = 0; step < 4; step++) {
      const refused = await now(testUnitReady)
      const { detail } = checkCondition(refused, notReady, Asc.logicalUnitNotReadySanitizeInProgress)
      told.push(detail.progress!)
      const polled = Buffer.from(good(await now(requestSense)))
      assert.deepEqual([polled[0], polled[1], polled[2], polled[3]], [0x72, notReady, 0x04, 0x1b])
      assert.equal(polled[8], 0x02)
      assert.deepEqual([polled[12], polled.readUInt16BE(13)], [0x80, detail.progress])
      await clock.advance(STEP_MS)
    }
    assert.deepEqual(told, [0, 0x4000, 0x8000, 0xc000])
    assert.equal(good(await now(requestSense))[1], noSense)
    good(await now(testUnitReady))
  })

  it("lets through what is allowed during sanitize, and nothing else", async () => {
    const { clock, now, overwrite } = slowDisk()
    await Promise.all([overwrite(IMMED), clock.advance(0)])
    const allowed = [
      ...[
        Uint8Array.of(0x12, 0, 0, 0, 36, 0),
        requestSense,
        blockCdb(0x25, 0, 0),
        blockCdb(0x9e, 0, 32, 0x10),
      ],
      ...[0x08, 0x0a, 0x1c].map((page) => Uint8Array.of(0x1a, 0, page, 0, 255, 0)),
      logSense(TEMPERATURE, 64),
      Uint8Array.of(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0),
      Uint8Array.of(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
      Uint8Array.of(0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
    ]
    for (const cdb of allowed) good(await now(cdb))
    const refused = [
      ...[testUnitReady, blockCdb(0x28, 0, 1), blockCdb(0x2a, 0, 1), blockCdb(0x9e, 0, 32, 0x12)],
      ...[sanitize(BLOCK_ERASE), sanitize(EXIT_FAILURE_MODE), Uint8Array.of(4, 0, 0, 0, 0, 0)],
      ...[0x3f, 0x01].map((page) => Uint8Array.of(0x1a, 0, page, 0, 255, 0)),
      ...[0x16, 0x1b, 0x1d].map((opcode) => Uint8Array.of(opcode, 0, 0, 0, 0, 0)),
      ...[selfTest(), backgroundSelfTest(1), logSense(0x00, 64), logSense(0x2f, 64)],
      logSense(TEMPERATURE, 64, { subpage: 0xff }),
      Uint8Array.of(0xa3, 0x05, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
    ]
    for (const cdb of refused) {
      checkCondition(await now(cdb), notReady, Asc.logicalUnitNotReadySanitizeInProgress)
    }
  })

  it("has ended the self-test in the background, which doesn't begin anew", async () => {
    const { unit, clock, now, overwrite, slow } = slowDisk()
    slow.read = () => new Promise(() => {})
    good(await now(backgroundSelfTest(2)))
    assert.equal(good(await now(requestSense))[3], 0x09, "self-test in progress")
    await Promise.all([overwrite(IMMED), clock.advance(0)])
    assert.equal(good(await now(requestSense))[3], 0x1b)
    assert.equal(unit.selfTests.running, undefined)
    assert.deepEqual(
      unit.selfTests.records.map(({ result }) => result),
      [SelfTestResult.abortedOtherwise],
    )
    await clock.advance(10 * STEP_MS)
    assert.equal(good(await now(requestSense))[1], noSense)
  })

  it("goes on when its command is aborted, the unit is reset, and its nexus is lost", async () => {
    const { unit, clock, device, now, overwrite } = slowDisk()
    const target = new ScsiTarget({ clock })
    target.addLogicalUnit(0, unit)
    target.attachNexus(nexus)
    await now(testUnitReady) // the unit attention
    const done = overwrite()
    await clock.advance(STEP_MS)
    const { tag } = [...unit.allTasks()][0]!
    const tell = async (fn: TaskManagementFunction) => {
      const answered = target.taskManagementRequestReceived(nexus, {
        function: fn,
        lunHigh: 0,
        lunLow: 0,
        taskTag: tag,
      })
      await clock.advance(0)
      return answered
    }
    assert.equal(await tell(TaskManagementFunction.abortTask), 0, "answered at once")
    assert.equal((await done).task.aborts, 1)
    assert.equal(unit.allTasks().length, 0)
    assert.equal(await tell(TaskManagementFunction.logicalUnitReset), 0)
    await target.detachNexus(nexus)
    target.attachNexus(nexus)
    await now(testUnitReady) // the unit attention
    checkCondition(await now(testUnitReady), notReady, Asc.logicalUnitNotReadySanitizeInProgress)
    await clock.advance(3 * STEP_MS)
    good(await now(testUnitReady))
    assert.ok(device.bytes.every((byte) => byte === 0xaa))
  })

  it("begins anew after a restart, and comes to its end", async () => {
    const before = slowDisk()
    await Promise.all([before.overwrite(IMMED | AUSE), before.clock.advance(2.5 * STEP_MS)])
    // The process is killed: what its device was asked for and hasn't done never happens.
    before.device.slow = true
    const device = new TestDevice(4 * MiB)
    device.bytes.set(before.device.bytes)
    assert.equal(device.bytes[3 * MiB], 0)
    const after = slowDisk(before.records, device)
    checkCondition(await after.now(testUnitReady), notReady, Asc.logicalUnitNotReadySanitizeInProgress)
    await after.clock.advance(4 * STEP_MS)
    good(await after.now(testUnitReady))
    assert.ok(device.bytes.every((byte) => byte === 0xaa))
    const again = slowDisk(before.records, device)
    good(await again.now(testUnitReady))
  })

  it("is taken up again after the device was closed under it", async () => {
    const { disk, clock, slow, records, overwrite } = slowDisk()
    await Promise.all([overwrite(IMMED), clock.advance(1.5 * STEP_MS)])
    await slow.close()
    await clock.advance(STEP_MS)
    const after = slowDisk(records, disk.device)
    checkCondition(await after.now(testUnitReady), notReady, Asc.logicalUnitNotReadySanitizeInProgress)
    await after.clock.advance(4 * STEP_MS)
    good(await after.now(testUnitReady))
  })
})

describe("a sanitize operation that fails", () => {
  async function failed(flags: number) {
    const world = slowDisk()
    world.device.failures.set(`write ${MiB}`, new BlockError("io", "EIO"))
    const done = world.overwrite(flags)
    await world.clock.advance(5 * STEP_MS)
    checkCondition((await done).task, mediumError, Asc.sanitizeCommandFailed)
    return world
  }

  it("leaves the medium out of reach, also after a restart, until another one ends well", async () => {
    const { records, device, now: first } = await failed(0)
    checkCondition(await first(testUnitReady), mediumError, Asc.sanitizeCommandFailed)
    const { clock, now, overwrite, disk } = slowDisk(records, device)
    for (const cdb of [testUnitReady, blockCdb(0x28, 0, 1), Uint8Array.of(4, 0, 0, 0, 0, 0)]) {
      checkCondition(await now(cdb), mediumError, Asc.sanitizeCommandFailed)
    }
    good(await now(blockCdb(0x25, 0, 0)))
    // Restricted completion mode: no way out but through.
    await disk.fails(sanitize(EXIT_FAILURE_MODE), illegalRequest, Asc.invalidFieldInCdb)
    await disk.fails(sanitize(BLOCK_ERASE, 0, AUSE), illegalRequest, Asc.invalidFieldInCdb)
    const done = overwrite()
    await clock.advance(5 * STEP_MS)
    good((await done).task)
    good(await now(testUnitReady))
    good(await slowDisk(records, device).now(testUnitReady))
  })

  it("can be left by EXIT FAILURE MODE when it was begun with AUSE", async () => {
    const { records, device } = await failed(AUSE)
    const { now, disk } = slowDisk(records, device)
    checkCondition(await now(testUnitReady), mediumError, Asc.sanitizeCommandFailed)
    await disk.good(sanitize(EXIT_FAILURE_MODE))
    good(await now(testUnitReady))
    await disk.good(sanitize(EXIT_FAILURE_MODE))
    good(await slowDisk(records, device).now(testUnitReady))
  })

  it("is what a mark that can't be read stands for", async () => {
    for (const text of ["", "{}", "null", '{"operation":"sanitize","treatment":{"method":"overwrite"}}']) {
      const records = new VolatileRecords()
      await records.put("medium-operation", new TextEncoder().encode(text))
      const { now } = slowDisk(records)
      checkCondition(await now(blockCdb(0x28, 0, 1)), mediumError, Asc.sanitizeCommandFailed)
    }
  })

  it("is one whose end can't be remembered: a restart would repeat it", async () => {
    const records = new FullRecords()
    records.full = false
    const { clock, overwrite, now, device } = slowDisk(records)
    const done = overwrite()
    await clock.advance(STEP_MS)
    records.full = true
    await clock.advance(5 * STEP_MS)
    checkCondition((await done).task, mediumError, Asc.sanitizeCommandFailed)
    checkCondition(await now(blockCdb(0x2a, 0, 1)), mediumError, Asc.sanitizeCommandFailed)
    const after = slowDisk(records, device)
    checkCondition(await after.now(testUnitReady), notReady, Asc.logicalUnitNotReadySanitizeInProgress)
  })
})
