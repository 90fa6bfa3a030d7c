import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { Asc, type SenseDetail, SenseKey } from "../../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../../suites/scsi-task.ts"
import {
  blockSegment,
  CopyBench,
  extendedCopyCdb,
  lid1List,
  lid4List,
  populateList,
  type Range,
  tokenCdb,
  writeList,
  zeroToken,
} from "./copy-bench.ts"

const { illegalRequest } = SenseKey
type Field = SenseDetail["field"]
const at = (byte: number, bit?: number): Field =>
  bit === undefined ? { in: "parameters", byte } : { in: "parameters", byte, bit }

/** A list that is made wrong, what comes of it, and where sense data points. */
interface Wrong {
  readonly what: string
  readonly list: Uint8Array
  readonly asc: Asc
  readonly field?: Field
}

const bench = new CopyBench({}, {})
const cscds = [bench.cscd(0), bench.cscd(1)]
const segment = blockSegment({ blocks: 1, from: 0, to: 0 })

function changed(list: Uint8Array, byte: number, ...values: number[]): Buffer {
  const copy = Buffer.from(list)
  copy.set(values, byte)
  return copy
}

async function refuses(serviceAction: number, cases: readonly Wrong[]): Promise<void> {
  for (const { what, list, asc, field } of cases) {
    const cdb =
      serviceAction < 2
        ? extendedCopyCdb(serviceAction, list.length)
        : tokenCdb(serviceAction, 1, list.length)
    const task = await bench.run(cdb, { dataOut: list })
    const told = task.sense && `${task.sense.asc.toString(16)} ${JSON.stringify(task.sense.detail)}`
    assert.equal(task.sense?.key, illegalRequest, `${what}: ${told}`)
    assert.equal(task.sense.asc, asc, `${what}: ${told}`)
    assert.deepEqual(task.sense.detail.field, field, what)
  }
  for (const { device } of bench.disks) assert.deepEqual(device.calls, [])
}

describe("EXTENDED COPY (LID1), a parameter list that is wrong", () => {
  const list = lid1List(cscds, [segment])
  const segmentAt = 16 + 2 * 32

  it("of no bytes is no error", async () => {
    good(await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, 0)))
    good(await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid4, 0)))
  })

  it("is refused before anything is copied, and sense data tells where", () =>
    refuses(0, [
      { what: "shorter than its header", list: list.subarray(0, 15), asc: Asc.parameterListLengthError },
      {
        what: "ends within a CSCD descriptor",
        list: list.subarray(0, segmentAt - 1),
        asc: Asc.parameterListLengthError,
      },
      { what: "ends within a segment", list: list.subarray(0, -1), asc: Asc.parameterListLengthError },
      {
        what: "LID with LIST ID USAGE 11b",
        list: lid1List(cscds, [segment], { usage: 3, listId: 1 }),
        asc: Asc.invalidFieldInParameterList,
        field: at(0),
      },
      {
        what: "LIST ID USAGE 01b",
        list: lid1List(cscds, [segment], { usage: 1 }),
        asc: Asc.invalidFieldInParameterList,
        field: at(1, 4),
      },
      {
        what: "CSCD list of odd length",
        list: changed(list, 2, 0, 63),
        asc: Asc.invalidFieldInParameterList,
        field: at(2),
      },
      {
        what: "65 CSCD descriptors",
        list: lid1List(new Array<Uint8Array>(65).fill(cscds[0]!), [segment]),
        asc: Asc.tooManyTargetDescriptors,
        field: at(2),
      },
      {
        what: "CSCD of another type",
        list: changed(list, 48, 0xe0),
        asc: Asc.unsupportedTargetDescriptorType,
        field: at(48),
      },
      {
        what: "257 segments",
        list: lid1List(cscds, new Array<Uint8Array>(257).fill(segment)),
        asc: Asc.tooManySegmentDescriptors,
        field: at(8),
      },
      {
        what: "segment of another type",
        list: changed(list, segmentAt, 0x03),
        asc: Asc.unsupportedSegmentDescriptorType,
        field: at(segmentAt),
      },
      {
        what: "segment of a wrong length",
        list: changed(list, segmentAt + 2, 0, 20),
        asc: Asc.invalidFieldInParameterList,
        field: at(segmentAt + 2),
      },
      {
        what: "segment list that cuts its last one off",
        list: changed(list, 8, 0, 0, 0, 27),
        asc: Asc.parameterListLengthError,
      },
      { what: "inline data", list: changed(list, 12, 0, 0, 0, 1), asc: Asc.inlineDataLengthExceeded },
      {
        what: "more bytes of descriptors than there may be",
        list: changed(list, 8, 0, 0, 0x40, 0),
        asc: Asc.parameterListLengthError,
      },
      {
        what: "more bytes than anybody needs",
        list: Buffer.alloc(48 + 16 * 1024 + 1),
        asc: Asc.parameterListLengthError,
      },
    ]))

  it("of as many descriptors as there may be is taken", async () => {
    const full = lid1List(
      new Array<Uint8Array>(64).fill(cscds[0]!),
      new Array<Uint8Array>(256).fill(blockSegment({ blocks: 0, from: 0, to: 0, destination: 63 })),
    )
    good(await bench.run(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, full.length), { dataOut: full }))
  })
})

describe("EXTENDED COPY (LID4), a parameter list that is wrong", () => {
  const list = lid4List(cscds, [segment])

  it("is refused before anything is copied, and sense data tells where", () =>
    refuses(1, [
      { what: "shorter than its header", list: list.subarray(0, 47), asc: Asc.parameterListLengthError },
      {
        what: "PARAMETER LIST FORMAT",
        list: changed(list, 0, 0),
        asc: Asc.invalidFieldInParameterList,
        field: at(0),
      },
      {
        what: "HEADER CSCD DESCRIPTOR LIST LENGTH",
        list: changed(list, 2, 0, 0),
        asc: Asc.invalidFieldInParameterList,
        field: at(2),
      },
      {
        what: "G_SENSE",
        list: changed(list, 15, 0x02),
        asc: Asc.invalidFieldInParameterList,
        field: at(15, 1),
      },
      {
        what: "HEADER CSCD DESCRIPTOR TYPE CODE",
        list: changed(list, 16, 0xe4),
        asc: Asc.invalidFieldInParameterList,
        field: at(16),
      },
      {
        what: "LID with LIST ID USAGE 11b",
        list: lid4List(cscds, [segment], { usage: 3, listId: 1 }),
        asc: Asc.invalidFieldInParameterList,
        field: at(20),
      },
      {
        what: "IMMED without list identifier",
        list: lid4List(cscds, [segment], { usage: 3, listId: 0, immediate: true }),
        asc: Asc.invalidFieldInParameterList,
        field: at(1, 4),
      },
      {
        what: "CSCD of another type",
        list: changed(list, 80, 0xfe),
        asc: Asc.unsupportedTargetDescriptorType,
        field: at(80),
      },
      { what: "inline data", list: changed(list, 46, 0, 1), asc: Asc.inlineDataLengthExceeded },
    ]))
})

describe("POPULATE TOKEN, a parameter list that is wrong", () => {
  const list = populateList([[0, 8]])
  const many = (count: number): Range[] =>
    Array.from({ length: count }, (_, i): Range => [i % 64, i < 64 ? 1 : 0])

  it("of no bytes is no error", async () => {
    good(await bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, 1, 0)))
  })

  it("is refused, and sense data tells where", () =>
    refuses(0x10, [
      { what: "shorter than its header", list: list.subarray(0, 15), asc: Asc.parameterListLengthError },
      {
        what: "POPULATE TOKEN DATA LENGTH",
        list: changed(list, 0, 0, 0x1d),
        asc: Asc.invalidFieldInParameterList,
        field: at(0),
      },
      {
        what: "INACTIVITY TIMEOUT",
        list: populateList([[0, 8]], { timeoutSeconds: 601 }),
        asc: Asc.invalidFieldInParameterList,
        field: at(4),
      },
      {
        what: "ROD TYPE",
        list: populateList([[0, 8]], { rodType: 0x0001_0000 }),
        asc: Asc.invalidFieldInParameterList,
        field: at(8),
      },
      {
        what: "no range",
        list: changed(list, 14, 0, 15),
        asc: Asc.invalidFieldInParameterList,
        field: at(14),
      },
      { what: "65 ranges", list: populateList(many(65)), asc: Asc.tooManySegmentDescriptors },
      {
        what: "a block in two ranges",
        list: populateList([
          [0, 8],
          [16, 8],
          [23, 4],
        ]),
        asc: Asc.invalidFieldInParameterList,
        field: at(48),
      },
      { what: "a range that ends behind the device", list: populateList([[60, 8]]), asc: Asc.lbaOutOfRange },
      { what: "an address beyond all", list: populateList([[2n ** 64n - 1n, 1]]), asc: Asc.lbaOutOfRange },
    ]))

  it("of more bytes than a token can stand for is refused", async () => {
    const blocks = 2 ** 21 + 1
    const large = new CopyBench({ blocks: 8 })
    large.disk(0).unit.blocks = 2 * blocks
    const dataOut = populateList([
      [0, 1],
      [blocks, blocks],
    ])
    const task = await large.run(tokenCdb(ThirdPartyCopyOut.populateToken, 1, dataOut.length), { dataOut })
    const sense = checkCondition(task, illegalRequest, Asc.invalidFieldInParameterList)
    assert.deepEqual(sense.detail.field, at(16 + 16 + 8))
  })

  it("takes as many ranges as there may be", async () => {
    const dataOut = populateList(many(64))
    good(await bench.run(tokenCdb(ThirdPartyCopyOut.populateToken, 1, dataOut.length), { dataOut }))
  })
})

describe("WRITE USING TOKEN, a parameter list that is wrong", () => {
  const list = writeList(zeroToken(), [[0, 8]])

  it("of no bytes is no error", async () => {
    good(await bench.run(tokenCdb(ThirdPartyCopyOut.writeUsingToken, 1, 0)))
  })

  it("is refused, and sense data tells where", () =>
    refuses(0x11, [
      { what: "shorter than its header", list: list.subarray(0, 535), asc: Asc.parameterListLengthError },
      {
        what: "WRITE USING TOKEN DATA LENGTH",
        list: changed(list, 0, 0x02, 0x25),
        asc: Asc.invalidFieldInParameterList,
        field: at(0),
      },
      {
        what: "DATA LENGTH that isn't that of the ranges",
        list: changed(list, 0, 0x02, 0x36),
        asc: Asc.invalidFieldInParameterList,
        field: at(0),
      },
      { what: "ROD TOKEN LENGTH", list: changed(list, 16 + 6, 0x01, 0xf7), asc: Asc.invalidTokenLength },
      {
        what: "a token of another type",
        list: changed(list, 16, 0x00, 0x01, 0x00, 0x00),
        asc: Asc.invalidTokenUnsupportedType,
      },
      {
        what: "a token nobody has made",
        list: changed(list, 16, 0x00, 0x80, 0x00, 0x01),
        asc: Asc.invalidTokenUnknown,
      },
      {
        what: "a range that ends behind the device",
        list: writeList(zeroToken(), [[63, 2]]),
        asc: Asc.lbaOutOfRange,
      },
      {
        what: "a block in two ranges",
        list: writeList(zeroToken(), [
          [0, 8],
          [7, 1],
        ]),
        asc: Asc.invalidFieldInParameterList,
        field: at(536 + 16),
      },
    ]))
})
