/** FPDUs found in a stream however it is cut. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import { Inbox, InboxMemory } from "../../../../src/rdma/iwarp/inbox.ts"
import { pattern, same } from "../../../suites/verbs-ends.ts"
import { feed, Keeper } from "./keeper.ts"
import { fpdu, tagged, untagged } from "./raw.ts"

const messages = (lengths: readonly number[]): Buffer[] =>
  lengths.map((length, i) => {
    const payload = pattern(length, i)
    return i % 3 === 2 ? untagged(3, { payload }) : tagged(0, { stag: i, payload })
  })

function check(crc: boolean, lengths: readonly number[], reads: () => number, takesStraight = true): Keeper {
  checkFed(true, crc, lengths, reads, takesStraight)
  return checkFed(false, crc, lengths, reads, takesStraight)
}

function checkFed(
  scattered: boolean,
  crc: boolean,
  lengths: readonly number[],
  reads: () => number,
  takesStraight: boolean,
): Keeper {
  const keeper = new Keeper()
  keeper.takesStraight = takesStraight
  const pools = new InboxMemory()
  const inbox = new Inbox(pools, keeper)
  inbox.crc = crc
  const wanted = messages(lengths)
  feed(inbox, Buffer.concat(wanted.map((ulpdu) => fpdu(ulpdu, crc))), reads, scattered)
  assert.deepEqual(keeper.broke, [])
  assert.equal(keeper.ulpdus.length, wanted.length)
  for (const [i, ulpdu] of wanted.entries()) same(keeper.ulpdus[i]!, ulpdu, `ULPDU ${i}`)
  assert.equal(inbox.withinFpdu, false)
  same(inbox.buffer().subarray(0, 1), pools.shared.bytes.subarray(0, 1))
  assert.equal(inbox.buffer().buffer, pools.shared.bytes.buffer, "no memory of its own between FPDUs")
  return keeper
}

describe("an inbox", () => {
  for (const crc of [true, false]) {
    const how = crc ? "with CRC" : "without CRC"

    test(`finds the same at every split, ${how}`, () => {
      const lengths = [0, 1, 2, 3, 4, 5, 100, 17, 33]
      const total = Buffer.concat(messages(lengths).map((ulpdu) => fpdu(ulpdu))).length
      for (let split = 1; split < total; split++) {
        let first = true
        check(crc, lengths, () => {
          const length = first ? split : total
          first = false
          return length
        })
      }
    })

    test(`finds the same byte by byte, ${how}`, () => {
      check(crc, [0, 1, 200, 5000, 3, 9000, 20_000], () => 1)
    })

    test(`finds the same at every split of a long one, ${how}`, () => {
      for (const at of [
        ...Array.from({ length: 40 }, (_, i) => i + 1),
        4000,
        4096,
        8190,
        8191,
        8192,
        11_000,
        20_017,
      ]) {
        for (const takesStraight of [true, false]) {
          let first = true
          check(crc, [20_000, 7, 20_000], () => (first ? ((first = false), at) : 70_000), takesStraight)
        }
      }
    })

    test(`finds FPDUs of all lengths in reads of all lengths, ${how}`, () => {
      const random = new SeededRandom(3)
      for (let round = 0; round < 60; round++) {
        const lengths = Array.from({ length: 20 }, () =>
          random.below(random.pick([5, 100, 5000, 65_535 - 17])),
        )
        const most = random.pick([10_000, 70_000, 300_000])
        check(crc, lengths, () => 1 + random.below(most), random.chance(0.5))
      }
    })
  }

  test("receives what is missing of a long payload right where it belongs", () => {
    for (const crc of [true, false]) assert.equal(check(crc, [60_000, 60_000], () => 1000).straight, 2)
  })

  test("verifies the CRC of what was received straight, wherever a bit of it changed", () => {
    const good = fpdu(tagged(0, { stag: 1, payload: pattern(30_001, 0) }))
    // From the header on: a length that changed may say that more has to come.
    for (let bit = 16; bit < good.length * 8; bit += bit < 160 || bit > (good.length - 8) * 8 ? 1 : 3001) {
      const keeper = new Keeper()
      const inbox = new Inbox(new InboxMemory(), keeper)
      inbox.crc = true
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      feed(inbox, bad, () => 5000, bit % 2 === 0)
      assert.deepEqual([keeper.straight, keeper.broke, keeper.ulpdus], [1, ["crc"], []], `bit ${bit}`)
    }
  })

  test("waits for long payloads with their headers, so that nothing of them is copied", () => {
    const keeper = new Keeper()
    const inbox = new Inbox(new InboxMemory(), keeper)
    const long = messages([60_000, 60_000])
    const stream = Buffer.concat(long.map((ulpdu) => fpdu(ulpdu, false)))
    feed(inbox, Buffer.concat([stream, stream, stream, stream]), () => 1_000_000, true)
    assert.equal(keeper.ulpdus.length, 8)
    assert.equal(keeper.straight, 4, "but for the four that the memory holds, before it was known")
    assert.ok(inbox.buffer().length < 4096)
    const short = fpdu(tagged(0, { stag: 1, payload: pattern(100, 0) }), false)
    feed(inbox, Buffer.concat(new Array<Buffer>(40).fill(short)), () => 1_000_000, true)
    assert.ok(inbox.buffer().length > 100_000, "after many short ones as much as can be is read again")
    for (let i = 0; i < 8; i++) same(keeper.ulpdus[i]!, long[i % 2]!, `ULPDU ${i}`)
  })

  for (const crc of [true, false]) {
    test(`gives up a place that is taken away, and goes on behind, ${crc ? "with" : "without"} CRC`, () => {
      const [first, second] = messages([30_001, 10]) as [Buffer, Buffer]
      const bytes = Buffer.concat([fpdu(first, crc), fpdu(second, crc)])
      const end = fpdu(first, crc).length
      for (const at of [10_000, end - 8, end - 7, end - 4, end - 1]) {
        const keeper = new Keeper()
        const inbox = new Inbox(new InboxMemory(), keeper)
        inbox.crc = crc
        feed(inbox, bytes.subarray(0, 5000), () => 5000)
        const sink = inbox.buffer()
        feed(inbox, bytes.subarray(5000, at), () => 30_000, true)
        const before = sink.slice()
        inbox.dropSink()
        assert.notEqual(inbox.buffer().buffer, sink.buffer)
        feed(inbox, bytes.subarray(at), () => 5000)
        // Without CRC it is placed when its payload is there.
        assert.equal(keeper.ulpdus.length, !crc && at > end - 8 ? 2 : 1)
        same(keeper.ulpdus.at(-1)!, second)
        assert.deepEqual(keeper.broke, [])
        same(sink, before)
      }
    })
  }

  test("tells of a length there can't be, and a CRC that is wrong", () => {
    const keeper = new Keeper()
    const inbox = new Inbox(new InboxMemory(), keeper)
    inbox.crc = true
    feed(inbox, fpdu(Buffer.alloc(13)), () => 100)
    const bad = fpdu(untagged(3))
    bad[10]! ^= 1
    feed(inbox, bad, () => 100)
    assert.deepEqual(keeper.broke, ["length", "crc"])
  })

  test("takes nothing more once it is closed", () => {
    const keeper = new Keeper()
    const inbox = new Inbox(new InboxMemory(), keeper)
    feed(inbox, fpdu(untagged(3)).subarray(0, 10), () => 100)
    inbox.close()
    feed(inbox, Buffer.concat([fpdu(untagged(3)), fpdu(untagged(3))]), () => 7)
    assert.deepEqual([keeper.ulpdus, keeper.broke], [[], []])
  })
})
