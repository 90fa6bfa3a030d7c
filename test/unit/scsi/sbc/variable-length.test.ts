import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { VariableLength } from "../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { makeDisk, pattern } from "./disk.ts"

const { illegalRequest, mediumError, miscompare } = SenseKey
const READ = VariableLength.read32
const VERIFY = VariableLength.verify32
const WRITE = VariableLength.write32
const WRITE_AND_VERIFY = VariableLength.writeAndVerify32
const WRITE_SAME = VariableLength.writeSame32

function cdb32(action: number, lba: number | bigint, blocks: number, flags = 0): Uint8Array {
  const cdb = new Uint8Array(32)
  const view = new DataView(cdb.buffer)
  cdb[0] = 0x7f
  cdb[7] = 0x18
  view.setUint16(8, action)
  cdb[10] = flags
  view.setBigUint64(12, BigInt(lba))
  view.setUint32(28, blocks)
  return cdb
}

describe("commands of 32 bytes", () => {
  it("do what the shorter ones do", async () => {
    const disk = makeDisk()
    const data = pattern(2 * 512)
    await disk.good(cdb32(WRITE, 3, 2, 0x08), { dataOut: data })
    assert.equal(disk.device.calls.at(-1), "write 1536+1024 fua")
    assert.deepEqual(await disk.good(cdb32(READ, 3, 2)), data)
    await disk.good(cdb32(VERIFY, 3, 2, 0x02), { dataOut: data })
    await disk.fails(cdb32(VERIFY, 4, 2, 0x02), miscompare, Asc.miscompareDuringVerify, { dataOut: data })
    await disk.good(cdb32(WRITE_AND_VERIFY, 7, 2, 0x02), { dataOut: data })
    await disk.good(cdb32(WRITE_SAME, 10, 4), { dataOut: data.subarray(0, 512) })
    assert.deepEqual(disk.device.bytes.slice(13 * 512, 14 * 512), data.slice(0, 512))
    await disk.good(cdb32(WRITE_SAME, 0, 64, 0x09))
    assert.equal(disk.device.calls.at(-1), "discard 0+32768")
    await makeDisk({ thin: false }).fails(
      cdb32(WRITE_SAME, 0, 1, 0x08),
      illegalRequest,
      Asc.invalidFieldInCdb,
    )
  })

  it("count as the shorter ones do", async () => {
    const disk = makeDisk()
    const { counters } = disk.unit
    const dataOut = pattern(2 * 512)
    await disk.good(cdb32(WRITE, 0, 2), { dataOut })
    await disk.good(cdb32(WRITE_AND_VERIFY, 0, 2), { dataOut })
    await disk.good(cdb32(READ, 0, 1))
    await disk.good(cdb32(VERIFY, 0, 4))
    assert.deepEqual([counters.writeCommands, counters.writtenBytes], [2, 2048])
    assert.deepEqual([counters.readCommands, counters.readBytes, counters.verifiedBytes], [1, 512, 2048])
    disk.device.failures.set("read", new BlockError("io", "as told"))
    await disk.fails(cdb32(VERIFY, 0, 1), mediumError, Asc.unrecoveredReadError)
    assert.deepEqual([counters.verifyErrors, counters.readErrors], [1, 0])
  })

  it("refuse RDPROTECT and its like, and ignore tags, which nobody checks", async () => {
    const disk = makeDisk()
    for (const action of [READ, VERIFY, WRITE, WRITE_AND_VERIFY, WRITE_SAME]) {
      const dataOut = action === READ || action === VERIFY ? {} : { dataOut: new Uint8Array(512) }
      const cdb = cdb32(action, 0, 1)
      await disk.good(cdb.fill(0xff, 20, 28), dataOut)
      cdb[10] = 0x20
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb, dataOut)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 10, bit: 5 })
    }
  })

  it("are refused when they are shorter than 32 bytes, or say so", async () => {
    const disk = makeDisk()
    for (const cdb of [cdb32(READ, 0, 1).subarray(0, 16), cdb32(READ, 0, 1).subarray(0, 28)]) {
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 7 })
    }
    for (const additional of [0, 0x08, 0x10, 0x19, 0x1c, 0xff]) {
      const cdb = cdb32(READ, 0, 1)
      cdb[7] = additional
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb)
      assert.equal(sense.detail.field?.byte, 7)
    }
    const unknown = await disk.fails(cdb32(0x0f, 0, 1), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(unknown.detail.field, { in: "cdb", byte: 8 })
  })

  it("point at their own fields where something is wrong", async () => {
    const disk = makeDisk()
    await disk.fails(cdb32(READ, 2n ** 63n, 0), illegalRequest, Asc.lbaOutOfRange)
    disk.unit.blocks = 2 ** 40
    const long = await disk.fails(cdb32(READ, 0, 2 ** 31), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(long.detail.field, { in: "cdb", byte: 28 })
    const check = await disk.fails(cdb32(VERIFY, 0, 1, 0x04), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(check.detail.field, { in: "cdb", byte: 10, bit: 2 })
  })

  it("are reported by operation code and service action, with their usage", async () => {
    const disk = makeDisk()
    const ask = (options: number, action: number) =>
      Uint8Array.of(0xa3, 0x0c, options, 0x7f, 0, action, 0, 0, 1, 0, 0, 0)
    for (const options of [2, 3]) {
      const data = await disk.good(ask(options, READ))
      assert.deepEqual([...data.subarray(0, 4)], [0, 3, 0, 32])
      const usage = data.subarray(4)
      assert.equal(usage.length, 32)
      assert.deepEqual([usage[0], usage[7], usage[8], usage[9], usage[10]], [0x7f, 0x18, 0, READ, 0x1a])
      assert.ok(usage.subarray(12, 32).every((byte) => byte === 0xff))
      assert.deepEqual([...(await disk.good(ask(options, 0x0f)))], [0, 1, 0, 0])
    }
    await disk.fails(ask(1, READ), illegalRequest, Asc.invalidFieldInCdb)
    const all = Buffer.from(await disk.good(Uint8Array.of(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0)))
    const actions: number[] = []
    for (let at = 4; at < all.length; at += 8) {
      if (all[at] !== 0x7f) continue
      actions.push(all.readUInt16BE(at + 2))
      assert.deepEqual([all[at + 5], all.readUInt16BE(at + 6)], [1, 32])
    }
    assert.deepEqual(actions, [READ, VERIFY, WRITE, WRITE_AND_VERIFY, WRITE_SAME])
  })
})
