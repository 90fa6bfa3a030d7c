import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { UNMAP_BLOCKS_MAX, UNMAP_DESCRIPTORS_MAX } from "../../../../src/base/limits.ts"
import { blockStatuses } from "../../../../src/scsi/sbc/lba-status.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, makeDisk, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, dataProtect } = SenseKey
const WRITE_SAME = { 10: 0x41, 16: 0x93 } as const
const UNMAP_BIT = 0x08
const ANCHOR = 0x10
const NDOB = 0x01
const zeroes = new Uint8Array(512)

const unmapList = (...descriptors: [lba: number | bigint, blocks: number][]): Uint8Array => {
  const list = new Uint8Array(8 + 16 * descriptors.length)
  const view = new DataView(list.buffer)
  view.setUint16(0, list.length - 2)
  view.setUint16(2, list.length - 8)
  descriptors.forEach(([lba, blocks], i) => {
    view.setBigUint64(8 + 16 * i, BigInt(lba))
    view.setUint32(16 + 16 * i, blocks)
  })
  return list
}
const unmapCdb = (bytes: number) => blockCdb(0x42, 0, bytes)

for (const bytes of [10, 16] as const) {
  const opcode = WRITE_SAME[bytes]
  describe(`WRITE SAME (${bytes})`, () => {
    it("fills with the block, however long the run", async () => {
      const disk = makeDisk({ blocks: 2000 })
      const block = pattern(512)
      for (const [lba, blocks] of [
        [0, 1],
        [10, 700],
        [1999, 1],
        [1300, 700],
      ] as const) {
        disk.device.bytes.fill(0xee)
        await disk.good(blockCdb(opcode, lba, blocks), { dataOut: block })
        for (let i = 0; i < 2000; i++) {
          const expected = i >= lba && i < lba + blocks ? block : new Uint8Array(512).fill(0xee)
          assert.deepEqual(disk.device.bytes.subarray(i * 512, (i + 1) * 512), expected)
        }
      }
    })

    it("keeps storage for zeroes, and gives it back with UNMAP", async () => {
      const disk = makeDisk()
      await disk.good(blockCdb(opcode, 8, 16), { dataOut: zeroes })
      await disk.good(blockCdb(opcode, 8, 16, UNMAP_BIT), { dataOut: zeroes })
      assert.deepEqual(disk.device.calls, ["zero 4096+8192", "discard 4096+8192"])
    })

    it("writes what isn't zero even with UNMAP, since unmapped blocks read as zeroes", async () => {
      const disk = makeDisk()
      const block = new Uint8Array(512)
      block[511] = 1
      await disk.good(blockCdb(opcode, 8, 2, UNMAP_BIT), { dataOut: block })
      assert.deepEqual(disk.device.bytes.subarray(4096, 4608), block)
      assert.deepEqual(disk.device.calls, ["write 4096+1024"])
    })

    it("wants a number of blocks", async () => {
      const disk = makeDisk()
      const dataOut = pattern(512)
      await disk.fails(blockCdb(opcode, 0, 0), illegalRequest, Asc.invalidFieldInCdb, { dataOut })
      await disk.fails(blockCdb(opcode, 65, 0), illegalRequest, Asc.lbaOutOfRange, { dataOut })
      assert.deepEqual(disk.device.calls, [])
    })

    it("of 0 blocks goes to the end where WSNZ doesn't forbid it, as far as one may go", async () => {
      const disk = makeDisk({ blocks: 140_000, writeSameToEnd: true })
      const dataOut = pattern(512)
      await disk.good(blockCdb(opcode, 139_998, 0), { dataOut })
      assert.deepEqual(disk.device.calls, [`write ${139_998 * 512}+1024`])
      disk.device.calls.length = 0
      const first = 140_000 - disk.unit.limits.writeSameBlocks
      await disk.good(blockCdb(opcode, first, 0), { dataOut: zeroes })
      assert.deepEqual(disk.device.calls, [`zero ${first * 512}+${(140_000 - first) * 512}`])
      await disk.fails(blockCdb(opcode, first - 1, 0), illegalRequest, Asc.invalidFieldInCdb, { dataOut })
      for (const lba of [140_000, 140_001])
        await disk.fails(blockCdb(opcode, lba, 0), illegalRequest, Asc.lbaOutOfRange, { dataOut })
      const wsnz = async (of: typeof disk) =>
        (await of.good(Uint8Array.of(0x12, 1, 0xb0, 0, 64, 0)))[4]! & 0x01
      assert.deepEqual([await wsnz(disk), await wsnz(makeDisk())], [0, 1])
    })

    it("takes one block of data, no more and no less", async () => {
      const disk = makeDisk()
      for (const dataOut of [pattern(256), pattern(1024), new Uint8Array(0)]) {
        await disk.fails(blockCdb(opcode, 0, 1), illegalRequest, Asc.invalidFieldInCommandInformationUnit, {
          dataOut,
        })
      }
      assert.deepEqual(disk.device.calls, [])
    })

    it("refuses ANCHOR, protection, LBDATA, PBDATA, and what lies beyond the end", async () => {
      const disk = makeDisk()
      for (const flags of [ANCHOR, ANCHOR | UNMAP_BIT, 0x02, 0x04, 0x20, 0xe0]) {
        await disk.fails(blockCdb(opcode, 0, 1, flags), illegalRequest, Asc.invalidFieldInCdb, {
          dataOut: zeroes,
        })
      }
      await disk.fails(blockCdb(opcode, 63, 2), illegalRequest, Asc.lbaOutOfRange, { dataOut: zeroes })
      assert.deepEqual(disk.device.calls, [])
    })

    it("can't unmap a unit that isn't thin, and writes nothing to one that is read-only", async () => {
      const thick = makeDisk({ thin: false })
      await thick.fails(blockCdb(opcode, 0, 1, UNMAP_BIT), illegalRequest, Asc.invalidFieldInCdb, {
        dataOut: zeroes,
      })
      await thick.good(blockCdb(opcode, 0, 1), { dataOut: zeroes })
      const fixed = makeDisk({ readOnly: true })
      await fixed.fails(blockCdb(opcode, 0, 1), dataProtect, Asc.writeProtected, { dataOut: zeroes })
    })
  })
}

describe("WRITE SAME", () => {
  it("with NDOB writes zeroes without data", async () => {
    const disk = makeDisk()
    disk.device.bytes.fill(7)
    const { task, sense } = await disk.run(blockCdb(0x93, 4, 2, NDOB))
    assert.equal(sense, undefined)
    assert.equal(task.dataOutBytes, 0)
    await disk.good(blockCdb(0x93, 8, 8, NDOB | UNMAP_BIT))
    assert.deepEqual(disk.device.calls, ["zero 2048+1024", "discard 4096+4096"])
  })

  it("keeps to the MAXIMUM WRITE SAME LENGTH", async () => {
    const disk = makeDisk({ blocks: 140_000 })
    const most = disk.unit.limits.writeSameBlocks
    await disk.good(blockCdb(0x93, 0, most, NDOB))
    await disk.fails(blockCdb(0x93, 0, most + 1, NDOB), illegalRequest, Asc.invalidFieldInCdb)
  })

  it("is stable when the write cache is off", async () => {
    const disk = makeDisk({ writeCache: false })
    await disk.good(blockCdb(0x93, 0, 8, NDOB))
    await disk.good(blockCdb(0x93, 0, 8, NDOB | UNMAP_BIT))
    await disk.good(blockCdb(0x93, 0, 8), { dataOut: pattern(512) })
    assert.deepEqual(disk.device.calls, ["zero 0+4096 fua", "discard 0+4096", "flush", "write 0+4096 fua"])
  })

  it("tells when there is no space", async () => {
    const disk = makeDisk()
    disk.device.failures.set("zero", new BlockError("no-space", "ENOSPC"))
    await disk.fails(blockCdb(0x93, 0, 1, NDOB), dataProtect, Asc.spaceAllocationFailed)
  })
})

describe("UNMAP", () => {
  it("deallocates every run it names", async () => {
    const disk = makeDisk()
    disk.device.bytes.fill(0xff)
    const list = unmapList([0, 8], [20, 0], [32, 16], [63, 1])
    const { task, sense } = await disk.run(unmapCdb(list.length), { dataOut: list })
    assert.equal(sense, undefined)
    assert.equal(task.dataOutBytes, list.length)
    assert.deepEqual(disk.device.calls, ["discard 0+4096", "discard 16384+8192", "discard 32256+512"])
    for (let lba = 0; lba < 64; lba++) {
      const gone = lba < 8 || (lba >= 32 && lba < 48) || lba === 63
      assert.equal(disk.device.bytes[lba * 512], gone ? 0 : 0xff)
    }
  })

  it("checks all of them before it touches any", async () => {
    const disk = makeDisk()
    for (const wrong of [
      [64, 1],
      [63, 2],
      [65, 0],
      [2n ** 63n, 1],
    ] as const) {
      const list = unmapList([0, 8], [...wrong])
      await disk.fails(unmapCdb(list.length), illegalRequest, Asc.lbaOutOfRange, { dataOut: list })
    }
    assert.deepEqual(disk.device.calls, [])
  })

  it("has nothing to do with an empty list, with no descriptors, with descriptors of no blocks", async () => {
    const disk = makeDisk()
    await disk.good(unmapCdb(0))
    for (const list of [unmapList(), unmapList([64, 0]), unmapList([1, 0], [1, 0])]) {
      await disk.good(unmapCdb(list.length), { dataOut: list })
    }
    assert.deepEqual(disk.device.calls, [])
  })

  it("ignores descriptors cut short by any of the lengths", async () => {
    const list = unmapList([0, 1], [8, 1])
    const disk = makeDisk()
    await disk.good(unmapCdb(39), { dataOut: list })
    await disk.good(unmapCdb(40), { dataOut: list.subarray(0, 30) })
    const short = Uint8Array.from(list)
    short[3] = 17
    await disk.good(unmapCdb(40), { dataOut: short })
    assert.deepEqual(disk.device.calls, ["discard 0+512", "discard 0+512", "discard 0+512"])
    await disk.fails(unmapCdb(7), illegalRequest, Asc.parameterListLengthError, { dataOut: list })
    await disk.fails(unmapCdb(40), illegalRequest, Asc.parameterListLengthError, {
      dataOut: list.subarray(0, 5),
    })
  })

  it("keeps to the limits VPD page B0h tells", async () => {
    const disk = makeDisk({ blocks: 100, device: new TestDevice(100 * 512) })
    const many = unmapList(...Array.from({ length: UNMAP_DESCRIPTORS_MAX }, () => [1, 1] as [number, number]))
    await disk.good(unmapCdb(many.length), { dataOut: many })
    const tooMany = unmapList(
      ...Array.from({ length: UNMAP_DESCRIPTORS_MAX + 1 }, () => [1, 0] as [number, number]),
    )
    await disk.fails(unmapCdb(tooMany.length), illegalRequest, Asc.invalidFieldInParameterList, {
      dataOut: tooMany,
    })
    disk.unit.blocks = UNMAP_BLOCKS_MAX + 10
    const tooLong = unmapList([0, UNMAP_BLOCKS_MAX], [5, 1])
    disk.device.calls.length = 0
    await disk.fails(unmapCdb(tooLong.length), illegalRequest, Asc.invalidFieldInParameterList, {
      dataOut: tooLong,
    })
    assert.deepEqual(disk.device.calls, [])
  })

  it("doesn't exist on a unit that isn't thin, and is refused on one that is read-only", async () => {
    const list = unmapList([0, 1])
    await makeDisk({ thin: false }).fails(unmapCdb(24), illegalRequest, Asc.invalidCommandOperationCode)
    await makeDisk({ readOnly: true }).fails(unmapCdb(24), dataProtect, Asc.writeProtected, { dataOut: list })
    const anchored = unmapCdb(24)
    anchored[1] = 1
    await makeDisk().fails(anchored, illegalRequest, Asc.invalidFieldInCdb, { dataOut: list })
  })
})

interface Status {
  readonly lba: number
  readonly blocks: number
  readonly status: number
}

const lbaStatusCdb = (lba: number | bigint, allocation: number) => blockCdb(0x9e, lba, allocation, 0x12)

function parseStatuses(data: Uint8Array): Status[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  assert.equal(view.getUint32(0), data.length - 4)
  const statuses: Status[] = []
  for (let at = 8; at < data.length; at += 16) {
    statuses.push({
      lba: Number(view.getBigUint64(at)),
      blocks: view.getUint32(at + 8),
      status: view.getUint8(at + 12),
    })
  }
  return statuses
}

describe("GET LBA STATUS", () => {
  it("tells mapped and deallocated runs, in as many descriptors as fit", async () => {
    const disk = makeDisk()
    await disk.device.write(8 * 512, pattern(16 * 512), false)
    const all = [
      { lba: 3, blocks: 5, status: 1 },
      { lba: 8, blocks: 16, status: 0 },
      { lba: 24, blocks: 40, status: 1 },
    ]
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(3, 1024))), all)
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(3, 24))), all.slice(0, 1))
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(3, 55))), all.slice(0, 2))
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(10, 24))), [
      { lba: 10, blocks: 14, status: 0 },
    ])
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(63, 24))), [
      { lba: 63, blocks: 1, status: 1 },
    ])
  })

  it("cuts to the allocation length, whatever it is", async () => {
    const disk = makeDisk()
    for (const allocation of [0, 1, 8, 23]) {
      assert.equal((await disk.good(lbaStatusCdb(0, allocation))).length, allocation)
    }
  })

  it("refuses a block that isn't there", async () => {
    const disk = makeDisk()
    for (const lba of [64, 65, 2n ** 63n, 2n ** 64n - 1n]) {
      await disk.fails(lbaStatusCdb(lba, 24), illegalRequest, Asc.lbaOutOfRange)
    }
  })

  it("calls everything mapped on a unit that isn't thin", async () => {
    const disk = makeDisk({ thin: false })
    assert.deepEqual(parseStatuses(await disk.good(lbaStatusCdb(2, 64))), [{ lba: 2, blocks: 62, status: 0 }])
  })

  it("follows UNMAP", async () => {
    const disk = makeDisk()
    await disk.good(blockCdb(0x8a, 0, 64), { dataOut: pattern(64 * 512) })
    const list = unmapList([16, 8])
    await disk.good(unmapCdb(list.length), { dataOut: list })
    assert.deepEqual(
      parseStatuses(await disk.good(lbaStatusCdb(0, 1024))).map(({ blocks, status }) => [blocks, status]),
      [
        [16, 0],
        [8, 1],
        [40, 0],
      ],
    )
  })
})

describe("extents in logical blocks", () => {
  const extent = (offsetBytes: number, end: number, allocated: boolean) => ({
    offsetBytes,
    lengthBytes: end - offsetBytes,
    allocated,
  })

  it("map a block of which any byte has storage", () => {
    const extents = [extent(0, 5000, false), extent(5000, 8193, true), extent(8193, 40960, false)]
    assert.deepEqual(blockStatuses(extents, 0, 10, 4096), [
      { lba: 0, blocks: 1, status: 1 },
      { lba: 1, blocks: 2, status: 0 },
      { lba: 3, blocks: 7, status: 1 },
    ])
  })

  it("leave out a hole within a block and join its neighbours", () => {
    const extents = [extent(0, 1000, true), extent(1000, 3000, false), extent(3000, 9000, true)]
    assert.deepEqual(blockStatuses(extents, 0, 2, 4096), [{ lba: 0, blocks: 2, status: 0 }])
  })

  it("tell of a block even when all that is known of it is a hole at its start", () => {
    assert.deepEqual(blockStatuses([extent(8192, 9000, false)], 2, 10, 4096), [
      { lba: 2, blocks: 1, status: 0 },
    ])
  })

  it("split runs that a descriptor can't count", () => {
    const blocks = 2 ** 33
    assert.deepEqual(
      blockStatuses([extent(0, blocks * 512, false)], 0, blocks, 512).map(({ lba, blocks }) => [lba, blocks]),
      [
        [0, 2 ** 32 - 1],
        [2 ** 32 - 1, 2 ** 32 - 1],
        [2 ** 33 - 2, 2],
      ],
    )
  })
})
