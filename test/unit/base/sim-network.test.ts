import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { ByteReceiver, ByteStream } from "../../../src/base/byte-stream.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { SimNetwork } from "../../../src/base/sim-network.ts"
import type { SimLinkOptions } from "../../../src/base/sim-stream.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"

/** Writes down what happens and when. */
class Journal implements ByteReceiver {
  readonly lines: string[] = []
  readonly parts: Buffer[] = []
  readonly #clock: VirtualClock
  readonly #buffer = new Uint8Array(700)

  constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  buffer(): Uint8Array {
    return this.#buffer
  }

  received(bytes: number): void {
    this.parts.push(Buffer.from(this.#buffer.subarray(0, bytes)))
    this.#note(`received ${bytes}`)
  }

  ended(): void {
    this.#note("ended")
  }

  closed(error?: Error): void {
    this.#note(error ? `closed: ${error.message}` : "closed")
  }

  #note(what: string): void {
    this.lines.push(`${this.#clock.nowMs().toFixed(3)} ${what}`)
  }

  get events(): string[] {
    return this.lines.map((line) => line.replace(/^\S+ /, "")).filter((line) => !line.startsWith("received"))
  }

  get all(): Buffer {
    return Buffer.concat(this.parts)
  }
}

async function world(seed: number, options: Partial<SimLinkOptions> = {}) {
  const clock = new VirtualClock()
  const network = new SimNetwork(clock, new SeededRandom(seed), options)
  let far: ByteStream | undefined
  const listener = await network.listen({ host: "10.0.0.1", port: 3260 }, (stream) => {
    far = stream
  })
  let near: ByteStream | undefined
  void network.connect({ host: "10.0.0.1", port: 3260 }).then((stream) => {
    near = stream
  })
  await clock.advance(1_000, () => near !== undefined)
  const [a, b] = [new Journal(clock), new Journal(clock)]
  near!.start(a)
  far!.start(b)
  return { clock, network, listener, near: near!, far: far!, a, b, link: network.links[0]! }
}

const data = new SeededRandom(2).fill(new Uint8Array(50_000))

describe("simulated network", () => {
  test("bytes arrive in order, whatever their cuts; the same seed gives the same run", async () => {
    const run = async (seed: number) => {
      const { clock, near, far, a, b } = await world(seed, { chunkBytesMax: 3000 })
      let sent = 0
      near.write([data.subarray(0, 1), data.subarray(1, 20_000)], () => sent++)
      near.write([data.subarray(20_000)], () => sent++)
      far.write([Buffer.from("hello")])
      near.end()
      await clock.advance(100, () => b.events.includes("ended"))
      far.end()
      await clock.advance(100)
      assert.equal(sent, 2)
      assert.equal(Buffer.compare(b.all, data), 0)
      assert.equal(a.all.toString(), "hello")
      assert.deepEqual(a.events, ["ended", "closed"])
      assert.deepEqual(b.events, ["ended", "closed"])
      return [...a.lines, ...b.lines]
    }
    assert.deepEqual(await run(1), await run(1))
    assert.notDeepEqual(await run(1), await run(2))
  })

  test("bandwidth and latency take their time", async () => {
    const { clock, near, b } = await world(1, { bytesPerMs: 1000, latencyMs: [5, 5] })
    const startMs = clock.nowMs()
    near.write([data])
    await clock.advance(1_000, () => b.all.length === data.length)
    const tookMs = clock.nowMs() - startMs
    assert.ok(tookMs > 45 && tookMs < 65, `${tookMs} ms`)
  })

  test("who doesn't read stops the writer", async () => {
    const { clock, near, far, b } = await world(1, { windowBytes: 10_000 })
    far.pause()
    near.write([data])
    await clock.advance(1_000)
    assert.equal(near.pendingBytes, data.length - 10_000)
    far.resume()
    await clock.advance(1_000)
    assert.equal(Buffer.compare(b.all, data), 0)
  })

  test("a cut ends both sides with an error, and answers every write", async () => {
    const { clock, near, a, b, link } = await world(1)
    let sent = 0
    near.write([data], () => sent++)
    link.cut()
    near.write([data], () => sent++)
    await clock.advance(10)
    assert.equal(sent, 2)
    for (const journal of [a, b]) {
      assert.deepEqual(journal.events, ["closed: the simulated connection was lost"])
    }
    assert.equal(link.closed, true)
  })

  test("a stall holds everything back until it's over", async () => {
    const { clock, near, b, link } = await world(1)
    link.stall()
    near.write([Buffer.from("late")])
    await clock.advance(60_000)
    assert.equal(b.all.length, 0)
    link.stall(false)
    await clock.advance(10)
    assert.equal(b.all.toString(), "late")
  })

  test("destroy is a goodbye to the peer, or a reset when data was left unread", async () => {
    const quiet = await world(1)
    quiet.near.destroy()
    await quiet.clock.advance(10)
    assert.deepEqual(quiet.a.events, ["closed"])
    assert.deepEqual(quiet.b.events, ["ended"])
    quiet.far.write([data])
    await quiet.clock.advance(10)
    assert.deepEqual(quiet.b.events, ["ended", "closed: the simulated connection was lost"])

    const unread = await world(1)
    unread.far.pause()
    unread.near.write([data])
    await unread.clock.advance(10)
    unread.far.destroy(new Error("mine"))
    await unread.clock.advance(10)
    assert.deepEqual(unread.b.events, ["closed: mine"])
    assert.deepEqual(unread.a.events, ["closed: the simulated connection was lost"])
  })

  test("nobody there, refused, aborted, address in use", async () => {
    const { clock, network, listener } = await world(1)
    const at = { host: "10.0.0.1", port: 3260 }
    const tries = [
      network.connect({ host: "10.0.0.1", port: 1 }),
      network.connect({ host: "10.0.0.1", port: 3260 }, { signal: AbortSignal.abort(new Error("no")) }),
    ]
    const results = Promise.allSettled(tries)
    await clock.advance(10)
    const [nobody, aborted] = await results
    assert.equal((nobody as PromiseRejectedResult).reason.code, "ERR_CONNECTION_REFUSED")
    assert.equal((aborted as PromiseRejectedResult).reason.message, "no")
    await assert.rejects(
      network.listen(at, () => {}),
      { code: "ERR_ADDRESS_IN_USE" },
    )
    network.refuse(3260)
    const refused = Promise.allSettled([network.connect({ host: "10.0.0.1", port: 3260 })])
    await clock.advance(10)
    assert.equal((await refused)[0].status, "rejected")
    await listener.close()
    await network.listen(at, () => {})
  })

  test("a connection that was lost before it began still says so", async () => {
    const clock = new VirtualClock()
    const network = new SimNetwork(clock, new SeededRandom(1))
    let far: ByteStream | undefined
    await network.listen({ host: "x", port: 5 }, (stream) => {
      far = stream
    })
    void network.connect({ host: "x", port: 5 })
    await clock.advance(10)
    network.links[0]!.cut()
    const journal = new Journal(clock)
    far!.start(journal)
    await clock.advance(10)
    assert.deepEqual(journal.events, ["closed: the simulated connection was lost"])
  })

  test("damage is one bit, once, and what the sender holds stays whole", async () => {
    const { clock, network, near, b } = await world(1, { chunkBytesMax: 300 })
    const data = new Uint8Array(1000).fill(0x55)
    network.links[0]!.server.damage()
    near.write([data])
    await clock.advance(10)
    const wrong = [...b.all].map((byte) => byte ^ 0x55).filter((bits) => bits !== 0)
    assert.equal(b.all.length, data.length)
    assert.equal(wrong.length, 1)
    assert.equal(wrong[0]! & (wrong[0]! - 1), 0)
    assert.ok(data.every((byte) => byte === 0x55))
  })
})
