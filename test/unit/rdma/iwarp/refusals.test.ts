/** What a peer may not do: which Terminate it gets (RFC 5040 §4.8, RFC 5041 §7), and that nothing was written. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { CLOSE_DEADLINE_MS } from "../../../../src/base/limits.ts"
import { Access } from "../../../../src/rdma/verbs/index.ts"
import { ALL_ACCESS, pattern, same, statusNames } from "../../../suites/verbs-ends.ts"
import { acceptedRaw, connectedRaw, fpdu, readRequest, tagged, terminateOf, untagged, write } from "./raw.ts"
import type { Raw } from "./raw.ts"

const PAYLOAD = Buffer.alloc(100, 7)

interface Refusal {
  readonly title: string
  /** "layer/type/code" */
  readonly code: string
  /** What comes; the last of it is refused. */
  readonly ulpdus: (raw: Raw) => Buffer[]
  /** Bytes of the refused segment that come back: its headers. */
  readonly quoted?: number
  readonly receive?: string
}

/** Byte 0 or 1 of a ULPDU changed. */
function changed(ulpdu: Buffer, at: number, to: (byte: number) => number): Buffer {
  ulpdu[at] = to(ulpdu[at]!)
  return ulpdu
}

const region = (raw: Raw, access: number, pd = raw.end.pd) => pd.registerMemory(new Uint8Array(1000), access)

const writes: readonly Refusal[] = [
  {
    title: "a write to an STag there isn't",
    code: "1/1/0",
    ulpdus: () => [tagged(0, { stag: 0x77770001, payload: PAYLOAD })],
  },
  {
    title: "a write with the STag of before",
    code: "1/1/0",
    ulpdus: (raw) => {
      const mr = region(raw, ALL_ACCESS)
      const old = { rkey: mr.rkey, addressHigh: mr.addressHigh, addressLow: mr.addressLow }
      mr.reregister(mr.bytes, ALL_ACCESS)
      return [write(old, 0, PAYLOAD)]
    },
  },
  {
    title: "a write to memory that is not for peers",
    code: "1/1/0",
    ulpdus: (raw) => [write(region(raw, Access.LocalWrite), 0, PAYLOAD)],
  },
  {
    title: "a write to memory of another protection domain",
    code: "1/1/2",
    ulpdus: (raw) => [write(region(raw, ALL_ACCESS, raw.device.allocatePd()), 0, PAYLOAD)],
  },
  {
    title: "a write to what may only be read",
    code: "0/1/2",
    ulpdus: (raw) => [write(region(raw, Access.RemoteRead), 0, PAYLOAD)],
  },
  { title: "a write a byte too far", code: "1/1/1", ulpdus: (raw) => [write(raw.end.mr, 65_437, PAYLOAD)] },
  {
    title: "a write a byte before",
    code: "1/1/1",
    ulpdus: ({ end: { mr } }) => [
      tagged(0, {
        stag: mr.rkey,
        high: mr.addressLow === 0 ? mr.addressHigh - 1 : mr.addressHigh,
        low: (mr.addressLow - 1) >>> 0,
        payload: PAYLOAD,
      }),
    ],
  },
  {
    title: "a write that wraps around",
    code: "1/1/3",
    ulpdus: ({ end: { mr } }) => [
      tagged(0, { stag: mr.rkey, high: 0xffffffff, low: 0xffffffff - 50, payload: PAYLOAD }),
    ],
  },
  {
    title: "a tagged segment that is none",
    code: "0/2/6",
    ulpdus: ({ end: { mr } }) => [tagged(3, { stag: mr.rkey, payload: PAYLOAD })],
  },
  {
    title: "a tagged segment of another version of DDP",
    code: "1/1/4",
    ulpdus: ({ end: { mr } }) => [changed(write(mr, 0, PAYLOAD), 0, (byte) => byte + 1)],
  },
  {
    title: "another version of RDMAP",
    code: "0/2/5",
    ulpdus: ({ end: { mr } }) => [changed(write(mr, 0, PAYLOAD), 1, (byte) => byte + 0x40)],
  },
  {
    title: "the answer to a read there wasn't",
    code: "1/1/0",
    ulpdus: ({ end: { mr } }) => [tagged(2, { stag: mr.rkey, payload: PAYLOAD })],
  },
]

const sends: readonly Refusal[] = [
  { title: "a send without a receive", code: "1/2/2", ulpdus: () => [untagged(3, { payload: PAYLOAD })] },
  {
    title: "a send too long for its receive",
    code: "1/2/5",
    receive: "local length error",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 99)
      return [untagged(3, { payload: PAYLOAD })]
    },
  },
  {
    title: "a send whose second segment is too long",
    code: "1/2/5",
    receive: "local length error",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 199)
      return [untagged(3, { payload: PAYLOAD, last: false }), untagged(3, { payload: PAYLOAD, offset: 100 })]
    },
  },
  ...([0, 2, 0xffffffff] as const).map((sequence) => ({
    title: `a send out of sequence (${sequence})`,
    code: "1/2/3",
    ulpdus: (raw: Raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(3, { sequence, payload: PAYLOAD })]
    },
  })),
  {
    title: "a send that begins in the middle",
    code: "1/2/4",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(3, { offset: 1, payload: PAYLOAD })]
    },
  },
  {
    title: "a send with a gap",
    code: "1/2/4",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(3, { payload: PAYLOAD, last: false }), untagged(3, { offset: 101, payload: PAYLOAD })]
    },
  },
  {
    title: "a send that becomes another kind of send",
    code: "0/2/6",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(3, { payload: PAYLOAD, last: false }), untagged(4, { offset: 100, payload: PAYLOAD })]
    },
  },
  {
    title: "a segment of nothing with more to come",
    code: "1/2/4",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(3, { last: false })]
    },
  },
  {
    title: "the invalidation of what can't be",
    code: "0/1/9",
    receive: "remote invalid request error",
    ulpdus: (raw) => {
      raw.end.receive(1, 0, 1000)
      return [untagged(4, { stag: region(raw, Access.LocalWrite).rkey, payload: PAYLOAD })]
    },
  },
  { title: "a queue there isn't", code: "1/2/1", ulpdus: () => [untagged(3, { queue: 3 })] },
  { title: "a write at a queue", code: "0/2/6", ulpdus: () => [untagged(0)] },
  { title: "an opcode there isn't", code: "0/2/6", ulpdus: () => [untagged(8)] },
  { title: "a send at the reads' queue", code: "0/2/6", ulpdus: () => [untagged(3, { queue: 1 })] },
  {
    title: "an untagged segment of another version of DDP",
    code: "1/2/6",
    ulpdus: () => [changed(untagged(3), 0, (byte) => byte - 1)],
  },
]

const READ = 18 + 28
const reads: readonly Refusal[] = [
  {
    title: "a read of an STag there isn't",
    code: "0/1/0",
    quoted: READ,
    ulpdus: ({ end: { mr } }) => [readRequest(1, { bytes: 10, from: { ...known(mr), rkey: 0x77770001 } })],
  },
  {
    title: "a read of memory of another protection domain",
    code: "0/1/3",
    quoted: READ,
    ulpdus: (raw) => [readRequest(1, { bytes: 10, from: region(raw, ALL_ACCESS, raw.device.allocatePd()) })],
  },
  {
    title: "a read of what may only be written",
    code: "0/1/2",
    quoted: READ,
    ulpdus: (raw) => [
      readRequest(1, { bytes: 10, from: region(raw, Access.RemoteWrite | Access.LocalWrite) }),
    ],
  },
  {
    title: "a read a byte too far",
    code: "0/1/1",
    quoted: READ,
    ulpdus: ({ end: { mr } }) => [readRequest(1, { bytes: 11, from: mr, offset: 65_526 })],
  },
  {
    title: "a read that wraps around",
    code: "0/1/4",
    quoted: READ,
    ulpdus: ({ end: { mr } }) => {
      const from = { rkey: mr.rkey, addressHigh: 0xffffffff, addressLow: 0xfffffff0 }
      return [readRequest(1, { bytes: 17, from })]
    },
  },
  {
    title: "a read out of sequence",
    code: "1/2/3",
    ulpdus: ({ end: { mr } }) => [readRequest(2, { bytes: 10, from: mr })],
  },
  {
    title: "a read that begins in the middle",
    code: "1/2/4",
    ulpdus: ({ end: { mr } }) => {
      const request = readRequest(1, { bytes: 10, from: mr })
      request[17] = 1
      return [request]
    },
  },
  {
    title: "a read request a byte too long",
    code: "1/2/5",
    ulpdus: ({ end: { mr } }) => [Buffer.concat([readRequest(1, { bytes: 10, from: mr }), Buffer.alloc(1)])],
  },
  {
    title: "a read request a byte too short",
    code: "0/2/255",
    ulpdus: ({ end: { mr } }) => [readRequest(1, { bytes: 10, from: mr }).subarray(0, -1)],
  },
  {
    title: "more reads than were agreed on",
    code: "1/2/2",
    ulpdus: ({ end: { mr } }) => [1, 2, 3].map((i) => readRequest(i, { bytes: 10, from: mr })),
  },
]

const known = ({
  rkey,
  addressHigh,
  addressLow,
}: {
  rkey: number
  addressHigh: number
  addressLow: number
}) => ({
  rkey,
  addressHigh,
  addressLow,
})

describe("a peer's segments", () => {
  for (const { title, code, ulpdus, quoted, receive } of [...writes, ...sends, ...reads]) {
    test(`${title} is refused with ${code}`, async () => {
      const raw = await acceptedRaw({ connection: { responderResources: 2, initiatorDepth: 4 } })
      const { end } = raw
      end.memory.set(pattern(65_536, 1))
      const posted = ulpdus(raw)
      const memory = end.memory.slice()
      await raw.feed(...posted, write(end.mr, 0, Buffer.alloc(500, 99)))
      const sent = await raw.sent()
      assert.equal(terminateOf(sent), code)
      const { payload } = sent.at(-1)!
      const refused = posted.at(-1)!
      const headers = quoted ?? ((refused[0]! & 0x80) !== 0 ? 14 : 18)
      assert.equal(payload[2], headers > 18 ? 0xe0 : 0xc0)
      assert.equal(payload.readUInt16BE(4), refused.length)
      same(payload.subarray(6), refused.subarray(0, headers), "headers")
      await raw.turn(1)
      assert.deepEqual(
        end.disconnections.map(({ reason }) => reason),
        ["peer-violation"],
      )
      // What was good of a message may be where it belongs, beyond it nothing is.
      if (receive === undefined) memory.set(end.memory.subarray(0, 100), 0)
      else memory.set(end.memory.subarray(0, 199), 0)
      if (title.startsWith("a write")) memory.set(pattern(65_536, 1), 0)
      same(end.memory, memory)
      if (receive !== undefined) assert.equal(statusNames(end.receives)[0], receive)
      assert.ok(raw.stream.ended)
      await raw.turn(CLOSE_DEADLINE_MS)
      assert.ok(raw.stream.destroyed)
    })
  }

  test("with a wrong CRC nothing is done, and the stream is lost", async () => {
    for (const bit of [0, 15, 100, 900]) {
      const raw = await acceptedRaw()
      const bytes = fpdu(write(raw.end.mr, 0, PAYLOAD))
      bytes[2 + (bit >> 3)]! ^= 1 << (bit & 7)
      raw.stream.feed(bytes)
      const sent = await raw.sent()
      assert.equal(terminateOf(sent), "2/0/2")
      assert.equal(sent.at(-1)!.payload.length, 4)
      assert.ok(raw.end.memory.every((byte) => byte === 0))
      await raw.turn(1)
      assert.equal(raw.end.disconnections[0]?.reason, "lost")
    }
  })

  test("that are shorter than any header are refused", async () => {
    for (const bytes of [0, 1, 13]) {
      const raw = await acceptedRaw()
      await raw.feed(Buffer.alloc(bytes, 0x41))
      assert.equal(terminateOf(await raw.sent()), "2/0/3")
    }
    const raw = await acceptedRaw()
    await raw.feed(untagged(3).subarray(0, 17))
    assert.equal(terminateOf(await raw.sent()), "2/0/3")
  })

  test("of no bytes need no STag", async () => {
    const raw = await acceptedRaw()
    const from = { rkey: 0x99990009, addressHigh: 5, addressLow: 6 }
    await raw.feed(tagged(0, { stag: 0x12345678 }), readRequest(1, { bytes: 0, from }))
    const [answer, ...rest] = await raw.sent()
    assert.deepEqual(rest, [])
    const { opcode, stag, high, low, last, payload } = answer!
    assert.deepEqual([opcode, stag, high, low, last, payload.length], [2, 0x5151, 7, 0x1000, true, 0])
  })

  test("that answer a read have to come as it was asked for", async () => {
    const wrong: readonly (readonly [
      code: string,
      stag: number,
      low: number,
      bytes: number,
      last: boolean,
    ])[] = [
      ["1/1/0", 1, 0, 200, true],
      ["1/1/1", 0, 1, 200, true],
      ["1/1/1", 0, 0, 201, true],
      ["0/2/255", 0, 0, 199, true],
      ["0/2/255", 0, 0, 200, false],
    ]
    for (const [code, stag, low, bytes, last] of wrong) {
      const raw = await connectedRaw()
      raw.end.read(1, 1000, 200, raw.end.mr, 0)
      const [request] = await raw.sent()
      const asked = { stag: request!.payload.readUInt32BE(0), low: request!.payload.readUInt32BE(8) }
      const high = request!.payload.readUInt32BE(4)
      const payload = Buffer.alloc(bytes, 9)
      await raw.feed(tagged(2, { stag: asked.stag + stag, high, low: asked.low + low, payload, last }))
      assert.equal(terminateOf(await raw.sent()), code)
      assert.ok(raw.end.memory.every((byte) => byte === 0))
      await raw.turn(1)
      assert.deepEqual(statusNames(raw.end.sends), ["work request flushed error"])
    }
  })
})

describe("a peer's Terminate", () => {
  const payloads: readonly (readonly [title: string, payload: Buffer, reason: string, detail: RegExp])[] = [
    ["as the RFC has it", Buffer.from("1202c000", "hex"), "request-failed", /DDP no buffer \(1\/2\/2\)/],
    ["as siw has it", Buffer.from("21020300", "hex"), "request-failed", /DDP no buffer \(1\/2\/2\)/],
    [
      "as siw has it, of RDMAP",
      Buffer.from("10000700", "hex"),
      "request-failed",
      /RDMAP bad stag \(0\/1\/0\)/,
    ],
    ["without headers", Buffer.from("20020000", "hex"), "lost", /MPA mpa crc \(2\/0\/2\)/],
    ["of trouble of its own", Buffer.from("00000000", "hex"), "peer", /local catastrophe/],
    ["unheard of", Buffer.from("55550000", "hex"), "request-failed", /layer error \(5\/5\/85\)/],
    ["too short to say why", Buffer.from("12", "hex"), "lost", /without a reason/],
  ]
  for (const [title, payload, reason, detail] of payloads) {
    test(`${title} is understood`, async () => {
      const raw = await connectedRaw()
      raw.end.receive(1, 0, 10)
      await raw.feed(untagged(7, { queue: 2, payload }))
      await raw.turn(1)
      assert.equal(raw.end.disconnections.length, 1)
      assert.equal(raw.end.disconnections[0]!.reason, reason)
      assert.match(raw.end.disconnections[0]!.detail, detail)
      assert.equal(raw.end.qp.state, "ERROR")
      assert.ok(raw.stream.ended)
      assert.deepEqual(await raw.sent(), [], "no answer to it")
    })
  }
})
