import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { RDMA_ACCEPT_DEADLINE_MS, RDMA_REQUESTS_PENDING_MAX } from "../../../../src/base/limits.ts"
import { LoopbackFabric } from "../../../../src/rdma/loopback/index.ts"
import { Access, type ConnectionRequest, VerbsError } from "../../../../src/rdma/verbs/index.ts"
import { connectEnds, makeEnds, pattern, same, statusNames } from "../../../suites/verbs-ends.ts"
import type { EndsOptions } from "../../../suites/verbs-ends.ts"
import { loopbackPair } from "./pair.ts"

async function connected(seed: number, options: EndsOptions = {}) {
  const loopback = loopbackPair(seed)
  const ends = makeEnds(loopback.pair, options)
  await connectEnds(ends, options)
  return { ...loopback, ...ends }
}

/** What an end saw of a busy connection, and when. */
async function history(seed: number): Promise<string> {
  const { pair, clock, active, passive } = await connected(seed)
  const seen: string[] = []
  for (let i = 0; i < 20; i++) passive.receive(i, 30_000, 100)
  for (let i = 0; i < 40; i++) {
    if (i % 2 === 0) active.send(i, 0, 100)
    else active.read(i, 0, 2000, passive.mr, 0)
  }
  await pair.until("all", () => {
    seen.push(`${clock.nowMs()} ${active.sends.length} ${passive.receives.length}`)
    return active.sends.length === 40
  })
  active.connection?.disconnect()
  await pair.until("the end", () => passive.disconnections.length === 1)
  return `${seen.join("\n")}\n${clock.nowMs()}`
}

describe("loopback fabric", () => {
  test("a run is a function of its seed", async () => {
    const first = await history(41)
    assert.equal(await history(41), first)
    assert.notEqual(await history(42), first)
  })

  test("what the order of requests leaves open comes out one way or the other", async () => {
    const outcomes = new Set<number>()
    for (let seed = 0; seed < 40 && outcomes.size < 2; seed++) {
      const { pair, active, passive } = await connected(seed)
      passive.memory.fill(1)
      active.memory.fill(2)
      active.read(1, 0, 1, passive.mr, 0)
      active.write(2, 100, 1, passive.mr, 0)
      await pair.until("both", () => active.sends.length === 2)
      outcomes.add(active.memory[0]!)
    }
    assert.deepEqual(outcomes, new Set([1, 2]), "an unfenced write overtakes a read before it, or does not")
  })

  test("a requester that exceeds the depth it was granted is refused", async () => {
    const options = { passive: { responderResources: 2 } }
    const { pair, active, passive } = await connected(5, options)
    Object.assign(active.connection!, { initiatorDepth: 50 })
    for (let i = 0; i < 10; i++) active.read(i, i * 5000, 5000, passive.mr, 0)
    await pair.until("the end", () => active.disconnections.length === 1)
    active.collect()
    assert.equal(active.sends.length, 10)
    assert.ok(statusNames(active.sends).includes("remote invalid request error"))
    assert.equal(passive.disconnections[0]?.reason, "peer-violation")
  })

  test("no answer counts as so many tries, each as long as the timeout", async () => {
    for (const [retryCount, waitsMs] of [
      [0, 1000],
      [3, 4000],
    ] as const) {
      const { pair, clock, active, passive } = await connected(6, { active: { retryCount } })
      const startMs = clock.nowMs()
      pair.stall?.(true)
      active.write(1, 0, 8, passive.mr, 0)
      await pair.until("the end", () => active.disconnections.length === 1)
      assert.ok(Math.abs(clock.nowMs() - startMs - waitsMs) < 2, `${clock.nowMs() - startMs}`)
    }
  })

  test("each message has all its tries for a receiver that is not ready", async () => {
    const { pair, clock, active, passive } = await connected(12, { passive: { rnrRetryCount: 3 } })
    for (let i = 0; i < 5; i++) {
      active.send(i, 0, 8)
      await clock.advance(2.5)
      passive.receive(i, 0, 8)
      await pair.until("the send", () => active.sends.length === i + 1)
    }
    assert.deepEqual(statusNames(active.sends), Array(5).fill("success"))
  })

  test("a connection outlives a silence shorter than its retries", async () => {
    const { pair, clock, active, passive } = await connected(7)
    active.memory.set(pattern(60_000, 1))
    pair.stall?.(true)
    active.write(1, 0, 60_000, passive.mr, 0)
    await clock.advance(6500)
    pair.stall?.(false)
    await pair.until("the write", () => active.sends.length === 1)
    assert.deepEqual(statusNames(active.sends), ["success"])
    same(passive.memory, active.memory)
  })

  test("memory that is invalidated on the way is no longer touched", async () => {
    for (let seed = 0; seed < 10; seed++) {
      const { pair, active, passive } = await connected(seed)
      const bytes = new Uint8Array(60_000)
      const mr = passive.pd.registerMemory(bytes, Access.LocalWrite | Access.RemoteWrite)
      active.memory.fill(1)
      active.write(1, 0, 60_000, mr, 0)
      await pair.until("some of it", () => bytes[0] === 1)
      mr.invalidate()
      const then = bytes.slice()
      await pair.rest()
      same(bytes, then)
      if (then.at(-1) === 0) assert.deepEqual(statusNames(active.sends), ["remote access error"])
    }
  })

  test("memory that has gone away is not registered any more", async () => {
    const { pair, active, passive } = await connected(8)
    const bytes = new Uint8Array(4096)
    const mr = passive.pd.registerMemory(bytes, Access.RemoteRead)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    active.read(1, 0, 10, mr, 0)
    await pair.until("its end", () => active.sends.length === 1)
    assert.deepEqual(statusNames(active.sends), ["remote access error"])
  })

  test("requests nobody answers are bounded in number and time", async () => {
    const { pair, clock, active: device } = loopbackPair(9)
    const requests: ConnectionRequest[] = []
    const { local } = await pair.passive.listen({ host: pair.host, port: 3260 }, (request) =>
      requests.push(request),
    )
    const errors: string[] = []
    for (let i = 0; i < RDMA_REQUESTS_PENDING_MAX + 3; i++) {
      const { active } = makeEnds(pair, {
        memoryBytes: 1,
        queues: { sendQueueDepth: 1, receiveQueueDepth: 1 },
      })
      const to = { host: local.address, port: local.port }
      device.connect(to, active.parameters({ deadlineMs: 60_000 })).catch((error: { code: string }) => {
        errors.push(error.code)
      })
    }
    await clock.advance(10)
    assert.equal(requests.length, RDMA_REQUESTS_PENDING_MAX)
    assert.deepEqual(errors, Array(3).fill("ERR_CONNECTION_REFUSED"))
    await clock.advance(RDMA_ACCEPT_DEADLINE_MS)
    assert.equal(errors.length, RDMA_REQUESTS_PENDING_MAX + 3)
    assert.equal(errors.at(-1), "ERR_CONNECTION_TIMED_OUT")
  })

  test("hosts and addresses are those of its devices", async () => {
    const { pair, clock, fabric, active: device } = loopbackPair(10)
    assert.throws(() => fabric.openDevice("10.0.0.1"), VerbsError)
    const { active } = makeEnds(pair)
    let code = ""
    void device
      .connect({ host: "10.9.9.9", port: 1 }, active.parameters())
      .catch((error: { code: string }) => (code = error.code))
    await clock.advance(10)
    assert.equal(code, "ERR_HOST_UNREACHABLE")
    await assert.rejects(
      device.listen({ host: "10.0.0.2", port: 1 }, () => {}),
      { code: "ERR_ADDRESS_NOT_AVAILABLE" },
    )
    const { local } = await device.listen({ host: "0.0.0.0", port: 0 }, () => {})
    assert.equal(local.address, "10.0.0.1")
    await device.close()
    assert.equal(fabric.openDevice("10.0.0.1").address, "10.0.0.1")
  })

  test("a queue pair destroyed while connecting ends the attempt", async () => {
    const { pair, clock, active: device } = loopbackPair(11)
    const { active, passive } = makeEnds(pair)
    const { local } = await pair.passive.listen({ host: pair.host, port: 0 }, (request) => {
      void request.accept(passive.parameters()).catch(() => {})
    })
    let failed: unknown
    void device
      .connect({ host: pair.host, port: local.port }, active.parameters())
      .catch((error: unknown) => (failed = error))
    active.qp.destroy()
    await clock.advance(100)
    assert.ok(failed instanceof VerbsError && failed.problem === "closed")
    assert.equal(active.qp.state, "RESET")
    assert.notEqual(passive.qp.state, "RTS")
  })

  test("a region in use by both ends of one device works as well, in real time", async () => {
    const fabric = new LoopbackFabric()
    const device = fabric.openDevice("127.0.0.1")
    const until = async (what: string, done: () => boolean): Promise<void> => {
      for (let turns = 0; !done(); turns++) {
        assert.ok(turns < 100_000, what)
        await new Promise(setImmediate)
      }
    }
    const pair = {
      active: device,
      passive: device,
      host: "127.0.0.1",
      until,
      rest: async () => {},
      dispose: async () => {},
    }
    const ends = makeEnds(pair)
    await connectEnds(ends)
    const { active, passive } = ends
    active.memory.set(pattern(65_536, 2))
    active.write(1, 0, 65_536, passive.mr, 0)
    await until("the write", () => active.sends.length === 1)
    same(passive.memory, active.memory)
    await device.close()
  })
})
