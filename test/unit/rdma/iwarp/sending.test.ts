/** What leaves, and when: FPDUs, their lengths and CRCs, one write for all of a turn, memory that is lent. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  CLOSE_DEADLINE_MS,
  IWARP_NUDGE_MS,
  IWARP_NUDGE_MS_MAX,
  IWARP_SEND_BYTES_HIGH,
} from "../../../../src/base/limits.ts"
import { Access, SendOpcode } from "../../../../src/rdma/verbs/index.ts"
import { crc32c } from "../../../../src/wire/crc32c.ts"
import { ids, pattern, same, statusNames } from "../../../suites/verbs-ends.ts"
import { acceptedRaw, C, connectedRaw, depths, fpdu, readRequest, S, tagged, untagged, write } from "./raw.ts"
import type { Raw } from "./raw.ts"

const ETHERNET_PAYLOAD = 1424
const KiB = 1024
const PLAIN = { device: { crc: false, fpduBytes: 60_018 }, memoryBytes: 1024 * KiB }
const noCrc = { flags: S, privateData: depths(4, 4) }

describe("RFC 5044's CRC vectors", () => {
  test("figure 5, without its marker: a send of 24 zero bytes", async () => {
    const raw = await connectedRaw()
    raw.end.send(1, 0, 24)
    await raw.turn()
    const wanted = `002a4143${"00000000".repeat(2)}0000000100000000${"00".repeat(24)}b7243ec3`
    assert.equal(raw.stream.written().toString("hex"), wanted)
  })

  test("figures 5 and 6, over bytes with markers in them", () => {
    const zeroes = "00".repeat(24)
    for (const [covered, crc] of [
      [`00000000002a4143${"00000000".repeat(2)}0000000100000000${zeroes}`, "52239983"],
      [`002a4143${"00000000".repeat(2)}000000020000000000000014${zeroes}`, "84925898"],
    ] as const) {
      const four = Buffer.alloc(4)
      four.writeUInt32LE(crc32c(Buffer.from(covered, "hex")))
      assert.equal(four.toString("hex"), crc)
    }
  })
})

test("a peer that keeps silent is nudged, ever more seldom, until something of it comes", async () => {
  const nudges = async (raw: Raw) => {
    const sent = await raw.sent()
    assert.deepEqual(new Set(sent.map(({ opcode, payload }) => opcode + payload.length)), new Set([0]))
    return sent.length
  }
  const silent = await connectedRaw()
  await silent.clock.advance(10 * IWARP_NUDGE_MS_MAX)
  const most = Math.floor(Math.log2(IWARP_NUDGE_MS_MAX / IWARP_NUDGE_MS)) + 1
  assert.equal(await nudges(silent), most)
  const speaking = await connectedRaw()
  await speaking.clock.advance(IWARP_NUDGE_MS + 1)
  speaking.stream.feed(fpdu(tagged(0, { stag: 0 })))
  await speaking.clock.advance(10 * IWARP_NUDGE_MS_MAX)
  assert.equal(await nudges(speaking), 1)
})

describe("messages", () => {
  test("leave with one write, at once, when the last of them is posted", async () => {
    const raw = await connectedRaw()
    const { end, stream } = raw
    for (let i = 0; i < 5; i++) end.send(i, 0, 100, {}, true)
    end.write(5, 0, 8000, end.mr, 0, {}, true)
    assert.equal(stream.writes.length, 0)
    end.read(6, 0, 10, end.mr, 0)
    assert.equal(stream.writes.length, 1)
    assert.deepEqual(
      (await raw.sent()).map(({ opcode }) => opcode),
      [3, 3, 3, 3, 3, 0, 1],
    )
  })

  test("are cut to segments of the size that was asked for", async () => {
    for (const [fpduBytes, payload] of [
      ["mss", ETHERNET_PAYLOAD],
      [128, 110],
      [64_768, 64_750],
      // The stream's ends are 127.0.0.1 both.
      ["auto", 60 * KiB],
    ] as const) {
      const raw = await connectedRaw({ device: { fpduBytes }, memoryBytes: 200_000 })
      raw.end.memory.set(pattern(150_000, 2))
      raw.end.write(1, 0, 150_000, raw.end.mr, 7)
      const sent = await raw.sent()
      assert.equal(sent.length, Math.ceil(150_000 / payload))
      assert.deepEqual(new Set(sent.slice(0, -1).map((one) => one.payload.length)), new Set([payload]))
      assert.deepEqual(sent.map(({ last }) => last).indexOf(true), sent.length - 1)
      same(Buffer.concat(sent.map((one) => one.payload)), pattern(150_000, 2))
      const { addressHigh, addressLow } = raw.end.mr
      for (const [i, { high, low, stag }] of sent.entries()) {
        const from = addressLow + 7 + i * payload
        assert.deepEqual(
          [stag, high, low],
          [raw.end.mr.rkey, (addressHigh + Math.floor(from / 2 ** 32)) >>> 0, from >>> 0],
        )
      }
    }
  })

  test("have segments as long as the peer's have shown that it takes them", async () => {
    for (const [seen, wanted] of [
      [8000, ETHERNET_PAYLOAD],
      [9000, 60 * KiB],
    ] as const) {
      const raw = await acceptedRaw({ memoryBytes: 100_000, far: "10.0.0.9" })
      await raw.feed(write(raw.end.mr, 0, new Uint8Array(seen)))
      raw.end.send(1, 0, 100_000)
      assert.equal((await raw.sent())[0]?.payload.length, wanted)
    }
  })

  test("are long to a peer that can begin in every way, and so is one like us", async () => {
    for (const [ways, wanted] of [
      [depths(4, 4, 0xc000, 0xc000), 60 * KiB],
      [depths(4, 4, 0x8000, 0xc000), ETHERNET_PAYLOAD],
      [depths(4, 4, 0xc000, 0x8000), ETHERNET_PAYLOAD],
      [depths(4, 4), ETHERNET_PAYLOAD],
    ] as const) {
      const options = { memoryBytes: 100_000, far: "10.0.0.9" }
      const raw = await connectedRaw(options, { privateData: ways })
      raw.stream.written()
      raw.end.send(1, 0, 100_000)
      assert.equal((await raw.sent())[0]?.payload.length, wanted)
      const told = await connectedRaw({ ...options, device: { fpduBytes: "mss" } }, { privateData: ways })
      told.stream.written()
      told.end.send(1, 0, 100_000)
      assert.equal((await told.sent())[0]?.payload.length, ETHERNET_PAYLOAD)
    }
  })

  test("carry all that a send can say", async () => {
    const raw = await connectedRaw()
    raw.end.post(1, SendOpcode.send, [], { solicited: true })
    raw.end.post(2, SendOpcode.sendWithInvalidate, [], { invalidateRkey: 0x12345678 })
    raw.end.post(3, SendOpcode.sendWithInvalidate, [raw.end.at(0, 3000)], {
      invalidateRkey: 7,
      solicited: true,
    })
    const sent = await raw.sent()
    assert.deepEqual(
      sent.map(({ opcode, stag, queue, sequence, payload }) => [
        opcode,
        stag,
        queue,
        sequence,
        payload.length,
      ]),
      [
        [5, 0, 0, 1, 0],
        [4, 0x12345678, 0, 2, 0],
        [6, 7, 0, 3, 3000],
      ],
    )
  })

  test("are not interrupted by answers, which come between them", async () => {
    const both = await connectedRaw({ device: { fpduBytes: 1018 } })
    for (let i = 0; i < 3; i++) both.end.write(i, 0, 3000, both.end.mr, 0)
    both.stream.feed(
      Buffer.concat(
        [1, 2, 3].map((i) => fpdu(readRequest(i, { bytes: 3000, from: both.end.mr, sinkStag: i }))),
      ),
    )
    const sent = await both.sent()
    assert.equal(sent.length, 18)
    for (let i = 0; i < 18; i += 3) {
      assert.equal(new Set(sent.slice(i, i + 3).map(({ opcode }) => opcode)).size, 1)
      assert.deepEqual(
        sent.slice(i, i + 3).map(({ last }) => last),
        [false, false, true],
      )
    }
    assert.deepEqual(new Set(sent.map(({ opcode }) => opcode)), new Set([0, 2]))
  })
})

describe("what is lent", () => {
  test("without CRC is sent from where it lies, and free once the system has it", async () => {
    const raw = await connectedRaw(PLAIN, noCrc)
    const { end, stream } = raw
    end.memory.set(pattern(100_000, 3))
    end.write(1, 0, 100_000, end.mr, 0)
    end.send(2, 0, 100)
    await raw.turn()
    assert.deepEqual(ids(end.sends), [])
    assert.ok(stream.writes[0]!.length >= 5, "headers and payload in pieces of their own")
    stream.take()
    await raw.turn()
    assert.deepEqual(ids(end.sends), [1, 2])
    assert.equal((await raw.sent(false)).length, 3)
  })

  test("with CRC is copied, so that its sum holds whatever becomes of it", async () => {
    const raw = await connectedRaw({ ...PLAIN, device: { fpduBytes: 60_018 } })
    raw.end.memory.set(pattern(100_000, 4))
    raw.end.write(1, 0, 100_000, raw.end.mr, 0)
    await raw.turn()
    assert.deepEqual(ids(raw.end.sends), [1])
    raw.end.memory.fill(0)
    same(Buffer.concat((await raw.sent()).map(({ payload }) => payload)), pattern(100_000, 4))
  })

  test("waits while the system has enough of ours", async () => {
    const raw = await connectedRaw(PLAIN, noCrc)
    const { end, stream } = raw
    for (let i = 0; i < 4; i++) end.write(i, 0, 1000 * KiB, end.mr, 0)
    await raw.turn()
    const bytes = stream.writes.flat().reduce((sum, piece) => sum + piece.length, 0)
    assert.ok(bytes >= IWARP_SEND_BYTES_HIGH && bytes < IWARP_SEND_BYTES_HIGH + 70_000, `${bytes}`)
    for (let i = 0; i < 20 && end.sends.length < 4; i++) {
      stream.take()
      await raw.turn()
    }
    assert.deepEqual(statusNames(end.sends), Array(4).fill("success"))
    const sent = await raw.sent(false)
    assert.equal(
      sent.reduce((sum, { payload }) => sum + payload.length, 0),
      4000 * KiB,
    )
  })

  test("is flushed when the connection ends, but only once nothing is sent from it any more", async () => {
    const raw = await connectedRaw(PLAIN, noCrc)
    const { end, stream } = raw
    for (let i = 0; i < 4; i++) end.write(i, 0, 1000 * KiB, end.mr, 0)
    await raw.turn()
    raw.connection?.disconnect()
    await raw.turn(1)
    assert.equal(end.disconnections[0]?.reason, "local")
    assert.deepEqual(ids(end.sends), [], "the stream still has their memory")
    await raw.turn(CLOSE_DEADLINE_MS)
    assert.ok(stream.destroyed)
    stream.close()
    await raw.turn()
    assert.deepEqual(ids(end.sends), [0, 1, 2, 3])
    assert.deepEqual(new Set(statusNames(end.sends).slice(3)), new Set(["work request flushed error"]))
  })

  test("is let go with the stream when it is invalidated or its queue pair destroyed", async () => {
    for (const act of [
      ({ end }: Raw) => end.mr.invalidate(),
      ({ end }: Raw) => end.mr.deregister(),
      ({ end }: Raw) => end.qp.destroy(),
    ]) {
      const raw = await connectedRaw(PLAIN, noCrc)
      raw.end.write(1, 0, 100_000, raw.end.mr, 0)
      await raw.turn()
      assert.equal(raw.stream.destroyed, false)
      act(raw)
      assert.ok(raw.stream.destroyed)
      raw.stream.close()
      await raw.turn(1)
      assert.equal(raw.end.disconnections.length, 1)
    }
  })

  test("ends the connection when the peer invalidates it too early, and every receive once", async () => {
    const raw = await acceptedRaw(PLAIN, noCrc)
    const mr = raw.end.pd.registerMemory(new Uint8Array(100_000), Access.RemoteRead)
    for (let i = 0; i < 3; i++) raw.end.receive(i, 0, 10)
    raw.stream.feed(fpdu(readRequest(1, { bytes: 100_000, from: mr }), false))
    raw.stream.feed(fpdu(untagged(4, { stag: mr.rkey }), false))
    await raw.turn(1)
    assert.ok(raw.stream.destroyed)
    assert.equal(mr.valid, false)
    assert.equal(raw.end.disconnections[0]?.reason, "request-failed")
    assert.deepEqual(ids(raw.end.receives), [0, 1, 2])
    assert.deepEqual(new Set(statusNames(raw.end.receives)), new Set(["work request flushed error"]))
  })

  test("to a peer's read is given up in the middle of it when it is invalidated", async () => {
    const raw = await connectedRaw({ ...PLAIN, device: { fpduBytes: 60_018 } })
    const bytes = new Uint8Array(2 * IWARP_SEND_BYTES_HIGH)
    const mr = raw.end.pd.registerMemory(bytes, Access.RemoteRead)
    await raw.feed(readRequest(1, { bytes: bytes.length, from: mr }))
    mr.invalidate()
    for (let i = 0; i < 9; i++) {
      raw.stream.take()
      await raw.turn(1)
    }
    const sent = await raw.sent()
    assert.ok(sent.length < (1.5 * IWARP_SEND_BYTES_HIGH) / 60_000)
    assert.equal(sent.at(-1)?.opcode, 7)
    assert.deepEqual([...sent.at(-1)!.payload], [0x01, 0, 0, 0])
    assert.equal(raw.end.disconnections[0]?.reason, "peer-violation")
  })
})

describe("what is received straight into memory", () => {
  test("is not written to any more once it is invalidated", async () => {
    for (const act of ["invalidate", "deregister"] as const) {
      const raw = await acceptedRaw(PLAIN, noCrc)
      const bytes = new Uint8Array(50_000)
      const mr = raw.end.pd.registerMemory(bytes, Access.LocalWrite | Access.RemoteWrite)
      const message = fpdu(write(mr, 0, new Uint8Array(50_000).fill(1)), false)
      raw.stream.feed(message.subarray(0, 10_000))
      const before = bytes.slice()
      assert.equal(before[5000], 1)
      mr[act]()
      raw.stream.feed(message.subarray(10_000))
      await raw.turn(1)
      same(bytes, before)
      assert.equal(raw.end.disconnections[0]?.reason, "peer-violation")
      assert.equal((await raw.sent(false)).at(-1)?.opcode, 7)
    }
  })

  /** A read of 50,000 bytes that is to be answered. */
  async function reading(crc: boolean) {
    const options = { device: { ...PLAIN.device, crc }, memoryBytes: PLAIN.memoryBytes }
    const raw = await connectedRaw(options, crc ? { flags: C | S } : noCrc)
    const bytes = new Uint8Array(50_000)
    const mr = raw.end.pd.registerMemory(bytes, Access.LocalWrite)
    const from = { rkey: 1, remoteHigh: 0, remoteLow: 0 }
    raw.end.post(1, SendOpcode.rdmaRead, [{ mr, offset: 0, length: 50_000 }], from)
    const [request] = await raw.sent(crc)
    const { payload } = request!
    const to = { stag: payload.readUInt32BE(0), high: payload.readUInt32BE(4), low: payload.readUInt32BE(8) }
    return { raw, bytes, mr, answer: fpdu(tagged(2, { ...to, payload: pattern(50_000, 5) }), crc) }
  }

  for (const crc of [true, false]) {
    const how = crc ? "with CRC" : "without CRC"
    test(`of an answer to a read is there when the read completes, and not without the region, ${how}`, async () => {
      for (const gone of [false, true]) {
        const { raw, bytes, mr, answer } = await reading(crc)
        raw.stream.feed(answer.subarray(0, 20_000))
        assert.ok(bytes.subarray(10_000, 19_000).some((byte) => byte !== 0))
        if (gone) mr.invalidate()
        raw.stream.feed(answer.subarray(20_000))
        await raw.turn(1)
        assert.deepEqual(statusNames(raw.end.sends), [gone ? "local protection error" : "success"])
        if (gone) assert.ok(bytes.subarray(20_000).every((byte) => byte === 0))
        else same(bytes, pattern(50_000, 5))
        assert.equal(raw.end.disconnections.length, gone ? 1 : 0)
      }
    })
  }

  test("with CRC is verified before the read completes, and its header before it is believed", async () => {
    for (const [what, byte] of [
      ["payload", 30_000],
      ["CRC", 50_017],
      ["STag", 4],
    ] as const) {
      const { raw, bytes, answer } = await reading(true)
      answer[byte]! ^= 4
      raw.stream.feed(answer.subarray(0, 20_000))
      assert.deepEqual(raw.end.disconnections, [], "nothing is said of it before it is whole")
      raw.stream.feed(answer.subarray(20_000))
      await raw.turn(1)
      assert.notDeepEqual(statusNames(raw.end.sends), ["success"], what)
      const terminate = (await raw.sent()).at(-1)!.payload
      assert.deepEqual([...terminate.subarray(0, 4)], [0x20, 0x02, 0, 0], what)
      if (what === "STag") assert.ok(bytes.every((one) => one === 0))
    }
  })

  test("with CRC is an answer alone: of a Write whose header is damaged nobody knows where it goes", async () => {
    const raw = await acceptedRaw({ memoryBytes: 1024 * KiB }, { flags: C | S })
    const bytes = new Uint8Array(100_000)
    const mr = raw.end.pd.registerMemory(bytes, Access.LocalWrite | Access.RemoteWrite)
    const message = fpdu(write(mr, 0, new Uint8Array(50_000).fill(1)))
    const damaged = Buffer.from(message)
    damaged[15]! ^= 0x20 // the tagged offset
    raw.stream.feed(damaged.subarray(0, 20_000))
    raw.stream.feed(damaged.subarray(20_000))
    await raw.turn(1)
    assert.ok(bytes.every((one) => one === 0))
    assert.equal(raw.end.disconnections[0]?.reason, "lost")
  })

  test("of an answer is not written to any more though the read has to fail in its turn", async () => {
    const raw = await connectedRaw(PLAIN, noCrc)
    const bytes = new Uint8Array(50_000)
    const mr = raw.end.pd.registerMemory(bytes, Access.LocalWrite)
    raw.end.write(1, 0, 100_000, raw.end.mr, 0)
    const from = { rkey: 1, remoteHigh: 0, remoteLow: 0 }
    raw.end.post(2, SendOpcode.rdmaRead, [{ mr, offset: 0, length: 50_000 }], from)
    const request = (await raw.sent(false)).at(-1)!
    const [stag, high, low] = [0, 4, 8].map((at) => request.payload.readUInt32BE(at)) as [
      number,
      number,
      number,
    ]
    const message = fpdu(tagged(2, { stag, high, low, payload: Buffer.alloc(50_000, 1) }), false)
    raw.stream.feed(message.subarray(0, 20_000))
    mr.invalidate()
    raw.stream.feed(message.subarray(20_000))
    await raw.turn(1)
    assert.ok(bytes.subarray(20_000).every((byte) => byte === 0))
    assert.deepEqual(raw.end.sends, [], "the write is still being sent")
    raw.stream.take()
    await raw.turn(1)
    assert.deepEqual(statusNames(raw.end.sends), ["success", "local protection error"])
  })

  /** An end with a receive of `room` bytes, in a region of its own, for a Send. */
  async function receiving(crc: boolean, room = 50_000) {
    const raw = await acceptedRaw(
      { ...PLAIN, device: { ...PLAIN.device, crc } },
      crc ? { flags: C | S } : noCrc,
    )
    const bytes = new Uint8Array(room)
    const mr = raw.end.pd.registerMemory(bytes, Access.LocalWrite)
    raw.end.receiveInto(1, [{ mr, offset: 0, length: room }])
    return { raw, bytes, mr }
  }

  for (const crc of [true, false]) {
    const how = crc ? "with CRC" : "without CRC"
    test(`of a Send is there when its receive completes, and not without the region, ${how}`, async () => {
      for (const gone of [false, true]) {
        const { raw, bytes, mr } = await receiving(crc)
        const message = fpdu(untagged(3, { payload: pattern(50_000, 5) }), crc)
        raw.stream.feed(message.subarray(0, 20_000))
        assert.ok(bytes.subarray(10_000, 19_000).some((byte) => byte !== 0))
        assert.equal(raw.end.receives.length, 0)
        if (gone) mr.invalidate()
        raw.stream.feed(message.subarray(20_000))
        await raw.turn(1)
        assert.deepEqual(statusNames(raw.end.receives), [gone ? "local protection error" : "success"])
        if (gone) assert.ok(bytes.subarray(20_000).every((byte) => byte === 0))
        else {
          same(bytes, pattern(50_000, 5))
          assert.equal(raw.end.receives.at(0)?.byteLength, 50_000)
        }
        assert.equal(raw.end.disconnections.length, gone ? 1 : 0)
      }
    })

    test(`is none of a Send that is longer than its receive, ${how}`, async () => {
      const { raw, bytes } = await receiving(crc, 70_000)
      const part = pattern(40_000, 5)
      const first = fpdu(untagged(3, { payload: part, last: false }), crc)
      const second = fpdu(untagged(3, { payload: part, offset: 40_000 }), crc)
      for (const message of [first, second])
        for (const cut of [message.subarray(0, 15_000), message.subarray(15_000)]) raw.stream.feed(cut)
      await raw.turn(1)
      same(bytes.subarray(0, 40_000), part)
      assert.ok(bytes.subarray(40_000).every((byte) => byte === 0))
      assert.deepEqual(statusNames(raw.end.receives), ["local length error"])
      assert.deepEqual([...(await raw.sent(crc)).at(-1)!.payload.subarray(0, 2)], [0x12, 0x05])
    })

    test(`of a Send takes the key it names out of use when all of it is here, ${how}`, async () => {
      const { raw } = await receiving(crc)
      const lent = raw.end.pd.registerMemory(new Uint8Array(10), Access.RemoteRead)
      const stag = lent.rkey
      const parts = [untagged(4, { payload: pattern(30_000, 5), stag, last: false })]
      parts.push(untagged(4, { payload: pattern(20_000, 6), stag, offset: 30_000 }))
      for (const part of parts) {
        assert.equal(lent.valid, true)
        const message = fpdu(part, crc)
        for (const cut of [message.subarray(0, 9000), message.subarray(9000)]) raw.stream.feed(cut)
      }
      await raw.turn(1)
      assert.deepEqual([lent.valid, raw.end.receives[0]?.invalidatedRkey], [false, stag])
    })
  }

  test("of Sends of one length is foreseen, once there were some, with the next one of them", async () => {
    const raw = await acceptedRaw({ ...PLAIN, memoryBytes: 20 * 100_000 }, noCrc)
    const offered: number[][] = []
    let lastAt = 0
    Object.assign(raw.stream, {
      readNow(pieces: readonly Uint8Array[]): number {
        offered.push(pieces.map(({ length }) => length))
        lastAt = pieces.at(-2)!.byteOffset - raw.end.memory.byteOffset
        return 0
      },
    })
    const send = (sequence: number, bytes: number): Buffer => {
      const [first, second] = [pattern(60_000, 1), pattern(bytes - 60_000, 2)]
      const opening = untagged(3, { sequence, payload: first, last: false })
      const closing = untagged(3, { sequence, payload: second, offset: 60_000 })
      return Buffer.concat([fpdu(opening, false), fpdu(closing, false)])
    }
    /** What is offered when so many bytes of a message are here. */
    const ahead = (message: Buffer, bytes: number): number[] => {
      raw.stream.feed(message.subarray(0, bytes))
      const found = offered.at(-1)!
      raw.stream.feed(message.subarray(bytes))
      return found.slice(1, -1)
    }
    for (let i = 0; i < 10; i++) raw.end.receive(i, i * 100_000, 100_000)
    const between = 4 + 2 + 18
    assert.deepEqual(ahead(send(1, 90_000), 1000), [])
    assert.deepEqual(ahead(send(2, 90_000), 1000), [between, 30_000], "the rest of it")
    for (let i = 3; i < 6; i++) raw.stream.feed(send(i, 90_000))
    const next = [between, 60_000, between, 30_000]
    assert.deepEqual(ahead(send(6, 90_000), 1000), [between, 30_000, ...next])
    assert.equal(lastAt, 6 * 100_000 + 60_000, "in the receive that is due then")
    assert.deepEqual(ahead(send(7, 90_000), 62_000), next, "with its last segment under way")
    assert.deepEqual(ahead(send(8, 80_000), 1000), [between, 30_000, ...next], "it is shorter this time")
    assert.deepEqual(ahead(send(9, 80_000), 1000), [between, 20_000])
    await raw.turn(1)
    assert.deepEqual(
      raw.end.receives.map(({ byteLength }) => byteLength),
      [...Array(7).fill(90_000), 80_000, 80_000],
    )
  })

  test("of a Send with CRC is verified before its receive completes, and its header before it is believed", async () => {
    for (const [what, byte] of [
      ["payload", 30_000],
      ["CRC", 50_023],
      ["sequence number", 15],
      ["offset", 16],
      ["queue", 11],
      ["opcode", 3],
    ] as const) {
      const { raw, bytes } = await receiving(true)
      const message = fpdu(untagged(3, { payload: pattern(50_000, 5) }))
      message[byte]! ^= 4
      raw.stream.feed(message.subarray(0, 20_000))
      assert.deepEqual(raw.end.disconnections, [], "nothing is said of it before it is whole")
      raw.stream.feed(message.subarray(20_000))
      await raw.turn(1)
      assert.deepEqual(statusNames(raw.end.receives), ["work request flushed error"], what)
      const terminate = (await raw.sent()).at(-1)!.payload
      assert.deepEqual([...terminate.subarray(0, 4)], [0x20, 0x02, 0, 0], what)
      if (byte < 20) assert.ok(bytes.every((one) => one === 0))
    }
  })

  test("ends with the connection when that is lost in the middle of it", async () => {
    for (const how of ["ended", "closed"]) {
      const raw = await acceptedRaw({}, { flags: C | S, privateData: depths(4, 4) })
      raw.end.receive(1, 0, 100)
      raw.stream.feed(fpdu(untagged(3, { payload: Buffer.alloc(50) })).subarray(0, 40))
      if (how === "closed") raw.stream.close()
      else (raw.connection as unknown as { ended(): void }).ended()
      await raw.turn(1)
      assert.equal(raw.end.disconnections[0]?.reason, "lost")
      assert.deepEqual(statusNames(raw.end.receives), ["work request flushed error"])
    }
  })
})
