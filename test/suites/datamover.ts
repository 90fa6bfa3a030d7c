/**
 * What every datamover must do (RFC 5047 as src/iscsi/da.ts has it): both roles joined back to back, seen through
 * the primitives alone.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { DataBuffer } from "../../src/base/buffers.ts"
import { SeededRandom } from "../../src/base/random.ts"
import type { DatamoverKeys } from "../../src/iscsi/da.ts"
import { TaskAbortedError } from "../../src/iscsi/da.ts"
import {
  encodeAhs,
  encodePdu,
  LoginRequest,
  LoginResponse,
  NopIn,
  NopOut,
  Opcode,
  RejectReason,
  ScsiCommand,
} from "../../src/iscsi/pdu/index.ts"
import {
  assertBytes,
  CHECK_CONDITION,
  defaultKeys,
  InitiatorEnd,
  patternOf,
  TargetEnd,
} from "./datamover-ends.ts"
import type { DatamoverPair } from "./datamover-ends.ts"

import { slowReader } from "./datamover-slow-reader.ts"

export type { DatamoverPair } from "./datamover-ends.ts"

interface Ends {
  readonly pair: DatamoverPair
  readonly target: TargetEnd
  readonly initiator: InitiatorEnd
}

const SIZES = [1, 3, 4, 5, 511, 512, 4096, 65535, 65536, 262145, 1048576, 3 * 1048576 + 5]

/** Logs in the short way: a request, the final response, and both ends are in full feature phase. */
async function connect(pair: DatamoverPair, keys: DatamoverKeys): Promise<Ends> {
  const target = new TargetEnd(pair.target)
  const initiator = new InitiatorEnd(pair.initiator)
  pair.target.start(target, target)
  pair.initiator.start(initiator, initiator)
  const serve = target.onPdu
  target.onPdu = () => {
    pair.target.noticeKeyValues(keys)
    pair.target.allocateConnectionResources()
    pair.target.enableDatamover({ header: encodePdu(LoginResponse, { transit: true, statSn: 99 }) })
    target.onPdu = serve
  }
  initiator.onPdu = () => {
    pair.initiator.noticeKeyValues(keys)
    pair.initiator.allocateConnectionResources()
    pair.initiator.enableDatamover()
    initiator.onPdu = () => {}
  }
  pair.initiator.sendControl(encodePdu(LoginRequest, { transit: true }), Buffer.from("InitiatorName=iqn.x\0"))
  await pair.until("the login", () => initiator.seen.length === 1)
  assert.equal(Buffer.from(target.seen[0]!.data).toString(), "InitiatorName=iqn.x\0")
  target.seen.length = 0
  initiator.seen.length = 0
  return { pair, target, initiator }
}

/** Nothing is left lent, and both ends were told of the end as often as they should. */
async function finish({ pair, target, initiator }: Ends): Promise<void> {
  await pair.until("tasks to settle", () => target.running === 0)
  await pair.until("memory to come back", () => pair.lentBytes() === 0)
  assert.deepEqual(target.escaped, [])
  await pair.dispose()
  assert.ok(target.lost.length <= 1 && initiator.lost.length <= 1)
}

export function datamoverSuite(
  name: string,
  makePair: () => Promise<DatamoverPair>,
  keys: Partial<DatamoverKeys> = {},
  sizes: readonly number[] = SIZES,
): void {
  const allKeys = { ...defaultKeys, ...keys }
  const ends = async () => connect(await makePair(), allKeys)

  describe(name, () => {
    test("control PDUs arrive whole and in order, both ways", async () => {
      const all = await ends()
      await controlBothWays(all, allKeys)
      await finish(all)
    })

    test("putData of any size fills the initiator's buffer, and its response ends it", async () => {
      const all = await ends()
      const { pair, target, initiator } = all
      for (const [tag, bytes] of sizes.entries()) {
        initiator.read(tag, bytes)
        await pair.until(`the read of ${bytes}`, () => initiator.responseOf(tag) !== undefined)
        assertBytes(initiator.dataIn.get(tag), patternOf(tag, bytes))
        const response = initiator.responseOf(tag)!
        assert.equal(response["statSn"], target.statSn - 1)
        assert.equal(response["expCmdSn"], target.expCmdSn)
        assert.equal(response["maxCmdSn"], target.maxCmdSn)
        assert.equal(response["status"], 0)
        assert.equal(response["underflow"], false)
      }
      await finish(all)
    })

    test("getData of any size fetches the initiator's buffer", async () => {
      const all = await ends()
      const { pair, target, initiator } = all
      for (const [tag, bytes] of sizes.entries()) {
        initiator.write(tag, bytes)
        await pair.until(`the write of ${bytes}`, () => initiator.responseOf(tag) !== undefined)
        assertBytes(target.written.get(tag), patternOf(tag, bytes))
      }
      await finish(all)
    })

    test("immediate data and getData make up one buffer", async () => {
      const all = await ends()
      const { pair, target, initiator } = all
      const immediateMax = allKeys.maxSendDataSegmentLength
      for (const [tag, bytes] of [1, 511, 4096, 8192, 20_000, 100_001, 262_144, 300_000].entries()) {
        initiator.write(tag, bytes, Math.min(bytes, immediateMax))
        await pair.until(`the write of ${bytes}`, () => initiator.responseOf(tag) !== undefined)
        assertBytes(target.written.get(tag), patternOf(tag, bytes))
      }
      await finish(all)
    })

    test("many tasks at once don't get in each other's way", async () => {
      const all = await ends()
      await manyTasks(all, new SeededRandom(5), Math.max(...sizes))
      await finish(all)
    })

    test("a response without data names the PDUs its task had", async () => {
      const all = await ends()
      const { pair, initiator } = all
      initiator.write(1, 100)
      await pair.until("the write", () => initiator.responseOf(1) !== undefined)
      if (pair.target.transport === "tcp") assert.equal(initiator.responseOf(1)!["expDataSn"], 1)
      await finish(all)
    })

    test("a task ended at the target: its promises reject, what still comes is dropped", async () => {
      const all = await ends()
      const { pair, target, initiator } = all
      for (const tag of [1, 2, 3]) initiator.write(tag, Math.max(...sizes))
      initiator.write(4, 4096)
      await pair.until("the commands", () => target.seen.length === 4)
      for (const tag of [1, 2, 3]) pair.target.deallocateTaskResources(tag)
      await pair.until("the rejections", () => target.aborted.length === 3)
      await pair.until("the other write", () => initiator.responseOf(4) !== undefined)
      await ping(all)
      assertBytes(target.written.get(4), patternOf(4, 4096))
      assert.deepEqual(target.formatErrors, [])
      await finish(all)
    })

    test("a task ended at the initiator: its buffers are left alone, whatever still comes", async () => {
      const all = await ends()
      const { pair, initiator } = all
      const bytes = Math.max(...sizes)
      initiator.read(1, bytes)
      const dataIn = initiator.dataIn.get(1)!
      await pair.until("some data", () => dataIn.some((byte) => byte !== 0))
      pair.initiator.deallocateTaskResources(1)
      dataIn.fill(0x77)
      initiator.read(2, 5000)
      if (pair.lateDataEndsConnection) {
        // Nobody may write to memory that was taken back, so RDMA has no way to drop what comes late.
        await pair.until("the end", () => initiator.lost.length === 1 && all.target.lost.length === 1)
      } else {
        await pair.until("another read", () => initiator.responseOf(2) !== undefined)
        assertBytes(initiator.dataIn.get(2), patternOf(2, 5000))
      }
      assert.ok(dataIn.every((byte) => byte === 0x77))
      await finish(all)
    })

    for (const side of ["target", "initiator"] as const) {
      test(`connectionTerminate by the ${side}: everything settles, only the other side is told`, async () => {
        const all = await ends()
        const { pair, target, initiator } = all
        const bytes = Math.max(...sizes)
        for (let tag = 0; tag < 8; tag++) {
          if (tag % 2 === 0) initiator.read(tag, bytes)
          else initiator.write(tag, bytes)
        }
        await pair.until("a command", () => target.seen.length >= 3)
        pair[side].connectionTerminate()
        const other = side === "target" ? initiator : target
        await pair.until("the news", () => other.lost.length === 1)
        await pair.settle()
        assert.equal(all[side].lost.length, 0)
        assert.equal(other.lost.length, 1)
        await assert.rejects(async () => pair.target.allocateDataIn(9, 4096), TaskAbortedError)
        await assert.rejects(async () => pair.target.getData(9, 0, 0, 0, new Uint8Array(8)), TaskAbortedError)
        await finish(all)
      })
    }

    test("connectionClose lets go what was sent before", async () => {
      const all = await ends()
      const { pair, target, initiator } = all
      // Data of reads has its own way over iSER: initiators have little room for anything else.
      const most = pair.initiator.transport === "iser" ? 8192 : 200_000
      const data = patternOf(1, Math.min(most, allKeys.maxSendDataSegmentLength))
      for (let i = 0; i < 10; i++) {
        pair.target.sendControl(encodePdu(NopIn, { final: true, initiatorTaskTag: i }), data)
      }
      pair.target.connectionClose()
      await pair.until("the end", () => initiator.lost.length === 1)
      assert.equal(initiator.seen.length, 10)
      await pair.settle()
      assert.equal(target.lost.length, 0)
      await finish(all)
    })

    test("pause holds PDUs back, resume lets them come, none is lost", async () => {
      const all = await ends()
      const { pair, target } = all
      const serve = target.onPdu
      target.onPdu = (pdu) => {
        pair.target.pause()
        serve(pdu)
      }
      for (let i = 0; i < 20; i++) {
        pair.initiator.sendControl(
          encodePdu(NopOut, { final: true, initiatorTaskTag: i }),
          patternOf(i, i * 20),
        )
      }
      for (let i = 0; i < 20; i++) {
        await pair.until(`PDU ${i}`, () => target.seen.length > i)
        await pair.settle()
        assert.equal(target.seen.length, i + 1, "one at a time")
        pair.target.resume()
      }
      assert.deepEqual(
        target.seen.map(({ header }) => header["initiatorTaskTag"]),
        Array.from({ length: 20 }, (_, i) => i),
      )
      for (const [i, { data }] of target.seen.entries()) assertBytes(data, patternOf(i, i * 20))
      await finish(all)
    })

    test("held data stays as it came until it is released", async () => {
      const all = await ends()
      const { pair, target } = all
      const held: DataBuffer[] = []
      target.onPdu = (pdu) => void held.push(pdu.hold())
      const bytes = Math.min(8000, allKeys.maxSendDataSegmentLength)
      for (let i = 0; i < 60; i++) {
        pair.initiator.sendControl(encodePdu(NopOut, { final: true }), patternOf(i, bytes))
      }
      await pair.until("all", () => held.length === 60)
      await pair.settle()
      for (const [i, buffer] of held.entries()) {
        assertBytes(buffer.bytes, patternOf(i, bytes))
        buffer.release()
      }
      assert.throws(() => held[0]!.release(), { code: "ERR_BUFFER_RELEASED" })
      await finish(all)
    })

    if (allKeys.dataDigest === "CRC32C") {
      test("data damaged on the way costs its task, and nothing else", async () => {
        const all = await ends()
        await damagedWrite(all, Math.max(...sizes))
        await finish(all)
      })
    }

    test("a peer that doesn't read makes allocateDataIn wait, and gets everything in the end", async () => {
      const all = await ends()
      await slowReader(all)
      await finish(all)
    })
  })
}

/** A round trip. */
async function ping({ pair, target, initiator }: Ends): Promise<void> {
  const before = target.seen.length
  pair.initiator.sendControl(encodePdu(NopOut, { final: true, initiatorTaskTag: 0x7777 }))
  await pair.until("NOP-Out", () => target.seen.length > before)
  const seen = initiator.seen.length
  pair.target.sendControl(encodePdu(NopIn, { final: true, initiatorTaskTag: 0x7777 }))
  await pair.until("NOP-In", () => initiator.seen.length > seen)
}

async function controlBothWays({ pair, target, initiator }: Ends, keys: DatamoverKeys): Promise<void> {
  const sizes = [0, 1, 2, 3, 4, 5, 511, 512, 4097, 65536].filter((n) => n <= keys.maxSendDataSegmentLength)
  const ahs = encodeAhs({ extendedCdb: patternOf(3, 17), bidirectionalReadBytes: 77 })
  target.silent = true
  let released = 0
  for (const [tag, bytes] of sizes.entries()) {
    const data = patternOf(tag, bytes)
    const lent: DataBuffer = { bytes: data, release: () => void released++ }
    pair.initiator.sendControl(encodePdu(NopOut, { final: true, initiatorTaskTag: tag }), data)
    pair.initiator.sendControl(encodePdu(NopOut, { final: true, initiatorTaskTag: tag }), lent)
    pair.target.sendControl(encodePdu(NopIn, { final: true, initiatorTaskTag: tag }), data)
    const command = Buffer.concat([encodePdu(ScsiCommand, { final: true, initiatorTaskTag: tag }), ahs])
    pair.initiator.sendControl(command, data)
  }
  await pair.until(
    "all PDUs",
    () => target.seen.length === 3 * sizes.length && initiator.seen.length === sizes.length,
  )
  for (const [tag, bytes] of sizes.entries()) {
    const data = patternOf(tag, bytes)
    const [copied, lent, command] = target.seen.slice(3 * tag, 3 * tag + 3)
    for (const one of [copied!, lent!, command!, initiator.seen[tag]!]) {
      assert.equal(one.header["initiatorTaskTag"], tag)
      assert.equal(one.header["dataSegmentBytes"], bytes)
      assertBytes(one.data, data)
    }
    assert.equal(command!.header["opcode"], Opcode.scsiCommand)
    assert.deepEqual(command!.ahs, ahs)
  }
  await pair.until("lent data to come back", () => released === sizes.length)
}

async function manyTasks(
  { pair, target, initiator }: Ends,
  random: SeededRandom,
  bytesMax: number,
): Promise<void> {
  const tasks = Array.from({ length: 48 }, (_, tag) => ({
    tag,
    bytes: 1 + random.below(random.chance(0.2) ? bytesMax : 20_000),
    write: random.chance(0.5),
  }))
  for (const { tag, bytes, write } of tasks) {
    if (write) initiator.write(tag, bytes)
    else initiator.read(tag, bytes)
  }
  await pair.until("all tasks", () => tasks.every(({ tag }) => initiator.responseOf(tag) !== undefined))
  for (const { tag, bytes, write } of tasks) {
    const moved = write ? target.written.get(tag) : initiator.dataIn.get(tag)
    assertBytes(moved, patternOf(tag, bytes))
  }
  const statSns = initiator.seen.map(({ header }) => header["statSn"] as number)
  assert.deepEqual(
    statSns,
    statSns.toSorted((a, b) => a - b),
    "StatSN rises",
  )
}

async function damagedWrite(all: Ends, bytes: number): Promise<void> {
  const { pair, target, initiator } = all
  assert.ok(pair.damage)
  pair.damage(patternOf(1, bytes).subarray(100, 132))
  initiator.write(1, bytes)
  initiator.write(2, bytes)
  await pair.until("both writes", () => initiator.seen.length === 2)
  assert.equal(initiator.responseOf(1)!["status"], CHECK_CONDITION)
  assert.equal(initiator.responseOf(2)!["status"], 0)
  assert.deepEqual(target.failed, [1])
  assert.equal(target.written.has(1), false)
  assertBytes(target.written.get(2), patternOf(2, bytes))
  assert.deepEqual(
    target.formatErrors.map(({ reason }) => reason),
    [RejectReason.dataDigestError],
  )
  // The tag is as good as new.
  initiator.write(1, 5000)
  await pair.until("another write", () => initiator.seen.length === 3)
  assertBytes(target.written.get(1), patternOf(1, 5000))
  await ping(all)
}
