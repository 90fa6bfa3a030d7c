/** How connections begin: RFC 5044 §7.1, RFC 6581 §9, and what siw makes of them. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  CLOSE_DEADLINE_MS,
  MPA_DEADLINE_MS,
  RDMA_ACCEPT_DEADLINE_MS,
  RDMA_CONNECT_DEADLINE_MS,
  RDMA_REQUESTS_PENDING_MAX,
} from "../../../../src/base/limits.ts"
import { NetworkError } from "../../../../src/base/network-error.ts"
import { ConnectionRejectedError, VerbsError } from "../../../../src/rdma/verbs/index.ts"
import { IwarpDevice } from "../../../../src/rdma/iwarp/index.ts"
import {
  acceptedRaw,
  C,
  connectedRaw,
  depths,
  fpdu,
  M,
  mpa,
  R,
  Raw,
  S,
  segments,
  tagged,
  untagged,
  write,
} from "./raw.ts"
import { ManualStream } from "../../datamover/tcp/frame.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const DEPTHS = { responderResources: 4, initiatorDepth: 4 }
const codeOf = ({ error }: Raw): string | undefined => (error as NetworkError | undefined)?.code
const NOTHING = new Uint8Array(0)

describe("an MPA request of ours", () => {
  test("asks for CRC, read depths and the peer-to-peer model, with one write", async () => {
    const raw = new Raw()
    raw.connect({ responderResources: 5, initiatorDepth: 3, privateData: Uint8Array.of(0x80, 0, 0, 0) })
    await raw.turn()
    assert.equal(raw.stream.writes.length, 1)
    assert.equal(raw.stream.writes[0]!.length, 1)
    const bytes = raw.stream.written()
    assert.equal(bytes.subarray(0, 16).toString(), "MPA ID Req Frame")
    assert.equal(hex(bytes.subarray(16)), "50020008" + "c005c003" + "80000000")
  })

  test("asks for neither when told so", async () => {
    const raw = new Raw({ device: { crc: false, revision: 1 } })
    raw.connect({ privateData: Uint8Array.of(1) })
    await raw.turn()
    assert.equal(hex(raw.stream.written().subarray(16)), "0001000101")
    const quiet = new Raw({ device: { peerToPeer: false } })
    quiet.connect(DEPTHS)
    await quiet.turn()
    assert.equal(hex(quiet.stream.written().subarray(16)), "5002000400040004")
  })

  test("takes the depths of the answer, and 252 bytes of private data at most, as siw can", async () => {
    const privateData = Buffer.concat([depths(2, 1), Buffer.from("hi")])
    const raw = await connectedRaw(
      { connection: { responderResources: 7, initiatorDepth: 9 } },
      { privateData },
    )
    assert.deepEqual([raw.connection!.responderResources, raw.connection!.initiatorDepth], [1, 2])
    assert.equal(Buffer.from(raw.connection!.privateData).toString(), "hi")
    assert.equal(raw.device.limits.privateDataBytesMax, 252)
  })

  test("leaves alone what the answer says nothing of", async () => {
    const raw = await connectedRaw({ connection: DEPTHS }, { privateData: depths(0x3fff, 0x3fff) })
    assert.deepEqual([raw.connection!.responderResources, raw.connection!.initiatorDepth], [4, 4])
  })

  test("uses CRC when either asks for it", async () => {
    for (const [crc, flags, used] of [
      [true, S, true],
      [false, S | C, true],
      [false, S, false],
    ] as const) {
      const raw = await connectedRaw({ device: { crc, peerToPeer: false } }, { flags })
      raw.end.send(1, 0, 10)
      await raw.turn()
      assert.equal(segments(raw.stream.written(), used).length, 1)
    }
  })

  for (const [title, flags, opcode] of [
    ["a write, if the peer takes one: siw's choice", depths(4, 4, 0xc000, 0xc000), 0],
    ["a read, if that is all", depths(4, 4, 0x8000, 0x4000), 1],
    ["a send, if that is all", depths(4, 4, 0xc000, 0), 3],
  ] as const) {
    test(`agreed peer-to-peer, it says that it is there with ${title}`, async () => {
      const raw = await connectedRaw({}, { privateData: flags })
      const [first, ...rest] = await raw.sent()
      assert.equal(first?.opcode, opcode)
      assert.deepEqual(rest, [])
      assert.equal(first.payload.length, opcode === 1 ? 28 : 0)
      if (opcode === 1) {
        assert.ok(first.payload.every((byte) => byte === 0))
        await raw.feed(tagged(2, { stag: 0 }))
      }
      raw.end.send(1, 0, 10)
      const [send] = await raw.sent()
      assert.deepEqual([send?.opcode, send?.sequence], [3, opcode === 3 ? 2 : 1])
      assert.deepEqual(raw.end.disconnections, [])
    })
  }

  const failures: readonly (readonly [title: string, reply: Buffer, code: string, last: string])[] = [
    [
      "wants more reads than we serve",
      mpa("Rep", { privateData: depths(4, 5) }),
      "ERR_CONNECTION_LOST",
      "2/0/6",
    ],
    [
      "knows no common beginning",
      mpa("Rep", { privateData: depths(4, 4, 0x8000) }),
      "ERR_CONNECTION_LOST",
      "2/0/7",
    ],
    ["wants markers", mpa("Rep", { flags: M | C | S }), "ERR_CONNECTION_LOST", "none"],
    ["has no read depths", mpa("Rep", { flags: C, revision: 1 }), "ERR_CONNECTION_LOST", "none"],
    ["is too short for read depths", mpa("Rep", { privateData: NOTHING }), "ERR_CONNECTION_LOST", "none"],
    ["is a request", mpa("Req"), "ERR_CONNECTION_LOST", "none"],
    ["is no MPA", Buffer.alloc(20, 65), "ERR_CONNECTION_LOST", "none"],
    [
      "has too much private data",
      mpa("Rep", { privateData: new Uint8Array(513) }),
      "ERR_CONNECTION_LOST",
      "none",
    ],
    ["says no", mpa("Rep", { flags: C | S | R }), "ERR_RDMA_REJECTED", "none"],
  ]
  for (const [title, reply, code, last] of failures) {
    test(`fails when the answer ${title}`, async () => {
      const raw = new Raw()
      raw.end.receive(1, 0, 10)
      raw.connect(DEPTHS)
      await raw.turn()
      raw.stream.written()
      raw.stream.feed(reply)
      await raw.turn()
      assert.equal((raw.error as NetworkError).code, code)
      const sent = await raw.sent()
      const found = sent[0]
        ? `${sent[0].payload[0]! >>> 4}/${sent[0].payload[0]! & 15}/${sent[0].payload[1]}`
        : "none"
      assert.equal(found, last)
      assert.ok(raw.stream.destroyed || raw.stream.ended)
      assert.equal(raw.end.qp.state, "ERROR")
      assert.equal(raw.end.receives.length, 1)
      assert.deepEqual(raw.end.disconnections, [])
    })
  }

  test("brings what a rejection says", async () => {
    const raw = new Raw()
    raw.connect()
    await raw.turn()
    const privateData = Buffer.concat([depths(0, 0), Buffer.from("no")])
    raw.stream.feed(mpa("Rep", { flags: R | S, privateData }))
    await raw.turn()
    assert.ok(raw.error instanceof ConnectionRejectedError)
    assert.equal(Buffer.from(raw.error.privateData).toString(), "no")
  })

  test("waits so long and no longer, and its stream is gone then", async () => {
    const raw = new Raw()
    raw.connect()
    await raw.turn(RDMA_CONNECT_DEADLINE_MS - 1)
    assert.equal(codeOf(raw), undefined)
    await raw.turn(1)
    assert.equal(codeOf(raw), "ERR_CONNECTION_TIMED_OUT")
    assert.ok(raw.stream.destroyed)
    assert.deepEqual(raw.clock.pending(), [])
  })

  test("can be given up", async () => {
    const abort = new AbortController()
    const raw = new Raw()
    raw.connect({ signal: abort.signal })
    await raw.turn()
    abort.abort(new Error("enough"))
    await raw.turn()
    assert.equal(raw.error?.message, "enough")
    assert.ok(raw.stream.destroyed)
    const late = new Raw()
    late.connect({ signal: abort.signal })
    await late.turn()
    assert.equal(late.error?.message, "enough")
    assert.ok(late.stream.destroyed)
  })

  test("is the first and only thing sent before the answer", async () => {
    const raw = new Raw()
    raw.connect()
    await raw.turn(100)
    assert.equal(raw.stream.writes.length, 1)
  })

  test("is followed by the peer's FPDUs even when they come with the answer, as siw sends them", async () => {
    const raw = new Raw({ device: { peerToPeer: false } })
    raw.end.receive(1, 0, 10)
    raw.connect()
    await raw.turn()
    const message = untagged(3, { payload: Buffer.from("first") })
    raw.stream.feed(Buffer.concat([mpa("Rep", { flags: C | S }), fpdu(message)]))
    await raw.turn()
    assert.deepEqual(
      raw.end.receives.map(({ byteLength }) => byteLength),
      [5],
    )
  })
})

describe("an MPA request of a peer", () => {
  test("is answered with flags and revision like its own", async () => {
    for (const [flags, revision, privateData, answer] of [
      [S, 2, depths(128, 1), "50020008" + "00010010" + "61620000"],
      [C | S, 2, depths(3, 2), "50020008" + "00020003" + "61620000"],
      [C | S, 2, depths(0x3fff, 0x3fff), "50020008" + "3fff3fff" + "61620000"],
      [C, 1, Buffer.from("x"), "40010004" + "61620000"],
      [0, 1, NOTHING, "40010004" + "61620000"],
      [C | S, 1, Buffer.from("x"), "40010004" + "61620000"],
    ] as const) {
      const raw = new Raw()
      raw.adopt()
      raw.stream.feed(mpa("Req", { flags, revision, privateData }))
      await raw.turn()
      raw.accept({ responderResources: 16, initiatorDepth: 16, privateData: Buffer.from("ab\0\0") })
      await raw.turn()
      const bytes = raw.stream.written()
      assert.equal(bytes.subarray(0, 16).toString(), "MPA ID Rep Frame")
      assert.equal(hex(bytes.subarray(16)), answer)
    }
  })

  test("is answered without CRC only where neither wants it", async () => {
    for (const [crc, flags, used] of [
      [false, S, false],
      [false, C | S, true],
      [true, S, true],
    ] as const) {
      const raw = await acceptedRaw({ device: { crc } }, { flags })
      raw.stream.feed(fpdu(write(raw.end.mr, 0, Uint8Array.of(1, 2, 3)), used))
      raw.end.send(1, 0, 5)
      await raw.turn()
      assert.equal(segments(raw.stream.written(), used).length, 1)
    }
  })

  test("is put together from bytes somebody else has read, and those that come", async () => {
    const request = mpa("Req", { privateData: Buffer.concat([depths(2, 2), Buffer.from("abc")]) })
    for (let head = 0; head <= request.length; head++) {
      const raw = new Raw()
      raw.adopt(request.subarray(0, head))
      assert.equal(raw.requests.length, 0, "not from within the call")
      for (const byte of request.subarray(head)) raw.stream.feed(Uint8Array.of(byte))
      await raw.turn()
      assert.equal(raw.requests.length, 1)
      assert.equal(Buffer.from(raw.requests[0]!.privateData).toString(), "abc")
    }
  })

  const refused: readonly (readonly [title: string, bytes: Buffer])[] = [
    ["with a byte more behind it", Buffer.concat([mpa("Req"), Buffer.alloc(1)])],
    ["with an FPDU behind it", Buffer.concat([mpa("Req"), fpdu(untagged(3))])],
    ["of revision 3", mpa("Req", { revision: 3 })],
    ["with more private data than there may be", mpa("Req", { privateData: new Uint8Array(513) })],
    ["too short for its read depths", mpa("Req", { privateData: new Uint8Array(3) })],
    ["that is a reply", mpa("Rep")],
    ["that is none", Buffer.from("GET / HTTP/1.1\r\n\r\n..")],
  ]
  for (const [title, bytes] of refused) {
    test(`${title} is refused, and the stream closed`, async () => {
      const raw = new Raw()
      raw.adopt()
      raw.stream.feed(bytes)
      await raw.turn()
      assert.ok(raw.stream.destroyed)
      if (raw.requests.length > 0) {
        raw.end.receive(1, 0, 4)
        raw.accept()
        await raw.turn()
        assert.ok(raw.error instanceof NetworkError)
        assert.equal(raw.end.receives.length, 1)
      } else assert.equal(raw.failures.length, 1)
      assert.deepEqual(raw.clock.pending(), [])
    })
  }

  test("that wants markers is rejected as siw does it", async () => {
    const raw = new Raw()
    raw.adopt()
    raw.stream.feed(mpa("Req", { flags: M | C | S, privateData: depths(4, 4) }))
    await raw.turn()
    assert.equal(raw.requests.length, 0)
    assert.equal(raw.failures.length, 1)
    assert.equal(hex(raw.stream.written().subarray(16)), "70020004" + "00040004")
    assert.ok(raw.stream.ended)
    await raw.turn(CLOSE_DEADLINE_MS)
    assert.ok(raw.stream.destroyed)
  })

  test("is rejected with what the program has to say", async () => {
    const raw = new Raw()
    raw.adopt()
    raw.stream.feed(mpa("Req"))
    await raw.turn()
    raw.requests[0]!.reject(Buffer.from("go"))
    assert.equal(hex(raw.stream.written().subarray(16)), "70020006" + "00040004" + "676f")
    assert.ok(raw.stream.ended)
    raw.stream.feed(new Uint8Array(100))
    raw.stream.close()
    assert.deepEqual(raw.clock.pending(), [])
    raw.accept()
    await raw.turn()
    assert.ok(raw.error instanceof NetworkError)
  })

  test("has so long to come, and so long to be answered", async () => {
    const slow = new Raw()
    slow.adopt(mpa("Req").subarray(0, 10))
    await slow.turn(MPA_DEADLINE_MS - 1)
    assert.equal(slow.stream.destroyed, false)
    await slow.turn(1)
    assert.ok(slow.stream.destroyed)
    assert.equal(slow.failures.length, 1)
    const waiting = new Raw()
    waiting.adopt(mpa("Req"))
    await waiting.turn(RDMA_ACCEPT_DEADLINE_MS - 1)
    assert.equal(waiting.stream.destroyed, false)
    await waiting.turn(2)
    assert.ok(waiting.stream.destroyed)
    assert.equal(waiting.failures.length, 0)
  })

  test("is one of so many at a time", async () => {
    const { device, clock } = new Raw()
    const streams = Array.from({ length: RDMA_REQUESTS_PENDING_MAX + 2 }, () => new ManualStream())
    let failed = 0
    for (const stream of streams)
      device.adopt(
        stream,
        NOTHING,
        () => {},
        () => failed++,
      )
    await clock.advance(0)
    assert.deepEqual(streams.map(({ destroyed }) => destroyed).indexOf(true), RDMA_REQUESTS_PENDING_MAX)
    assert.equal(failed, 2)
  })

  test("without the peer-to-peer model keeps us silent until something comes", async () => {
    const raw = await acceptedRaw()
    raw.end.send(1, 0, 10)
    raw.end.read(2, 0, 10, raw.end.mr, 0)
    assert.deepEqual(await raw.sent(), [])
    await raw.feed(write(raw.end.mr, 0, NOTHING))
    assert.deepEqual(
      (await raw.sent()).map(({ opcode }) => opcode),
      [3, 1],
    )
  })

  for (const [title, ready] of [
    ["a write", tagged(0, { stag: 0x1234 })],
    ["a read", untagged(1, { queue: 1, payload: Buffer.alloc(28) })],
    ["a send", untagged(3)],
  ] as const) {
    test(`of the peer-to-peer model is established by ${title} of nothing, which takes no receive`, async () => {
      const raw = new Raw()
      raw.adopt()
      raw.stream.feed(mpa("Req", { privateData: depths(4, 4, 0xc000, 0xc000) }))
      await raw.turn()
      raw.end.receive(1, 0, 100)
      raw.accept(DEPTHS)
      await raw.turn()
      assert.equal(hex(raw.stream.written().subarray(20)), "c004c004")
      assert.throws(() => raw.end.send(1, 0, 1), VerbsError, "not established")
      await raw.feed(ready)
      assert.equal(raw.connection?.qp.state, "RTS")
      raw.end.send(1, 0, 10)
      const opcodes = (await raw.sent()).map(({ opcode }) => opcode)
      assert.deepEqual(
        opcodes.sort((one, other) => one - other),
        title === "a read" ? [2, 3] : [3],
      )
      const sequence = title === "a send" ? 2 : 1
      await raw.feed(untagged(3, { sequence, payload: Buffer.from("hello") }))
      assert.deepEqual(
        raw.end.receives.map(({ byteLength }) => byteLength),
        [5],
      )
    })
  }

  test("of the peer-to-peer model comes to nothing without that message", async () => {
    for (const end of ["time", "close"]) {
      const raw = new Raw()
      raw.adopt(mpa("Req", { privateData: depths(4, 4, 0x8000, 0x8000) }))
      await raw.turn()
      raw.accept()
      await raw.turn()
      if (end === "close") raw.stream.close()
      await raw.turn(end === "time" ? MPA_DEADLINE_MS : 0)
      assert.ok(raw.error instanceof NetworkError)
      assert.ok(raw.stream.ended || raw.stream.destroyed)
      assert.equal(raw.end.qp.state, "ERROR")
      assert.deepEqual(raw.end.disconnections, [])
    }
  })
})

test("an FPDU has a length there can be", () => {
  for (const fpduBytes of [127, 64_769, Number.NaN])
    assert.throws(() => new IwarpDevice({ fpduBytes }), VerbsError)
  new IwarpDevice({ fpduBytes: 128 })
})
