/** Connections over a network: revisions that differ, streams handed over, what a device leaves behind. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { ByteReceiver, ByteStream } from "../../../../src/base/byte-stream.ts"
import { CLOSE_DEADLINE_MS } from "../../../../src/base/limits.ts"
import { NetworkError } from "../../../../src/base/network-error.ts"
import { Access, SendOpcode, VerbsError } from "../../../../src/rdma/verbs/index.ts"
import type { Connection } from "../../../../src/rdma/verbs/index.ts"
import { connectEnds, makeEnds, pattern, same, statusNames } from "../../../suites/verbs-ends.ts"
import { iwarpPair } from "./pair.ts"
import { mpa, S } from "./raw.ts"

/** What a stream brings, and an answer to the first of it. */
class Listener implements ByteReceiver {
  bytes = Buffer.alloc(0)
  isClosed = false
  readonly #into = new Uint8Array(1000)
  readonly #came: (bytes: Buffer) => void

  constructor(came: (bytes: Buffer) => void = () => {}) {
    this.#came = came
  }

  buffer(): Uint8Array {
    return this.#into
  }

  received(bytes: number): void {
    this.bytes = Buffer.concat([this.bytes, this.#into.subarray(0, bytes)])
    this.#came(this.bytes)
  }

  ended(): void {}

  closed(): void {
    this.isClosed = true
  }
}

describe("revisions of MPA", () => {
  test("a responder of RFC 5044 alone, which hangs up at revision 2, is asked again with revision 1", async () => {
    const { pair, network } = iwarpPair(1)
    const { active } = makeEnds(pair)
    const revisions: number[] = []
    await network.listen({ host: "10.0.0.2", port: 3260 }, (stream: ByteStream) => {
      const old = new Listener((bytes) => {
        if (bytes.length < 20 + bytes.readUInt16BE(18)) return
        revisions.push(bytes[17]!)
        if (bytes[17] !== 1) return stream.destroy()
        assert.equal(bytes[16]! & S, 0)
        assert.equal(bytes.subarray(20).toString(), "hello")
        stream.write([mpa("Rep", { flags: 0, revision: 1, privateData: Buffer.from("hi") })])
      })
      stream.start(old)
    })
    let connection: Connection | undefined
    const parameters = active.parameters({ privateData: Buffer.from("hello"), initiatorDepth: 3 })
    void pair.active.connect({ host: "10.0.0.2", port: 3260 }, parameters).then((made) => (connection = made))
    await pair.until("the connection", () => connection !== undefined)
    assert.deepEqual(revisions, [2, 1])
    assert.equal(Buffer.from(connection!.privateData).toString(), "hi")
    assert.equal(connection!.initiatorDepth, 3)
  })

  test("who hangs up at either is given up", async () => {
    const { pair, network } = iwarpPair(2)
    const { active } = makeEnds(pair)
    let came = 0
    await network.listen({ host: "10.0.0.2", port: 3260 }, (stream) => {
      came++
      stream.start(new Listener(() => stream.destroy()))
    })
    let error: unknown
    pair.active
      .connect({ host: "10.0.0.2", port: 3260 }, active.parameters())
      .catch((thrown: unknown) => (error = thrown))
    await pair.until("the end of it", () => error !== undefined)
    assert.ok(error instanceof NetworkError)
    assert.equal(error.code, "ERR_CONNECTION_LOST")
    assert.equal(came, 2)
  })

  for (const [title, options] of [
    ["revision 1 on both sides", { active: { revision: 1 }, passive: { revision: 1 } }],
    ["revision 2 without the peer-to-peer model", { active: { peerToPeer: false } }],
    ["CRC asked for by one side alone", { active: { crc: false } }],
    ["no CRC at all", { active: { crc: false }, passive: { crc: false } }],
  ] as const) {
    test(`messages go both ways with ${title}`, async () => {
      const { pair } = iwarpPair(3, options)
      const ends = makeEnds(pair)
      const { active, passive } = ends
      await connectEnds(ends)
      active.memory.set(pattern(30_000, 1))
      active.receive(1, 60_000, 100)
      passive.receive(1, 60_000, 100)
      // The asked side's waits for the asking side's where it has to.
      passive.send(1, 0, 10)
      passive.read(2, 0, 30_000, active.mr, 0)
      active.send(1, 0, 10)
      await pair.until("all", () => passive.sends.length === 2 && active.receives.length === 1)
      same(passive.memory.subarray(0, 30_000), pattern(30_000, 1))
      assert.deepEqual(statusNames([...active.receives, ...passive.receives]), ["success", "success"])
    })
  }
})

describe("streams there are already", () => {
  test("carry a connection as well, when one side asks over its end and the other adopts its own", async () => {
    const { pair, network, active: device, passive: other } = iwarpPair(4)
    const { active, passive } = makeEnds(pair)
    let accepted: Connection | undefined
    await network.listen({ host: "10.0.0.2", port: 3260 }, (stream) => {
      const first = new Listener((bytes) => {
        if (bytes.length < 5) return
        // The rest of what came is the beginning of the request.
        other.adopt(stream, bytes.subarray(5), (request) => {
          void request.accept(passive.parameters()).then((made) => (accepted = made))
        })
      })
      stream.start(first)
    })
    const stream = await new Promise<ByteStream>((resolve, reject) => {
      network.connect({ host: "10.0.0.2", port: 3260 }).then(resolve, reject)
      void pair.rest()
    })
    stream.start(new Listener())
    stream.write([Buffer.from("login")])
    let connected: Connection | undefined
    void device.connectOver(stream, active.parameters()).then((made) => (connected = made))
    await pair.until("the connection", () => connected !== undefined && accepted !== undefined)
    passive.receive(1, 0, 10)
    active.send(1, 0, 10)
    await pair.until("the message", () => passive.receives.length === 1)
  })

  test("are gone with a request that fails", async () => {
    const { pair, network, active: device } = iwarpPair(5)
    const { active } = makeEnds(pair)
    const peer = new Listener()
    await network.listen({ host: "10.0.0.2", port: 3260 }, (stream) => stream.start(peer))
    const stream = await new Promise<ByteStream>((resolve, reject) => {
      network.connect({ host: "10.0.0.2", port: 3260 }).then(resolve, reject)
      void pair.rest()
    })
    stream.start(new Listener())
    let error: unknown
    device
      .connectOver(stream, active.parameters({ deadlineMs: 10 }))
      .catch((thrown: unknown) => (error = thrown))
    await pair.until(
      "the deadline",
      () => error !== undefined && network.links.every(({ client }) => client.closed),
    )
    assert.equal((error as NetworkError).code, "ERR_CONNECTION_TIMED_OUT")
  })
})

describe("memory a peer reads", () => {
  test("may be invalidated by it as soon as it has it, though more is on its way behind", async () => {
    for (const seed of [1, 2, 3]) {
      const { pair } = iwarpPair(seed, { active: { crc: false }, passive: { crc: false } })
      const ends = makeEnds(pair, { memoryBytes: 1_000_000 })
      const { active, passive } = ends
      await connectEnds(ends)
      active.memory.set(pattern(800_000, seed))
      const regions = Array.from({ length: 8 }, (_, i) =>
        active.pd.registerMemory(active.memory.subarray(i * 100_000, (i + 1) * 100_000), Access.RemoteRead),
      )
      for (const [i, mr] of regions.entries()) {
        active.receive(i, 900_000, 100)
        passive.read(i, i * 100_000, 100_000, mr, 0)
      }
      let invalidated = 0
      await pair.until("all", () => {
        for (; invalidated < passive.sends.filter(({ opcode }) => opcode === 2).length; invalidated++) {
          const invalidateRkey = regions[invalidated]!.rkey
          passive.post(100 + invalidated, SendOpcode.sendWithInvalidate, [], { invalidateRkey })
        }
        return active.receives.length === 8 || active.disconnections.length > 0
      })
      assert.deepEqual(active.disconnections, [])
      same(passive.memory.subarray(0, 800_000), pattern(800_000, seed))
      assert.ok(regions.every(({ valid }) => !valid))
    }
  })
})

describe("a device", () => {
  test("leaves no stream and no timer behind when it's closed", async () => {
    const { pair, network, clock } = iwarpPair(6)
    for (let i = 0; i < 3; i++) await connectEnds(makeEnds(pair))
    const { active } = makeEnds(pair)
    await pair.passive.listen({ host: "10.0.0.2", port: 3333 }, () => {})
    const waiting = pair.active.connect({ host: "10.0.0.2", port: 3333 }, active.parameters())
    const outcome = assert.rejects(waiting, NetworkError)
    await clock.advance(1)
    await pair.passive.close()
    await settle(clock, outcome)
    await pair.active.close()
    await clock.advance(CLOSE_DEADLINE_MS)
    assert.ok(network.links.every(({ closed }) => closed))
    assert.deepEqual(clock.pending(), [])
    assert.throws(() => pair.passive.createCq(1, () => {}), VerbsError)
  })

  test("bears a peer that never says goodbye", async () => {
    const { pair, network, clock } = iwarpPair(7)
    const ends = makeEnds(pair)
    await connectEnds(ends)
    const link = network.links[0]!
    link.stall()
    ends.active.connection?.disconnect()
    await clock.advance(CLOSE_DEADLINE_MS + 1)
    assert.ok(link.client.closed)
    assert.deepEqual(
      ends.active.disconnections.map(({ reason }) => reason),
      ["local"],
    )
  })

  test("tells of a line that is cut", async () => {
    const { pair, network } = iwarpPair(8)
    const ends = makeEnds(pair)
    const { active, passive } = ends
    await connectEnds(ends)
    passive.receive(1, 0, 10)
    active.read(1, 0, 50_000, passive.mr, 0)
    network.links[0]!.cut()
    await pair.until(
      "the end",
      () => active.disconnections.length === 1 && passive.disconnections.length === 1,
    )
    assert.deepEqual([active.disconnections[0]!.reason, passive.disconnections[0]!.reason], ["lost", "lost"])
    await pair.rest()
    assert.deepEqual(
      statusNames([...active.sends, ...passive.receives]),
      Array(2).fill("work request flushed error"),
    )
  })
})

/** Lets time pass until a promise is settled. */
async function settle(
  clock: { advance(ms: number): Promise<boolean> },
  promise: Promise<void>,
): Promise<void> {
  let settled = false
  void promise.then(() => (settled = true))
  for (let i = 0; i < 100 && !settled; i++) await clock.advance(1)
  await promise
}
