/** The target's end of iSER, held to RFC 7145 by an initiator of nothing but verbs. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  DataOut,
  encodePdu,
  Reject,
  ScsiCommand,
  ScsiResponse,
  TaskManagementResponse,
} from "../../../../src/iscsi/pdu/index.ts"
import { assertBytes, patternOf } from "../../../suites/datamover-ends.ts"
import { message, rawInitiator } from "./raw-peer.ts"

type How = { read?: boolean; write?: boolean; final?: boolean }

const command = (tag: number, bytes: number, how: How = {}) =>
  encodePdu(ScsiCommand, {
    final: true,
    ...how,
    initiatorTaskTag: tag,
    expectedDataTransferLength: bytes,
    cmdSn: tag,
  })

describe("iSER target: data", () => {
  test("both ways at once: a bidirectional command has two STags, and one Send takes the read one out of use", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end, datamover } = world
    const out = raw.lend(patternOf(1, 70_000))
    const into = raw.lend(new Uint8Array(300))
    let fetched: Uint8Array | undefined
    end.onPdu = () => {
      const buffer = datamover.allocateDataOut(1, 70_000)
      const dataIn = datamover.allocateDataIn(1, 300)
      assert.ok(!(buffer instanceof Promise || dataIn instanceof Promise))
      dataIn.bytes.set(patternOf(9, 300))
      datamover.putData(1, 0, dataIn, 300, true)
      void datamover.getData(1, 0, 0, 0, buffer.bytes).then(() => {
        fetched = buffer.bytes.slice()
        buffer.release()
        datamover.sendControl(encodePdu(ScsiResponse, { initiatorTaskTag: 1 }))
      })
    }
    raw.send(message(command(1, 70_000, { read: true, write: true }), undefined, { write: out, read: into }))
    await until("the response", () => raw.messages.length === 1)
    assertBytes(fetched, out.bytes)
    assertBytes(into.bytes, patternOf(9, 300))
    assert.equal(raw.messages[0]!.invalidated, into.rkey)
    assert.ok(out.valid)
    await world.finish()
  })

  test("a write alone: its STag is what the response takes out of use", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end } = world
    const out = raw.lend(patternOf(1, 5000))
    raw.send(message(command(1, 5000, { write: true }), undefined, { write: out }))
    await until("the response", () => raw.messages.length === 1)
    assertBytes(end.written.get(1), patternOf(1, 5000))
    assert.equal(raw.messages[0]!.invalidated, out.rkey)
    await world.finish()
  })

  test("no more RDMA Reads are under way than the initiator serves, and none longer than MaxBurstLength", async () => {
    const world = await rawInitiator({ responderResources: 1, keys: { maxBurstLength: 4096 } })
    await world.login()
    const { raw, until, end } = world
    for (let tag = 1; tag <= 8; tag++)
      raw.send(
        message(command(tag, 20_000, { write: true }), undefined, {
          write: raw.lend(patternOf(tag, 20_000)),
        }),
      )
    // One read too many would end the connection: the loopback provider counts.
    await until("the responses", () => raw.messages.length === 8)
    for (let tag = 1; tag <= 8; tag++) assertBytes(end.written.get(tag), patternOf(tag, 20_000))
    await world.finish()
  })

  test("an initiator that serves no RDMA Reads can't write what isn't immediate", async () => {
    const world = await rawInitiator({ responderResources: 0 })
    await world.login()
    const { raw, until, end } = world
    raw.send(message(command(1, 5000, { write: true }), undefined, { write: raw.lend(patternOf(1, 5000)) }))
    await until("the end", () => end.lost.length === 1)
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_RESOURCES")
    await world.finish()
  })

  test("unsolicited Data-Out comes as messages, up to the iSCSI layer; solicited none may come", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end } = world
    end.silent = true
    const dataOut = (targetTransferTag: number) =>
      message(
        encodePdu(DataOut, { initiatorTaskTag: 1, targetTransferTag, bufferOffset: 8 }),
        patternOf(1, 80),
      )
    raw.send(dataOut(0xffffffff))
    await until("the Data-Out", () => end.seen.length === 1)
    assertBytes(end.seen[0]!.data, patternOf(1, 80))
    raw.send(dataOut(5))
    await until("the complaint", () => end.formatErrors.length === 1)
    assert.match(end.formatErrors[0]!.message, /solicited/)
    await world.finish()
  })

  test("a command that lends no memory ends the connection when data is to be moved", async () => {
    for (const how of [{ read: true }, { write: true }]) {
      const world = await rawInitiator()
      await world.login()
      const { raw, until, end } = world
      raw.send(message(command(1, 5000, how)))
      await until("the end", () => end.lost.length === 1)
      assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_MESSAGE")
      await world.finish()
    }
  })

  test("a command with the tag of one that is under way leaves that one's memory alone", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end, datamover } = world
    const first = raw.lend(new Uint8Array(2000))
    const second = raw.lend(new Uint8Array(2000))
    end.onPdu = () => {
      const buffer = datamover.allocateDataIn(1, 1000)
      assert.ok(!(buffer instanceof Promise))
      buffer.bytes.fill(end.seen.length)
      datamover.putData(1, (end.seen.length - 1) * 1000, buffer, 1000, false)
    }
    raw.send(message(command(1, 2000, { read: true }), undefined, { read: first }))
    raw.send(message(command(1, 2000, { read: true }), undefined, { read: second }))
    await until("both", () => end.seen.length === 2)
    datamover.sendControl(encodePdu(ScsiResponse, { initiatorTaskTag: 1 }))
    await until("the response", () => raw.messages.length === 1)
    assert.equal(first.bytes[0], 1)
    assert.equal(first.bytes[1999], 2)
    assert.equal(second.bytes[1999], 0)
    await world.finish()
  })

  test("commands that are refused over and over don't pile up; more than there may be end the connection", async () => {
    const world = await rawInitiator()
    await world.login()
    const { raw, until, end, datamover } = world
    const into = raw.lend(new Uint8Array(16))
    end.onPdu = (pdu) => {
      datamover.sendControl(encodePdu(Reject, {}), pdu.bytes.subarray(pdu.at, pdu.at + 48))
      raw.receive(1)
    }
    datamover.noticeKeyValues({ ...world.keys, peerMaxOutstandingUnexpectedPdus: 0 })
    const send = async (count: number) => {
      for (let sent = 0; sent < count && end.lost.length === 0; sent += 64) {
        const due = end.seen.length + 64
        for (let i = due; i < due + 64; i++)
          raw.send(message(command(i, 16, { read: true }), undefined, { read: into }))
        await until("the commands", () => end.seen.length >= due || end.lost.length > 0)
      }
    }
    await send(4480)
    assert.equal(end.lost.length, 0)
    end.onPdu = () => {} // as with commands outside the window: ignored without a word
    await send(4224)
    assert.equal((end.lost[0] as { code?: string }).code, "ERR_ISER_MESSAGE")
    await world.finish()
  })
})

describe("iSER target: tasks that end early", () => {
  test("task management is answered when RDMA of the aborted task is over, and its memory isn't used again before", async () => {
    const world = await rawInitiator({ timing: { latencyMs: [5, 5], segmentBytes: [500, 500] } })
    await world.login()
    const { raw, until, end, datamover, budget } = world
    const bytes = 100_000
    const region = raw.lend(new Uint8Array(bytes).fill(0x11))
    let buffer: { bytes: Uint8Array; release(): void } | undefined
    let rejected = false
    end.onPdu = () => {
      const memory = datamover.allocateDataOut(1, bytes)
      assert.ok(!(memory instanceof Promise))
      buffer = memory
      datamover.getData(1, 0, 0, 0, memory.bytes).catch(() => {
        rejected = true
        memory.release()
      })
    }
    raw.send(message(command(1, bytes, { write: true }), undefined, { write: region }))
    await until("some data", () => buffer !== undefined && buffer.bytes.some((byte) => byte === 0x11))
    datamover.deallocateTaskResources(1)
    datamover.sendControl(encodePdu(TaskManagementResponse, { initiatorTaskTag: 2 }))
    await world.clock.advance(50)
    assert.equal(rejected, false, "data is still on its way to it")
    assert.equal(budget.takenBytes, bytes)
    assert.equal(raw.messages.length, 0, "and the answer waits for that")
    await until("the answer", () => raw.messages.length === 1)
    assert.equal(rejected, true)
    // What comes by the STag after the answer would be too late: nothing does.
    region.invalidate()
    await world.settle()
    assert.equal(end.lost.length, 0)
    await world.finish()
  })

  test("so it is when only a part of what was asked for has been asked of the initiator", async () => {
    const world = await rawInitiator({
      responderResources: 1,
      keys: { maxBurstLength: 20_000 },
      timing: { latencyMs: [5, 5], segmentBytes: [500, 500] },
    })
    await world.login()
    const { raw, until, end, datamover } = world
    const bytes = 100_000
    let filled: Uint8Array | undefined
    let rejected = false
    end.onPdu = () => {
      const memory = datamover.allocateDataOut(1, bytes)
      assert.ok(!(memory instanceof Promise))
      filled = memory.bytes
      datamover.getData(1, 0, 0, 0, memory.bytes).catch(() => {
        rejected = true
        memory.release()
      })
    }
    const region = raw.lend(new Uint8Array(bytes).fill(0x11))
    raw.send(message(command(1, bytes, { write: true }), undefined, { write: region }))
    await until("some data", () => filled?.[100] === 0x11)
    datamover.deallocateTaskResources(1)
    await world.clock.advance(20)
    assert.equal(rejected, false)
    await until("the rejection", () => rejected)
    region.invalidate()
    await world.settle()
    assert.deepEqual(end.lost, [], "nothing more was asked for")
    await world.finish()
  })

  test("what other tasks are answered doesn't wait for RDMA Reads under way, CHECK CONDITION neither", async () => {
    const world = await rawInitiator({ timing: { latencyMs: [5, 5], segmentBytes: [500, 500] } })
    await world.login()
    const { raw, until, end, datamover } = world
    raw.send(
      message(command(1, 100_000, { write: true }), undefined, { write: raw.lend(patternOf(1, 100_000)) }),
    )
    await until("the write", () => end.seen.length === 1)
    datamover.sendControl(encodePdu(ScsiResponse, { initiatorTaskTag: 2 }))
    datamover.sendControl(encodePdu(ScsiResponse, { initiatorTaskTag: 3, status: 2 }), patternOf(3, 20))
    datamover.sendControl(encodePdu(TaskManagementResponse, { initiatorTaskTag: 4 }))
    await until("the answers", () => raw.messages.length === 3)
    assert.equal(end.written.size, 0)
    await until("the write's", () => raw.messages.length === 4)
    assertBytes(end.written.get(1), patternOf(1, 100_000))
    await world.finish()
  })

  test("RDMA that hasn't begun is never done", async () => {
    const world = await rawInitiator({ responderResources: 1 })
    await world.login()
    const { raw, until, end, datamover } = world
    let rejected = 0
    end.onPdu = (pdu) => {
      const tag = pdu.view.getUint32(pdu.at + 16)
      const memory = datamover.allocateDataOut(tag, 5000)
      assert.ok(!(memory instanceof Promise))
      datamover.getData(tag, 0, 0, 0, memory.bytes).then(
        () => memory.release(),
        () => {
          rejected++
          memory.release()
        },
      )
    }
    const regions = [1, 2, 3].map((tag) => raw.lend(patternOf(tag, 5000)))
    for (const [i, region] of regions.entries())
      raw.send(message(command(i, 5000, { write: true }), undefined, { write: region }))
    await until("the commands", () => end.seen.length === 3)
    datamover.deallocateTaskResources(1)
    datamover.deallocateTaskResources(2)
    regions[2]!.invalidate()
    await until("the rejections", () => rejected === 2)
    await world.settle()
    assert.deepEqual(end.lost, [])
    await world.finish()
  })

  test("the end of the connection ends all that waits, and gives back all memory", async () => {
    for (const which of ["ours", "theirs"]) {
      const world = await rawInitiator()
      await world.login()
      const { raw, until, end, datamover } = world
      for (let tag = 1; tag <= 8; tag++) {
        const region = raw.lend(patternOf(tag, 200_000))
        const write = tag % 2 === 0
        raw.send(
          message(
            command(tag, 200_000, { write, read: !write }),
            undefined,
            write ? { write: region } : { read: region },
          ),
        )
      }
      await until("some commands", () => end.seen.length >= 3)
      if (which === "ours") datamover.connectionTerminate()
      else raw.connection!.disconnect()
      await until("the end", () => raw.ended !== undefined && (which === "ours" || end.lost.length === 1))
      await world.finish()
      assert.equal(end.lost.length, which === "ours" ? 0 : 1)
    }
  })
})
