/**
 * Where targets in use depart from RFC 7145, each by name, and what our initiator does about it. The facts
 * are those of isert (LIO) and tgt as they were read and seen on the wire.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  encodePdu,
  LogoutRequest,
  NopIn,
  NopOut,
  Opcode,
  ScsiResponse,
} from "../../../../src/iscsi/pdu/index.ts"
import { assertBytes, patternOf } from "../../../suites/datamover-ends.ts"
import { ISER, MESSAGE, message, rawTarget } from "./raw-peer.ts"
import type { InitiatorWorld } from "./raw-peer.ts"

const WRITE_STAG = 4
const READ_STAG = 16

const response = (tag: number) => message(encodePdu(ScsiResponse, { initiatorTaskTag: tag }))

async function commandOf(world: InitiatorWorld) {
  const { raw, until } = world
  const before = raw.messages.length
  await until("the command", () => raw.messages.length > before)
  const { bytes, view } = raw.messages.at(-1)!
  assert.equal(view.getUint8(ISER) & 0x3f, Opcode.scsiCommand)
  return { bytes, view }
}

describe("our iSER initiator, and targets in use", () => {
  test("it offers to serve RDMA Reads, or no target could fetch what is written", async () => {
    const world = await rawTarget()
    assert.ok(world.request.initiatorDepth >= 1)
    assert.deepEqual([...world.request.privateData.subarray(0, 4)], [0x80, 0, 0, 0])
    await world.finish()
  })

  test("everybody has one receive during login: one request at a time, and room for what may follow the last answer", async () => {
    const world = await rawTarget({ receives: 1, timing: { latencyMs: [1, 1], rnrDelayMs: 30_000 } })
    const { clock } = world
    // Before any command: a NOP-In, an Asynchronous Message.
    const behind = [1, 2, 3, 4].map((tag) => message(encodePdu(NopIn, { initiatorTaskTag: tag })))
    await world.login(behind)
    assert.ok(clock.nowMs() < 10_000, "no message had to be sent again for want of a receive")
    await world.finish()
  })

  test("as many answers as there may be commands find room at once", async () => {
    const world = await rawTarget({ receives: 200, timing: { rnrDelayMs: 30_000 } })
    await world.login()
    const { raw, end, until, clock } = world
    for (let tag = 0; tag < 128; tag++) end.read(tag, 512)
    await until("the commands", () => raw.messages.length === 128)
    for (let tag = 0; tag < 128; tag++) raw.send(response(tag))
    for (let i = 0; i < 64; i++) raw.send(message(encodePdu(NopIn, { initiatorTaskTag: i })))
    await until("the answers", () => end.seen.length === 192)
    assert.ok(clock.nowMs() < 10_000, "no message had to be sent again for want of a receive")
    await world.finish()
  })

  test("isert, tgt: data is read from the advertised base on, which stands behind immediate data", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, until } = world
    end.write(1, 16384, 4096)
    const { bytes, view } = await commandOf(world)
    assert.equal(view.getUint8(0), 0x18, "a Write STag, no Read STag")
    assertBytes(bytes.subarray(MESSAGE), patternOf(1, 4096))
    const read = raw.read(12288, view, WRITE_STAG)
    await until("the data", () => raw.reads === 1)
    assertBytes(read, patternOf(1, 16384).subarray(4096))
    raw.send(response(1))
    await until("the response", () => end.responseOf(1) !== undefined)
    await world.finish()
  })

  test("a Write STag is advertised only for data that is to be fetched", async () => {
    const world = await rawTarget()
    await world.login()
    world.end.write(1, 512, 512)
    const { view } = await commandOf(world)
    assert.equal(view.getUint8(0), 0x10)
    for (let at = 1; at < ISER; at++) assert.equal(view.getUint8(at), 0)
    await world.finish()
  })

  test("tgt never invalidates: the initiator does, before it hears that the command is over", async () => {
    const world = await rawTarget({ privateData: null })
    await world.login()
    const { raw, end, until, settle } = world
    end.read(1, 4096)
    const { view } = await commandOf(world)
    assert.equal(view.getUint8(0), 0x14)
    raw.write(patternOf(1, 4096), view, READ_STAG)
    raw.send(response(1))
    await until("the response", () => end.responseOf(1) !== undefined)
    assertBytes(end.dataIn.get(1), patternOf(1, 4096))
    raw.write(patternOf(2, 4096), view, READ_STAG)
    await settle()
    assertBytes(end.dataIn.get(1), patternOf(1, 4096))
    assert.equal(raw.failures.length, 1, "the STag leads nowhere")
    await world.finish()
  })

  test("isert invalidates the Read STag; with two of them the other one is taken back here", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, until, settle, datamover } = world
    const dataOut = patternOf(1, 600)
    const dataIn = new Uint8Array(500)
    const header = encodePdu(NopOut, { initiatorTaskTag: 1 })
    header[0] = Opcode.scsiCommand
    header[1] = 0xe0
    datamover.sendCommand(header, { dataOut, dataIn, unsolicitedBytes: 0 })
    const { view } = await commandOf(world)
    assert.equal(view.getUint8(0), 0x1c)
    const read = raw.read(600, view, WRITE_STAG)
    raw.write(patternOf(7, 500), view, READ_STAG)
    await until("the data", () => raw.reads === 1)
    assertBytes(read, dataOut)
    raw.send(response(1), view.getUint32(READ_STAG))
    await until("the response", () => end.responseOf(1) !== undefined)
    assertBytes(dataIn, patternOf(7, 500))
    assert.deepEqual(end.lost, [])
    raw.read(600, view, WRITE_STAG)
    await settle()
    assert.equal(raw.failures.length, 1, "the Write STag leads nowhere")
    await world.finish()
  })

  test("ib_iser drops the connection when an STag is invalidated that isn't the command's; so do we", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, until } = world
    end.read(1, 4096)
    const first = await commandOf(world)
    end.read(2, 4096)
    await commandOf(world)
    raw.send(response(2), first.view.getUint32(READ_STAG))
    await until("the end", () => end.lost.length === 1)
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_MESSAGE")
    await world.finish()
  })

  test("after a logout the target disconnects: it is given its time, and no more", async () => {
    for (const disconnects of [true, false]) {
      const world = await rawTarget()
      await world.login()
      const { raw, end, until, datamover, clock } = world
      const beganMs = clock.nowMs()
      datamover.sendControl(encodePdu(LogoutRequest, { immediate: true, initiatorTaskTag: 1 }))
      datamover.connectionClose()
      await until("the request", () => raw.messages.length === 1)
      await clock.advance(1000)
      assert.equal(raw.ended, undefined)
      if (disconnects) raw.connection!.disconnect()
      await until("the end", () => raw.ended !== undefined)
      assert.equal(raw.ended, disconnects ? "local" : "peer")
      assert.equal(clock.nowMs() - beganMs < 5000, disconnects)
      assert.deepEqual(end.lost, [])
      await world.finish()
    }
  })

  test("isert answers a ping without its data", async () => {
    const world = await rawTarget()
    await world.login()
    const { raw, end, until, datamover } = world
    datamover.sendControl(
      encodePdu(NopOut, { immediate: true, targetTransferTag: 0xffffffff, initiatorTaskTag: 9 }),
      patternOf(1, 100),
    )
    await until("the ping", () => raw.messages.length === 1)
    raw.send(message(encodePdu(NopIn, { initiatorTaskTag: 9 })))
    await until("the answer", () => end.seen.length === 1)
    assert.equal(end.seen[0]!.data.length, 0)
    assert.deepEqual(end.lost, [])
    await world.finish()
  })

  test("a target that says nothing of it has room for eight immediate requests at a time", async () => {
    const world = await rawTarget({ keys: { peerMaxOutstandingUnexpectedPdus: undefined }, receives: 8 })
    await world.login()
    const { raw, end, until, datamover, settle } = world
    raw.receive(1)
    for (let tag = 0; tag < 20; tag++)
      datamover.sendControl(
        encodePdu(NopOut, {
          immediate: true,
          targetTransferTag: 0xffffffff,
          initiatorTaskTag: tag,
          cmdSn: 5,
        }),
      )
    await settle()
    assert.equal(raw.messages.length, 8)
    assert.deepEqual(raw.failures, [])
    raw.receive(12)
    raw.send(message(encodePdu(NopIn, { initiatorTaskTag: 7, expCmdSn: 5 })))
    await until("more", () => raw.messages.length === 16)
    raw.send(message(encodePdu(NopIn, { initiatorTaskTag: 15, expCmdSn: 5 })))
    await until("the rest", () => raw.messages.length === 20)
    assert.deepEqual(
      raw.messages.map(({ view }) => view.getUint32(ISER + 16)),
      Array.from({ length: 20 }, (_, i) => i),
    )
    await until("the answers", () => end.seen.length === 2)
    await world.finish()
  })

  test("commands that were taken prove that immediate requests before them were", async () => {
    const world = await rawTarget({ keys: { peerMaxOutstandingUnexpectedPdus: 2 } })
    await world.login()
    const { raw, until, datamover, settle } = world
    const ping = (tag: number, cmdSn: number) =>
      datamover.sendControl(
        encodePdu(NopOut, { immediate: true, targetTransferTag: 0xffffffff, initiatorTaskTag: tag, cmdSn }),
      )
    for (let tag = 0; tag < 3; tag++) ping(tag, 5)
    datamover.sendControl(encodePdu(NopOut, { initiatorTaskTag: 10, cmdSn: 5 }))
    await settle()
    assert.equal(raw.messages.length, 3)
    raw.send(message(encodePdu(NopIn, { initiatorTaskTag: 10, expCmdSn: 6 })))
    await until("the third", () => raw.messages.length === 4)
    await world.finish()
  })
})
