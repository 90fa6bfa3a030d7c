/** What a target puts on the wire, and how it takes what isn't right. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { DataBuffer } from "../../../../src/base/buffers.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import { TcpTargetDatamover } from "../../../../src/datamover/tcp/index.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { TaskAbortedError } from "../../../../src/iscsi/da.ts"
import {
  DataIn,
  encodeAhs,
  encodePdu,
  LoginResponse,
  NopIn,
  NopOut,
  Opcode,
  ReadyToTransfer,
  RejectReason,
  ScsiCommand,
  ScsiResponse,
} from "../../../../src/iscsi/pdu/index.ts"
import { End, patternOf } from "../../../suites/datamover-ends.ts"
import { frame, ManualStream, testKeys } from "./frame.ts"
import { ask, dataOut, makeTarget, response, sentBy, turn } from "./lone-target.ts"
import type { Target } from "./lone-target.ts"

function put({ datamover }: Target, tag: number, offset: number, bytes: number, final: boolean): void {
  const buffer = datamover.allocateDataIn(tag, bytes) as DataBuffer
  buffer.bytes.set(patternOf(tag, offset + bytes).subarray(offset))
  datamover.putData(tag, offset, buffer, bytes, final)
}

describe("target: Data-In", () => {
  for (const digests of [{}, { header: true, data: true }]) {
    test(`GOOD joins the last Data-In: ${JSON.stringify(digests)}`, async () => {
      const on = digests.header ? ({ headerDigest: "CRC32C", dataDigest: "CRC32C" } as const) : {}
      const target = makeTarget(on)
      put(target, 77, 0, 4093, true)
      target.datamover.sendControl(response(77, { underflow: true, residualCount: 3 }))
      await turn()
      assert.equal(target.stream.writes.length, 1, "one write")
      assert.equal(target.stream.writes[0]!.length, 1, "of one piece")
      const expected = frame(
        encodePdu(DataIn, {
          final: true,
          statusPresent: true,
          underflow: true,
          initiatorTaskTag: 77,
          targetTransferTag: 0xffffffff,
          statSn: 5,
          expCmdSn: 6,
          maxCmdSn: 7,
          residualCount: 3,
        }),
        patternOf(77, 4093),
        digests,
      )
      assert.deepEqual(target.stream.written(), expected)
    })
  }

  test("a batch of small reads leaves as one piece", async () => {
    const target = makeTarget()
    for (let tag = 0; tag < 20; tag++) {
      put(target, tag, 0, 4096, true)
      target.datamover.sendControl(response(tag))
    }
    await turn()
    assert.deepEqual(
      target.stream.writes.map((pieces) => pieces.map((piece) => piece.length)),
      [[20 * (48 + 4096)]],
    )
  })

  for (const [why, more, data] of [
    ["CHECK CONDITION", { status: 2 }, undefined],
    ["BUSY", { status: 8 }, undefined],
    ["a response code", { response: 1 }, undefined],
    ["a bidirectional residual", { bidirectionalReadUnderflow: true }, undefined],
    ["sense data", {}, Buffer.from("sense")],
  ] as const) {
    test(`a response with ${why} is sent by itself`, async () => {
      const target = makeTarget()
      put(target, 1, 0, 100, true)
      target.datamover.sendControl(response(1, more), data)
      const [dataIn, status] = await sentBy(target)
      assert.equal(dataIn!.header[1], 0x80)
      assert.equal(new ScsiResponse(status!.view, 0).opcode, Opcode.scsiResponse)
      assert.equal(new ScsiResponse(status!.view, 0).expDataSn, 1)
    })
  }

  test("a response doesn't overtake what was numbered before it", async () => {
    const target = makeTarget()
    put(target, 1, 0, 100, true)
    target.datamover.sendControl(encodePdu(NopIn, { final: true, initiatorTaskTag: 9, statSn: 4 }))
    target.datamover.sendControl(response(1))
    const opcodes = (await sentBy(target)).map(({ header }) => header[0])
    assert.deepEqual(opcodes, [Opcode.dataIn, Opcode.nopIn, Opcode.scsiResponse])
  })

  test("data is cut at MaxRecvDataSegmentLength of the peer, F stands at MaxBurstLength and the end", async () => {
    const target = makeTarget({ maxSendDataSegmentLength: 1002, maxBurstLength: 2048 })
    put(target, 3, 0, 3000, false)
    target.end.expCmdSn = 50
    target.end.maxCmdSn = 60
    put(target, 3, 3000, 2001, true)
    target.datamover.sendControl(response(3))
    const pdus = (await sentBy(target)).map(({ view, data }) => ({ header: new DataIn(view, 0), data }))
    let offset = 0
    for (const [i, { header, data }] of pdus.entries()) {
      assert.equal(header.dataSn, i)
      assert.equal(header.bufferOffset, offset)
      assert.ok(data.length <= 1000)
      assert.deepEqual(Uint8Array.from(data), patternOf(3, 5001).slice(offset, offset + data.length))
      offset += data.length
      assert.equal(header.final, offset % 2048 === 0 || offset === 5001, `F at ${offset}`)
      assert.equal(header.statusPresent, offset === 5001)
    }
    assert.equal(offset, 5001)
    assert.equal(pdus[0]!.header.maxCmdSn, 64)
    assert.equal(pdus.at(-2)!.header.maxCmdSn, 60)
    assert.equal(pdus.at(-1)!.header.maxCmdSn, 7)
  })

  test("memory of others is sent from where it lies, and released when it has gone", async () => {
    const target = makeTarget()
    const bytes = patternOf(1, 20_001)
    let released = 0
    target.datamover.putData(1, 0, { bytes, release: () => void released++ }, 20_001, true)
    const pdus = await sentBy(target)
    assert.deepEqual(Uint8Array.from(Buffer.concat(pdus.map(({ data }) => data))), bytes)
    assert.equal(released, 0)
    target.stream.take()
    assert.equal(released, 1)
  })

  test("released memory is overwritten, and a second release is a mistake", async () => {
    const target = makeTarget()
    const buffer = target.datamover.allocateDataIn(1, 64) as DataBuffer
    buffer.bytes.fill(1)
    buffer.release()
    assert.ok(buffer.bytes.every((byte) => byte === 0xa5))
    assert.throws(() => buffer.release(), { code: "ERR_BUFFER_RELEASED" })
    assert.equal(target.budget.takenBytes, 0)
  })
})

describe("target: R2T and Data-Out", () => {
  test("R2Ts of MaxBurstLength, as many at once as MaxOutstandingR2T", async () => {
    const target = makeTarget({ maxBurstLength: 1000, maxRecvDataSegmentLength: 600 })
    target.end.statSn = 44
    const { into, getting, requests } = await ask(target, 2600)
    assert.deepEqual(
      requests.map((r2t) => [
        r2t.bufferOffset,
        r2t.desiredDataTransferLength,
        r2t.r2tSn,
        r2t.initiatorTaskTag,
      ]),
      [
        [500, 1000, 0, 7],
        [1500, 1000, 1, 7],
      ],
    )
    assert.equal(requests[0]!.statSn, 44)
    const data = patternOf(7, 3100)
    const send = (ttt: number, from: number, to: number, dataSn: number, final: boolean) =>
      target.stream.feed(frame(dataOut(ttt, 7, from, dataSn, final), data.subarray(from, to)))
    send(requests[1]!.targetTransferTag, 1500, 2100, 0, false)
    send(requests[0]!.targetTransferTag, 500, 1100, 0, false)
    assert.equal(target.stream.writes.length, 0)
    send(requests[1]!.targetTransferTag, 2100, 2500, 1, true)
    const [third] = (await sentBy(target)).map(({ view }) => new ReadyToTransfer(view, 0))
    assert.deepEqual([third!.bufferOffset, third!.desiredDataTransferLength, third!.r2tSn], [2500, 600, 2])
    send(requests[0]!.targetTransferTag, 1100, 1500, 1, true)
    send(third!.targetTransferTag, 2500, 3100, 0, true)
    await getting
    assert.deepEqual(into, data.slice(500))
    target.datamover.sendControl(response(7))
    const [status] = await sentBy(target)
    assert.equal(new ScsiResponse(status!.view, 0).expDataSn, 3)
    assert.deepEqual(target.end.formatErrors, [])
  })

  test("with DataPDUInOrder=No data may come in any order", async () => {
    const target = makeTarget({ dataPduInOrder: false, dataSequenceInOrder: false })
    const { into, getting, requests } = await ask(target)
    const data = patternOf(7, 2500)
    for (const [sn, from] of [2000, 500, 1500, 1000].entries()) {
      const header = dataOut(requests[0]!.targetTransferTag, 7, from, sn, sn === 3)
      target.stream.feed(frame(header, data.subarray(from, from + 500)))
    }
    await getting
    assert.deepEqual(into, data.slice(500))
  })

  const wrong: [string, Partial<DatamoverKeys>, (ttt: number) => Buffer[], number][] = [
    ["data before the R2T's", {}, (t) => [frame(dataOut(t, 7, 499, 0, false), new Uint8Array(100))], 4],
    ["data behind the R2T's", {}, (t) => [frame(dataOut(t, 7, 500, 0, true), new Uint8Array(2001))], 4],
    ["out of order", {}, (t) => [frame(dataOut(t, 7, 600, 0, false), new Uint8Array(100))], 4],
    ["a short end", {}, (t) => [frame(dataOut(t, 7, 500, 0, true), new Uint8Array(1999))], 4],
    ["no F at the end", {}, (t) => [frame(dataOut(t, 7, 500, 0, false), new Uint8Array(2000))], 4],
    [
      "data behind the R2T's after some was lost",
      {},
      (t) => [
        frame(dataOut(t, 7, 600, 1, false), new Uint8Array(100)),
        frame(dataOut(t, 7, 2400, 2, true), new Uint8Array(101)),
      ],
      4,
    ],
    [
      "more than the R2T asked for after some was lost",
      {},
      (t) => [
        frame(dataOut(t, 7, 500, 1, false), new Uint8Array(1500)),
        frame(dataOut(t, 7, 500, 2, false), new Uint8Array(1500)),
      ],
      4,
    ],
    ["another task's tag", {}, (t) => [frame(dataOut(t, 8, 500, 0, true), new Uint8Array(2000))], 9],
    ["a tag never given", {}, () => [frame(dataOut(1234, 7, 500, 0, true), new Uint8Array(2000))], 4],
    [
      "an overlap",
      { dataPduInOrder: false },
      (t) => [
        frame(dataOut(t, 7, 500, 0, false), new Uint8Array(100)),
        frame(dataOut(t, 7, 550, 1, false), new Uint8Array(100)),
      ],
      4,
    ],
  ]
  for (const [what, keys, make, reason] of wrong) {
    test(`Data-Out with ${what} is refused, and getData doesn't end`, async () => {
      const target = makeTarget(keys)
      const { getting, requests, isDone } = await ask(target)
      for (const bytes of make(requests[0]!.targetTransferTag)) target.stream.feed(bytes)
      await turn()
      assert.deepEqual(
        target.end.formatErrors.map((error) => error.reason),
        [reason],
      )
      assert.equal(isDone(), false)
      target.datamover.connectionTerminate()
      await assert.rejects(getting, TaskAbortedError)
    })
  }

  test("data for a task that has ended is dropped, also in the middle of a PDU", async () => {
    const target = makeTarget()
    const { into, getting, requests } = await ask(target, 8000)
    const header = dataOut(requests[0]!.targetTransferTag, 7, 500, 0, false)
    const bytes = frame(header, new Uint8Array(7000).fill(1))
    target.stream.feed(bytes.subarray(0, 1048))
    target.datamover.deallocateTaskResources(7)
    await assert.rejects(getting, TaskAbortedError)
    assert.equal(target.stream.refreshed, 1)
    into.fill(9)
    target.stream.feed(bytes.subarray(1048))
    target.stream.feed(frame(dataOut(requests[0]!.targetTransferTag, 7, 7500, 1, true), new Uint8Array(1000)))
    target.stream.feed(frame(encodePdu(NopOut, { initiatorTaskTag: 5 })))
    assert.ok(into.every((byte) => byte === 9))
    assert.deepEqual(target.end.formatErrors, [])
    assert.equal(target.end.seen.length, 1)
  })
})

describe("target: what can't be used", () => {
  test("responses and unknown opcodes are refused, the connection goes on", () => {
    const target = makeTarget()
    for (const opcode of [0x07, 0x1c, 0x21, 0x25, 0x31, 0x3f]) {
      const header = new Uint8Array(48)
      header[0] = opcode
      target.stream.feed(frame(header, new Uint8Array(7)))
    }
    assert.deepEqual(
      target.end.formatErrors.map(({ reason }) => reason),
      new Array<number>(6).fill(RejectReason.commandNotSupported),
    )
  })

  test("additional header segments belong to SCSI Commands alone", () => {
    const target = makeTarget()
    const ahs = encodeAhs({ bidirectionalReadBytes: 1 })
    for (const header of [encodePdu(NopOut, {}), dataOut(1, 1, 0, 0, true), encodePdu(ScsiCommand, {})]) {
      target.stream.feed(frame(Buffer.concat([header, ahs])))
    }
    assert.deepEqual(
      target.end.formatErrors.map(({ reason }) => reason),
      [RejectReason.protocolError, RejectReason.protocolError],
    )
    assert.equal(target.end.seen.length, 1)
  })

  test("a wrong header digest ends the connection with a typed error", () => {
    const target = makeTarget({ headerDigest: "CRC32C" })
    target.stream.feed(frame(encodePdu(NopOut, {})))
    target.stream.feed(Buffer.alloc(100))
    assert.equal(target.stream.destroyed, true)
    target.stream.close()
    assert.deepEqual(
      target.end.lost.map((error) => (error as { code?: string }).code),
      ["ERR_HEADER_DIGEST"],
    )
  })

  test("an error in the layer above costs this connection, and is told", () => {
    const target = makeTarget()
    target.end.onPdu = () => {
      throw new RangeError("a bug")
    }
    target.stream.feed(frame(encodePdu(NopOut, {})))
    target.stream.close()
    assert.equal(target.end.lost[0]!.message, "a bug")
  })
})

describe("target: beginning and end", () => {
  test("the final Login Response leaves in login framing", async () => {
    const stream = new ManualStream()
    const options = { clock: new VirtualClock(), budget: new DataBufferBudget(1e6) }
    const datamover = new TcpTargetDatamover(stream, options)
    const end = new End()
    datamover.start(end, end)
    datamover.noticeKeyValues({ ...testKeys, headerDigest: "CRC32C", dataDigest: "CRC32C" })
    const header = encodePdu(LoginResponse, { transit: true })
    datamover.enableDatamover({ header, data: Buffer.from("a=b\0") })
    datamover.sendControl(encodePdu(NopIn, { final: true }), Buffer.from("ping"))
    await turn()
    const digests = { header: true, data: true }
    assert.deepEqual(
      stream.written(),
      Buffer.concat([
        frame(header, Buffer.from("a=b\0")),
        frame(encodePdu(NopIn, { final: true }), Buffer.from("ping"), digests),
      ]),
    )
  })

  test("in login phase a data segment has at most 8192 bytes", () => {
    const stream = new ManualStream()
    const options = { clock: new VirtualClock(), budget: new DataBufferBudget(1e6) }
    const datamover = new TcpTargetDatamover(stream, options)
    const end = new End()
    datamover.start(end, end)
    stream.feed(Buffer.from("GET / HTTP/1.1\r\nHost: san.example.org\r\nUser-Agent: lost\r\n\r\n"))
    stream.close()
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_PDU_TOO_LONG")
  })

  test("a peer that doesn't say goodbye is left behind after a while", async () => {
    const target = makeTarget()
    target.datamover.connectionClose()
    assert.equal(target.stream.ended, true)
    await target.clock.advance(4_999)
    assert.equal(target.stream.destroyed, false)
    await target.clock.advance(1)
    assert.equal(target.stream.destroyed, true)
    target.stream.close()
    assert.deepEqual(target.end.lost, [])
  })
})
