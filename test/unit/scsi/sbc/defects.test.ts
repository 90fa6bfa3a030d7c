import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { REASSIGNED_BLOCKS_MAX } from "../../../../src/base/limits.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { makeDisk, pattern } from "./disk.ts"

const { illegalRequest, hardwareError, mediumError } = SenseKey

describe("READ DEFECT DATA", () => {
  const ten = (flags: number, room = 255) =>
    Uint8Array.of(0x37, 0, flags, 0, 0, 0, 0, room >> 8, room & 0xff, 0)
  const twelve = (flags: number, room = 255, index = 0) =>
    Uint8Array.of(0xb7, flags, 0, 0, 0, index, 0, 0, room >> 8, room & 0xff, 0, 0)

  it("gives the lists that are asked for, empty, in the format that is asked for", async () => {
    const disk = makeDisk()
    for (const lists of [0, 0x08, 0x10, 0x18]) {
      for (let format = 0; format <= 5; format++) {
        const flags = lists | format
        assert.deepEqual([...(await disk.good(ten(flags)))], [0, flags, 0, 0])
        for (const index of [0, 7]) {
          assert.deepEqual([...(await disk.good(twelve(flags, 255, index)))], [0, flags, 0, 0, 0, 0, 0, 0])
        }
      }
    }
    assert.equal((await disk.good(ten(0, 2))).length, 2)
    assert.equal((await disk.good(twelve(0, 5))).length, 5)
  })

  it("refuses formats there are not", async () => {
    const disk = makeDisk()
    for (const format of [6, 7]) {
      await disk.fails(ten(format), illegalRequest, Asc.invalidFieldInCdb)
      await disk.fails(twelve(format), illegalRequest, Asc.invalidFieldInCdb)
    }
  })
})

describe("REASSIGN BLOCKS", () => {
  const reassign = (flags = 0) => Uint8Array.of(0x07, flags, 0, 0, 0, 0)
  const short = (...lbas: number[]) =>
    Uint8Array.of(0, 0, 0, 4 * lbas.length, ...lbas.flatMap((lba) => [0, 0, 0, lba]))
  const long = (...lbas: number[]) =>
    Uint8Array.of(0, 0, 0, 8 * lbas.length, ...lbas.flatMap((lba) => [0, 0, 0, 0, 0, 0, 0, lba]))

  it("writes again what it reads, to the medium", async () => {
    const disk = makeDisk()
    disk.device.bytes.set(pattern(64 * 512))
    const before = disk.device.bytes.slice()
    await disk.good(reassign(), { dataOut: short(3, 9) })
    await disk.good(reassign(0x03), { dataOut: long(5) })
    assert.deepEqual(disk.device.calls, [
      ...["read 1536+512", "write 1536+512 fua", "read 4608+512", "write 4608+512 fua"],
      ...["read 2560+512", "write 2560+512 fua"],
    ])
    assert.deepEqual(disk.device.bytes, before)
    await disk.good(reassign(), { dataOut: short() })
  })

  it("writes zeroes for what it can't read", async () => {
    const disk = makeDisk()
    disk.device.bytes.fill(7)
    disk.device.failures.set("read 1536", new BlockError("io", "EIO"))
    await disk.good(reassign(), { dataOut: short(3) })
    assert.ok(disk.device.bytes.subarray(1536, 2048).every((byte) => byte === 0))
    assert.equal(disk.device.bytes.filter((byte) => byte === 7).length, 63 * 512)
  })

  it("tells the first block it couldn't reassign", async () => {
    for (const descriptors of [true, false]) {
      const disk = makeDisk()
      disk.unit.control.descriptorSense = descriptors
      disk.device.failures.set("write 4608", new BlockError("io", "EIO"))
      const sense = await disk.fails(reassign(), hardwareError, Asc.noDefectSpareLocationAvailable, {
        dataOut: short(3, 9, 10),
      })
      assert.equal(sense.detail.commandSpecific, 9)
      assert.equal(disk.device.calls.at(-1), "write 4608+512 fua")
    }
    const lost = makeDisk()
    lost.device.failures.set("write", new BlockError("write-lost", "an fsync failed"))
    const { sense } = await lost.run(reassign(), { dataOut: short(3) })
    assert.ok(sense?.key === hardwareError || sense?.key === mediumError)
  })

  it("checks the whole list first", async () => {
    const disk = makeDisk()
    await disk.fails(reassign(), illegalRequest, Asc.lbaOutOfRange, { dataOut: short(3, 64) })
    for (const list of [
      [0, 0, 0, 3, 0, 0, 0],
      [0, 0, 0x10, 4],
    ]) {
      const dataOut = Uint8Array.from(list)
      await disk.fails(reassign(), illegalRequest, Asc.invalidFieldInParameterList, { dataOut })
    }
    const many = Buffer.alloc(4 + 4 * (REASSIGNED_BLOCKS_MAX + 1))
    many.writeUInt32BE(many.length - 4)
    await disk.fails(reassign(0x01), illegalRequest, Asc.invalidFieldInParameterList, { dataOut: many })
    for (const dataOut of [Uint8Array.of(0, 0, 0), short(1, 2).subarray(0, 8)]) {
      await disk.fails(reassign(), illegalRequest, Asc.parameterListLengthError, { dataOut })
    }
    assert.deepEqual(disk.device.calls, [])
  })
})
