/** Messages of known length and place, of which an inbox receives many segments at once; and what comes instead of them. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import { Inbox, InboxMemory } from "../../../../src/rdma/iwarp/inbox.ts"
import type { Memory } from "../../../../src/rdma/iwarp/memory-pool.ts"
import { pattern, same } from "../../../suites/verbs-ends.ts"
import { feed, Keeper } from "./keeper.ts"
import { fpdu, tagged, untagged } from "./raw.ts"

/** Segments of this STag make up one message after the other, each of `messageBytes`, in memory that all have in turns. */
const STAG = 7

class Reader extends Keeper {
  readonly sink: Uint8Array
  /** What came of each message, and of what else is in the stream. */
  readonly messages: Buffer[] = []
  begun = 0
  copied = 0
  #at = 0
  #count = 0
  #mine = false

  constructor(messageBytes: number) {
    super()
    this.sink = new Uint8Array(messageBytes)
  }

  override arrived(memory: Memory, at: number, ulpduBytes: number): boolean {
    if (ulpduBytes < 14 || memory.view.getUint8(at) < 0x80 || memory.view.getUint32(at + 2) !== STAG)
      return super.arrived(memory, at, ulpduBytes)
    this.copied++
    this.#count = ulpduBytes - 14
    this.sink.set(memory.bytes.subarray(at + 14, at + ulpduBytes), this.#at)
    this.#placed()
    return true
  }

  override begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array | undefined {
    this.#mine = memory.view.getUint8(at) >= 0x80 && memory.view.getUint32(at + 2) === STAG
    if (!this.#mine) return super.begins(memory, at, ulpduBytes)
    this.begun++
    this.#count = ulpduBytes - 14
    return this.sink.subarray(this.#at, this.#at + this.#count)
  }

  override foreseen(runs: Uint8Array[]): boolean {
    const from = this.#at + this.#count
    if (this.#mine && from < this.sink.length) runs.push(this.sink.subarray(from))
    return true
  }

  override placed(): void {
    if (this.#mine) this.#placed()
    else super.placed()
  }

  #placed(): void {
    this.#at += this.#count
    if (this.#at < this.sink.length) return
    this.messages.push(Buffer.from(this.sink))
    this.sink.fill(0)
    this.#at = 0
  }
}

const segment = (message: Uint8Array, from: number, to: number): Buffer =>
  tagged(2, { stag: STAG, low: from, last: to === message.length, payload: message.subarray(from, to) })

function inboxOf(reader: Reader, crc: boolean): Inbox {
  const inbox = new Inbox(new InboxMemory(), reader)
  inbox.crc = crc
  return inbox
}

describe("an inbox that foresees how a message goes on", () => {
  for (const crc of [true, false]) {
    const how = crc ? "with CRC" : "without CRC"

    test(`offers the places of all its segments at once, ${how}`, () => {
      const message = pattern(200_000, 1)
      const reader = new Reader(message.length)
      const inbox = inboxOf(reader, crc)
      const cuts = [0, 50_000, 100_000, 150_000, 200_000]
      const stream = Buffer.concat(cuts.slice(1).map((to, i) => fpdu(segment(message, cuts[i]!, to), crc)))
      feed(inbox, stream.subarray(0, 1000), () => 1000)
      const offered = inbox.ahead()!.map(({ length }) => length)
      const between = 4 + 2 + 14
      assert.deepEqual(offered.slice(0, -1), [
        50_000 - (1000 - 16),
        between,
        50_000,
        between,
        50_000,
        between,
        50_000,
      ])
      feed(inbox, stream.subarray(1000), () => 1_000_000, true)
      same(reader.messages[0]!, message)
      assert.deepEqual([reader.begun, reader.copied, reader.broke], [4, 0, []])
    })

    test(`finds the same in reads of all lengths, whatever comes instead, ${how}`, () => {
      const random = new SeededRandom(11)
      for (let round = 0; round < 120; round++) {
        const length = 1 + random.below(random.pick([20_000, 100_000, 400_000]))
        const usual = 8192 + random.below(57_000)
        const odd = random.pick([0, 0, 0.2])
        const others = random.pick([0, 0, 0.2])
        const reader = new Reader(length)
        const wanted: Uint8Array[] = []
        const other: Buffer[] = []
        const stream: Buffer[] = []
        for (let i = 0; i < 3; i++) {
          const message = pattern(length, i)
          wanted.push(message)
          for (let at = 0; at < length; ) {
            if (random.chance(others)) {
              const payload = pattern(random.below(random.pick([10, 3000, 60_000])), 9)
              other.push(random.chance(0.5) ? untagged(3, { payload }) : tagged(0, { stag: 1, payload }))
              stream.push(fpdu(other.at(-1)!, crc))
            }
            const bytes = random.chance(odd) ? 1 + random.below(65_000) : usual
            const to = Math.min(length, at + bytes)
            stream.push(fpdu(segment(message, at, to), crc))
            at = to
          }
        }
        const most = random.pick([3000, 70_000, 1_000_000])
        const inbox = inboxOf(reader, crc)
        feed(inbox, Buffer.concat(stream), () => 1 + random.below(most), true)
        assert.deepEqual(reader.broke, [])
        assert.equal(inbox.withinFpdu, false)
        assert.equal(reader.messages.length, wanted.length)
        for (const [i, message] of wanted.entries()) same(reader.messages[i]!, message, `message ${i}`)
        assert.equal(reader.ulpdus.length, other.length)
        for (const [i, ulpdu] of other.entries()) same(reader.ulpdus[i]!, ulpdu, `another ULPDU ${i}`)
      }
    })

    test(`gives up the message whose place is taken away, and goes on behind, ${how}`, () => {
      const message = pattern(100_000, 1)
      const behind = untagged(3, { payload: pattern(10, 2) })
      const first = fpdu(segment(message, 0, 50_000), crc)
      const stream = Buffer.concat([first, fpdu(behind, crc)])
      const reader = new Reader(message.length)
      const inbox = inboxOf(reader, crc)
      feed(inbox, stream.subarray(0, 1000), () => 1000)
      feed(inbox, stream.subarray(1000, 30_000), () => 30_000, true)
      inbox.dropSink()
      reader.sink.fill(0)
      assert.equal(inbox.ahead(), undefined)
      feed(inbox, stream.subarray(30_000), () => 1_000_000, true)
      assert.ok(reader.sink.every((byte) => byte === 0))
      same(reader.ulpdus[0]!, behind)
    })

    test(`takes nothing more of what it has foreseen once it is closed, ${how}`, () => {
      const message = pattern(200_000, 1)
      class Closer extends Reader {
        override placed(): void {
          inbox.close()
        }
      }
      const reader = new Closer(message.length)
      const inbox = inboxOf(reader, crc)
      const stream = [0, 1, 2, 3].map((i) => fpdu(segment(message, i * 50_000, (i + 1) * 50_000), crc))
      feed(inbox, stream[0]!.subarray(0, 1000), () => 1000)
      const pieces = inbox.ahead()!
      inbox.received(pieces.reduce((sum, { length }) => sum + length, 0))
      assert.equal(reader.begun, 1)
      assert.deepEqual(reader.messages, [])
    })
  }

  test("verifies the CRC of every segment, wherever a bit of it changed", () => {
    const message = pattern(120_000, 1)
    const segments = [0, 1, 2].map((i) => fpdu(segment(message, i * 40_000, (i + 1) * 40_000)))
    const start = segments[0]!.length
    const end = start + segments[1]!.length
    const good = Buffer.concat(segments)
    // Of the second one: all its header and trailer, and some of its payload. A length may say that more has to come.
    for (
      let bit = (start + 2) * 8;
      bit < end * 8;
      bit += bit < (start + 20) * 8 || bit > (end - 8) * 8 ? 1 : 4001
    ) {
      const reader = new Reader(message.length)
      const inbox = inboxOf(reader, true)
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      feed(inbox, bad, () => (bit % 2 === 0 ? 5000 : 1_000_000), true)
      assert.deepEqual([reader.broke[0], reader.messages], ["crc", []], `bit ${bit}`)
    }
  })

  test("no longer foresees for a while what has gone on otherwise", () => {
    const message = pattern(300_000, 1)
    const reader = new Reader(message.length)
    const inbox = inboxOf(reader, false)
    const cuts = [0, 60_000, 120_000, 150_000, 210_000, 260_000, 300_000]
    const stream = Buffer.concat(cuts.slice(1).map((to, i) => fpdu(segment(message, cuts[i]!, to), false)))
    feed(inbox, stream.subarray(0, 1000), () => 1000)
    assert.ok(inbox.ahead()!.length > 2)
    feed(inbox, stream.subarray(1000, 200_000), () => 1_000_000, true)
    assert.equal(inbox.ahead()!.length, 2, "the rest of a segment, and what follows")
    feed(inbox, stream.subarray(200_000), () => 1_000_000, true)
    same(reader.messages[0]!, message)
  })
})
