/** SANITIZE with CRYPTOGRAPHIC ERASE, on a disk that encrypts. */
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { EncryptedStore } from "../../../../src/backstore/encryption/encrypted-store.ts"
import { DATA_OFFSET } from "../../../../src/backstore/encryption/format.ts"
import { ReadOnlyStore } from "../../../../src/backstore/read-only.ts"
import { StackedStore } from "../../../../src/backstore/stacked.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { reportSupportedOperationCodes } from "../../../../src/scsi/cdb/index.ts"
import {
  type UnitRecordName,
  type UnitRecords,
  VolatileRecords,
} from "../../../../src/scsi/sam/unit-records.ts"
import { DiskUnit, type DiskUnitOptions } from "../../../../src/scsi/sbc/disk-unit.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, Disk, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, mediumError, notReady, dataProtect } = SenseKey
const MiB = 1024 * 1024
const CRYPTOGRAPHIC_ERASE = 0x03
const EXIT_FAILURE_MODE = 0x1f
const AUSE = 0x20
const IMMED = 0x80
const BLOCKS = (2 * MiB) / 512

const key = pattern(32)
const random = new SeededRandom(3)
const content = pattern(64 * 512)
const erase = (flags = 0, listBytes = 0): Uint8Array =>
  Uint8Array.of(0x48, flags | CRYPTOGRAPHIC_ERASE, 0, 0, 0, 0, 0, 0, listBytes, 0)
const exitFailureMode = Uint8Array.of(0x48, EXIT_FAILURE_MODE, 0, 0, 0, 0, 0, 0, 0, 0)
const testUnitReady = new Uint8Array(6)
const read = blockCdb(0x28, 0, 64)
const write = blockCdb(0x2a, 0, 64)

/** The process ends after so many changes of the device or the records: none comes any more. */
class Life {
  left = Infinity
  spent = 0

  spend(): void {
    if (this.left <= this.spent) throw new BlockError("closed", "the process has ended")
    this.spent++
  }
}

class MortalStore extends StackedStore {
  readonly #life: Life

  constructor(below: TestDevice, life: Life) {
    super(below.name, below)
    this.#life = life
  }

  override write(offsetBytes: number, from: Uint8Array, fua: boolean) {
    this.#life.spend()
    return super.write(offsetBytes, from, fua)
  }

  override discard(offsetBytes: number, lengthBytes: number) {
    this.#life.spend()
    return super.discard(offsetBytes, lengthBytes)
  }
}

class MortalRecords implements UnitRecords {
  readonly #records: UnitRecords
  readonly #life: Life

  constructor(records: UnitRecords, life: Life) {
    this.#records = records
    this.#life = life
  }

  get(name: UnitRecordName): Uint8Array | undefined {
    return this.#records.get(name)
  }

  async put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    this.#life.spend()
    await this.#records.put(name, value)
  }
}

const emptyDevice = (features = {}) => new TestDevice(DATA_OFFSET + BLOCKS * 512, features)

async function open(
  device = emptyDevice(),
  records: UnitRecords = new VolatileRecords(),
  life = new Life(),
  options: DiskUnitOptions = {},
) {
  const store = await EncryptedStore.open(new MortalStore(device, life), key, { random })
  const unit = new DiskUnit(store, { ...options, records: new MortalRecords(records, life) })
  return { disk: new Disk(unit, device), unit, device, records, store }
}

/** What says of a supported command how it looks; 1 in SUPPORT: it isn't. */
async function support({ disk }: { disk: Disk }): Promise<number> {
  const cdb = reportSupportedOperationCodes(64, {
    opcode: 0x48,
    serviceAction: CRYPTOGRAPHIC_ERASE,
  })
  return (await disk.good(cdb))[1]! & 7
}

async function vpdB1(disk: Disk): Promise<Uint8Array> {
  return disk.good(Uint8Array.of(0x12, 1, 0xb1, 0, 64, 0))
}

describe("SANITIZE with CRYPTOGRAPHIC ERASE", () => {
  it("makes what was written unreadable, and gives the storage back", async () => {
    const { disk, device, store } = await open()
    await disk.good(write, { dataOut: content })
    const header = Buffer.from(device.bytes.subarray(0, 4096))
    await disk.good(erase())
    assert.ok((await disk.good(read)).every((byte) => byte === 0))
    const status = Buffer.from(await disk.good(blockCdb(0x9e, 0, 64, 0x12)))
    assert.deepEqual([status.readUInt32BE(16), status[20]], [BLOCKS, 1])
    assert.equal(Buffer.from(device.bytes).indexOf(header.subarray(80, 144)), -1)
    assert.equal(device.calls.at(-1)?.slice(0, 4), "read")
    assert.equal(store.sizeBytes, BLOCKS * 512)
    await disk.good(write, { dataOut: content })
    assert.equal(Buffer.compare(await disk.good(read), content), 0)
  })

  it("leaves noise where no storage can be given back, which can be read", async () => {
    const device = emptyDevice({ discard: false })
    const { disk } = await open(device)
    await disk.good(write, { dataOut: content })
    const stored = device.bytes.slice(DATA_OFFSET)
    await disk.good(erase())
    assert.equal(Buffer.compare(device.bytes.slice(DATA_OFFSET), stored), 0, "the data isn't touched")
    const found = Buffer.from(await disk.good(read))
    for (let at = 0; at < found.length; at += 16)
      assert.notEqual(found.compare(content, at, at + 16, at, at + 16), 0)
    assert.equal((await vpdB1(disk))[7]! >> 4, 0b0001, "no WABEREQ: BLOCK ERASE isn't known")
  })

  it("is told of in REPORT SUPPORTED OPERATION CODES and VPD page B1h, only where it is known", async () => {
    const encrypted = await open()
    assert.equal(await support(encrypted), 3)
    assert.equal((await vpdB1(encrypted.disk))[7]! >> 4, 0b0101, "WABEREQ and WACEREQ 01b")
    const device = emptyDevice()
    const plain = new Disk(new DiskUnit(device, { records: new VolatileRecords() }), device)
    assert.equal(await support({ disk: plain }), 1)
    assert.equal((await vpdB1(plain))[7]! >> 4, 0b0100)
    const removable = await open(emptyDevice(), new VolatileRecords(), new Life(), { removable: true })
    assert.equal(await support(removable), 1)
    assert.equal((await vpdB1(removable.disk))[7]! >> 4, 0)
  })

  it("takes no list, and is refused while the medium is write protected", async () => {
    const { disk, unit } = await open()
    await disk.good(write, { dataOut: content })
    const sense = await disk.fails(erase(0, 8), illegalRequest, Asc.invalidFieldInCdb, {
      dataOut: new Uint8Array(8),
    })
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 7 })
    unit.control.softwareWriteProtect = true
    await disk.fails(erase(), dataProtect, Asc.logicalUnitSoftwareWriteProtected)
    unit.control.softwareWriteProtect = false
    assert.equal(Buffer.compare(await disk.good(read), content), 0)
  })

  it("isn't known to what can only be read", async () => {
    const { store, records } = await open()
    const device = emptyDevice()
    const disk = new Disk(new DiskUnit(new ReadOnlyStore(store), { records }), device)
    await disk.fails(erase(), illegalRequest, Asc.invalidCommandOperationCode)
  })

  it("comes to its end whenever the process ends: the old data is never seen again once it has begun", async () => {
    const whole = await open()
    await whole.disk.good(write, { dataOut: content })
    const [bytes, allocated] = [whole.device.bytes.slice(), whole.device.allocated.slice()]
    const oldKey = Buffer.from(bytes.subarray(80, 144))
    const run = async (left: number) => {
      const device = emptyDevice()
      device.bytes.set(bytes)
      device.allocated.set(allocated)
      const life = new Life()
      const records = new VolatileRecords()
      const { disk, store } = await open(device, records, life)
      const spentBefore = life.spent
      life.left = spentBefore + left
      await disk.run(erase()).catch(() => {})
      return { device, records, store, steps: life.spent - spentBefore }
    }
    const { steps } = await run(Infinity)
    assert.ok(steps >= 5, "a mark, two copies of the header, what is given back, no mark")
    for (let left = 0; left <= steps; left++) {
      const { device, records } = await run(left)
      const begun = records.get("medium-operation") !== undefined
      const { disk, unit } = await open(device, records)
      if (begun) await disk.fails(testUnitReady, notReady, Asc.logicalUnitNotReadySanitizeInProgress)
      while (unit.restriction !== undefined) await new Promise(setImmediate)
      await disk.good(testUnitReady)
      const found = await disk.good(read)
      if (left === 0) assert.equal(Buffer.compare(found, content), 0, "it hasn't begun")
      else {
        assert.ok(
          found.every((byte) => byte === 0),
          `after ${left} steps`,
        )
        assert.equal(Buffer.from(device.bytes).indexOf(oldKey), -1)
      }
      assert.equal(records.get("medium-operation"), undefined)
    }
  })

  it("that fails leaves nothing readable, until it is done again", async () => {
    const { disk, device } = await open()
    await disk.good(write, { dataOut: content })
    device.failures.set("write 524288", new BlockError("io", "EIO"))
    await disk.fails(erase(AUSE), mediumError, Asc.sanitizeCommandFailed)
    await disk.fails(read, mediumError, Asc.sanitizeCommandFailed)
    // Which of the two keys the header has, nobody knows.
    await disk.good(exitFailureMode)
    await disk.fails(read, mediumError, Asc.unrecoveredReadError)
    await disk.good(erase())
    assert.ok((await disk.good(read)).every((byte) => byte === 0))
  })

  it("can go on in the background", async () => {
    const { disk, unit } = await open()
    await disk.good(write, { dataOut: content })
    await disk.good(erase(IMMED))
    await disk.fails(testUnitReady, notReady, Asc.logicalUnitNotReadySanitizeInProgress)
    while (unit.restriction !== undefined) await new Promise(setImmediate)
    assert.ok((await disk.good(read)).every((byte) => byte === 0))
  })
})

describe("a disk that encrypts", () => {
  it("compares, writes the same, unmaps and writes atomically as any other", async () => {
    const { disk } = await open(emptyDevice({ volatile: true }))
    const block = content.subarray(0, 512)
    await disk.good(blockCdb(0x93, 8, 16), { dataOut: block }) // WRITE SAME (16)
    const other = content.subarray(512, 1024)
    const compareAndWrite = new Uint8Array(16)
    compareAndWrite.set([0x89], 0)
    compareAndWrite[9] = 9
    compareAndWrite[13] = 1
    await disk.good(compareAndWrite, { dataOut: Buffer.concat([block, other]) })
    await disk.fails(compareAndWrite, SenseKey.miscompare, Asc.miscompareDuringVerify, {
      dataOut: Buffer.concat([block, other]),
    })
    const atomic = new Uint8Array(16)
    atomic.set([0x9c], 0)
    atomic[9] = 20
    atomic[13] = 3
    await disk.good(atomic, { dataOut: content.subarray(0, 3 * 512) })
    const unmap = Buffer.alloc(24)
    unmap.writeUInt16BE(22, 0)
    unmap.writeUInt16BE(16, 2)
    unmap.writeUInt32BE(10, 12)
    unmap.writeUInt32BE(2, 16)
    await disk.good(Uint8Array.of(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), { dataOut: unmap })
    const expected = Buffer.alloc(24 * 512)
    for (let at = 8; at < 24; at++) expected.set(block, at * 512)
    expected.set(other, 9 * 512)
    expected.fill(0, 10 * 512, 12 * 512)
    expected.set(content.subarray(0, 3 * 512), 20 * 512)
    assert.equal(Buffer.compare(await disk.good(blockCdb(0x28, 0, 24)), expected), 0)
  })
})
