/**
 * Where initiators in use depart from RFC 7145, each by name, and what our target does about it. The facts
 * are those of ib_iser, libiscsi and open-iscsi as they were read and seen on the wire.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  encodePdu,
  NopIn,
  NopOut,
  Opcode,
  ScsiCommand,
  ScsiResponse,
} from "../../../../src/iscsi/pdu/index.ts"
import { assertBytes, patternOf } from "../../../suites/datamover-ends.ts"
import { ISER, MESSAGE, message, rawInitiator } from "./raw-peer.ts"
import type { TargetWorld } from "./raw-peer.ts"

const command = (
  tag: number,
  bytes: number,
  how: { read?: boolean; write?: boolean; final?: boolean } = {},
) =>
  encodePdu(ScsiCommand, {
    final: true,
    ...how,
    initiatorTaskTag: tag,
    expectedDataTransferLength: bytes,
    cmdSn: tag,
  })

/**
 * A write whose first `unsolicited` bytes go with the command, and whose STag stands `base` bytes into its
 * data.
 */
async function write(world: TargetWorld, tag: number, bytes: number, unsolicited: number, base: number) {
  const { raw, until, end } = world
  const data = patternOf(tag, bytes)
  const region = raw.lend(data)
  raw.send(
    message(command(tag, bytes, { write: true }), data.subarray(0, unsolicited), {
      write: region,
      writeOffset: base,
    }),
  )
  const before = raw.messages.length
  await until("the response", () => raw.messages.length > before)
  assertBytes(end.written.get(tag), data)
}

describe("our iSER target, and initiators in use", () => {
  test("login comes in iSER control PDUs, on a connection that is RDMA already", async () => {
    const world = await rawInitiator()
    await world.login()
    await world.finish()
  })

  test("ib_iser: the write base offset stands behind the unsolicited data, undeclared", async () => {
    const world = await rawInitiator({ keys: { taggedBufferForSolicitedDataOnly: undefined } })
    await world.login()
    await write(world, 1, 16384, 4096, 4096)
    await write(world, 2, 16384, 0, 0)
    await world.finish()
  })

  test("ib_iser: behind Data-Out that came unasked as well", async () => {
    const keys = {
      taggedBufferForSolicitedDataOnly: undefined,
      initialR2T: false,
      firstBurstLength: 8192,
      maxRecvDataSegmentLength: 4096,
    }
    const world = await rawInitiator({ keys })
    await world.login()
    const { raw, until, end, datamover } = world
    const data = patternOf(1, 20_000)
    const region = raw.lend(data)
    let fetched: Uint8Array | undefined
    end.onPdu = () => {
      const buffer = datamover.allocateDataOut(1, 20_000 - 8192)
      assert.ok(!(buffer instanceof Promise))
      void datamover.getData(1, 0, 0, 8192, buffer.bytes).then(() => {
        fetched = buffer.bytes.slice()
        buffer.release()
      })
    }
    raw.send(
      message(command(1, 20_000, { write: true, final: false }), data.subarray(0, 4096), {
        write: region,
        writeOffset: 8192,
      }),
    )
    await until("the data", () => fetched !== undefined)
    assertBytes(fetched, data.subarray(8192))
    await world.finish()
  })

  test("TaggedBufferForSolicitedDataOnly=No, declared: the base stands at the beginning of all data", async () => {
    const world = await rawInitiator({ keys: { taggedBufferForSolicitedDataOnly: false } })
    await world.login()
    await write(world, 1, 16384, 4096, 0)
    await world.finish()
  })

  test("libiscsi: a Write STag comes though all data has come already", async () => {
    const world = await rawInitiator({ privateData: Uint8Array.of(0xc0, 0, 0, 0) })
    await world.login()
    await write(world, 1, 512, 512, 512)
    assert.equal(world.raw.messages.at(-1)!.invalidated, 0)
    await world.finish()
  })

  test("libiscsi before 1.20: immediate data that is told of and doesn't come is fetched", async () => {
    const world = await rawInitiator({ privateData: Uint8Array.of(0xc0, 0, 0, 0) })
    await world.login()
    const { raw, until, end } = world
    const data = patternOf(1, 4096)
    const announced = message(command(1, 4096, { write: true }), undefined, { write: raw.lend(data) })
    announced.writeUIntBE(4096, ISER + 5, 3) // DataSegmentLength
    const before = raw.messages.length
    raw.send(announced)
    await until("the response", () => raw.messages.length > before)
    assertBytes(end.written.get(1), data)
    await world.finish()
  })

  test("ib_iser, libiscsi: receives have room for 128 bytes of data, whatever was declared", async () => {
    const keys = {
      taggedBufferForSolicitedDataOnly: undefined,
      maxSendDataSegmentLength: 128, // what the login makes of an initiator that doesn't know RFC 7145's keys
    }
    const world = await rawInitiator({ keys, receives: 1, receiveBytes: 8268 })
    await world.login()
    const { raw, until, datamover } = world
    raw.receive(3, MESSAGE + 128)
    const sense = Buffer.concat([Buffer.from([0, 252]), patternOf(1, 252)])
    const echo = patternOf(2, 300)
    datamover.sendControl(encodePdu(ScsiResponse, { status: 2, initiatorTaskTag: 1 }), sense)
    datamover.sendControl(encodePdu(NopIn, { initiatorTaskTag: 2 }), echo)
    datamover.sendControl(encodePdu(ScsiResponse, { status: 2, initiatorTaskTag: 3 }), sense.subarray(0, 98))
    await until("all three", () => raw.messages.length === 3)
    const [first, second, third] = raw.messages.map(({ bytes }) => bytes)
    assert.equal(first!.readUIntBE(ISER + 5, 3), 128)
    assert.equal(first!.readUInt16BE(MESSAGE), 126, "the sense data is as long as it says")
    assertBytes(first!.subarray(MESSAGE + 2), sense.subarray(2, 128))
    assertBytes(second!.subarray(MESSAGE), echo.subarray(0, 128))
    assert.equal(third!.length, MESSAGE + 100, "98 bytes, padded")
    await world.finish()
  })

  test("everybody has one receive during login: one answer for each request, and no word more", async () => {
    const world = await rawInitiator({ receives: 1 })
    const { raw, until, end, datamover, settle } = world
    for (let i = 0; i < 3; i++) {
      end.onPdu = () => datamover.sendControl(encodePdu(NopIn, { initiatorTaskTag: i }))
      raw.send(message(encodePdu(NopOut, { initiatorTaskTag: i })))
      await until("the answer", () => raw.messages.length === i + 1)
      await settle()
      raw.receive(1)
    }
    assert.deepEqual(raw.failures, [])
    await world.finish()
  })

  test("libiscsi posts its receives after the login: nothing is sent unasked behind the last response", async () => {
    const world = await rawInitiator({ receives: 1 })
    await world.login()
    await world.settle()
    assert.equal(world.raw.messages.length, 0)
    world.raw.receive(1)
    world.raw.send(message(encodePdu(NopOut, { initiatorTaskTag: 1 })))
    await world.until("the ping", () => world.end.seen.length === 1)
    assert.deepEqual(world.end.lost, [])
    await world.finish()
  })

  test("the whole window of commands may come at once, right behind the final Login Response", async () => {
    const world = await rawInitiator({ timing: { rnrDelayMs: 30_000 } })
    await world.login()
    const { raw, end, until, clock } = world
    end.silent = true
    for (let i = 0; i < 128 + 64; i++) raw.send(message(command(i, 512, { write: true }), patternOf(i, 512)))
    await until("all", () => end.seen.length === 192)
    assert.ok(clock.nowMs() < 10_000, "no message had to be sent again for want of a receive")
    await world.finish()
  })

  test("the padding behind a data segment may be missing", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, end, until } = world
    for (const [i, pad] of [0, 1, 2, 3].entries())
      raw.send(message(encodePdu(NopOut, { initiatorTaskTag: i }), patternOf(i, 5), { pad }))
    await until("all", () => end.seen.length === 4)
    for (const [i, { data }] of end.seen.entries()) assertBytes(data, patternOf(i, 5))
    await world.finish()
  })

  for (const [name, privateData, invalidates, answer] of [
    ["ib_iser takes Send with Invalidate", Uint8Array.of(0x80, 0, 0, 0), true, 0x80],
    ["ib_iser with always_register=N, libiscsi: not", Uint8Array.of(0xc0, 0, 0, 0), false, 0xc0],
    ["no private data over iWARP: not", null, false, 0xc0],
    ["private data padded with zeroes", new Uint8Array(56), true, 0x80],
  ] as const) {
    test(name, async () => {
      const world = await rawInitiator({ privateData })
      await world.login()
      const { raw, until } = world
      assert.equal(raw.connection!.privateData[0], answer)
      const into = raw.lend(new Uint8Array(5000))
      raw.send(message(command(1, 5000, { read: true }), undefined, { read: into }))
      await until("the response", () => raw.messages.length === 1)
      assertBytes(into.bytes, patternOf(1, 5000))
      assert.equal(raw.messages[0]!.view.getUint8(ISER) & 0x3f, Opcode.scsiResponse)
      assert.equal(raw.messages[0]!.invalidated, invalidates ? into.rkey : 0)
      await world.finish()
    })
  }

  test("isert invalidates with every SCSI Response, CHECK CONDITION as well; so do we", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end, datamover } = world
    end.onPdu = () => datamover.sendControl(encodePdu(ScsiResponse, { status: 2, initiatorTaskTag: 1 }))
    const into = raw.lend(new Uint8Array(512))
    raw.send(message(command(1, 512, { read: true }), undefined, { read: into }))
    await until("the response", () => raw.messages.length === 1)
    assert.equal(raw.messages[0]!.invalidated, into.rkey)
    assert.deepEqual(new Uint8Array(512), into.bytes)
    await world.finish()
  })
})
