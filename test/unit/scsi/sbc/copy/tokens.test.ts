import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { BlockError } from "../../../../../src/backstore/block-device.ts"
import { ROD_TOKENS_MAX } from "../../../../../src/base/limits.ts"
import { ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, testNexus } from "../../../../suites/scsi-task.ts"
import { blockCdb, compareAndWriteCdb, pattern } from "../disk.ts"
import {
  CopyBench,
  type PopulateOptions,
  populateList,
  type Range,
  receiveCdb,
  settle,
  tokenCdb,
  type WriteOptions,
  writeList,
  zeroToken,
} from "./copy-bench.ts"

const { illegalRequest, copyAborted } = SenseKey
const RRTI = ThirdPartyCopyIn.receiveRodTokenInformation

async function populate(
  bench: CopyBench,
  ranges: readonly Range[],
  options: PopulateOptions & { lun?: number; listId?: number } = {},
): Promise<Buffer> {
  const { lun = 0, listId = 1 } = options
  const dataOut = populateList(ranges, options)
  good(await bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, listId, dataOut.length), { dataOut, lun }))
  await settle()
  const data = Buffer.from(good(await bench.run(receiveCdb(RRTI, listId), { lun })))
  assert.deepEqual([data[4], data[5], data[12]], [0x10, 0x01, 0])
  assert.equal(data.readUInt32BE(data.length - 518), 514)
  return data.subarray(-512)
}

const writeWith = (
  bench: CopyBench,
  token: Uint8Array,
  ranges: readonly Range[],
  options: WriteOptions & { lun?: number; listId?: number } = {},
) => {
  const { lun = 1, listId = 2 } = options
  const dataOut = writeList(token, ranges, options)
  return bench.send(tokenCdb(ThirdPartyCopyOut.writeUsingToken, listId, dataOut.length), { dataOut, lun })
}

/** COPY OPERATION STATUS and TRANSFER COUNT, in blocks. */
async function statusOf(bench: CopyBench, listId = 2, lun = 1): Promise<[number, number]> {
  const data = Buffer.from(good(await bench.run(receiveCdb(RRTI, listId), { lun })))
  assert.equal(data.readUInt32BE(0), data.length - 4)
  assert.equal(data[15], 0xf1)
  return [data[5]!, Number(data.readBigUInt64BE(16))]
}

for (const logicalBlockBytes of [512, 4096] as const) {
  describe(`a ROD token, between disks of ${logicalBlockBytes} byte blocks`, () => {
    const bytes = (blocks: number): number => blocks * logicalBlockBytes
    const make = () => {
      const bench = new CopyBench({ logicalBlockBytes }, { logicalBlockBytes })
      bench.disk(0).device.bytes.set(pattern(bytes(64), 1))
      bench.disk(1).device.bytes.set(pattern(bytes(64), 2))
      return bench
    }

    it("writes the ranges it was made of, in order, to the ranges it is used for", async () => {
      const bench = make()
      const source = bench.disk(0).device.bytes
      const token = await populate(bench, [
        [40, 3],
        [2, 0],
        [5, 7],
      ])
      const stood = Buffer.concat([
        source.subarray(bytes(40), bytes(43)),
        source.subarray(bytes(5), bytes(12)),
      ])
      const expected = Buffer.from(bench.disk(1).device.bytes)
      stood.copy(expected, bytes(20), 0, bytes(4))
      stood.copy(expected, bytes(0), bytes(4))
      good(
        await writeWith(bench, token, [
          [20, 4],
          [0, 6],
        ]).ended,
      )
      assert.equal(Buffer.compare(bench.disk(1).device.bytes, expected), 0)
      assert.deepEqual(await statusOf(bench), [0x01, 10])
    })

    it("can be used from an offset, again and again, at the source as well", async () => {
      const bench = make()
      const token = await populate(bench, [[10, 8]])
      const source = Buffer.from(bench.disk(0).device.bytes)
      good(await writeWith(bench, token, [[0, 3]], { offset: 5 }).ended)
      assert.deepEqual(
        Buffer.from(bench.disk(1).device.bytes.subarray(0, bytes(3))),
        source.subarray(bytes(15), bytes(18)),
      )
      good(await writeWith(bench, token, [[30, 8]], { lun: 0 }).ended)
      assert.deepEqual(
        Buffer.from(bench.disk(0).device.bytes.subarray(bytes(30), bytes(38))),
        source.subarray(bytes(10), bytes(18)),
      )
    })

    it("writes what it has where more was asked for, and tells so", async () => {
      const bench = make()
      const old = Buffer.from(bench.disk(1).device.bytes)
      const token = await populate(bench, [[10, 8]])
      good(
        await writeWith(
          bench,
          token,
          [
            [0, 4],
            [8, 4],
          ],
          { offset: 3 },
        ).ended,
      )
      assert.deepEqual(await statusOf(bench), [0x03, 5])
      const device = bench.disk(1).device.bytes
      assert.deepEqual(
        Buffer.from(device.subarray(bytes(8), bytes(9))),
        Buffer.from(bench.disk(0).device.bytes.subarray(bytes(17), bytes(18))),
      )
      assert.deepEqual(Buffer.from(device.subarray(bytes(9))), old.subarray(bytes(9)))
      const behind = await writeWith(bench, token, [[0, 1]], { offset: 8 }).ended
      const sense = checkCondition(behind, illegalRequest, Asc.invalidFieldInParameterList)
      assert.deepEqual(sense.detail.field, { in: "parameters", byte: 8 })
    })
  })
}

describe("a ROD token", () => {
  it("goes from short blocks to long ones, and its last one is filled up with zeroes", async () => {
    const bench = new CopyBench({ blocks: 64 }, { logicalBlockBytes: 4096, blocks: 8 })
    bench.disk(0).device.bytes.set(pattern(64 * 512, 1))
    bench.disk(1).device.bytes.fill(0xee)
    const token = await populate(bench, [
      [1, 5],
      [40, 6],
    ])
    good(await writeWith(bench, token, [[2, 3]]).ended)
    const expected = Buffer.alloc(8 * 4096, 0xee)
    const source = bench.disk(0).device.bytes
    expected.set(source.subarray(512, 6 * 512), 2 * 4096)
    expected.set(source.subarray(40 * 512, 46 * 512), 2 * 4096 + 5 * 512)
    expected.fill(0, 2 * 4096 + 11 * 512, 4 * 4096)
    assert.equal(Buffer.compare(bench.disk(1).device.bytes, expected), 0)
    assert.deepEqual(await statusOf(bench), [0x03, 2])
  })

  it("tells who has made it and for how much, and is never the same", async () => {
    const bench = new CopyBench({}, {})
    const tokens = [await populate(bench, [[0, 8]]), await populate(bench, [[0, 8]])] as const
    for (const token of tokens) {
      assert.equal(token.readUInt32BE(0), 0x0080_0001)
      assert.equal(token.readUInt16BE(6), 0x01f8)
      assert.deepEqual(token.subarray(16, 48), bench.cscd(0))
      assert.equal(token.readBigUInt64BE(56), 8n * 512n)
      assert.equal(token.readUInt32BE(96), 512)
      assert.equal(token.toString("utf8", 132, 132 + 30), "iqn.2026-01.org.example:target".slice(0, 30))
    }
    assert.notDeepEqual(tokens[0].subarray(8, 16), tokens[1].subarray(8, 16))
    const alike = tokens[0].subarray(256).filter((byte, i) => byte === tokens[1][256 + i])
    assert.ok(alike.length < 16, `${alike.length} of 256 random bytes are the same`)
  })

  it("is unknown when a bit of it is another, and to another target", async () => {
    const bench = new CopyBench({}, {})
    const token = await populate(bench, [[0, 8]])
    for (const byte of [8, 15, 20, 55, 100, 200, 256, 400, 511]) {
      const other = Buffer.from(token)
      other[byte]! ^= 0x10
      checkCondition(await writeWith(bench, other, [[0, 8]]).ended, illegalRequest, Asc.invalidTokenUnknown)
    }
    const elsewhere = new CopyBench({ identity: { serial: "a" } }, { identity: { serial: "b" } })
    checkCondition(await writeWith(elsewhere, token, [[0, 8]]).ended, illegalRequest, Asc.invalidTokenUnknown)
    good(await writeWith(bench, token, [[0, 8]]).ended)
  })

  it("can be used by another initiator, who can't ask for it", async () => {
    const bench = new CopyBench({}, {})
    const other = bench.attach(testNexus("other"))
    const token = await populate(bench, [[0, 8]])
    const asked = await bench.run(receiveCdb(RRTI, 1), { nexus: other })
    const sense = checkCondition(asked, illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
    const dataOut = writeList(token, [[0, 8]])
    good(
      await bench.run(tokenCdb(ThirdPartyCopyOut.writeUsingToken, 1, dataOut.length), {
        dataOut,
        lun: 1,
        nexus: other,
      }),
    )
  })

  it("is handed over once, whole", async () => {
    const bench = new CopyBench({})
    const dataOut = populateList([[0, 8]])
    good(await bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, 1, dataOut.length), { dataOut }))
    const cut = good(await bench.run(receiveCdb(RRTI, 1, 100)))
    assert.equal(cut.length, 100)
    const whole = good(await bench.run(receiveCdb(RRTI, 1)))
    assert.equal(whole.length, 32 + 4 + 514)
    assert.equal(good(await bench.run(receiveCdb(RRTI, 1))).length, 36)
  })

  it("expires when it isn't used, after the time asked for or the default one, but not under a copy", async () => {
    const bench = new CopyBench({ blocks: 4096 }, { blocks: 4096 })
    const use = (token: Uint8Array) => writeWith(bench, token, [[0, 8]]).ended
    const usual = await populate(bench, [[0, 8]])
    const short = await populate(bench, [[0, 8]], { timeoutSeconds: 5 })
    await bench.clock.advance(4_000)
    good(await use(short))
    await bench.clock.advance(4_000)
    good(await use(short))
    await bench.clock.advance(5_001)
    checkCondition(await use(short), illegalRequest, Asc.invalidTokenExpired)
    await bench.clock.advance(46_000)
    good(await use(usual))
    checkCondition(await use(short), illegalRequest, Asc.invalidTokenUnknown)
    await bench.clock.advance(59_000)
    bench.disk(1).device.slow = true
    const slow = use(usual)
    await settle()
    await bench.clock.advance(600_000)
    await populate(bench, [[8, 1]], { listId: 9 })
    await bench.finishAll()
    good(await slow)
    bench.disk(1).device.slow = false
    await bench.clock.advance(60_001)
    checkCondition(await use(usual), illegalRequest, Asc.invalidTokenExpired)
    await bench.clock.advance(600_000)
    checkCondition(await use(usual), illegalRequest, Asc.invalidTokenUnknown)
    assert.equal(bench.disk(0).unit.copies.tokens.size, 0)
  })

  it("is deleted by DEL_TKN, once it was used", async () => {
    const bench = new CopyBench({}, {})
    const token = await populate(bench, [[0, 8]])
    good(await writeWith(bench, token, [[0, 8]], { deleteToken: true }).ended)
    checkCondition(await writeWith(bench, token, [[0, 8]]).ended, illegalRequest, Asc.invalidTokenDeleted)
  })

  it("is cancelled by every command that changes a block of it, and by no other", async () => {
    const block = new Uint8Array(512).fill(3)
    const unmapList = Buffer.from("0016001000000000" + "0000000000000013" + "00000001" + "00000000", "hex")
    const changes: readonly (readonly [cdb: Uint8Array, dataOut: Uint8Array])[] = [
      [blockCdb(0x8a, 19, 1), block],
      [blockCdb(0x8e, 19, 1), block],
      [blockCdb(0x8b, 19, 1), block],
      [blockCdb(0x93, 19, 1), block],
      [blockCdb(0x93, 19, 1, 0x01), new Uint8Array(0)],
      [blockCdb(0x42, 0, 24), unmapList],
      [compareAndWriteCdb(19, 1), Buffer.concat([new Uint8Array(512), block])],
    ]
    for (const [cdb, dataOut] of changes) {
      const bench = new CopyBench({}, {})
      const hit = await populate(bench, [
        [0, 4],
        [12, 8],
      ])
      const missed = await populate(bench, [
        [4, 8],
        [20, 40],
      ])
      good(await bench.run(cdb, { dataOut }))
      const name = cdb[0]!.toString(16)
      const task = await writeWith(bench, hit, [[0, 1]]).ended
      assert.equal(task.sense?.asc, Asc.invalidTokenCancelled, name)
      good(await writeWith(bench, missed, [[0, 1]]).ended)
    }
  })

  it("isn't cancelled by reads, and nobody looks at writes once there is none", async () => {
    const bench = new CopyBench({}, {})
    const { medium } = bench.disk(0).unit
    assert.equal(medium.onChange, undefined)
    const token = await populate(bench, [[0, 8]])
    assert.ok(medium.onChange)
    good(await bench.run(blockCdb(0x88, 0, 8)))
    good(await writeWith(bench, token, [[0, 8]], { deleteToken: true }).ended)
    assert.equal(medium.onChange, undefined)
    await populate(bench, [[0, 8]])
    good(await bench.run(blockCdb(0x8a, 0, 1), { dataOut: new Uint8Array(512) }))
    assert.equal(medium.onChange, undefined)
  })

  it("is cancelled by a write that waited for its turn when it was made, and waits for one that was under way", async () => {
    const bench = new CopyBench({}, {})
    const { device } = bench.disk(0)
    device.slow = true
    const write = bench.send(blockCdb(0x8a, 4, 1), { dataOut: new Uint8Array(512).fill(8) })
    await settle()
    const dataOut = populateList([[0, 8]])
    const made = bench.send(tokenCdb(ThirdPartyCopyOut.populateToken, 1, dataOut.length), { dataOut })
    await settle()
    assert.equal(made.over, false)
    device.slow = false
    device.finishNext()
    good(await write.ended)
    good(await made.ended)
    const token = Buffer.from(good(await bench.run(receiveCdb(RRTI, 1)))).subarray(-512)
    good(await writeWith(bench, token, [[0, 8]]).ended)
    assert.equal(bench.disk(1).device.bytes[4 * 512], 8)
  })

  it("is cancelled under a copy that uses it, which then ends, and tells how far it came", async () => {
    const blocks = 4 * 2048
    const bench = new CopyBench({ blocks }, { blocks })
    const token = await populate(bench, [[0, blocks]])
    bench.disk(1).device.slow = true
    const copy = writeWith(bench, token, [[0, blocks]])
    await settle()
    good(await bench.run(blockCdb(0x8a, blocks - 1, 1), { dataOut: new Uint8Array(512) }))
    await bench.finishAll()
    checkCondition(await copy.ended, illegalRequest, Asc.invalidTokenCancelled)
    bench.disk(1).device.slow = false
    const [status, transferred] = await statusOf(bench)
    assert.equal(status, 0x02)
    assert.equal(transferred, 2 * 2048)
  })

  it("is cancelled under a copy that the device makes by itself", async () => {
    const bench = new CopyBench({}, {})
    const token = await populate(bench, [[0, 8]])
    const change = blockCdb(0x8a, 4, 1)
    Object.assign(bench.disk(1).device, {
      copyFrom: async () => {
        good(await bench.run(change, { dataOut: new Uint8Array(512) }))
        return true
      },
    })
    checkCondition(await writeWith(bench, token, [[0, 8]]).ended, illegalRequest, Asc.invalidTokenCancelled)
  })

  it("is cancelled by a device that becomes too short for it", async () => {
    const bench = new CopyBench({}, {})
    const token = await populate(bench, [[50, 8]])
    const kept = await populate(bench, [[0, 50]])
    await bench.disk(0).device.resize(55 * 512)
    for (const { unit } of bench.disks) while (unit.takeUnitAttention(bench.nexus) !== undefined);
    checkCondition(await writeWith(bench, token, [[0, 8]]).ended, illegalRequest, Asc.invalidTokenCancelled)
    good(await writeWith(bench, kept, [[0, 50]]).ended)
  })

  it("is refused when there are too many, until one is past", async () => {
    const bench = new CopyBench({}, {})
    const first = await populate(bench, [[0, 1]])
    for (let i = 1; i < ROD_TOKENS_MAX; i++) await populate(bench, [[i % 32, 1]])
    const dataOut = populateList([[0, 1]])
    const one = () => bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, 1, dataOut.length), { dataOut })
    checkCondition(await one(), illegalRequest, Asc.insufficientResourcesToCreateRod)
    good(await writeWith(bench, first, [[0, 1]], { deleteToken: true }).ended)
    good(await one())
    checkCondition(await one(), illegalRequest, Asc.insufficientResourcesToCreateRod)
    await bench.clock.advance(60_001)
    good(await one())
    assert.ok(bench.disk(0).unit.copies.tokens.size <= ROD_TOKENS_MAX)
  })

  it("keeps out what its source or destination refuses", async () => {
    const bench = new CopyBench({}, {})
    const token = await populate(bench, [[0, 8]])
    bench.disk(0).device.failures.set("read", new BlockError("io", "as told"))
    checkCondition(await writeWith(bench, token, [[0, 8]]).ended, copyAborted, Asc.thirdPartyDeviceFailure)
    bench.disk(1).device.failures.set("write", new BlockError("no-space", "as told"))
    checkCondition(
      await writeWith(bench, token, [[0, 8]]).ended,
      SenseKey.dataProtect,
      Asc.spaceAllocationFailed,
    )
    bench.disk(1).unit.control.softwareWriteProtect = true
    const refused = await writeWith(bench, token, [[0, 8]]).ended
    checkCondition(refused, SenseKey.dataProtect, Asc.logicalUnitSoftwareWriteProtected)
    bench.disk(1).unit.control.softwareWriteProtect = false
    const other = bench.attach(testNexus("other"))
    good(await bench.run(Uint8Array.of(0x16, 0, 0, 0, 0, 0), { nexus: other, lun: 0 }))
    checkCondition(await writeWith(bench, token, [[0, 8]]).ended, copyAborted, Asc.thirdPartyDeviceFailure)
  })
})

describe("a token used in the background", () => {
  it("is made, and written with, after the commands have ended; failures are for who asks", async () => {
    const bench = new CopyBench({ blocks: 4096 }, { blocks: 4096 })
    bench.disk(0).device.bytes.set(pattern(4096 * 512))
    const token = await populate(bench, [[0, 4096]], { immediate: true })
    bench.disk(1).device.slow = true
    good(await writeWith(bench, token, [[0, 4096]], { immediate: true }).ended)
    await settle()
    bench.disk(1).device.finishNext()
    await settle()
    assert.deepEqual(await statusOf(bench), [0x12, 2048])
    await bench.finishAll()
    assert.deepEqual(await statusOf(bench), [0x01, 4096])
    assert.equal(Buffer.compare(bench.disk(1).device.bytes, bench.disk(0).device.bytes), 0)

    bench.disk(1).device.failures.set("write", new BlockError("io", "as told"))
    good(await writeWith(bench, token, [[0, 8]], { immediate: true }).ended)
    await bench.finishAll()
    assert.deepEqual(await statusOf(bench), [0x02, 0])
    const wrong = await writeWith(bench, token, [[4096, 1]], { immediate: true }).ended
    checkCondition(wrong, illegalRequest, Asc.lbaOutOfRange)
  })
})

describe("the block device zero ROD token", () => {
  it("zeroes ranges, giving their storage back where the unit is thin", async () => {
    for (const thin of [true, false]) {
      const bench = new CopyBench({ thin })
      const { device } = bench.disk(0)
      device.bytes.fill(7)
      good(
        await writeWith(
          bench,
          zeroToken(),
          [
            [8, 16],
            [40, 1],
          ],
          { lun: 0 },
        ).ended,
      )
      const expected = Buffer.alloc(64 * 512, 7)
        .fill(0, 8 * 512, 24 * 512)
        .fill(0, 40 * 512, 41 * 512)
      assert.equal(Buffer.compare(device.bytes, expected), 0)
      assert.deepEqual(
        device.calls,
        thin ? ["discard 4096+8192", "discard 20480+512"] : ["zero 4096+8192", "zero 20480+512"],
      )
      assert.deepEqual(await statusOf(bench, 2, 0), [0x01, 17])
    }
  })
})
