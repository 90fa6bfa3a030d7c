import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { ProtectedStore } from "../../../../../src/backstore/protection/protected-store.ts"
import { DiskUnit } from "../../../../../src/scsi/sbc/disk-unit.ts"
import { blockCdb, Disk, makeDisk, pattern } from "../disk.ts"
import { TestDevice } from "../test-device.ts"
import { makeProtectedDisk } from "./protected-disk.ts"

const inquiry = Uint8Array.of(0x12, 0, 0, 0, 96, 0)
const extendedInquiry = Uint8Array.of(0x12, 1, 0x86, 0, 64, 0)
const readCapacity16 = (() => {
  const cdb = new Uint8Array(16)
  cdb.set([0x9e, 0x10])
  cdb[13] = 32
  return cdb
})()
const control = (pageControl = 0) => Uint8Array.of(0x1a, 8, (pageControl << 6) | 0x0a, 0, 64, 0)

/** On a device whose end holds no whole block. */
async function plainProtected(type: 1 | 2 | 3): Promise<Disk> {
  const below = new TestDevice(65536)
  return new Disk(new DiskUnit(await ProtectedStore.open(below, { type, blockBytes: 512 })), below)
}

describe("what is told of protection information", () => {
  test("READ CAPACITY (16): PROT_EN and P_TYPE; capacity and block length are those of the blocks alone", async () => {
    for (const type of [1, 2, 3] as const) {
      const disk = await plainProtected(type)
      const data = Buffer.from(await disk.good(readCapacity16))
      assert.equal(data[12], ((type - 1) << 1) | 1)
      assert.equal(data[13], 0)
      assert.equal(data.readUInt32BE(4), Math.floor((65536 - 4096) / 528) - 1)
      assert.equal(data.readUInt32BE(8), 512)
    }
    assert.equal((await makeDisk().good(readCapacity16))[12], 0)
  })

  test("INQUIRY: PROTECT", async () => {
    assert.equal((await (await plainProtected(1)).good(inquiry))[5]! & 1, 1)
    assert.equal((await makeDisk().good(inquiry))[5]! & 1, 0)
  })

  test("VPD page 86h: SPT, GRD_CHK, APP_CHK and REF_CHK are what is done", async () => {
    assert.equal((await (await plainProtected(1)).good(extendedInquiry))[4], 0b00_000_101)
    assert.equal((await (await plainProtected(3)).good(extendedInquiry))[4], 0b00_100_100)
    // Only 32-byte CDBs tell application tags.
    assert.equal((await (await makeProtectedDisk(2)).disk.good(extendedInquiry))[4], 0b00_010_111)
    assert.equal((await makeDisk().good(extendedInquiry))[4], 0)
  })

  test("control mode page: ATO is 0 to begin with, can be set where there is protection information, and a reset clears it", async () => {
    const disk = await plainProtected(1)
    const ato = async (pageControl = 0) => (await disk.good(control(pageControl)))[4 + 5]! >> 7
    assert.deepEqual([await ato(0), await ato(1), await ato(2)], [0, 1, 0])
    assert.equal((await makeDisk().good(control(1)))[4 + 5]! >> 7, 0)
    const page = Uint8Array.from(await disk.good(control()))
    page[0] = 0
    page[4 + 5]! |= 0x80
    await disk.good(Uint8Array.of(0x15, 0x10, 0, 0, page.length, 0), { dataOut: page })
    assert.equal(await ato(), 1)
    await disk.good(blockCdb(0x2a, 0, 1), { dataOut: pattern(512) })
    assert.equal(Buffer.from(await disk.good(blockCdb(0x28, 0, 1, 1 << 5))).readUInt16BE(514), 0xffff)
    void disk.unit.reset(0x2903)
    assert.equal(disk.unit.control.applicationTagOwner, false)
  })

  test("there is no Application Tag mode page (0Ah/02h), so ATMPE can't be set", async () => {
    const disk = await plainProtected(1)
    assert.equal((await disk.good(control(1)))[4 + 5]! & 0x20, 0)
    await disk.fails(Uint8Array.of(0x1a, 8, 0x0a, 0x02, 64, 0), 5, 0x2400)
  })

  test("REPORT SUPPORTED OPERATION CODES: *PROTECT is in the usage where there is protection information", async () => {
    const usage = async (disk: Disk, opcode: number) => {
      const cdb = new Uint8Array(12)
      cdb.set([0xa3, 0x0c, 1, opcode])
      cdb[9] = 64
      return (await disk.good(cdb)).subarray(4)
    }
    const [protectedDisk, plainDisk] = [await plainProtected(1), makeDisk()]
    for (const opcode of [
      0x28, 0x2a, 0x2e, 0x2f, 0x41, 0x88, 0x8a, 0x8b, 0x8e, 0x8f, 0x93, 0x89, 0xa8, 0xaa, 0xae, 0xaf,
    ]) {
      assert.equal((await usage(protectedDisk, opcode))[1]! & 0xe0, 0xe0, opcode.toString(16))
      assert.equal((await usage(plainDisk, opcode))[1]! & 0xe0, 0, opcode.toString(16))
    }
  })

  test("32-byte CDBs are there for type 2 alone, WRITE ATOMIC for none", async () => {
    for (const type of [1, 2, 3] as const) {
      const { commands } = (await plainProtected(type)).unit
      assert.equal(commands.filter(({ opcode }) => opcode === 0x7f).length, type === 2 ? 5 : 0)
      assert.ok(!commands.some(({ opcode }) => opcode === 0x9c))
    }
    const blockLimits = await (await plainProtected(1)).good(Uint8Array.of(0x12, 1, 0xb0, 0, 64, 0))
    assert.equal(Buffer.from(blockLimits).readUInt32BE(44), 0, "MAXIMUM ATOMIC TRANSFER LENGTH")
  })

  test("a disk without refuses every value but 000b", async () => {
    const disk = makeDisk()
    for (let value = 1; value < 8; value++) {
      const sense = await disk.fails(blockCdb(0x28, 0, 1, value << 5), 5, 0x2400)
      assert.deepEqual(sense.detail.field?.byte, 1)
    }
  })

  test("its logical blocks must be as long as the device's", async () => {
    const store = await ProtectedStore.open(new TestDevice(65536), { type: 1, blockBytes: 512 })
    assert.throws(() => new DiskUnit(store, { logicalBlockBytes: 4096 }), /blocks of 512 bytes, not 4096/)
  })
})
