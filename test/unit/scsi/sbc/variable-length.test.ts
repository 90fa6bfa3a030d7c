import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { VariableLength } from "../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { makeDisk, pattern } from "./disk.ts"
import { cdb32, makeProtectedDisk } from "./protection/protected-disk.ts"

const { illegalRequest, mediumError, miscompare } = SenseKey
const actions = [
  VariableLength.read32,
  VariableLength.verify32,
  VariableLength.write32,
  VariableLength.writeAndVerify32,
  VariableLength.writeSame32,
]
const flagged = (flags: number) => ({ flags })

describe("commands of 32 bytes", () => {
  it("are known where protection of type 2 is enabled, and nowhere else", async () => {
    const others = [makeDisk(), (await makeProtectedDisk(1)).disk, (await makeProtectedDisk(3)).disk]
    for (const disk of others) {
      for (const action of actions) {
        await disk.fails(cdb32(action, 0, 1), illegalRequest, Asc.invalidCommandOperationCode, {
          dataOut: new Uint8Array(512),
        })
      }
      assert.ok(!disk.unit.commands.some(({ opcode }) => opcode === 0x7f))
    }
  })

  it("do what the shorter ones do", async () => {
    const { disk, below } = await makeProtectedDisk(2)
    const data = pattern(2 * 512)
    await disk.good(cdb32(VariableLength.write32, 3, 2, flagged(0x08)), { dataOut: data })
    assert.equal(below.calls.at(-1), "write 5680+1056 fua")
    assert.deepEqual(await disk.good(cdb32(VariableLength.read32, 3, 2)), data)
    await disk.good(cdb32(VariableLength.verify32, 3, 2, flagged(0x02)), { dataOut: data })
    const verify = cdb32(VariableLength.verify32, 4, 2, flagged(0x02))
    await disk.fails(verify, miscompare, Asc.miscompareDuringVerify, { dataOut: data })
    await disk.good(cdb32(VariableLength.writeAndVerify32, 7, 2, flagged(0x02)), { dataOut: data })
    await disk.good(cdb32(VariableLength.writeSame32, 10, 4), { dataOut: data.subarray(0, 512) })
    assert.deepEqual(await disk.good(cdb32(VariableLength.read32, 13, 1)), data.subarray(0, 512))
    await disk.good(cdb32(VariableLength.writeSame32, 0, 64, flagged(0x09)))
    assert.equal(below.calls.at(-1), "discard 4096+33792")
    const { disk: thick } = await makeProtectedDisk(2, { thin: false })
    await thick.good(cdb32(VariableLength.writeSame32, 0, 1, flagged(0x01)))
    await thick.fails(
      cdb32(VariableLength.writeSame32, 0, 1, flagged(0x08)),
      illegalRequest,
      Asc.invalidFieldInCdb,
    )
  })

  it("count as the shorter ones do", async () => {
    const { disk, below } = await makeProtectedDisk(2)
    const { counters } = disk.unit
    const dataOut = pattern(2 * 512)
    await disk.good(cdb32(VariableLength.write32, 0, 2), { dataOut })
    await disk.good(cdb32(VariableLength.writeAndVerify32, 0, 2), { dataOut })
    await disk.good(cdb32(VariableLength.read32, 0, 1))
    await disk.good(cdb32(VariableLength.verify32, 0, 4))
    assert.deepEqual([counters.writeCommands, counters.writtenBytes], [2, 2048])
    assert.deepEqual([counters.readCommands, counters.readBytes, counters.verifiedBytes], [1, 512, 2048])
    below.failures.set("read", new BlockError("io", "as told"))
    await disk.fails(cdb32(VariableLength.verify32, 0, 1), mediumError, Asc.unrecoveredReadError)
    assert.deepEqual([counters.verifyErrors, counters.readErrors], [1, 0])
  })

  it("are refused when they are shorter than 32 bytes, or say so", async () => {
    const { disk } = await makeProtectedDisk(2)
    for (const bytes of [16, 28]) {
      const short = cdb32(VariableLength.read32, 0, 1).subarray(0, bytes)
      const sense = await disk.fails(short, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 7 })
    }
    for (const additional of [0, 0x08, 0x10, 0x19, 0x1c, 0xff]) {
      const cdb = cdb32(VariableLength.read32, 0, 1)
      cdb[7] = additional
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb)
      assert.equal(sense.detail.field?.byte, 7)
    }
    const unknown = await disk.fails(cdb32(0x0f, 0, 1), illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(unknown.detail.field, { in: "cdb", byte: 8 })
  })

  it("point at their own fields where something is wrong", async () => {
    const { disk } = await makeProtectedDisk(2)
    const far = cdb32(VariableLength.read32, 0, 0)
    far[12] = 0x80
    await disk.fails(far, illegalRequest, Asc.lbaOutOfRange)
    disk.unit.blocks = 2 ** 40
    for (const [cdb, field] of [
      [cdb32(VariableLength.read32, 0, 2 ** 31), { byte: 28 }],
      [cdb32(VariableLength.writeSame32, 0, 0), { byte: 28 }],
      [cdb32(VariableLength.verify32, 0, 1, flagged(0x04)), { byte: 10, bit: 2 }],
    ] as const) {
      const sense = await disk.fails(cdb, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", ...field })
    }
  })

  it("are reported by operation code and service action, with their usage", async () => {
    const { disk } = await makeProtectedDisk(2)
    const ask = (options: number, action: number) =>
      Uint8Array.of(0xa3, 0x0c, options, 0x7f, 0, action, 0, 0, 1, 0, 0, 0)
    for (const options of [2, 3]) {
      const data = await disk.good(ask(options, VariableLength.read32))
      assert.deepEqual([...data.subarray(0, 4)], [0, 3, 0, 32])
      const usage = data.subarray(4)
      assert.equal(usage.length, 32)
      const told = [usage[0], usage[7], usage[8], usage[9], usage[10]]
      assert.deepEqual(told, [0x7f, 0x18, 0, VariableLength.read32, 0xfa])
      assert.ok(usage.subarray(12).every((byte) => byte === 0xff))
      assert.deepEqual([...(await disk.good(ask(options, 0x0f)))], [0, 1, 0, 0])
    }
    await disk.fails(ask(1, VariableLength.read32), illegalRequest, Asc.invalidFieldInCdb)
    const all = Buffer.from(await disk.good(Uint8Array.of(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0)))
    const reported: number[] = []
    for (let at = 4; at < all.length; at += 8) {
      if (all[at] !== 0x7f) continue
      reported.push(all.readUInt16BE(at + 2))
      assert.deepEqual([all[at + 5], all.readUInt16BE(at + 6)], [1, 32])
    }
    assert.deepEqual(reported, actions)
  })
})
