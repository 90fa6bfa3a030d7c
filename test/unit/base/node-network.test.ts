import assert from "node:assert/strict"
import { createServer, Socket } from "node:net"
import { after, describe, test } from "node:test"
import { once } from "node:events"
import type { ByteReceiver, ByteStream, Listener } from "../../../src/base/byte-stream.ts"
import { NetworkError, networkError } from "../../../src/base/network-error.ts"
import { NodeByteStream, plainAddress } from "../../../src/base/node-byte-stream.ts"
import { nodeNetwork } from "../../../src/base/node-network.ts"
import { socketCalls } from "../../../src/base/socket-calls.ts"
import { SeededRandom } from "../../../src/base/random.ts"

/** Keeps what it receives. */
class Keeper implements ByteReceiver {
  readonly chunks: Buffer[] = []
  bytes = 0
  hasEnded = false
  closings: (Error | undefined)[] = []
  readonly #size: number
  #buffer: Uint8Array
  #changed: () => void = () => {}

  constructor(size = 1000) {
    this.#size = size
    this.#buffer = new Uint8Array(size)
  }

  buffer(): Uint8Array {
    this.#buffer = new Uint8Array(this.#size)
    return this.#buffer
  }

  received(bytes: number): void {
    this.chunks.push(Buffer.from(this.#buffer.subarray(0, bytes)))
    this.bytes += bytes
    this.#changed()
  }

  ended(): void {
    this.hasEnded = true
    this.#changed()
  }

  closed(error?: Error): void {
    this.closings.push(error)
    this.#changed()
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  get all(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

const listeners: Listener[] = []
after(async () => {
  for (const listener of listeners) await listener.close()
})

async function pair(host = "127.0.0.1"): Promise<{ near: ByteStream; far: ByteStream }> {
  let far: ByteStream | undefined
  const listener = await nodeNetwork.listen({ host, port: 0 }, (stream) => {
    far = stream
  })
  listeners.push(listener)
  const near = await nodeNetwork.connect({ host, port: listener.local.port })
  while (!far) await new Promise((resolve) => setImmediate(resolve))
  return { near, far }
}

const data = new SeededRandom(1).fill(new Uint8Array(3_000_000))

describe("node network", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    test(`bytes arrive both ways, in the receiver's memory, and the end is seen: ${host}`, async () => {
      const { near, far } = await pair(host)
      assert.equal(near.local.address, host)
      assert.deepEqual(near.local, far.remote)
      assert.deepEqual(near.remote, far.local)
      const [a, b] = [new Keeper(), new Keeper(70_000)]
      near.start(a)
      far.start(b)
      let sent = 0
      near.write([data.subarray(0, 10), data.subarray(10, 11), data.subarray(11)], () => sent++)
      far.write([Buffer.from("hello")], () => sent++)
      near.end()
      await b.until(() => b.hasEnded)
      assert.equal(Buffer.compare(b.all, data), 0)
      await a.until(() => a.bytes === 5)
      assert.equal(sent, 2)
      assert.equal(a.hasEnded, false, "the other direction is still open")
      far.write([Buffer.from("bye")])
      far.end()
      await a.until(() => a.closings.length > 0)
      await b.until(() => b.closings.length > 0)
      assert.equal(a.all.toString(), "hellobye")
      assert.deepEqual([...a.closings, ...b.closings], [undefined, undefined])
    })
  }

  test("what comes before start waits; pause holds back, resume goes on", async () => {
    const { near, far } = await pair()
    const [a, b] = [new Keeper(), new Keeper()]
    near.start(a)
    near.write([data.subarray(0, 5000)])
    await new Promise((resolve) => setTimeout(resolve, 20))
    far.start(b)
    await b.until(() => b.bytes === 5000)
    far.pause()
    near.write([data.subarray(5000, 9000)])
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.equal(b.bytes, 5000)
    far.resume()
    await b.until(() => b.bytes === 9000)
    assert.equal(Buffer.compare(b.all, data.subarray(0, 9000)), 0)
    near.destroy()
    far.destroy()
    await a.until(() => a.closings.length > 0)
  })

  test("after refreshBuffer the buffer given before is left alone", async () => {
    const { near, far } = await pair()
    near.start(new Keeper())
    const first = new Uint8Array(100)
    const second = new Uint8Array(100)
    let current = first
    let received = 0
    far.start({
      buffer: () => current,
      received: (bytes) => void (received += bytes),
      ended() {},
      closed() {},
    })
    current = second
    far.refreshBuffer()
    near.write([new Uint8Array(50).fill(7)])
    while (received < 50) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(first.every((byte) => byte === 0))
    assert.ok(second.subarray(0, 50).every((byte) => byte === 7))
    near.destroy()
    far.destroy()
  })

  test("what has come can be read on at once, scattered, but only while bytes are delivered", async (t) => {
    if ((await socketCalls()) === undefined) return t.skip("this machine's C library can't be called")
    const { near, far } = await pair()
    const taken: Buffer[] = []
    let bytes = 0
    const into = new Uint8Array(10)
    near.start(new Keeper())
    near.write([data.subarray(0, 100_000)])
    await new Promise((resolve) => setTimeout(resolve, 20))
    far.start({
      buffer: () => into,
      received(count) {
        taken.push(Buffer.from(into.subarray(0, count)))
        bytes += count
        const pieces = [new Uint8Array(3), new Uint8Array(30_000), new Uint8Array(7)]
        const more = far.readNow!(pieces)
        assert.ok(more >= 0 && more <= 30_010)
        taken.push(Buffer.concat(pieces).subarray(0, more))
        bytes += more
      },
      ended() {},
      closed() {},
    })
    assert.equal(far.readNow!([new Uint8Array(10)]), 0, "not from outside")
    while (bytes < 100_000) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(Buffer.compare(Buffer.concat(taken), data.subarray(0, 100_000)), 0)
    assert.ok(taken[1]!.length > 0, "it was there, and was read")
    near.destroy()
    far.destroy()
  })

  test("pieces of all sizes, more than a system call takes, and more than the socket holds", async () => {
    const { near, far } = await pair()
    const keeper = new Keeper(60_000)
    near.start(new Keeper())
    far.start(keeper)
    const random = new SeededRandom(5)
    let sent = 0
    let writes = 0
    for (let at = 0; at < data.length; writes++) {
      const pieces: Uint8Array[] = []
      const count = random.pick([1, 2, 30, 1023, 1024, 1025, 3000])
      for (let i = 0; i < count && at < data.length; i++) {
        const end = Math.min(data.length, at + random.below(random.pick([2, 400, 4000])))
        pieces.push(data.subarray(at, end))
        at = end
      }
      near.write(pieces, () => sent++)
    }
    await keeper.until(() => keeper.bytes === data.length)
    assert.equal(Buffer.compare(keeper.all, data), 0)
    while (sent < writes) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(near.pendingBytes, 0)
    near.destroy()
    far.destroy()
  })

  test("of a write under way what the system has taken isn't pending any more", async () => {
    const { near, far } = await pair()
    let taken = false
    let received = 0
    near.start(new Keeper())
    const into = new Uint8Array(100_000)
    far.start({ buffer: () => into, received: (bytes) => void (received += bytes), ended() {}, closed() {} })
    far.pause()
    const bytes = 64 * 1024 * 1024
    near.write([new Uint8Array(bytes / 2), new Uint8Array(bytes / 2)], () => (taken = true))
    near.write([new Uint8Array(1000)])
    assert.ok(near.pendingBytes > 1000 && near.pendingBytes < bytes, `${near.pendingBytes}`)
    far.resume()
    while (received < bytes / 2) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(taken, false)
    assert.ok(near.pendingBytes < bytes / 2 + 1000, `${near.pendingBytes}`)
    while (received < bytes + 1000) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(near.pendingBytes, 0)
    near.destroy()
    far.destroy()
  })

  test("a dropped connection ends both sides, and every write is answered", async () => {
    const { near, far } = await pair()
    const [a, b] = [new Keeper(), new Keeper()]
    near.start(a)
    far.start(b)
    far.pause()
    let sent = 0
    for (let i = 0; i < 10; i++) near.write([data, data], () => sent++)
    assert.ok(near.pendingBytes > 0)
    near.destroy(new Error("enough"))
    near.write([data], () => sent++)
    await a.until(() => a.closings.length > 0)
    assert.equal(sent, 11)
    assert.equal(a.closings[0]!.message, "enough")
    far.resume()
    await b.until(() => b.hasEnded || b.closings.length > 0)
    far.destroy()
    await b.until(() => b.closings.length > 0)
    assert.equal(a.closings.length, 1)
    assert.equal(b.closings.length, 1)
  })

  test("without Node's handle as it's known, bytes are copied in", async () => {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const client = new Socket({ allowHalfOpen: true })
    const { port } = server.address() as { port: number }
    client.connect(port, "127.0.0.1")
    const [accepted] = (await once(server, "connection")) as [Socket]
    const owner = accepted as unknown as { _handle: { useUserBuffer: undefined } }
    Object.defineProperty(owner._handle, "useUserBuffer", { value: undefined })
    const stream = new NodeByteStream(accepted)
    const keeper = new Keeper(777)
    stream.start(keeper)
    client.write(data)
    await keeper.until(() => keeper.bytes > 100_000)
    stream.pause()
    stream.resume()
    await keeper.until(() => keeper.bytes === data.length)
    assert.equal(Buffer.compare(keeper.all, data), 0)
    stream.refreshBuffer()
    stream.write([Buffer.from("x")])
    client.end()
    await keeper.until(() => keeper.hasEnded)
    stream.end()
    client.resume()
    await keeper.until(() => keeper.closings.length > 0)
    server.close()
  })

  test("failures are one readable line with a stable code", async () => {
    const listener = await nodeNetwork.listen({ host: "127.0.0.1", port: 0 }, () => {})
    const at = { host: "127.0.0.1", port: listener.local.port }
    await assert.rejects(
      nodeNetwork.listen(at, () => {}),
      {
        code: "ERR_ADDRESS_IN_USE",
        systemCode: "EADDRINUSE",
        message: `can't listen at 127.0.0.1:${at.port}: the address is in use (EADDRINUSE)`,
      },
    )
    await listener.close()
    await assert.rejects(nodeNetwork.connect(at), {
      name: "NetworkError",
      code: "ERR_CONNECTION_REFUSED",
      message: `can't connect to 127.0.0.1:${at.port}: nobody listens there (ECONNREFUSED)`,
    })
    await assert.rejects(
      nodeNetwork.listen({ host: "192.0.2.1", port: 0 }, () => {}),
      {
        code: "ERR_ADDRESS_NOT_AVAILABLE",
      },
    )
  })

  test("connect can be aborted", async () => {
    const signal = AbortSignal.abort(new Error("not now"))
    await assert.rejects(nodeNetwork.connect({ host: "127.0.0.1", port: 1 }, { signal }), {
      message: "not now",
    })
    const controller = new AbortController()
    const connecting = nodeNetwork.connect({ host: "127.0.0.1", port: 1 }, { signal: controller.signal })
    controller.abort(new Error("changed my mind"))
    await assert.rejects(connecting, { message: "changed my mind" })
  })

  test("streams live on when their listener is closed", async () => {
    const { near, far } = await pair()
    const keeper = new Keeper()
    near.start(new Keeper())
    far.start(keeper)
    await listeners.at(-1)!.close()
    near.write([Buffer.from("still here")])
    await keeper.until(() => keeper.bytes === 10)
    near.destroy()
    far.destroy()
  })
})

test("addresses are plain", () => {
  assert.equal(plainAddress("fe80::1%eth0"), "fe80::1")
  assert.equal(plainAddress("::ffff:10.0.0.1"), "10.0.0.1")
  assert.equal(plainAddress("::1"), "::1")
  assert.equal(plainAddress(undefined), "")
})

test("of several failures the first is told", () => {
  const refused = Object.assign(new Error("x"), { code: "ECONNREFUSED" })
  const error = networkError("can't connect", new AggregateError([refused, new Error("y")]))
  assert.ok(error instanceof NetworkError)
  assert.equal(error.code, "ERR_CONNECTION_REFUSED")
  assert.equal(networkError("again", error), error)
  assert.equal(networkError("odd", "thing").message, "odd: it failed")
})
