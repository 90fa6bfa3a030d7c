import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { SanletError } from "../../../../src/base/errors.ts"
import { ATOMIC_WRITE_BYTES_MAX, COMMAND_TRANSFER_BYTES_MAX } from "../../../../src/base/limits.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { DesignatorType } from "../../../../src/scsi/sam/identity.ts"
import { Nexus } from "../../../../src/scsi/sam/nexus.ts"
import { VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { completeIdentity } from "../../../../src/scsi/sbc/identity.ts"
import { VolatileUndoLog } from "../../../../src/scsi/sbc/undo-log.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, compareAndWriteCdb, type Disk, makeDisk, nexus, pattern } from "./disk.ts"
import { TestTask } from "../../../suites/scsi-task.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, mediumError, notReady, dataProtect } = SenseKey

describe("READ CAPACITY", () => {
  const capacity16 = (allocation: number) => blockCdb(0x9e, 0, allocation, 0x10)

  it("tells the last block and the block length", async () => {
    for (const logicalBlockBytes of [512, 4096] as const) {
      const disk = makeDisk({ logicalBlockBytes, physicalBlockExponent: 3 })
      const ten = Buffer.from(await disk.good(blockCdb(0x25, 0, 0)))
      assert.deepEqual([ten.readUInt32BE(0), ten.readUInt32BE(4), ten.length], [63, logicalBlockBytes, 8])
      const sixteen = Buffer.from(await disk.good(capacity16(32)))
      assert.equal(sixteen.readBigUInt64BE(0), 63n)
      assert.equal(sixteen.readUInt32BE(8), logicalBlockBytes)
      assert.deepEqual([...sixteen.subarray(12, 16)], [0, 3, 0xc0, 0])
      assert.equal(sixteen.length, 32)
    }
  })

  it("(10) says FFFFFFFF for what it can't tell, (16) tells it", async () => {
    for (const [blocks, last] of [
      [2 ** 32, 0xffffffff],
      [2 ** 32 - 1, 0xfffffffe],
      [2 ** 40, 0xffffffff],
    ] as const) {
      const disk = makeDisk()
      disk.unit.blocks = blocks
      assert.equal(Buffer.from(await disk.good(blockCdb(0x25, 0, 0))).readUInt32BE(0), last)
      assert.equal(Buffer.from(await disk.good(capacity16(32))).readBigUInt64BE(0), BigInt(blocks) - 1n)
    }
  })

  it("(16) cuts to the allocation length, and shows no LBPME on a unit that isn't thin", async () => {
    const disk = makeDisk({ thin: false })
    for (const allocation of [0, 1, 8, 15, 32, 255]) {
      assert.equal((await disk.good(capacity16(allocation))).length, Math.min(allocation, 32))
    }
    assert.equal((await disk.good(capacity16(32)))[14], 0)
  })
})

describe("START STOP UNIT", () => {
  const startStop = (byte4: number, modifier = 0) => Uint8Array.of(0x1b, 0, 0, modifier, byte4, 0)
  const mediaCommands = [
    ...[
      0x08, 0x28, 0xa8, 0x88, 0x0a, 0x2a, 0xaa, 0x8a, 0x2f, 0xaf, 0x8f, 0x2e, 0xae, 0x8e, 0x8b, 0x35, 0x91,
    ].map((opcode) => blockCdb(opcode, 0, 1)),
    ...[0x34, 0x90, 0x41, 0x93, 0x25].map((opcode) => blockCdb(opcode, 0, 0)),
    blockCdb(0x42, 0, 24),
    compareAndWriteCdb(0, 1),
    blockCdb(0x9e, 0, 32, 0x10),
    blockCdb(0x9e, 0, 32, 0x12),
  ]

  it("stops after a flush; media commands are not ready until it starts", async () => {
    const disk = makeDisk()
    await disk.good(startStop(0x00))
    assert.deepEqual(disk.device.calls, ["flush"])
    for (const cdb of mediaCommands) {
      await disk.fails(cdb, notReady, Asc.logicalUnitNotReadyInitializingCommandRequired)
    }
    assert.throws(() => disk.unit.checkReady(), SenseError)
    assert.deepEqual(disk.device.calls, ["flush"])
    const polled = async () => [...(await disk.good(Uint8Array.of(0x03, 0x01, 0, 0, 8, 0)))].slice(0, 4)
    assert.deepEqual(await polled(), [0x72, notReady, 0x04, 0x02]) // SPC-4 §5.12.7 c
    await disk.good(startStop(0x01))
    assert.deepEqual(await polled(), [0x72, 0, 0, 0])
    disk.unit.checkReady()
    await disk.good(blockCdb(0x28, 0, 1))
  })

  it("doesn't flush with NO_FLUSH, nor stop when the flush fails", async () => {
    const disk = makeDisk()
    await disk.good(startStop(0x04))
    assert.deepEqual(disk.device.calls, [])
    await disk.good(startStop(0x01))
    disk.device.failures.set("flush", new BlockError("io", "EIO"))
    await disk.fails(startStop(0x00), mediumError, Asc.writeError)
    await disk.good(blockCdb(0x28, 0, 1))
  })

  it("takes the power conditions a disk without a motor can take", async () => {
    const disk = makeDisk()
    for (const condition of [1, 2, 3, 7]) {
      await disk.good(startStop(0x04))
      await disk.good(startStop(condition << 4))
      await disk.good(blockCdb(0x28, 0, 1))
    }
    for (const condition of [4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]) {
      await disk.fails(startStop(condition << 4), illegalRequest, Asc.invalidFieldInCdb)
    }
    await disk.fails(startStop(0x10, 1), illegalRequest, Asc.invalidFieldInCdb)
  })

  it("has nothing to eject", async () => {
    const disk = makeDisk()
    await disk.fails(startStop(0x02), illegalRequest, Asc.invalidFieldInCdb)
    await disk.fails(startStop(0x03), illegalRequest, Asc.invalidFieldInCdb)
    await disk.good(blockCdb(0x28, 0, 1))
  })
})

describe("a device that must not be written", () => {
  const writing: [name: string, cdb: Uint8Array, dataOut: Uint8Array][] = [
    ["WRITE (6)", blockCdb(0x0a, 0, 1), pattern(512)],
    ["WRITE (10)", blockCdb(0x2a, 0, 1), pattern(512)],
    ["WRITE (12)", blockCdb(0xaa, 0, 1), pattern(512)],
    ["WRITE (16)", blockCdb(0x8a, 0, 1), pattern(512)],
    ["WRITE AND VERIFY (10)", blockCdb(0x2e, 0, 1), pattern(512)],
    ["WRITE AND VERIFY (12)", blockCdb(0xae, 0, 1), pattern(512)],
    ["WRITE AND VERIFY (16)", blockCdb(0x8e, 0, 1), pattern(512)],
    ["WRITE SAME (10)", blockCdb(0x41, 0, 1), pattern(512)],
    ["WRITE SAME (16)", blockCdb(0x93, 0, 1), pattern(512)],
    ["ORWRITE", blockCdb(0x8b, 0, 1), pattern(512)],
    ["COMPARE AND WRITE", compareAndWriteCdb(0, 1), new Uint8Array(1024)],
    ["UNMAP", blockCdb(0x42, 0, 24), new Uint8Array(24)],
  ]
  for (const [name, cdb, dataOut] of writing) {
    it(`refuses ${name}, for the device's sake and by software`, async () => {
      for (const disk of [
        makeDisk({ readOnly: true }),
        makeDisk({ device: new TestDevice(64 * 512, { readOnly: true }) }),
      ]) {
        await disk.fails(cdb, dataProtect, Asc.writeProtected, { dataOut })
        assert.deepEqual(disk.device.calls, [])
      }
      const disk = makeDisk()
      disk.unit.control.softwareWriteProtect = true
      await disk.fails(cdb, dataProtect, Asc.logicalUnitSoftwareWriteProtected, { dataOut })
      disk.unit.control.softwareWriteProtect = false
      await disk.good(cdb, { dataOut })
    })
  }

  it("says first what is wrong with a CDB, and lets nothing be written", async () => {
    for (const opcode of [0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x8b]) {
      const disk = makeDisk({ readOnly: true })
      await disk.good(blockCdb(opcode, 64, 0))
      await disk.fails(blockCdb(opcode, 65, 0), illegalRequest, Asc.lbaOutOfRange)
      await disk.fails(blockCdb(opcode, 64, 1), illegalRequest, Asc.lbaOutOfRange, { dataOut: pattern(512) })
    }
    const disk = makeDisk({ readOnly: true })
    await disk.fails(blockCdb(0x93, 0, 0), illegalRequest, Asc.invalidFieldInCdb, { dataOut: pattern(512) })
    await disk.fails(blockCdb(0x93, 63, 2), illegalRequest, Asc.lbaOutOfRange, { dataOut: pattern(512) })
  })

  it("offers no SANITIZE where nothing is ever written", () => {
    const knows = (disk: Disk) => disk.unit.commandTable.ofOpcode(0x48) !== undefined
    const volatile = (readOnly: boolean) => new TestDevice(64 * 512, { volatile: true, readOnly })
    assert.equal(knows(makeDisk({ device: volatile(false) })), true)
    assert.equal(knows(makeDisk({ device: volatile(true) })), false)
    assert.equal(knows(makeDisk({ device: volatile(false), readOnly: true })), false)
  })

  it("shows it as WP, and reads on", async () => {
    const disk = makeDisk({ readOnly: true })
    assert.equal(disk.unit.deviceSpecificParameter(), 0x90)
    assert.equal(makeDisk().unit.deviceSpecificParameter(), 0x10)
    await disk.good(blockCdb(0x28, 0, 1))
  })
})

describe("mode parameters", () => {
  const cachingOf = ({ unit }: Disk) => unit.modePages.find(({ code }) => code === 0x08)!

  it("tell of a volatile cache where there is one", () => {
    const disk = makeDisk()
    assert.equal(cachingOf(disk).current(disk.unit)[0], 0x04)
    assert.equal(cachingOf(disk).changeable!(disk.unit)[0], 0x04)
    assert.equal(disk.unit.volatileCache, true)
    const durable = makeDisk({ device: new TestDevice(64 * 512, { writeCache: false }) })
    assert.equal(cachingOf(durable).current(durable.unit)[0], 0)
    assert.equal(cachingOf(durable).changeable!(durable.unit)[0], 0)
    assert.equal(durable.unit.volatileCache, false)
    const off = makeDisk({ writeCache: false })
    assert.deepEqual([cachingOf(off).current(off.unit)[0], cachingOf(off).defaults(off.unit)[0]], [0, 0])
  })

  it("switch the cache off, with a flush, and on again; a reset brings the default back", async () => {
    const disk = makeDisk()
    const page = cachingOf(disk)
    const task = new TestTask(nexus, new Uint8Array(6))
    await page.select!(disk.unit, new Uint8Array(page.bytes), task)
    assert.equal(page.current(disk.unit)[0], 0)
    assert.equal(page.defaults(disk.unit)[0], 0x04)
    await disk.good(blockCdb(0x2a, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.device.calls, ["flush", "write 0+512 fua"])
    await page.select!(disk.unit, Uint8Array.of(0x04, ...new Uint8Array(page.bytes - 1)), task)
    await disk.good(blockCdb(0x2a, 0, 1), { dataOut: pattern(512) })
    assert.equal(disk.device.calls.at(-1), "write 0+512")
    await page.select!(disk.unit, new Uint8Array(page.bytes), task)
    disk.unit.stopped = true
    await disk.unit.reset(Asc.busDeviceResetFunction)
    assert.equal(page.current(disk.unit)[0], 0x04)
    disk.unit.checkReady()
  })

  it("have pages of the length they say, by rising code", () => {
    const disk = makeDisk()
    const codes = disk.unit.modePages.map(({ code }) => code)
    assert.deepEqual(
      codes,
      codes.toSorted((a, b) => a - b),
    )
    for (const page of disk.unit.modePages) {
      assert.equal(page.current(disk.unit).length, page.bytes)
      assert.equal(page.defaults(disk.unit).length, page.bytes)
    }
    for (const code of [0x01, 0x08]) assert.ok(codes.includes(code))
  })

  it("describe the blocks in both forms", () => {
    const disk = makeDisk({ logicalBlockBytes: 4096 })
    assert.deepEqual([...disk.unit.modeBlockDescriptor(false)], [0, 0, 0, 64, 0, 0, 0x10, 0])
    assert.deepEqual(
      [...disk.unit.modeBlockDescriptor(true)],
      [0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0x10, 0],
    )
    disk.unit.blocks = 2 ** 33 + 5
    assert.deepEqual([...disk.unit.modeBlockDescriptor(false)], [255, 255, 255, 255, 0, 0, 0x10, 0])
    assert.deepEqual([...disk.unit.modeBlockDescriptor(true).subarray(0, 8)], [0, 0, 0, 2, 0, 0, 0, 5])
  })

  it("don't let the blocks be changed", () => {
    const { unit } = makeDisk()
    for (const long of [false, true]) {
      const current = unit.modeBlockDescriptor(long)
      const countBytes = long ? 8 : 4
      unit.selectBlockDescriptor(current, long)
      unit.selectBlockDescriptor(
        current.map((byte, at) => (at < countBytes ? 0 : byte)),
        long,
      )
      unit.selectBlockDescriptor(
        current.map((byte, at) => (at < countBytes ? 255 : byte)),
        long,
      )
      for (const at of [countBytes - 1, current.length - 1]) {
        const wrong = Uint8Array.from(current)
        wrong[at]! ^= 1
        assert.throws(() => unit.selectBlockDescriptor(wrong, long), { asc: Asc.invalidFieldInParameterList })
      }
    }
  })
})

describe("VPD pages", () => {
  const pageOf = ({ unit }: Disk, code: number): Buffer => {
    const page = unit.vpdPages.find((candidate) => candidate.code === code)
    assert.ok(page)
    // With room for the header, so that offsets read as in the standard.
    return Buffer.concat([new Uint8Array(4), page.build(unit, new TestTask(nexus, new Uint8Array(6)))])
  }

  it("B0h: block limits", () => {
    const page = pageOf(makeDisk({ logicalBlockBytes: 4096 }), 0xb0)
    assert.equal(page.length, 64)
    assert.equal(page[4], 1) // WSNZ
    assert.equal(page[5], 128)
    assert.equal(page.readUInt16BE(6), 1)
    assert.equal(page.readUInt32BE(8), COMMAND_TRANSFER_BYTES_MAX / 4096)
    assert.equal(page.readUInt32BE(12), 256)
    assert.equal(page.readUInt32BE(20), 1024 * 1024)
    assert.equal(page.readUInt32BE(24), 256)
    assert.equal(page.readUInt32BE(28), 1)
    assert.equal(page.readUInt32BE(32), 0x80000000)
    assert.equal(page.readBigUInt64BE(36), BigInt(64 * 1024 * 1024) / 4096n)
    const small = pageOf(makeDisk(), 0xb0)
    assert.deepEqual([small[5], small.readUInt16BE(6), small.readUInt32BE(28)], [255, 8, 8])
    assert.equal(small.readUInt32BE(44), 0, "no atomic write can be promised without an undo log")
    const atomic = pageOf(makeDisk({ undoLog: new VolatileUndoLog() }), 0xb0)
    assert.equal(atomic.readUInt32BE(44), ATOMIC_WRITE_BYTES_MAX / 512)
    assert.ok(
      atomic.subarray(48, 64).every((byte) => byte === 0),
      "any alignment and length, no boundaries",
    )
    const thick = pageOf(makeDisk({ thin: false }), 0xb0)
    assert.ok(thick.subarray(20, 36).every((byte) => byte === 0))
  })

  it("B1h: characteristics", () => {
    const page = pageOf(makeDisk(), 0xb1)
    assert.deepEqual([page.length, page.readUInt16BE(4), page[7], page[8]], [64, 1, 0, 0x0b])
    const erasable = pageOf(makeDisk({ records: new VolatileRecords() }), 0xb1)
    assert.equal(erasable[7], 0x40, "WABEREQ: what was erased can be read")
    assert.equal(pageOf(makeDisk({ records: new VolatileRecords(), thin: false }), 0xb1)[7], 0)
    const spinning = makeDisk({ device: new TestDevice(64 * 512, { solidState: false }) })
    assert.equal(pageOf(spinning, 0xb1).readUInt16BE(4), 7200)
    assert.equal(pageOf(makeDisk({ rotationRate: 15_000 }), 0xb1).readUInt16BE(4), 15_000)
  })

  it("B2h: provisioning", () => {
    assert.deepEqual([...pageOf(makeDisk(), 0xb2)], [0, 0, 0, 0, 0, 0xe4, 2, 0])
    assert.deepEqual([...pageOf(makeDisk({ thin: false }), 0xb2)], [0, 0, 0, 0, 0, 0, 0, 0])
  })
})

describe("a disk whose device changes its size", () => {
  it("follows it and tells every nexus, until it lets go", async () => {
    const disk = makeDisk()
    const other = new Nexus(nexus.identity)
    disk.unit.attachNexus(other)
    await disk.device.resize(128 * 512 + 100)
    assert.equal(disk.unit.blocks, 128)
    for (const one of [nexus, other]) {
      assert.equal(disk.unit.takeUnitAttention(one), Asc.capacityDataHasChanged)
      assert.equal(disk.unit.takeUnitAttention(one), undefined)
    }
    await disk.good(blockCdb(0x28, 127, 1))
    await disk.device.resize(100)
    assert.equal(disk.unit.takeUnitAttention(nexus), Asc.capacityDataHasChanged)
    await disk.fails(blockCdb(0x25, 0, 0), notReady, Asc.mediumNotPresent)
    disk.unit.release()
    await disk.device.resize(512)
    assert.equal(disk.unit.blocks, 0)
  })
})

describe("the making of a disk", () => {
  const wrong = (make: () => unknown, code: string) =>
    assert.throws(make, (error) => error instanceof SanletError && error.code === code)

  it("refuses what doesn't fit the device", () => {
    wrong(() => new DiskUnit(new TestDevice(511)), "ERR_DISK_OPTION")
    wrong(() => new DiskUnit(new TestDevice(8192, { alignmentBytes: 4096 })), "ERR_DISK_OPTION")
    wrong(() => new DiskUnit(new TestDevice(8192, { discard: false }), { thin: true }), "ERR_DISK_OPTION")
    wrong(() => new DiskUnit(new TestDevice(8192), { physicalBlockExponent: 16 }), "ERR_DISK_OPTION")
    wrong(() => new DiskUnit(new TestDevice(8192), { rotationRate: 2 }), "ERR_DISK_OPTION")
    wrong(() => new DiskUnit(new TestDevice(8192), { logicalBlockBytes: 1024 as 512 }), "ERR_DISK_OPTION")
    new DiskUnit(new TestDevice(8192, { alignmentBytes: 4096 }), { logicalBlockBytes: 4096 })
  })

  it("refuses names that don't fit their fields", () => {
    wrong(() => completeIdentity({ naa: "12345" }), "ERR_DISK_IDENTITY")
    wrong(() => completeIdentity({ vendor: "too long a vendor" }), "ERR_DISK_IDENTITY")
    wrong(() => completeIdentity({ serial: "ü" }), "ERR_DISK_IDENTITY")
    wrong(() => completeIdentity({ product: "" }), "ERR_DISK_IDENTITY")
  })

  it("names a disk by what it is given", () => {
    const identity = completeIdentity({
      naa: "3123456789ABCDEF",
      serial: "S1",
      vendor: "acme",
      product: "big",
    })
    assert.equal(identity.serial, "S1")
    assert.equal(identity.designators[0]!.type, DesignatorType.naa)
    assert.equal(Buffer.from(identity.designators[0]!.bytes).toString("hex"), "3123456789abcdef")
    assert.equal(Buffer.from(identity.designators[1]!.bytes).toString(), "acme    big             S1")
  })

  it("gives no two disks the same name", () => {
    const random = new SeededRandom(1)
    const units = Array.from({ length: 500 }, () => new DiskUnit(new TestDevice(512), { random }))
    assert.equal(new Set(units.map(({ identity }) => identity.serial)).size, 500)
    const naas = units.map(({ identity }) => Buffer.from(identity.designators[0]!.bytes).toString("hex"))
    assert.equal(new Set(naas).size, 500)
    assert.ok(naas.every((naa) => /^3[0-9a-f]{15}$/.test(naa)))
    // A serial number alone names the disk for good.
    const again = completeIdentity({ serial: "S1" }).designators[0]
    assert.deepEqual(completeIdentity({ serial: "S1" }).designators[0], again)
  })

  it("cancels at the device what an aborted task waits for", () => {
    const { unit, device } = makeDisk()
    unit.cancelMedia(new TestTask(nexus, new Uint8Array(6)))
    assert.deepEqual(device.calls, ["cancel"])
  })
})
