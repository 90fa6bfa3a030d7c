import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../../src/scsi/spec/status.ts"
import { checkCondition, good, testNexus } from "../../../../suites/scsi-task.ts"
import { BlockError } from "../../../../../src/backstore/block-device.ts"
import { pattern } from "../disk.ts"
import {
  blockSegment,
  byteSegment,
  CopyBench,
  extendedCopyCdb,
  lid1List,
  lid4List,
  receiveCdb,
  settle,
} from "./copy-bench.ts"

const { copyAborted } = SenseKey
const copy1 = (list: Uint8Array) =>
  [extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, list.length), { dataOut: list }] as const
const copy4 = (list: Uint8Array) =>
  [extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, list.length), { dataOut: list }] as const

for (const logicalBlockBytes of [512, 4096] as const) {
  describe(`EXTENDED COPY between disks of ${logicalBlockBytes} byte blocks`, () => {
    const bytes = (blocks: number): number => blocks * logicalBlockBytes

    it("moves blocks from disk to disk, in either format of the parameter list", async () => {
      for (const lid of [1, 4]) {
        const bench = new CopyBench({ logicalBlockBytes }, { logicalBlockBytes })
        const data = pattern(bytes(64))
        bench.disk(0).device.bytes.set(data)
        const cscds = [bench.cscd(0), bench.cscd(1)]
        const segments = [
          blockSegment({ blocks: 10, from: 3, to: 20 }),
          blockSegment({ blocks: 1, from: 63, to: 0 }),
        ]
        const command = lid === 1 ? copy1(lid1List(cscds, segments)) : copy4(lid4List(cscds, segments))
        good(await bench.run(...command))
        const { device } = bench.disk(1)
        assert.deepEqual(device.bytes.subarray(bytes(20), bytes(30)), data.subarray(bytes(3), bytes(13)))
        assert.deepEqual(device.bytes.subarray(0, bytes(1)), data.subarray(bytes(63)))
        assert.ok(device.bytes.subarray(bytes(1), bytes(20)).every((byte) => byte === 0))
        assert.deepEqual(bench.disk(0).device.bytes, data)
      }
    })

    it("reaches a disk that isn't the one it is sent to, and the one it is sent to as FFFFh", async () => {
      const bench = new CopyBench({ logicalBlockBytes }, { logicalBlockBytes }, { logicalBlockBytes })
      const data = pattern(bytes(64))
      bench.disk(1).device.bytes.set(data)
      const list = lid1List(
        [bench.cscd(1)],
        [blockSegment({ blocks: 64, from: 0, to: 0, destination: 0xffff })],
      )
      good(
        await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, list.length), {
          dataOut: list,
          lun: 2,
        }),
      )
      assert.deepEqual(bench.disk(2).device.bytes, data)
      const between = lid1List([bench.cscd(1), bench.cscd(0)], [blockSegment({ blocks: 2, from: 1, to: 5 })])
      good(
        await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, between.length), {
          dataOut: between,
          lun: 2,
        }),
      )
      assert.deepEqual(
        bench.disk(0).device.bytes.subarray(bytes(5), bytes(7)),
        data.subarray(bytes(1), bytes(3)),
      )
    })

    it("moves runs of many steps, also within a disk, also where they overlap", async () => {
      const blocks = (5 * (1024 * 1024)) / logicalBlockBytes + 7
      for (const [from, to] of [
        [0, blocks],
        [3, 0],
        [0, 5],
        [7, 7],
      ] as const) {
        const bench = new CopyBench({ logicalBlockBytes, blocks: 2 * blocks })
        const data = pattern(bytes(2 * blocks))
        bench.disk(0).device.bytes.set(data)
        const list = lid1List([bench.cscd(0)], [blockSegment({ destination: 0, blocks, from, to })])
        bench.disk(0).device.slow = true
        const task = bench.send(...copy1(list))
        await bench.finishAll("newest")
        good(await task.ended)
        data.copyWithin(bytes(to), bytes(from), bytes(from + blocks))
        assert.equal(Buffer.compare(bench.disk(0).device.bytes, data), 0, `${from} to ${to}`)
      }
    })

    it("moves bytes that begin and end within blocks, and keeps the rest of them", async () => {
      const bench = new CopyBench({ logicalBlockBytes, blocks: 600 }, { logicalBlockBytes, blocks: 600 })
      const data = pattern(bytes(600), 1)
      const old = pattern(bytes(600), 2)
      bench.disk(0).device.bytes.set(data)
      for (const [count, from, to] of [
        [1, 5, 7],
        [bytes(1), 1, 0],
        [bytes(1) - 2, 1, 1],
        [bytes(3), 0, 0],
        [bytes(300) + 17, 511, 3],
      ] as const) {
        bench.disk(1).device.bytes.set(old)
        const segment = byteSegment({ bytes: count, from: [2, from], to: [9, to] })
        good(await bench.run(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], [segment]))))
        const expected = old.slice()
        expected.set(data.subarray(bytes(2) + from, bytes(2) + from + count), bytes(9) + to)
        assert.equal(Buffer.compare(bench.disk(1).device.bytes, expected), 0, `${count} bytes`)
      }
    })
  })
}

describe("EXTENDED COPY between disks of different blocks", () => {
  const make = () => {
    const bench = new CopyBench({ blocks: 64 }, { logicalBlockBytes: 4096, blocks: 8 })
    bench.disk(0).device.bytes.set(pattern(64 * 512, 1))
    bench.disk(1).device.bytes.set(pattern(8 * 4096, 2))
    return bench
  }
  const small = pattern(64 * 512, 1)
  const large = pattern(8 * 4096, 2)
  const DC = 0x02
  const CAT = 0x01

  it("counts blocks of the source, with DC of the destination", async () => {
    const bench = make()
    const cscds = [bench.cscd(0), bench.cscd(1)]
    good(await bench.run(...copy1(lid1List(cscds, [blockSegment({ blocks: 16, from: 1, to: 3 })]))))
    assert.deepEqual(bench.disk(1).device.bytes.subarray(3 * 4096, 5 * 4096), small.subarray(512, 17 * 512))
    const back = blockSegment({ source: 1, destination: 0, blocks: 16, from: 6, to: 40, flags: DC })
    good(await bench.run(...copy1(lid1List(cscds, [back]))))
    assert.deepEqual(
      bench.disk(0).device.bytes.subarray(40 * 512, 56 * 512),
      large.subarray(6 * 4096, 8 * 4096),
    )
  })

  it("refuses a segment that ends within a block, pads it with zeroes, or drops the part", async () => {
    const segment = (flags = 0) => blockSegment({ blocks: 11, from: 0, to: 2, flags })
    const outcomes: readonly (readonly [
      source: boolean,
      destination: boolean,
      cat: boolean,
      result: string,
    ])[] = [
      [false, false, false, "refused"],
      [false, true, false, "padded"],
      [true, true, false, "padded"],
      [true, false, false, "dropped"],
      [false, false, true, "dropped"],
    ]
    for (const [sourcePad, destinationPad, cat, result] of outcomes) {
      const bench = make()
      const cscds = [bench.cscd(0, { pad: sourcePad }), bench.cscd(1, { pad: destinationPad })]
      const task = await bench.run(...copy1(lid1List(cscds, [segment(cat ? CAT : 0)])))
      const expected = large.slice()
      if (result === "refused") {
        const sense = checkCondition(task, copyAborted, Asc.unexpectedInexactSegment)
        assert.deepEqual(sense.detail.field, { in: "segment", byte: 10 })
      } else {
        good(task)
        expected.set(small.subarray(0, (result === "padded" ? 11 : 8) * 512), 2 * 4096)
        if (result === "padded") expected.fill(0, 2 * 4096 + 11 * 512, 4 * 4096)
      }
      assert.deepEqual(bench.disk(1).device.bytes, expected, result)
    }
  })

  it("doesn't carry a part of a block on to the next segment", async () => {
    const bench = make()
    const segments = [
      blockSegment({ blocks: 11, from: 0, to: 2, flags: CAT }),
      blockSegment({ blocks: 5, from: 11, to: 4 }),
    ]
    const task = await bench.run(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], segments)))
    checkCondition(task, copyAborted, Asc.unexpectedInexactSegment)
    assert.deepEqual(bench.disk(1).device.bytes, large)
  })
})

describe("EXTENDED COPY that fails under way", () => {
  const data = pattern(64 * 512)
  const make = (options = {}) => {
    const bench = new CopyBench({}, options)
    bench.disk(0).device.bytes.set(data)
    return bench
  }
  const whole = blockSegment({ blocks: 8, from: 0, to: 0 })
  const copyOf = (bench: CopyBench, ...segments: Uint8Array[]) =>
    copy1(lid1List([bench.cscd(0), bench.cscd(1)], segments))

  it("tells the segment, and which CSCD couldn't be reached", async () => {
    const bench = make()
    const nowhere = bench.cscd(1)
    nowhere[12]! ^= 1
    const list = lid1List(
      [bench.cscd(0), bench.cscd(1), nowhere],
      [whole, blockSegment({ blocks: 1, from: 0, to: 9, destination: 2 })],
    )
    const sense = checkCondition(await bench.run(...copy1(list)), copyAborted, Asc.unreachableCopyTarget)
    assert.deepEqual(sense.detail, { commandSpecific: 1, field: { in: "parameters", byte: 16 + 2 * 32 } })
    assert.deepEqual(bench.disk(1).device.bytes.subarray(0, 8 * 512), data.subarray(0, 8 * 512))

    const missing = await bench.run(...copyOf(bench, blockSegment({ blocks: 1, from: 0, to: 0, source: 2 })))
    const { detail } = checkCondition(missing, copyAborted, Asc.unreachableCopyTarget)
    assert.deepEqual(detail, { commandSpecific: 0, field: { in: "segment", byte: 4 } })
  })

  it("tells a wrong device type and a wrong block length", async () => {
    const bench = make()
    const wrongType = lid1List([bench.cscd(0), bench.cscd(1, { deviceType: 5 })], [whole])
    const type = checkCondition(
      await bench.run(...copy1(wrongType)),
      copyAborted,
      Asc.incorrectCopyTargetDeviceType,
    )
    assert.deepEqual(type.detail.field, { in: "parameters", byte: 48 })
    const wrongBlocks = lid1List([bench.cscd(0, { blockBytes: 4096 }), bench.cscd(1)], [whole])
    const blocks = checkCondition(
      await bench.run(...copy1(wrongBlocks)),
      copyAborted,
      Asc.invalidFieldInParameterList,
    )
    assert.deepEqual(blocks.detail.field, { in: "parameters", byte: 16 + 29 })
    good(await bench.run(...copy1(lid1List([bench.cscd(0, { blockBytes: 0 }), bench.cscd(1)], [whole]))))
  })

  it("points at the block address of what ends behind a device", async () => {
    const bench = make()
    for (const [from, to, byte] of [
      [60, 0, 12],
      [0, 60, 20],
      [2n ** 63n, 0, 12],
      [0, 2n ** 64n - 1n, 20],
    ] as const) {
      const task = await bench.run(...copyOf(bench, blockSegment({ blocks: 8, from, to })))
      const sense = checkCondition(task, copyAborted, Asc.noAdditionalSense)
      assert.deepEqual(sense.detail, { commandSpecific: 0, field: { in: "segment", byte } })
    }
    const offset = byteSegment({ bytes: 1, from: [0, 512], to: [0, 0] })
    const sense = checkCondition(
      await bench.run(...copyOf(bench, offset)),
      copyAborted,
      Asc.invalidFieldInParameterList,
    )
    assert.deepEqual(sense.detail.field, { in: "segment", byte: 28 })
    assert.deepEqual(bench.disk(1).device.calls, [])
  })

  it("forwards the sense of the device that failed, source or destination", async () => {
    const bench = make()
    for (const [lun, call, source] of [
      [0, "read", 1],
      [1, "write", 2],
    ] as const) {
      bench.disk(lun).device.failures.set(call, new BlockError("io", "as told"))
      const task = await bench.run(...copyOf(bench, whole))
      const sense = checkCondition(task, copyAborted, Asc.thirdPartyDeviceFailure)
      assert.deepEqual(sense.detail.field, { in: "parameters", byte: 16 + lun * 32 })
      const forwarded = Buffer.from(task.senseData!).subarray(-22)
      assert.deepEqual([...forwarded.subarray(0, 4)], [0x0c, 20, source, Status.checkCondition])
      assert.equal(forwarded[4], 0xf0)
      assert.equal(forwarded[6], SenseKey.mediumError)
    }
  })

  it("has the forwarded sense behind the fixed format, and says where", async () => {
    const bench = make()
    bench.disk(0).unit.control.descriptorSense = false
    bench.disk(1).device.failures.set("write", new BlockError("no-space", "as told"))
    const task = await bench.run(...copyOf(bench, whole))
    checkCondition(task, copyAborted, Asc.thirdPartyDeviceFailure)
    const sense = Buffer.from(task.senseData!)
    assert.equal(sense.length, 18 + 1 + 18)
    assert.equal(sense[7], sense.length - 8)
    assert.deepEqual([...sense.subarray(8, 12)], [0, 18, 0, 0])
    assert.deepEqual(
      [sense[18], sense[19], sense[21]! & 0x0f],
      [Status.checkCondition, 0xf0, SenseKey.dataProtect],
    )
  })

  it("tells how many blocks of the segment haven't been written", async () => {
    const blocks = 4 * 2048
    const bench = new CopyBench({ blocks }, { blocks })
    bench.disk(1).device.failures.set(`write ${2 * 1024 * 1024}`, new BlockError("io", "as told"))
    const task = await bench.run(...copyOf(bench, blockSegment({ blocks, from: 0, to: 0 })))
    const sense = checkCondition(task, copyAborted, Asc.thirdPartyDeviceFailure)
    assert.equal(sense.detail.information, 2 * 2048)
  })

  it("honours write protection and reservations at both ends", async () => {
    const readOnly = make({ readOnly: true })
    const task = await readOnly.run(...copyOf(readOnly, whole))
    checkCondition(task, copyAborted, Asc.thirdPartyDeviceFailure)
    assert.equal(task.senseData![task.senseData!.length - 16]! & 0x0f, SenseKey.dataProtect)

    const bench = new CopyBench({}, {}, {})
    const other = bench.attach(testNexus("other"))
    const list = lid1List([bench.cscd(0), bench.cscd(1)], [whole])
    for (const lun of [0, 1]) {
      good(await bench.run(Uint8Array.of(0x16, 0, 0, 0, 0, 0), { nexus: other, lun }))
      const refused = await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, list.length), {
        dataOut: list,
        lun: 2,
      })
      checkCondition(refused, copyAborted, Asc.thirdPartyDeviceFailure)
      const forwarded = [0x0c, 2, lun === 0 ? 1 : 2, Status.reservationConflict]
      assert.deepEqual([...refused.senseData!.subarray(-4)], forwarded)
      good(await bench.run(Uint8Array.of(0x17, 0, 0, 0, 0, 0), { nexus: other, lun }))
    }
    assert.deepEqual(bench.disk(1).device.calls, [])
  })

  it("leaves the unit attentions of the other unit to be told to the initiator", async () => {
    const bench = make()
    bench.disk(1).unit.establishUnitAttention(Asc.modeParametersChanged)
    good(await bench.run(...copyOf(bench, whole)))
    assert.equal(bench.disk(1).unit.takeUnitAttention(bench.nexus), Asc.modeParametersChanged)
  })

  it("stops where the destination shrinks under it", async () => {
    const blocks = 4 * 2048
    const bench = new CopyBench({ blocks }, { blocks })
    bench.disk(1).device.slow = true
    const task = bench.send(...copyOf(bench, blockSegment({ blocks, from: 0, to: 0 })))
    await settle()
    await bench.disk(1).device.resize(2048 * 512)
    await bench.finishAll()
    checkCondition(await task.ended, copyAborted, Asc.thirdPartyDeviceFailure)
  })
})

describe("EXTENDED COPY among other commands", () => {
  it("keeps out of a range that COMPARE AND WRITE holds", async () => {
    const bench = new CopyBench({}, {})
    const { device } = bench.disk(1)
    device.slow = true
    const compare = Buffer.alloc(16)
    compare[0] = 0x89
    compare.writeBigUInt64BE(4n, 2)
    compare[13] = 1
    const swap = bench.send(compare, { dataOut: Buffer.alloc(1024).fill(9, 512), lun: 1 })
    await settle()
    bench.disk(0).device.bytes.fill(5)
    const segment = blockSegment({ blocks: 8, from: 0, to: 0 })
    const copy = bench.send(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], [segment])))
    await settle()
    assert.deepEqual(
      device.waiting.map(({ call }) => call),
      ["read 2048+512"],
    )
    await bench.finishAll()
    good(await swap.ended)
    good(await copy.ended)
    assert.ok(device.bytes.subarray(0, 4096).every((byte) => byte === 5))
  })

  it("is refused with BUSY when there are too many, and with a list identifier that is in use", async () => {
    const bench = new CopyBench({}, {})
    bench.disk(1).device.slow = true
    const segment = blockSegment({ blocks: 1, from: 0, to: 0 })
    const list = (listId: number) => lid1List([bench.cscd(0), bench.cscd(1)], [segment], { listId })
    const running = Array.from({ length: 16 }, (_, i) => bench.send(...copy1(list(i))))
    await settle()
    const again = await bench.run(...copy1(list(3)))
    checkCondition(again, SenseKey.illegalRequest, Asc.operationInProgress)
    assert.equal((await bench.run(...copy1(list(99)))).status, Status.busy)
    await bench.finishAll()
    for (const task of running) good(await task.ended)
    const retried = bench.send(...copy1(list(3)))
    await bench.finishAll()
    good(await retried.ended)
  })

  it("gives no storage to what has none, where the destination is thin", async () => {
    const blocks = 5 * 2048
    for (const thin of [true, false]) {
      const bench = new CopyBench({ blocks }, { blocks, thin })
      const [source, destination] = [bench.disk(0).device, bench.disk(1).device]
      source.bytes.set(pattern(1024 * 1024), 2 * 1024 * 1024)
      source.allocated.fill(0)
      source.allocated.fill(1, 512, 768)
      source.allocated.fill(1, 1024, 1025)
      destination.bytes.fill(7)
      const segment = blockSegment({ blocks, from: 0, to: 0 })
      good(await bench.run(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], [segment]))))
      assert.equal(Buffer.compare(destination.bytes, source.bytes), 0)
      const expected = thin ? ["discard 0+1048576", "discard 1048576+1048576", "discard 3145728+1048576"] : []
      assert.deepEqual(
        destination.calls.filter((call) => call.startsWith("discard")),
        expected,
      )
    }
  })

  it("uses the device's own copy where there is one, and reads and writes where it can't", async () => {
    for (const can of [true, false]) {
      const bench = new CopyBench({ blocks: 8 * 2048 }, { blocks: 8 * 2048 })
      const [source, destination] = [bench.disk(0).device, bench.disk(1).device]
      source.bytes.set(pattern(source.bytes.length))
      const asked: number[] = []
      Object.assign(destination, {
        copyFrom: (from: unknown, sourceOffset: number, offset: number, length: number) => {
          assert.equal(from, source)
          asked.push(offset)
          if (can) destination.bytes.set(source.bytes.subarray(sourceOffset, sourceOffset + length), offset)
          return can
        },
      })
      const segment = blockSegment({ blocks: 4 * 2048, from: 2048, to: 4 * 2048 })
      good(await bench.run(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], [segment]))))
      const expected = source.bytes.subarray(2048 * 512, 5 * 2048 * 512)
      assert.equal(Buffer.compare(destination.bytes.subarray(4 * 2048 * 512), expected), 0)
      if (can) assert.deepEqual([asked.length, destination.calls.length], [4, 0])
      else assert.ok(asked.length <= 2)
    }
  })
})

describe("RECEIVE COPY STATUS while a copy is under way", () => {
  it("tells how far it is", async () => {
    const blocks = 3 * 2048
    const bench = new CopyBench({ blocks }, { blocks })
    bench.disk(1).device.slow = true
    const segments = [
      blockSegment({ blocks: 2048, from: 0, to: 0 }),
      blockSegment({ blocks: 4096, from: 0, to: 2048 }),
    ]
    const task = bench.send(...copy1(lid1List([bench.cscd(0), bench.cscd(1)], segments, { listId: 7 })))
    await settle()
    bench.disk(1).device.finishNext()
    await settle()
    assert.equal(
      Buffer.from(good(await bench.run(receiveCdb(ThirdPartyCopyIn.receiveCopyStatusLid1, 7)))).toString(
        "hex",
      ),
      "00000008" + "00" + "0002" + "00" + "00100000",
    )
    const lid4 = Buffer.from(good(await bench.run(receiveCdb(ThirdPartyCopyIn.receiveCopyStatusLid4, 7))))
    assert.equal(lid4.length, 32)
    assert.deepEqual([lid4[4], lid4[5], lid4.readUInt32BE(8), lid4[15]], [0x00, 0x11, 0xffff_ffff, 0])
    assert.equal(lid4.readBigUInt64BE(16), 1024n * 1024n)
    await bench.finishAll()
    good(await task.ended)
  })
})
