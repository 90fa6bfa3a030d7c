import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SanletError } from "../../../../src/base/errors.ts"
import { VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { testNexus } from "../../../suites/scsi-task.ts"
import { Disk, nexus } from "../sbc/disk.ts"
import { TestDevice } from "../sbc/test-device.ts"

const { illegalRequest, hardwareError } = SenseKey
const INFORMATION = 0
const TEXT = 2
const SUPPORTED = 0x7f

const report = (type: number, room = 1024) =>
  Uint8Array.of(0xa3, 0x05, 0, 0, 0, 0, 0, 0, room >> 8, room & 0xff, type << 1, 0)
const set = (type: number, bytes: number) =>
  Uint8Array.of(0xa4, 0x06, 0, 0, 0, 0, 0, 0, bytes >> 8, bytes & 0xff, type << 1, 0)

function makeDisk(records = new VolatileRecords()): Disk {
  const device = new TestDevice(64 * 512)
  return new Disk(new DiskUnit(device, { records }), device)
}

const put = (disk: Disk, type: number, dataOut: Uint8Array) =>
  disk.good(set(type, dataOut.length), { dataOut })
const utf8 = (text: string) => new TextEncoder().encode(text)

describe("identifying information", () => {
  it("is empty at first, then what was set, also after a restart", async () => {
    const records = new VolatileRecords()
    const disk = makeDisk(records)
    assert.deepEqual([...(await disk.good(report(INFORMATION)))], [0, 0, 0, 0])
    await put(disk, INFORMATION, Uint8Array.of(1, 2, 3))
    await put(disk, TEXT, utf8("Büro, links\0"))
    for (const one of [disk, makeDisk(records)]) {
      assert.deepEqual([...(await one.good(report(INFORMATION)))], [0, 0, 0, 3, 1, 2, 3])
      assert.deepEqual([...(await one.good(report(INFORMATION, 5)))], [0, 0, 0, 3, 1])
      assert.equal(Buffer.from(await one.good(report(TEXT))).toString("utf8", 4), "Büro, links\0")
    }
    await put(disk, INFORMATION, new Uint8Array(0))
    assert.deepEqual([...(await disk.good(report(INFORMATION)))], [0, 0, 0, 0])
    assert.equal((await disk.good(report(TEXT)))[3], 13)
  })

  it("outlives a reset", async () => {
    const disk = makeDisk()
    await put(disk, INFORMATION, Uint8Array.of(9))
    await disk.unit.reset(Asc.busDeviceResetFunction)
    await disk.run(new Uint8Array(6))
    assert.deepEqual([...(await disk.good(report(INFORMATION)))], [0, 0, 0, 1, 9])
  })

  it("tells which types there are, and how long they may be", async () => {
    const supported = [...(await makeDisk().good(report(SUPPORTED)))]
    assert.deepEqual(supported, [0, 0, 0, 8, 0, 0, 2, 0, 4, 0, 1, 0])
  })

  it("is as long as it may be, and no longer", async () => {
    const disk = makeDisk()
    await put(disk, INFORMATION, new Uint8Array(512).fill(5))
    await put(disk, TEXT, Uint8Array.of(...new Uint8Array(255).fill(0x41), 0))
    for (const [type, bytes] of [
      [INFORMATION, 513],
      [TEXT, 257],
    ] as const) {
      const sense = await disk.fails(set(type, bytes), illegalRequest, Asc.invalidFieldInCdb, {
        dataOut: new Uint8Array(bytes),
      })
      assert.equal(sense.detail.field?.byte, 6)
    }
    await disk.fails(set(INFORMATION, 8), illegalRequest, Asc.parameterListLengthError, {
      dataOut: new Uint8Array(4),
    })
  })

  it("as a text is UTF-8 with a null at its end", async () => {
    const disk = makeDisk()
    for (const text of [utf8("no end"), utf8("two\0parts\0"), Uint8Array.of(0xff, 0xfe, 0)]) {
      await disk.fails(set(TEXT, text.length), illegalRequest, Asc.invalidFieldInParameterList, {
        dataOut: text,
      })
    }
    await put(disk, TEXT, utf8("padded\0\0\0"))
  })

  it("of other types isn't known", async () => {
    const disk = makeDisk()
    for (const type of [1, 3, 4, 0x7e]) {
      await disk.fails(report(type), illegalRequest, Asc.invalidFieldInCdb)
      await disk.fails(set(type, 0), illegalRequest, Asc.invalidFieldInCdb)
    }
    await disk.fails(set(SUPPORTED, 0), illegalRequest, Asc.invalidFieldInCdb)
  })

  it("that changes is told to the other nexuses", async () => {
    const disk = makeDisk()
    const other = testNexus("other")
    disk.unit.attachNexus(other)
    await put(disk, INFORMATION, Uint8Array.of(1))
    assert.equal(disk.unit.takeUnitAttention(other), Asc.deviceIdentifierChanged)
    assert.equal(disk.unit.takeUnitAttention(nexus), undefined)
    await put(disk, INFORMATION, Uint8Array.of(1))
    assert.equal(disk.unit.takeUnitAttention(other), undefined, "nothing changed")
  })

  it("that can't be kept is refused, and isn't offered where there is no place for it", async () => {
    const records = new VolatileRecords()
    records.put = () => Promise.reject(new SanletError("ERR_STATE_FOLDER", "no space"))
    const disk = makeDisk(records)
    await disk.fails(set(INFORMATION, 1), hardwareError, Asc.internalTargetFailure, {
      dataOut: Uint8Array.of(1),
    })
    assert.deepEqual([...(await disk.good(report(INFORMATION)))], [0, 0, 0, 0])
    const device = new TestDevice(64 * 512)
    const none = new Disk(new DiskUnit(device), device)
    await none.fails(report(INFORMATION), illegalRequest, Asc.invalidFieldInCdb)
    await none.fails(set(INFORMATION, 0), illegalRequest, Asc.invalidCommandOperationCode)
  })
})
