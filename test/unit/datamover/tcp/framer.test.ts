import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SeededRandom } from "../../../../src/base/random.ts"
import type { ArrivedPdu } from "../../../../src/datamover/shared/arrived-pdu.ts"
import { Framer } from "../../../../src/datamover/tcp/framer.ts"
import type { FramerUser, Sink } from "../../../../src/datamover/tcp/framer.ts"
import { MemoryPool } from "../../../../src/datamover/shared/memory.ts"
import { DatamoverError } from "../../../../src/iscsi/da.ts"
import { DataIn, encodeAhs, encodePdu, NopOut, ScsiCommand } from "../../../../src/iscsi/pdu/index.ts"
import { frame } from "./frame.ts"
import type { Digests } from "./frame.ts"

/** Places the data of Data-In, gathers everything else, and writes down what happens. */
class Notes implements FramerUser {
  readonly lines: string[] = []
  readonly placedIn = new Uint8Array(100_000)
  drops = false

  begins(pdu: ArrivedPdu, sink: Sink): boolean {
    const isData = pdu.view.getUint8(pdu.at) === DataIn.opcode
    if (isData && !this.drops) {
      sink.bytes = this.placedIn
      sink.at = pdu.view.getUint32(pdu.at + 40)
    }
    return isData
  }

  arrived(pdu: ArrivedPdu): void {
    const ahs = Buffer.from(pdu.bytes.subarray(pdu.ahsAt, pdu.ahsAt + pdu.ahsBytes)).toString("hex")
    const data = Buffer.from(pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes)).toString("hex")
    this.lines.push(`arrived ${pdu.view.getUint32(pdu.at + 16)} ahs ${ahs} data ${data}`)
  }

  placed(pdu: ArrivedPdu): void {
    assert.equal(pdu.dataBytes, 0)
    this.lines.push(`placed ${pdu.view.getUint32(pdu.at + 16)}`)
  }

  damaged(pdu: ArrivedPdu): void {
    this.lines.push(`damaged ${pdu.view.getUint32(pdu.at + 16)}`)
  }
}

function feed(framer: Framer, bytes: Uint8Array): void {
  let rest = bytes
  while (rest.length > 0) {
    const into = framer.buffer()
    assert.ok(into.length > 0)
    const count = Math.min(into.length, rest.length)
    into.set(rest.subarray(0, count))
    framer.received(count)
    rest = rest.subarray(count)
  }
}

function makeFramer(user: FramerUser, digests: Digests = {}): { framer: Framer; pool: MemoryPool } {
  const pool = new MemoryPool(true)
  const framer = new Framer(pool, user)
  framer.dataBytesMax = 65536
  framer.headerDigest = digests.header ?? false
  framer.dataDigest = digests.data ?? false
  return { framer, pool }
}

const random = new SeededRandom(3)
const bytesOf = (count: number) => random.fill(new Uint8Array(count))
const dataIn = (tag: number, bufferOffset: number) =>
  encodePdu(DataIn, { initiatorTaskTag: tag, bufferOffset })

/** PDUs of every shape, and what is to be noted of them. */
function makeStream(digests: Digests): { bytes: Buffer; lines: string[]; placed: Uint8Array } {
  const placed = new Uint8Array(100_000)
  const parts: Buffer[] = []
  const lines: string[] = []
  const gathered = (tag: number, count: number, ahs: Uint8Array = new Uint8Array()) => {
    const data = bytesOf(count)
    parts.push(frame(Buffer.concat([encodePdu(NopOut, { initiatorTaskTag: tag }), ahs]), data, digests))
    lines.push(
      `arrived ${tag} ahs ${Buffer.from(ahs).toString("hex")} data ${Buffer.from(data).toString("hex")}`,
    )
  }
  const straight = (tag: number, at: number, count: number) => {
    const data = bytesOf(count)
    placed.set(data, at)
    parts.push(frame(dataIn(tag, at), data, digests))
    lines.push(`placed ${tag}`)
  }
  gathered(1, 0)
  gathered(2, 1)
  straight(3, 0, 3)
  gathered(4, 5, encodeAhs({ extendedCdb: bytesOf(9) }))
  straight(5, 100, 0)
  straight(6, 7, 60)
  gathered(7, 64)
  return { bytes: Buffer.concat(parts), lines, placed }
}

const variants: Digests[] = [{}, { header: true }, { data: true }, { header: true, data: true }]

describe("framer", () => {
  for (const digests of variants) {
    const name = `digests ${JSON.stringify(digests)}`

    test(`a stream split at every position gives the same PDUs: ${name}`, () => {
      const { bytes, lines, placed } = makeStream(digests)
      for (let at = 0; at <= bytes.length; at++) {
        const notes = new Notes()
        const { framer, pool } = makeFramer(notes, digests)
        feed(framer, bytes.subarray(0, at))
        feed(framer, bytes.subarray(at))
        assert.deepEqual(notes.lines, lines, `split at ${at}`)
        assert.deepEqual(notes.placedIn, placed)
        assert.equal(framer.withinPdu, false)
        framer.close()
        assert.equal(pool.taken, 0)
      }
    })

    test(`byte by byte it is the same: ${name}`, () => {
      const { bytes, lines, placed } = makeStream(digests)
      const notes = new Notes()
      const { framer } = makeFramer(notes, digests)
      for (const byte of bytes) {
        framer.buffer()[0] = byte
        framer.received(1)
      }
      assert.deepEqual(notes.lines, lines)
      assert.deepEqual(notes.placedIn, placed)
    })

    test(`large data, split at random, small and large memory in turn: ${name}`, () => {
      const notes = new Notes()
      const { framer } = makeFramer(notes, digests)
      const expected: string[] = []
      for (let tag = 0; tag < 60; tag++) {
        const data = bytesOf(random.below(65537))
        const placing = random.chance(0.5)
        const header = placing ? dataIn(tag, 11) : encodePdu(NopOut, { initiatorTaskTag: tag })
        const bytes = frame(header, data, digests)
        for (let at = 0; at < bytes.length; ) {
          const count = 1 + random.below(20_000)
          feed(framer, bytes.subarray(at, at + count))
          at += count
        }
        expected.push(
          placing ? `placed ${tag}` : `arrived ${tag} ahs  data ${Buffer.from(data).toString("hex")}`,
        )
        if (placing) assert.equal(Buffer.compare(notes.placedIn.subarray(11, 11 + data.length), data), 0)
      }
      assert.deepEqual(notes.lines, expected)
    })
  }

  test("data that belongs elsewhere is received straight there", () => {
    const notes = new Notes()
    const { framer } = makeFramer(notes)
    const bytes = frame(dataIn(1, 0), bytesOf(60_000))
    feed(framer, bytes.subarray(0, 100))
    const offered = framer.buffer()
    assert.equal(offered.buffer, notes.placedIn.buffer)
    assert.equal(offered.byteOffset, 52)
    assert.equal(offered.length, 60_000 - 52)
  })

  test("after dropSink nothing is written to the sink any more", () => {
    const notes = new Notes()
    const { framer } = makeFramer(notes)
    const bytes = frame(dataIn(1, 0), bytesOf(60_000).fill(1))
    feed(framer, bytes.subarray(0, 10_000))
    framer.dropSink()
    feed(framer, bytes.subarray(10_000))
    assert.deepEqual(notes.lines, ["placed 1"])
    assert.ok(notes.placedIn.subarray(10_000).every((byte) => byte === 0))
  })

  test("a data segment longer than declared ends it, before its first byte has come", () => {
    const { framer } = makeFramer(new Notes())
    framer.dataBytesMax = 512
    const bytes = frame(encodePdu(NopOut, {}), new Uint8Array(513))
    assert.throws(() => feed(framer, bytes.subarray(0, 48)), { code: "ERR_PDU_TOO_LONG" })
  })

  test("any wrong bit in a header is found by its digest", () => {
    const good = frame(encodePdu(ScsiCommand, { final: true, initiatorTaskTag: 9 }), undefined, {
      header: true,
    })
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      const notes = new Notes()
      const { framer } = makeFramer(notes, { header: true })
      // A longer header now means waiting for bytes that never come; they come here.
      const more = Buffer.concat([bad, Buffer.alloc(1100)])
      assert.throws(() => feed(framer, more), DatamoverError)
      assert.deepEqual(notes.lines, [])
    }
  })

  test("wrong data is found by its digest, and the next PDU is taken up", () => {
    for (const make of [
      (tag: number) => encodePdu(NopOut, { initiatorTaskTag: tag }),
      (tag: number) => dataIn(tag, 0),
    ]) {
      const notes = new Notes()
      const { framer } = makeFramer(notes, { data: true })
      const bad = frame(make(1), bytesOf(5001), { data: true })
      bad[3000]! ^= 1
      feed(framer, Buffer.concat([bad, frame(encodePdu(NopOut, { initiatorTaskTag: 2 }))]))
      assert.deepEqual(notes.lines, ["damaged 1", "arrived 2 ahs  data "])
    }
  })

  test("a quiet connection needs little memory, also after it was busy", () => {
    const notes = new Notes()
    const { framer } = makeFramer(notes)
    assert.ok(framer.buffer().buffer.byteLength <= 20_000)
    for (let i = 0; i < 4; i++) feed(framer, frame(encodePdu(NopOut, {}), bytesOf(65_000)))
    assert.ok(framer.buffer().buffer.byteLength > 100_000)
    for (let i = 0; i < 10; i++) feed(framer, frame(encodePdu(NopOut, {})))
    assert.ok(framer.buffer().buffer.byteLength <= 20_000)
  })
})
