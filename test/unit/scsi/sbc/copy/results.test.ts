import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { COPY_RESULTS_MAX } from "../../../../../src/base/limits.ts"
import { ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { decodeSense, Asc, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, testNexus } from "../../../../suites/scsi-task.ts"
import {
  blockSegment,
  CopyBench,
  extendedCopyCdb,
  lid1List,
  lid4List,
  type ListOptions,
  populateList,
  receiveCdb,
  tokenCdb,
} from "./copy-bench.ts"

const { illegalRequest, copyAborted } = SenseKey
const STATUS1 = ThirdPartyCopyIn.receiveCopyStatusLid1
const DATA1 = ThirdPartyCopyIn.receiveCopyDataLid1
const PARAMETERS = ThirdPartyCopyIn.receiveCopyOperatingParameters
const DETAILS1 = ThirdPartyCopyIn.receiveCopyFailureDetailsLid1
const STATUS4 = ThirdPartyCopyIn.receiveCopyStatusLid4
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const make = () => new CopyBench({}, {})
const copy = (bench: CopyBench, blocks: number, options: ListOptions = {}, lid = 1) => {
  const build = lid === 1 ? lid1List : lid4List
  const dataOut = build([bench.cscd(0), bench.cscd(1)], [blockSegment({ blocks, from: 0, to: 0 })], options)
  return bench.run(
    extendedCopyCdb(
      lid === 1 ? ThirdPartyCopyOut.extendedCopyLid1 : ThirdPartyCopyOut.extendedCopyLid4,
      dataOut.length,
    ),
    { dataOut },
  )
}
const unknown = async (bench: CopyBench, serviceAction: number, listId: number): Promise<void> => {
  const task = await bench.run(receiveCdb(serviceAction, listId))
  const sense = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
  assert.deepEqual(sense.detail.field, { in: "cdb", byte: 2 })
}

describe("RECEIVE COPY RESULTS", () => {
  it("knows nothing of copies there were none of, of other nexuses, and of those without list identifier", async () => {
    const bench = make()
    for (const serviceAction of [STATUS1, DATA1, DETAILS1, STATUS4, 7]) await unknown(bench, serviceAction, 1)
    good(await copy(bench, 8, { listId: 1 }))
    const other = bench.attach(testNexus("other"))
    const asked = await bench.run(receiveCdb(STATUS4, 1), { nexus: other })
    checkCondition(asked, illegalRequest, Asc.invalidFieldInCdb)
    good(await bench.run(receiveCdb(STATUS4, 1)))
    good(await copy(bench, 8, { listId: 0, usage: 3 }))
    await unknown(bench, STATUS4, 0)
  })

  it("COPY STATUS (LID1) tells of a copy that has ended, once", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 5 }))
    assert.equal(
      hex(good(await bench.run(receiveCdb(STATUS1, 5)))),
      "00000008" + "01" + "0001" + "00" + "00001000",
    )
    await unknown(bench, STATUS1, 5)
  })

  it("RECEIVE DATA (LID1) has nothing held, of one that has ended", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 5 }))
    assert.equal(hex(good(await bench.run(receiveCdb(DATA1, 5)))), "00000000")
  })

  it("FAILED SEGMENT DETAILS (LID1) has the sense data of a failure, until it was handed over whole", async () => {
    const bench = make()
    checkCondition(await copy(bench, 65, { listId: 6 }), copyAborted, Asc.noAdditionalSense)
    assert.equal(good(await bench.run(receiveCdb(STATUS1, 6)))[4], 0x02)
    assert.equal(good(await bench.run(receiveCdb(DETAILS1, 6, 60))).length, 60)
    const details = Buffer.from(good(await bench.run(receiveCdb(DETAILS1, 6))))
    assert.equal(details.readUInt32BE(0), details.length - 4)
    assert.equal(details[56], 0x02)
    assert.equal(details.readUInt16BE(58), details.length - 60)
    const sense = decodeSense(details.subarray(60))
    assert.deepEqual([sense?.key, sense?.asc], [copyAborted, Asc.noAdditionalSense])
    assert.deepEqual(sense?.detail, { commandSpecific: 0, field: { in: "segment", byte: 12 } })
    await unknown(bench, DETAILS1, 6)
  })

  it("FAILED SEGMENT DETAILS (LID1) has none of a copy that went well, nor of another command", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 6 }))
    assert.equal(hex(good(await bench.run(receiveCdb(DETAILS1, 6)))), "00000000")
    const dataOut = populateList([[0, 8]])
    good(await bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, 7, dataOut.length), { dataOut }))
    await unknown(bench, DETAILS1, 7)
  })

  it("COPY STATUS (LID4) tells of success and failure, with sense data padded to words", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 0xdead_beef }, 4))
    const well = Buffer.from(good(await bench.run(receiveCdb(STATUS4, 0xdead_beef))))
    assert.equal(
      hex(well),
      "0000001c" + "01010002" + "fffffffe" + "00000000" + "0000000000001000" + "0001" + "000000000000",
    )
    checkCondition(await copy(bench, 65, { listId: 9 }, 4), copyAborted, Asc.noAdditionalSense)
    const failed = Buffer.from(good(await bench.run(receiveCdb(STATUS4, 9))))
    assert.deepEqual([failed[5], failed[12]], [0x02, 0x02])
    assert.equal(failed.length, 32 + failed[13]!)
    assert.equal(failed[13]! % 4, 0)
    assert.equal(decodeSense(failed.subarray(32, 32 + failed[14]!))?.key, copyAborted)
  })

  it("takes a list identifier for the same whatever its width", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 0xfd }))
    assert.equal(good(await bench.run(receiveCdb(STATUS4, 0xfd)))[4], 0x00)
  })

  it("tells of the newest of those with one list identifier, and forgets the oldest of too many", async () => {
    const bench = make()
    good(await copy(bench, 8, { listId: 1 }))
    good(await copy(bench, 16, { listId: 1 }))
    const status = Buffer.from(good(await bench.run(receiveCdb(STATUS4, 1))))
    assert.equal(status.readBigUInt64BE(16), 16n * 512n)
    for (let listId = 2; listId < 2 + COPY_RESULTS_MAX; listId++) good(await copy(bench, 1, { listId }))
    await unknown(bench, STATUS4, 1)
    good(await bench.run(receiveCdb(STATUS4, 2)))
  })

  it("OPERATING PARAMETERS", async () => {
    const bench = make()
    const data = good(await bench.run(receiveCdb(PARAMETERS, 0)))
    assert.equal(
      hex(data),
      "0000002b" +
        "01000000" +
        "0040" +
        "0100" +
        "00004000" +
        "00000000".repeat(4) +
        "0000" +
        "0010" +
        "10" +
        "000000" +
        "000000" +
        "03" +
        "020ae4",
    )
    assert.equal(good(await bench.run(receiveCdb(PARAMETERS, 0, 10))).length, 10)
  })
})

/** The third-party copy descriptors of VPD page 8Fh by type. */
async function descriptors(bench: CopyBench): Promise<Map<number, Buffer>> {
  const page = Buffer.from(good(await bench.run(Uint8Array.of(0x12, 0x01, 0x8f, 4, 0, 0))))
  assert.deepEqual([page[0], page[1], page.readUInt16BE(2)], [0, 0x8f, page.length - 4])
  const found = new Map<number, Buffer>()
  for (let at = 4; at < page.length; ) {
    const length = 4 + page.readUInt16BE(at + 2)
    assert.equal(length % 4, 0)
    const type = page.readUInt16BE(at)
    assert.ok(
      [...found.keys()].every((earlier) => earlier < type),
      "rising",
    )
    found.set(type, page.subarray(at, at + length))
    at += length
  }
  return found
}

describe("VPD page 8Fh", () => {
  it("has each descriptor that what there is asks for", async () => {
    const found = await descriptors(make())
    assert.deepEqual(
      [...found.keys()],
      [0x0000, 0x0001, 0x0004, 0x0008, 0x000c, 0x0106, 0x0108, 0x8001, 0xc001],
    )
    const lengths = [...found.values()].map((descriptor) => descriptor.length)
    assert.deepEqual(lengths, [36, 20, 32, 8, 8, 96, 136, 36, 32])
  })

  it("lists the commands that REPORT SUPPORTED OPERATION CODES does", async () => {
    const bench = make()
    const commands = (await descriptors(bench)).get(0x0001)!
    assert.equal(
      hex(commands.subarray(4)),
      "0f" + "83" + "05" + "0001" + "10111c" + "84" + "06" + "000103040507",
    )
    for (const [opcode, actions] of [
      [0x83, [0x00, 0x01, 0x10, 0x11, 0x1c]],
      [0x84, [0x00, 0x01, 0x03, 0x04, 0x05, 0x07]],
    ] as const) {
      for (let action = 0; action < 0x20; action++) {
        const ask = Uint8Array.of(0xa3, 0x0c, 2, opcode, 0, action, 0, 0, 1, 0, 0, 0)
        const support = good(await bench.run(ask))[1]! & 0x07
        assert.equal(support, (actions as readonly number[]).includes(action) ? 3 : 1)
      }
    }
  })

  it("tells the same as OPERATING PARAMETERS, and the limits that are kept", async () => {
    const bench = new CopyBench({ logicalBlockBytes: 4096 })
    const found = await descriptors(bench)
    const operating = Buffer.from(good(await bench.run(receiveCdb(PARAMETERS, 0))))
    assert.deepEqual(found.get(0x0004)!.subarray(8, 16), operating.subarray(8, 16))
    assert.equal(hex(found.get(0x0008)!.subarray(4)), "03020ae4")
    assert.equal(hex(found.get(0x000c)!.subarray(4)), "0002ffff")
    const limits = found.get(0x0000)!
    assert.deepEqual(
      [limits.readUInt16BE(10), limits.readUInt32BE(12), limits.readUInt32BE(16)],
      [64, 600, 60],
    )
    assert.equal(limits.readBigUInt64BE(20), 2n ** 30n / 4096n)
    const features = found.get(0x0106)!
    assert.equal(features.readUInt32BE(24), 600)
    assert.equal(features.readBigUInt64BE(48 + 8), 2n ** 30n)
    const types = found.get(0x0108)!
    assert.deepEqual(
      [types.readUInt32BE(8), types[12], types.readUInt32BE(72), types[76]],
      [0x0080_0001, 0x03, 0xffff_0001, 0x02],
    )
  })

  it("comes with the 3PC bit of INQUIRY", async () => {
    const inquiry = good(await make().run(Uint8Array.of(0x12, 0, 0, 0, 96, 0)))
    assert.equal(inquiry[5]! & 0x08, 0x08)
  })
})
