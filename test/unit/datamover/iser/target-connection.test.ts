/**
 * The connection of a target's end of iSER, and what is no data: held to RFC 7145 by an initiator of nothing
 * but verbs.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  AsyncMessage,
  encodePdu,
  LogoutResponse,
  NopIn,
  NopOut,
  Opcode,
  ScsiCommand,
} from "../../../../src/iscsi/pdu/index.ts"
import { memoryOf } from "../../../../src/datamover/iser/registered-memory.ts"
import { patternOf } from "../../../suites/datamover-ends.ts"
import { ISER, MESSAGE, message, rawInitiator } from "./raw-peer.ts"

type How = { read?: boolean; write?: boolean; final?: boolean }

const command = (tag: number, bytes: number, how: How = {}) =>
  encodePdu(ScsiCommand, {
    final: true,
    ...how,
    initiatorTaskTag: tag,
    expectedDataTransferLength: bytes,
    cmdSn: tag,
  })

const hello = (versions = 0xaa, reads = 4) => {
  const bytes = Buffer.alloc(ISER)
  bytes[0] = 0x20
  bytes[1] = versions
  bytes.writeUInt16BE(reads, 2)
  return bytes
}

describe("iSER target: the connection", () => {
  test("logout: the response is sent, then the target disconnects", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end, datamover } = world
    datamover.sendControl(encodePdu(LogoutResponse, { initiatorTaskTag: 1 }))
    datamover.connectionClose()
    await until("the end", () => raw.ended !== undefined)
    assert.equal(raw.messages.length, 1)
    assert.equal(raw.ended, "peer")
    assert.deepEqual(end.lost, [])
    await world.finish()
  })

  test("no room for another connection is told before the last Login Response", async () => {
    const world = await rawInitiator()
    const { datamover, keys } = world
    const memory = memoryOf(datamover["channel"].registered.pd.device)
    memory.receiveBytes += 1073741824
    datamover.noticeKeyValues(keys)
    assert.throws(() => datamover.allocateConnectionResources(), { code: "ERR_ISER_RESOURCES" })
    memory.receiveBytes -= 1073741824
    datamover.noticeKeyValues({
      ...keys,
      initialR2T: false,
      firstBurstLength: 2 ** 24 - 1,
      maxRecvDataSegmentLength: 512,
    })
    assert.throws(() => datamover.allocateConnectionResources(), { code: "ERR_ISER_RESOURCES" })
    await world.finish()
  })

  test("takes long data segments as long as half of the memory for receives is free", async () => {
    const first = await rawInitiator()
    const memory = memoryOf(first.datamover["channel"].registered.pd.device)
    assert.equal(first.datamover.iserSegmentBytesMax, 262144)
    assert.ok(memory.receiveBytes > 262144, "its first receive has room for one")
    assert.equal(memory.targetSegmentBytes, 262144)
    memory.receiveBytes += 1073741824 / 2
    assert.equal(memory.targetSegmentBytes, 8192)
    memory.receiveBytes -= 1073741824 / 2
    await first.finish()
  })

  test("a Hello that comes first is answered", async () => {
    for (const [versions, current] of [
      [0xaa, 10],
      [0x11, 1],
      [0xf0, 10],
    ] as const) {
      const world = await rawInitiator()
      const { raw, until } = world
      raw.send(hello(versions))
      await until("the answer", () => raw.messages.length === 1)
      const { bytes } = raw.messages[0]!
      assert.equal(bytes.length, ISER)
      assert.equal(bytes[0], 0x30)
      assert.equal(bytes[1], 0xa0 | current)
      assert.equal(bytes.readUInt16BE(2), 4)
      raw.messages.length = 0
      await world.login()
      await world.finish()
    }
  })

  test("a Hello for versions we don't speak, or one we could never read from, is refused", async () => {
    for (const [versions, responderResources] of [
      [0x22, 16],
      [0xaa, 0],
    ] as const) {
      const world = await rawInitiator({ responderResources })
      const { raw, until, end } = world
      raw.send(hello(versions))
      await until("the end", () => raw.ended !== undefined)
      assert.equal(raw.messages[0]!.bytes[0], 0x31)
      await until("word of it", () => end.lost.length === 1)
      await world.finish()
    }
  })

  for (const [name, bytes] of [
    ["a Hello too long", Buffer.concat([hello(), Buffer.alloc(4)])],
    ["a HelloReply", Buffer.from(hello()).fill(0x30, 0, 1)],
    ["a type that is none", Buffer.from(hello()).fill(0x40, 0, 1)],
    ["a message shorter than its header", Buffer.alloc(27, 0x10)],
    ["a PDU shorter than its header", Buffer.alloc(ISER + 47, 0x10)],
    ["nothing at all", Buffer.alloc(0)],
    [
      "a data segment longer than the message",
      message(encodePdu(NopOut, {}), patternOf(1, 100)).subarray(0, MESSAGE + 99),
    ],
    ["a message longer than its PDU", message(encodePdu(NopOut, {}), patternOf(1, 100), { pad: 4 })],
    ["an STag with a NOP-Out", message(encodePdu(NopOut, {}), undefined, { first: 0x18 })],
    ["a Read STag with a write", message(command(1, 5, { write: true }), undefined, { first: 0x14 })],
    ["a Write STag with a read", message(command(1, 5, { read: true }), undefined, { first: 0x1c })],
  ] as const) {
    test(`${name} ends the connection`, async () => {
      const world = await rawInitiator()
      const { raw, until, end } = world
      if (!name.startsWith("a Hello too")) await world.login()
      raw.send(bytes)
      await until("the end", () => raw.ended !== undefined && end.lost.length === 1)
      assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_MESSAGE")
      await world.finish()
    })
  }

  test("a data segment longer than was declared ends the connection", async () => {
    const world = await rawInitiator({ keys: { maxRecvDataSegmentLength: 1024 } })
    await world.login()
    const { raw, until, end } = world
    raw.send(message(encodePdu(NopOut, {}), patternOf(1, 1028)))
    await until("the end", () => end.lost.length === 1)
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_PDU_TOO_LONG")
    await world.finish()
  })

  test("PDUs that aren't a target's are told to the iSCSI layer", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end } = world
    raw.send(message(encodePdu(NopIn, {})))
    raw.send(message(Buffer.concat([encodePdu(NopOut, {}), Buffer.alloc(8)])))
    await until("both", () => end.formatErrors.length === 2)
    await world.finish()
  })
})

describe("iSER target: a peer that takes nothing", () => {
  test("no more of its requests are taken when too much waits for it, and all go on when it does", async () => {
    const world = await rawInitiator({ receives: 1, rnrRetryCount: 7 })
    await world.login()
    const { raw, until, end, datamover } = world
    const echo = patternOf(1, 8192)
    end.onPdu = () => {
      for (let i = 0; i < 16; i++) datamover.sendControl(encodePdu(NopIn, { initiatorTaskTag: i }), echo)
    }
    for (let i = 0; i < 100; i++) raw.send(message(encodePdu(NopOut, { initiatorTaskTag: i })))
    await world.settle()
    // 40 times 16 times 8 KiB are the five MiB that may wait.
    assert.ok(end.seen.length >= 39 && end.seen.length <= 41, `${end.seen.length} were taken`)
    assert.deepEqual(end.lost, [])
    raw.receive(900)
    await until("more", () => raw.messages.length === 900)
    await until("more requests", () => end.seen.length > 90)
    await world.finish()
  })
})

describe("iSER target: what nobody asked for", () => {
  test("an initiator that says nothing of it gets three at a time: the last for a ping, whose answer makes room", async () => {
    const world = await rawInitiator({ keys: { peerMaxOutstandingUnexpectedPdus: undefined } })
    await world.login()
    const { raw, until, end, datamover, settle } = world
    for (let statSn = 1; statSn <= 5; statSn++)
      datamover.sendControl(encodePdu(AsyncMessage, { initiatorTaskTag: 0xffffffff, statSn }))
    const ping = (targetTransferTag: number) =>
      datamover.sendControl(encodePdu(NopIn, { initiatorTaskTag: 0xffffffff, targetTransferTag, statSn: 6 }))
    ping(77)
    ping(78)
    await settle()
    const opcodes = () => raw.messages.map(({ view }) => view.getUint8(ISER) & 0x3f)
    assert.deepEqual(opcodes(), [Opcode.asyncMessage, Opcode.asyncMessage, Opcode.nopIn])
    raw.send(
      message(encodePdu(NopOut, { initiatorTaskTag: 0xffffffff, targetTransferTag: 77, expStatSn: 1 })),
    )
    await until("more", () => raw.messages.length === 5)
    raw.send(message(encodePdu(NopOut, { initiatorTaskTag: 3, expStatSn: 5 })))
    await until("the rest", () => raw.messages.length === 7)
    assert.equal(end.seen.length, 2)
    await world.finish()
  })

  test("0 means no limit, and answers to requests need no room", async () => {
    const world = await rawInitiator({ keys: { peerMaxOutstandingUnexpectedPdus: 0 } })
    await world.login()
    const { raw, until, datamover } = world
    for (let i = 0; i < 20; i++)
      datamover.sendControl(encodePdu(AsyncMessage, { initiatorTaskTag: 0xffffffff }))
    await until("all", () => raw.messages.length === 20)
    datamover.noticeKeyValues({ ...world.keys, peerMaxOutstandingUnexpectedPdus: 2 })
    for (let i = 0; i < 20; i++) datamover.sendControl(encodePdu(NopIn, { initiatorTaskTag: i }))
    await until("the answers", () => raw.messages.length === 40)
    await world.finish()
  })

  test("an initiator that never takes any is given up", async () => {
    const world = await rawInitiator({ keys: { peerMaxOutstandingUnexpectedPdus: 2 } })
    await world.login()
    const { end, until, datamover } = world
    for (let i = 0; i < 100; i++)
      datamover.sendControl(encodePdu(AsyncMessage, { initiatorTaskTag: 0xffffffff }))
    await until("the end", () => end.lost.length === 1)
    await world.finish()
  })
})
