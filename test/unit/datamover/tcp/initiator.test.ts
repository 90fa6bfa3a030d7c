/** What an initiator puts on the wire, and how it takes what isn't right. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../../../src/datamover/shared/index.ts"
import { TcpInitiatorDatamover } from "../../../../src/datamover/tcp/index.ts"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import {
  DataIn,
  DataOut,
  encodeAhs,
  encodePdu,
  NopIn,
  ReadyToTransfer,
  RejectReason,
  ScsiCommand,
  ScsiResponse,
} from "../../../../src/iscsi/pdu/index.ts"
import { End, patternOf } from "../../../suites/datamover-ends.ts"
import { frame, ManualStream, testKeys, unframe } from "./frame.ts"

function makeInitiator(keys: Partial<DatamoverKeys> = {}) {
  const stream = new ManualStream()
  const budget = new DataBufferBudget(8 * 1024 * 1024)
  const datamover = new TcpInitiatorDatamover(stream, { clock: new VirtualClock(), budget })
  const end = new End()
  datamover.start(end, end)
  datamover.noticeKeyValues({ ...testKeys, ...keys })
  datamover.enableDatamover()
  return { stream, datamover, end }
}

type Initiator = ReturnType<typeof makeInitiator>

const turn = () => new Promise<void>((resolve) => queueMicrotask(resolve))

function read({ datamover }: Initiator, tag: number, bytes: number): Uint8Array {
  const dataIn = new Uint8Array(bytes)
  datamover.sendCommand(encodePdu(ScsiCommand, { final: true, read: true, initiatorTaskTag: tag }), {
    dataIn,
    unsolicitedBytes: 0,
  })
  return dataIn
}

function write({ datamover }: Initiator, tag: number, bytes: number): void {
  datamover.sendCommand(encodePdu(ScsiCommand, { final: true, write: true, initiatorTaskTag: tag }), {
    dataOut: patternOf(tag, bytes),
    unsolicitedBytes: 0,
  })
}

const numbers = { statSn: 10, expCmdSn: 11, maxCmdSn: 12 }
const dataIn = (tag: number, bufferOffset: number, dataSn: number, more: object = {}) =>
  encodePdu(DataIn, { initiatorTaskTag: tag, bufferOffset, dataSn, ...numbers, ...more })
const request = (tag: number, ttt: number, offset: number, bytes: number, r2tSn: number) =>
  encodePdu(ReadyToTransfer, {
    final: true,
    initiatorTaskTag: tag,
    targetTransferTag: ttt,
    bufferOffset: offset,
    desiredDataTransferLength: bytes,
    r2tSn,
    ...numbers,
  })

describe("initiator: Data-In", () => {
  test("a Data-In with status is given on as a SCSI Response", () => {
    const initiator = makeInitiator()
    const into = read(initiator, 3, 700)
    const data = patternOf(3, 600)
    initiator.stream.feed(frame(dataIn(3, 0, 0), data.subarray(0, 500)))
    assert.deepEqual(initiator.end.numbers, { statSn: undefined, expCmdSn: 11, maxCmdSn: 12 })
    assert.equal(initiator.end.seen.length, 0)
    const last = dataIn(3, 500, 1, { final: true, statusPresent: true, underflow: true, residualCount: 100 })
    initiator.stream.feed(frame(last, data.subarray(500)))
    const {
      opcode,
      status,
      underflow,
      residualCount,
      statSn,
      expCmdSn,
      maxCmdSn,
      expDataSn,
      initiatorTaskTag,
    } = initiator.end.seen[0]!.header
    assert.deepEqual(
      { opcode, status, underflow, residualCount, statSn, expCmdSn, maxCmdSn, expDataSn, initiatorTaskTag },
      {
        opcode: ScsiResponse.opcode,
        status: 0,
        underflow: true,
        residualCount: 100,
        ...numbers,
        expDataSn: 2,
        initiatorTaskTag: 3,
      },
    )
    assert.deepEqual(into.slice(0, 600), data)
  })

  test("data for a task that isn't ours is dropped, its numbers count", () => {
    const initiator = makeInitiator()
    initiator.stream.feed(frame(dataIn(3, 0, 0, { final: true, statusPresent: true }), patternOf(1, 100)))
    assert.deepEqual(initiator.end.numbers, numbers)
    assert.deepEqual(initiator.end.formatErrors, [])
  })

  test("GOOD with less data than asked for, and no word of it, gets its residual told", () => {
    for (const phaseCollapse of [true, false]) {
      const initiator = makeInitiator()
      read(initiator, 3, 1000)
      initiator.stream.feed(
        frame(dataIn(3, 0, 0, { final: true, statusPresent: phaseCollapse }), patternOf(3, 300)),
      )
      if (!phaseCollapse) {
        initiator.stream.feed(
          frame(encodePdu(ScsiResponse, { final: true, initiatorTaskTag: 3, ...numbers })),
        )
      }
      const { underflow, residualCount } = initiator.end.seen[0]!.header
      assert.deepEqual({ underflow, residualCount }, { underflow: true, residualCount: 700 })
    }
  })

  const wrong: [string, Buffer[]][] = [
    ["behind the end", [frame(dataIn(3, 900, 0), new Uint8Array(101))]],
    ["far behind the end", [frame(dataIn(3, 0xffffff00, 0), new Uint8Array(101))]],
    ["a DataSN that isn't next", [frame(dataIn(3, 0, 1), new Uint8Array(10))]],
    ["out of order", [frame(dataIn(3, 10, 0), new Uint8Array(10))]],
    ["twice", [frame(dataIn(3, 0, 0), new Uint8Array(10)), frame(dataIn(3, 0, 1), new Uint8Array(10))]],
  ]
  for (const [what, parts] of wrong) {
    test(`Data-In ${what} is refused`, () => {
      const initiator = makeInitiator()
      read(initiator, 3, 1000)
      for (const bytes of parts) initiator.stream.feed(bytes)
      assert.deepEqual(
        initiator.end.formatErrors.map(({ reason }) => reason),
        [RejectReason.protocolError],
      )
    })
  }

  test("with DataPDUInOrder=No data may come in any order, but not twice", () => {
    const initiator = makeInitiator({ dataPduInOrder: false })
    const into = read(initiator, 3, 900)
    const data = patternOf(3, 900)
    for (const [sn, at] of [600, 0, 300].entries()) {
      initiator.stream.feed(frame(dataIn(3, at, sn), data.subarray(at, at + 300)))
    }
    assert.deepEqual(into, data)
    initiator.stream.feed(frame(dataIn(3, 899, 3), new Uint8Array(1)))
    assert.equal(initiator.end.formatErrors.length, 1)
  })
})

describe("initiator: R2T and Data-Out", () => {
  test("R2Ts of several tasks are answered in turn, cut at MaxRecvDataSegmentLength of the target", async () => {
    const initiator = makeInitiator({ maxSendDataSegmentLength: 1001 })
    initiator.end.expStatSn = 21
    for (const tag of [1, 2]) write(initiator, tag, 5000)
    await turn()
    initiator.stream.written()
    const requests = Buffer.concat([
      frame(request(1, 0x51, 0, 2500, 0)),
      frame(request(2, 0x52, 100, 1500, 0)),
    ])
    initiator.stream.feed(requests)
    const sent = unframe(initiator.stream.written()).map(({ view, data }) => ({
      header: new DataOut(view, 0),
      data,
    }))
    assert.deepEqual(
      sent.map(({ header, data }) => [
        header.initiatorTaskTag,
        header.targetTransferTag,
        header.dataSn,
        header.bufferOffset,
        data.length,
        header.final,
      ]),
      [
        [1, 0x51, 0, 0, 1000, false],
        [2, 0x52, 0, 100, 1000, false],
        [1, 0x51, 1, 1000, 1000, false],
        [2, 0x52, 1, 1100, 500, true],
        [1, 0x51, 2, 2000, 500, true],
      ],
    )
    for (const { header, data } of sent) {
      const { initiatorTaskTag: tag, bufferOffset: at } = header
      assert.equal(header.expStatSn, 21)
      assert.deepEqual(Uint8Array.from(data), patternOf(tag, 5000).slice(at, at + data.length))
    }
    assert.deepEqual(initiator.end.numbers, { statSn: undefined, expCmdSn: 11, maxCmdSn: 12 })
  })

  const wrong: [string, Buffer[]][] = [
    ["for more than is written", [frame(request(1, 5, 4000, 1001, 0))]],
    ["for nothing", [frame(request(1, 5, 0, 0, 0))]],
    ["for more than MaxBurstLength", [frame(request(1, 5, 0, 2001, 0))]],
    ["whose R2TSN isn't next", [frame(request(1, 5, 0, 100, 1))]],
  ]
  for (const [what, parts] of wrong) {
    test(`an R2T ${what} is refused`, () => {
      const initiator = makeInitiator({ maxBurstLength: 2000 })
      write(initiator, 1, 5000)
      for (const bytes of parts) initiator.stream.feed(bytes)
      assert.deepEqual(
        initiator.end.formatErrors.map(({ reason }) => reason),
        [RejectReason.protocolError],
      )
    })
  }

  test("more R2Ts than MaxOutstandingR2T are refused", () => {
    const initiator = makeInitiator()
    write(initiator, 1, 5000)
    initiator.stream.feed(Buffer.concat([0, 1, 2].map((sn) => frame(request(1, sn, sn * 1000, 1000, sn)))))
    assert.equal(initiator.end.formatErrors.length, 1)
  })

  test("an R2T for a task that has ended is dropped", async () => {
    const initiator = makeInitiator()
    write(initiator, 1, 5000)
    initiator.datamover.deallocateTaskResources(1)
    await turn()
    initiator.stream.written()
    initiator.stream.feed(frame(request(1, 5, 0, 1000, 0)))
    assert.deepEqual(initiator.stream.written(), Buffer.alloc(0))
    assert.deepEqual(initiator.end.formatErrors, [])
  })
})

describe("initiator: what can't be used", () => {
  test("requests, unknown opcodes and additional header segments are refused", () => {
    const initiator = makeInitiator()
    for (const opcode of [0x00, 0x01, 0x05, 0x10, 0x30, 0x3e]) {
      const header = new Uint8Array(48)
      header[0] = opcode
      initiator.stream.feed(frame(header, new Uint8Array(5)))
    }
    const ahs = encodeAhs({ bidirectionalReadBytes: 1 })
    initiator.stream.feed(frame(Buffer.concat([encodePdu(NopIn, {}), ahs])))
    initiator.stream.feed(frame(Buffer.concat([dataIn(1, 0, 0), ahs])))
    assert.deepEqual(
      initiator.end.formatErrors.map(({ reason }) => reason),
      new Array<number>(8).fill(RejectReason.protocolError),
    )
    assert.equal(initiator.end.seen.length, 0)
  })
})
