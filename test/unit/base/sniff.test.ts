import assert from "node:assert/strict"
import { after, describe, it } from "node:test"
import type { ByteReceiver, ByteStream, Listener, Network } from "../../../src/base/byte-stream.ts"
import { nodeNetwork } from "../../../src/base/node-network.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { SimNetwork } from "../../../src/base/sim-network.ts"
import { sniff } from "../../../src/base/sniff.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"

interface Net {
  readonly name: string
  readonly network: Network
  until(done: () => boolean): Promise<void>
}

const virtualClock = new VirtualClock()
const nets: Net[] = [
  {
    name: "simulated",
    network: new SimNetwork(virtualClock, new SeededRandom(1), { chunkBytesMax: 7 }),
    until: async (done) => assert.ok(await virtualClock.advance(10_000, done), "waited in vain"),
  },
  {
    name: "real",
    network: nodeNetwork,
    until: async (done) => {
      while (!done()) await new Promise((resolve) => setImmediate(resolve))
    },
  },
]

const listeners: Listener[] = []
after(async () => {
  for (const listener of listeners) await listener.close()
})

async function pair({ network, until }: Net): Promise<{ near: ByteStream; far: ByteStream }> {
  let near: ByteStream | undefined
  let far: ByteStream | undefined
  let listener: Listener | undefined
  void network
    .listen({ host: "127.0.0.1", port: 0 }, (stream) => void (far = stream))
    .then((at) => void (listener = at))
  await until(() => listener !== undefined)
  listeners.push(listener!)
  void network.connect({ host: "127.0.0.1", port: listener!.local.port }).then((at) => void (near = at))
  await until(() => near !== undefined && far !== undefined)
  return { near: near!, far: far! }
}

/** Keeps what comes, and how it ended. */
class Keeper implements ByteReceiver {
  readonly memory: Uint8Array
  readonly parts: Buffer[] = []
  hasEnded = false
  closings = 0
  onReceived: () => void = () => {}

  constructor(bytes = 1000) {
    this.memory = new Uint8Array(bytes)
  }

  get text(): string {
    return Buffer.concat(this.parts).toString()
  }

  buffer(): Uint8Array {
    return this.memory
  }

  received(bytes: number): void {
    this.parts.push(Buffer.from(this.memory.subarray(0, bytes)))
    this.onReceived()
  }

  ended(): void {
    this.hasEnded = true
  }

  closed(): void {
    this.closings++
  }
}

for (const net of nets) {
  describe(`a stream that changes hands: ${net.name}`, () => {
    it("gives what comes to the new receiver, and leaves the old one's buffer alone", async () => {
      const { near, far } = await pair(net)
      near.start(new Keeper())
      const [first, second] = [new Keeper(), new Keeper()]
      far.start(first)
      near.write([Buffer.from("one")])
      await net.until(() => first.text === "one")
      first.memory.fill(0)
      far.handOver(second)
      near.write([Buffer.from("two")])
      await net.until(() => second.text === "two")
      assert.equal(first.text, "one")
      assert.ok(first.memory.every((byte) => byte === 0))
      near.end()
      await net.until(() => second.hasEnded)
      far.destroy()
      await net.until(() => second.closings === 1)
      assert.deepEqual([first.hasEnded, first.closings], [false, 0])
    })

    it("from within received: the very next byte is the new receiver's", async () => {
      const { near, far } = await pair(net)
      near.start(new Keeper())
      const [first, second] = [new Keeper(1), new Keeper()]
      first.onReceived = () => {
        if (first.text.length === 2) far.handOver(second)
      }
      near.write([Buffer.from("abcdef")])
      far.start(first)
      await net.until(() => second.text === "cdef")
      assert.equal(first.text, "ab")
      near.destroy()
      far.destroy()
    })

    it("when it's gone already: the new receiver is told so, from the event loop", async () => {
      const { near, far } = await pair(net)
      const [first, second] = [new Keeper(), new Keeper()]
      near.start(new Keeper())
      far.start(first)
      far.destroy()
      await net.until(() => first.closings === 1)
      far.handOver(second)
      assert.equal(second.closings, 0)
      await net.until(() => second.closings === 1)
      assert.equal(first.closings, 1)
      near.destroy()
    })
  })

  describe(`the first bytes: ${net.name}`, () => {
    const recognize = (head: Uint8Array) => {
      const text = Buffer.from(head).toString()
      return ["ping", "x"].find((known) => known === text) ?? (text.startsWith("?") ? "odd" : undefined)
    }

    async function meet(pieces: readonly string[]) {
      const { near, far } = await pair(net)
      near.start(new Keeper())
      const told: string[] = []
      const rest = new Keeper()
      sniff(far, 4, recognize, {
        sniffed(what, head) {
          told.push(`${what}: ${Buffer.from(head)}`)
          if (what === undefined) far.destroy()
          else far.handOver(rest)
        },
        lost: () => void told.push("lost"),
      })
      const done = () => told.length > 0
      for (const piece of pieces) {
        near.write([Buffer.from(piece)])
        let sent = false
        near.write([], () => void (sent = true))
        await net.until(() => sent)
      }
      return { near, far, told, rest, done }
    }

    for (let cut = 1; cut < 4; cut++) {
      it(`are recognized when they come in parts of ${cut} and ${4 - cut}, and what follows is left`, async () => {
        const { near, told, rest } = await meet(["ping".slice(0, cut), `${"ping".slice(cut)}and more`])
        await net.until(() => rest.text === "and more")
        assert.deepEqual(told, ["ping: ping"])
        near.destroy()
      })
    }

    it("are given as soon as they are known, however few", async () => {
      const { near, told, done } = await meet(["x"])
      await net.until(done)
      assert.deepEqual(told, ["x: x"])
      near.destroy()
    })

    it("are told as nothing known when all have come", async () => {
      const { told, done } = await meet(["pang!"])
      await net.until(done)
      assert.deepEqual(told, ["undefined: pang"])
    })

    it("never come when the peer says goodbye before", async () => {
      const { near, told, done } = await meet(["pi"])
      near.end()
      await net.until(done)
      assert.deepEqual(told, ["lost"])
    })

    it("never come when the peer is lost before", async () => {
      const { near, told, done } = await meet([])
      near.destroy()
      await net.until(done)
      assert.deepEqual(told, ["lost"])
    })
  })
}
