/** Messages of untagged segments, each to memory of its own, of which an inbox foresees the rest and the one behind. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import { Inbox, InboxMemory } from "../../../../src/rdma/iwarp/inbox.ts"
import type { Memory } from "../../../../src/rdma/iwarp/memory-pool.ts"
import { pattern, same } from "../../../suites/verbs-ends.ts"
import { feed, Keeper } from "./keeper.ts"
import { fpdu, untagged } from "./raw.ts"

const ROOM_BYTES = 300_000
const HEADER_BYTES = 18
/** Between the payloads of two segments: padding and CRC of the one, length and header of the other. */
const between = (payloadBytes: number): number =>
  (-(2 + HEADER_BYTES + payloadBytes) & 3) + 4 + 2 + HEADER_BYTES

/** Takes each message to be as long as `expected`. */
class Receiver extends Keeper {
  readonly messages: Buffer[] = []
  begun = 0
  copied = 0
  readonly #expected: number
  readonly #rooms = [new Uint8Array(ROOM_BYTES), new Uint8Array(ROOM_BYTES)]
  #at = 0
  #count = 0
  #last = false

  constructor(expected: number) {
    super()
    this.#expected = expected
  }

  #header(memory: Memory, at: number, ulpduBytes: number): void {
    assert.equal(memory.view.getUint32(at + 14), this.#at)
    this.#count = ulpduBytes - HEADER_BYTES
    this.#last = (memory.view.getUint8(at) & 0x40) !== 0
  }

  override arrived(memory: Memory, at: number, ulpduBytes: number): boolean {
    this.copied++
    this.#header(memory, at, ulpduBytes)
    this.#rooms[0]!.set(memory.bytes.subarray(at + HEADER_BYTES, at + ulpduBytes), this.#at)
    this.placed()
    return true
  }

  override begins(memory: Memory, at: number, ulpduBytes: number): Uint8Array {
    this.begun++
    this.#header(memory, at, ulpduBytes)
    return this.#rooms[0]!.subarray(this.#at, this.#at + this.#count)
  }

  override foreseen(runs: Uint8Array[]): boolean {
    const from = this.#at + this.#count
    if (!this.#last && this.#expected > from) runs.push(this.#rooms[0]!.subarray(from, this.#expected))
    if (this.#last || this.#expected > from) runs.push(this.#rooms[1]!.subarray(0, this.#expected))
    return !this.#last
  }

  override placed(): void {
    this.#at += this.#count
    if (!this.#last) return
    this.messages.push(Buffer.from(this.#rooms[0]!.subarray(0, this.#at)))
    this.#rooms.reverse()
    this.#rooms[1]!.fill(0xee)
    this.#at = 0
  }
}

/** The FPDUs of a message, each with so many bytes of it. */
function fpdus(message: Uint8Array, payloadBytes: number, crc: boolean): Buffer {
  const found: Buffer[] = []
  for (let offset = 0; offset === 0 || offset < message.length; offset += payloadBytes) {
    const payload = message.subarray(offset, offset + payloadBytes)
    found.push(fpdu(untagged(3, { offset, payload, last: offset + payloadBytes >= message.length }), crc))
  }
  return Buffer.concat(found)
}

function inboxOf(receiver: Receiver, crc: boolean): Inbox {
  const inbox = new Inbox(new InboxMemory(), receiver)
  inbox.crc = crc
  return inbox
}

describe("an inbox that foresees the messages to come", () => {
  for (const crc of [true, false]) {
    const how = crc ? "with CRC" : "without CRC"

    test(`offers the places of what is left of one and of the next one's segments, ${how}`, () => {
      const message = pattern(150_001, 1)
      const receiver = new Receiver(message.length)
      const inbox = inboxOf(receiver, crc)
      const stream = Buffer.concat([1, 2, 3].map((i) => fpdus(pattern(150_001, i), 60_000, crc)))
      feed(inbox, stream.subarray(0, 1000), () => 1000)
      const offered = inbox.ahead()!.map(({ length }) => length)
      const [long, short] = [between(60_000), between(30_001)]
      const first = [60_000 - (1000 - 20), long, 60_000, long, 30_001]
      assert.deepEqual(offered, [...first, short, 60_000, long, 60_000, long, 30_001, 1024])
      feed(inbox, stream.subarray(1000), () => 10_000_000, true)
      for (const i of [1, 2, 3]) same(receiver.messages[i - 1]!, pattern(150_001, i))
      assert.deepEqual([receiver.begun, receiver.copied, receiver.broke], [9, 0, []])
    })

    test(`takes the next message's segments to be as long as those before the last, ${how}`, () => {
      const receiver = new Receiver(150_001)
      const inbox = inboxOf(receiver, crc)
      const message = fpdus(pattern(150_001, 1), 60_000, crc)
      const last = message.length - 30_001
      feed(inbox, message.subarray(0, last + 1000), () => 10_000_000, true)
      const offered = inbox.ahead()!.map(({ length }) => length)
      const [long, short] = [between(60_000), between(30_001)]
      assert.deepEqual(offered.slice(1), [short, 60_000, long, 60_000, long, 30_001, 1024])
    })

    test(`finds the same in reads of all lengths, however long the messages are, ${how}`, () => {
      const random = new SeededRandom(5)
      for (let round = 0; round < 100; round++) {
        const expected = 1 + random.below(random.pick([30_000, ROOM_BYTES]))
        const payloadBytes = 8192 + random.below(57_000)
        const odd = random.pick([0, 0, 0.3, 1])
        const messages = Array.from({ length: 8 }, (_, i) =>
          pattern(random.chance(odd) ? random.below(random.pick([200, 20_000, ROOM_BYTES])) : expected, i),
        )
        const receiver = new Receiver(expected)
        const inbox = inboxOf(receiver, crc)
        const stream = Buffer.concat(messages.map((message) => fpdus(message, payloadBytes, crc)))
        const most = random.pick([3000, 70_000, 1_000_000])
        feed(inbox, stream, () => 1 + random.below(most), true)
        assert.deepEqual(receiver.broke, [])
        assert.equal(inbox.withinFpdu, false)
        assert.equal(receiver.messages.length, messages.length)
        for (const [i, message] of messages.entries()) same(receiver.messages[i]!, message, `message ${i}`)
      }
    })
  }

  test("goes on foreseeing when only the next message was otherwise than foreseen", () => {
    const receiver = new Receiver(150_000)
    const inbox = inboxOf(receiver, false)
    const short = fpdus(pattern(3000, 2), 60_000, false)
    const long = fpdus(pattern(150_000, 1), 60_000, false)
    feed(inbox, Buffer.concat([long, short, long, short, long.subarray(0, 1000)]), () => 10_000_000, true)
    assert.ok(inbox.ahead()!.length > 2)
    feed(inbox, long.subarray(1000), () => 10_000_000, true)
    assert.deepEqual(
      receiver.messages.map(({ length }) => length),
      [150_000, 3000, 150_000, 3000, 150_000],
    )
  })
})
