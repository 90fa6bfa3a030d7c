/** Write data that comes damaged or not at all: getData fails once the rest has come (RFC 7143 §7.8, §7.9). */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { DataTransferError, TaskAbortedError } from "../../../../src/iscsi/da.ts"
import { ReadyToTransfer, RejectReason, ScsiResponse } from "../../../../src/iscsi/pdu/index.ts"
import { patternOf } from "../../../suites/datamover-ends.ts"
import { frame } from "./frame.ts"
import { ask, dataOut, makeTarget, response, sentBy, turn } from "./lone-target.ts"
import type { Target } from "./lone-target.ts"

/** R2Ts of 1000 bytes, of which two are outstanding. */
const bursts: Partial<DatamoverKeys> = { maxBurstLength: 1000 }
const lost = { code: "ERR_DATA_TRANSFER", condition: "protocol service CRC error" }

/** Sends bytes [from, to) of task 7's data. */
function send(target: Target, ttt: number, from: number, to: number, dataSn: number, final: boolean): void {
  target.stream.feed(frame(dataOut(ttt, 7, from, dataSn, final), patternOf(7, to).subarray(from)))
}

/** As `send`, with a wrong digest. */
function sendDamaged(
  target: Target,
  ttt: number,
  from: number,
  to: number,
  sn: number,
  final: boolean,
): void {
  const bytes = frame(dataOut(ttt, 7, from, sn, final), patternOf(7, to).subarray(from), { data: true })
  bytes[bytes.length - 1]! ^= 1
  target.stream.feed(bytes)
}

describe("target: lost Data-Out", () => {
  const sequences: [string, (target: Target, ttt: number) => void][] = [
    ["the first DataSN isn't 0", (target, ttt) => send(target, ttt, 500, 2500, 27, true)],
    ["nor 0xffffffff", (target, ttt) => send(target, ttt, 500, 2500, 0xffffffff, true)],
    [
      "a DataSN comes twice",
      (target, ttt) => {
        send(target, ttt, 500, 1500, 0, false)
        send(target, ttt, 1500, 2500, 0, true)
      },
    ],
    [
      "two come in reverse",
      (target, ttt) => {
        send(target, ttt, 500, 1500, 1, false)
        send(target, ttt, 1500, 2500, 0, true)
      },
    ],
    [
      "one is missing in the middle",
      (target, ttt) => {
        send(target, ttt, 500, 1000, 0, false)
        send(target, ttt, 1500, 2000, 2, false)
        send(target, ttt, 2000, 2500, 3, true)
      },
    ],
  ]
  for (const [what, play] of sequences) {
    test(`fails getData when ${what}`, async () => {
      const target = makeTarget()
      const { getting, requests } = await ask(target)
      const failed = assert.rejects(getting, lost)
      play(target, requests[0]!.targetTransferTag)
      await failed
      assert.deepEqual(target.end.formatErrors, [])
    })
  }

  test("is waited for until every R2T has had its last, and nothing more is asked for", async () => {
    const target = makeTarget(bursts)
    const { getting, requests, into } = await ask(target, 5000)
    const later = target.datamover.getData(7, 0x00010000, 0, 5500, new Uint8Array(100))
    const failures: unknown[] = []
    for (const one of [getting, later]) one.catch((error: unknown) => failures.push(error))
    const [first, second] = requests.map((r2t) => r2t.targetTransferTag)
    send(target, first!, 600, 700, 1, false)
    send(target, second!, 1500, 2500, 0, true)
    await turn()
    assert.deepEqual(await sentBy(target), [])
    assert.deepEqual(failures, [])
    send(target, first!, 1400, 1450, 2, true)
    await assert.rejects(getting, DataTransferError)
    await assert.rejects(later, DataTransferError)
    // What is lost leaves memory alone, the rest has gone where it belongs.
    assert.ok(into.subarray(0, 1000).every((byte) => byte === 0))
    assert.deepEqual(into.slice(1000, 2000), patternOf(7, 2500).slice(1500))
    await assert.rejects(target.datamover.getData(7, 0x00010000, 0, 0, new Uint8Array(8)), lost)
    target.datamover.sendControl(response(7, { status: 2 }))
    const pdus = await sentBy(target)
    assert.equal(pdus.length, 1)
    assert.equal(new ScsiResponse(pdus[0]!.view, 0).expDataSn, 2, "as many as there were R2Ts")
    // Its tag is free for another task.
    const again = await ask(target, 100)
    send(target, again.requests[0]!.targetTransferTag, 500, 600, 0, true)
    await again.getting
    assert.equal(again.requests[0]!.r2tSn, 0)
  })

  test("costs no other task", async () => {
    const target = makeTarget()
    const { getting, requests } = await ask(target, 100)
    const other = new Uint8Array(100)
    const gettingOther = target.datamover.getData(8, 0, 0, 0, other)
    const [r2t] = (await sentBy(target)).map(({ view }) => new ReadyToTransfer(view, 0))
    const failed = assert.rejects(getting, lost)
    send(target, requests[0]!.targetTransferTag, 500, 600, 9, true)
    target.stream.feed(frame(dataOut(r2t!.targetTransferTag, 8, 0, 0, true), patternOf(8, 100)))
    await failed
    await gettingOther
    assert.deepEqual(other, patternOf(8, 100))
  })

  for (const [how, end] of [
    ["task management", (target: Target) => target.datamover.deallocateTaskResources(7)],
    ["the end of the connection", (target: Target) => target.stream.close()],
  ] as const) {
    test(`${how} ends the wait`, async () => {
      const target = makeTarget()
      const { getting, requests } = await ask(target)
      const aborted = assert.rejects(getting, TaskAbortedError)
      send(target, requests[0]!.targetTransferTag, 500, 700, 1, false)
      end(target)
      await aborted
      send(target, requests[0]!.targetTransferTag, 700, 2500, 2, true)
      assert.deepEqual(target.end.formatErrors, [])
    })
  }
})

describe("target: damaged Data-Out", () => {
  test("is told of at once, and fails getData at the last of the data", async () => {
    const target = makeTarget({ ...bursts, dataDigest: "CRC32C" })
    const { getting, requests } = await ask(target)
    let settled = false
    const failed = assert.rejects(getting, lost).then(() => {
      settled = true
    })
    const [first, second] = requests.map((r2t) => r2t.targetTransferTag)
    sendDamaged(target, first!, 500, 900, 0, false)
    assert.deepEqual(
      target.end.formatErrors.map(({ reason }) => reason),
      [RejectReason.dataDigestError],
    )
    const rest = patternOf(7, 2500)
    target.stream.feed(frame(dataOut(first!, 7, 900, 1, true), rest.subarray(900, 1500), { data: true }))
    await turn()
    assert.equal(settled, false)
    target.stream.feed(frame(dataOut(second!, 7, 1500, 0, true), rest.subarray(1500), { data: true }))
    await failed
    assert.equal(target.end.formatErrors.length, 1)
  })

  test("may be the last", async () => {
    const target = makeTarget({ dataDigest: "CRC32C" })
    const { getting, requests } = await ask(target)
    const failed = assert.rejects(getting, lost)
    sendDamaged(target, requests[0]!.targetTransferTag, 500, 2500, 0, true)
    await failed
    assert.equal(target.end.formatErrors.length, 1)
  })

  test("of a task that has ended is told of, and that's all", async () => {
    const target = makeTarget({ dataDigest: "CRC32C" })
    const { getting, requests } = await ask(target)
    target.datamover.deallocateTaskResources(7)
    await assert.rejects(getting, TaskAbortedError)
    sendDamaged(target, requests[0]!.targetTransferTag, 500, 2500, 0, true)
    assert.deepEqual(
      target.end.formatErrors.map(({ reason }) => reason),
      [RejectReason.dataDigestError],
    )
  })

  test("for an R2T never sent stays a protocol error", async () => {
    const target = makeTarget({ dataDigest: "CRC32C" })
    sendDamaged(target, 4711, 500, 2500, 0, true)
    assert.deepEqual(
      target.end.formatErrors.map(({ reason }) => reason),
      [RejectReason.protocolError],
    )
  })
})
