/** How connections come about and how they end. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { NetworkError } from "../../src/base/network-error.ts"
import { ConnectionRejectedError, VerbsError } from "../../src/rdma/verbs/index.ts"
import type { Connection, ConnectionRequest } from "../../src/rdma/verbs/index.ts"
import { bothEnd, ids, makeEnds, pattern, same, statusNames } from "./verbs-ends.ts"
import type { VerbsEnd, VerbsPair, VerbsSubject, WithEnds } from "./verbs-ends.ts"

export function connectionTests(subject: VerbsSubject, seeds: readonly number[], withEnds: WithEnds): void {
  const withPair = (title: string, body: (pair: VerbsPair, seed: number) => Promise<void>): void => {
    test(title, async () => {
      for (const seed of seeds) {
        const pair = await subject.open(seed)
        try {
          await body(pair, seed)
        } finally {
          await pair.dispose()
        }
      }
    })
  }
  setUpTests(withPair)
  refusedTests(withPair)
  endTests(withEnds)
}

type WithPair = (title: string, body: (pair: VerbsPair, seed: number) => Promise<void>) => void

/** The outcome of a promise, to look at while time passes. */
class Outcome<T> {
  value: T | undefined
  error: unknown
  settled = false

  constructor(promise: Promise<T>) {
    promise.then(
      (value) => {
        this.value = value
        this.settled = true
      },
      (error: unknown) => {
        this.error = error
        this.settled = true
      },
    )
  }
}

/** Listens, and keeps what comes. */
async function listen(
  pair: VerbsPair,
): Promise<{ to: { host: string; port: number }; requests: ConnectionRequest[] }> {
  const requests: ConnectionRequest[] = []
  const listener = await pair.passive.listen({ host: pair.host, port: 0 }, (request) =>
    requests.push(request),
  )
  assert.notEqual(listener.local.port, 0)
  return { to: { host: pair.host, port: listener.local.port }, requests }
}

function setUpTests(withPair: WithPair): void {
  withPair("private data and read depths go both ways", async (pair) => {
    const { active, passive } = makeEnds(pair)
    const { to, requests } = await listen(pair)
    const asked = { privateData: pattern(50, 31), responderResources: 5, initiatorDepth: 3 }
    const connected = new Outcome(pair.active.connect(to, active.parameters(asked)))
    await pair.until("the request", () => requests.length === 1)
    const request = requests[0]!
    same(request.privateData.subarray(0, 50), pattern(50, 31))
    assert.ok(request.privateData.subarray(50).every((byte) => byte === 0))
    assert.deepEqual([request.responderResources, request.initiatorDepth], [3, 5])
    assert.equal(request.local.port, to.port)
    const answer = { privateData: pattern(20, 32), responderResources: 4, initiatorDepth: 50 }
    const accepted = new Outcome(request.accept(passive.parameters(answer)))
    await pair.until("the connection", () => connected.settled && accepted.settled)
    const [here, there] = [connected.value as Connection, accepted.value as Connection]
    same(here.privateData.subarray(0, 20), pattern(20, 32))
    same(there.privateData.subarray(0, 50), pattern(50, 31))
    assert.deepEqual([here.responderResources, here.initiatorDepth], [5, 3])
    assert.deepEqual([there.responderResources, there.initiatorDepth], [3, 5])
    assert.deepEqual([here.qp.state, there.qp.state], ["RTS", "RTS"])
    assert.deepEqual([here.remote, there.local], [there.local, here.remote])
    assert.deepEqual([here.local, there.remote], [there.remote, here.local])
  })

  withPair("receives posted before the connection are there for the first message", async (pair) => {
    const { active, passive } = makeEnds(pair)
    const { to, requests } = await listen(pair)
    passive.receive(5, 100, 10)
    const connected = pair.active.connect(to, active.parameters({ privateData: new Uint8Array(0) }))
    void connected.then(() => active.send(1, 0, 10))
    active.memory.set(pattern(10, 33))
    await pair.until("the request", () => requests.length === 1)
    const accepted = new Outcome(requests[0]!.accept(passive.parameters()))
    await pair.until("the message", () => passive.receives.length === 1 && accepted.settled)
    assert.deepEqual(ids(passive.receives), [5])
    same(passive.memory.subarray(100, 110), pattern(10, 33))
  })

  withPair("many connections live side by side", async (pair) => {
    const { to, requests } = await listen(pair)
    const actives: VerbsEnd[] = []
    const passives: VerbsEnd[] = []
    for (let i = 0; i < 8; i++) {
      const { active, passive } = makeEnds(pair, { memoryBytes: 4096 })
      actives.push(active)
      passives.push(passive)
      passive.receive(i, 0, 100)
      active.memory.fill(i + 1)
      void pair.active
        .connect(to, active.parameters({ privateData: Uint8Array.of(i) }))
        .then((connection) => {
          active.connection = connection
          active.send(i, 0, 100)
        })
    }
    await pair.until("the requests", () => requests.length === 8)
    for (const request of requests) void request.accept(passives[request.privateData[0]!]!.parameters())
    await pair.until("the messages", () => passives.every(({ receives }) => receives.length === 1))
    for (const [i, { memory }] of passives.entries()) {
      assert.ok(memory.subarray(0, 100).every((byte) => byte === i + 1))
    }
    actives[3]!.connection?.disconnect()
    await pair.until("one end", () => passives[3]!.disconnections.length === 1)
    await pair.rest()
    assert.equal(
      passives.reduce((count, { disconnections }) => count + disconnections.length, 0),
      1,
    )
  })
}

function refusedTests(withPair: WithPair): void {
  withPair("a rejection brings its private data", async (pair) => {
    const { active, passive } = makeEnds(pair)
    active.receive(1, 0, 10)
    const { to, requests } = await listen(pair)
    const connected = new Outcome(pair.active.connect(to, active.parameters()))
    await pair.until("the request", () => requests.length === 1)
    requests[0]!.reject(pattern(30, 34))
    requests[0]!.reject()
    await pair.until("the rejection", () => connected.settled)
    assert.ok(connected.error instanceof ConnectionRejectedError)
    same(connected.error.privateData.subarray(0, 30), pattern(30, 34))
    assert.equal(active.qp.state, "ERROR")
    await pair.until("the flushed receive", () => active.receives.length === 1)
    assert.deepEqual(active.disconnections, [])
    const late = new Outcome(requests[0]!.accept(passive.parameters()))
    await pair.until("the late answer", () => late.settled)
    assert.ok(late.error instanceof NetworkError)
  })

  withPair("where nobody listens there is nobody", async (pair) => {
    const { active, passive } = makeEnds(pair)
    const listener = await pair.passive.listen({ host: pair.host, port: 0 }, () => assert.fail("closed"))
    await listener.close()
    const to = { host: pair.host, port: listener.local.port }
    const connected = new Outcome(pair.active.connect(to, active.parameters()))
    await pair.until("the failure", () => connected.settled)
    assert.ok(connected.error instanceof NetworkError)
    assert.equal(connected.error.code, "ERR_CONNECTION_REFUSED")
    assert.equal(passive.disconnections.length, 0)
  })

  withPair("a port is listened at once", async (pair) => {
    const { to } = await listen(pair)
    await assert.rejects(
      pair.passive.listen(to, () => {}),
      (error) => error instanceof NetworkError && error.code === "ERR_ADDRESS_IN_USE",
    )
  })

  withPair("an unanswered request ends at its deadline, and can't be accepted after", async (pair) => {
    const { active, passive } = makeEnds(pair)
    const { to, requests } = await listen(pair)
    const connected = new Outcome(pair.active.connect(to, active.parameters({ deadlineMs: 50 })))
    await pair.until("the deadline", () => connected.settled && requests.length === 1)
    assert.ok(connected.error instanceof NetworkError)
    assert.equal(connected.error.code, "ERR_CONNECTION_TIMED_OUT")
    passive.receive(1, 0, 10)
    const late = new Outcome(requests[0]!.accept(passive.parameters()))
    await pair.until("the late answer", () => late.settled)
    assert.ok(late.error instanceof NetworkError)
    await pair.until("the flushed receive", () => passive.receives.length === 1)
    assert.equal(passive.qp.state, "ERROR")
  })

  withPair("connecting can be given up", async (pair) => {
    const { active } = makeEnds(pair)
    const { to } = await listen(pair)
    const abort = new AbortController()
    const connected = new Outcome(pair.active.connect(to, active.parameters({ signal: abort.signal })))
    abort.abort(new Error("enough"))
    await pair.until("the end of it", () => connected.settled)
    assert.equal((connected.error as Error).message, "enough")
    const again = new Outcome(
      pair.active.connect(to, makeEnds(pair).active.parameters({ signal: abort.signal })),
    )
    await pair.until("the second", () => again.settled)
    assert.equal((again.error as Error).message, "enough")
  })

  withPair("parameters that are no good are refused", async (pair) => {
    const { active, passive } = makeEnds(pair)
    const { to, requests } = await listen(pair)
    const { privateDataBytesMax } = pair.active.limits
    const tooMuch = new Uint8Array(privateDataBytesMax + 1)
    const problem = (wanted: string) => (error: unknown) =>
      error instanceof VerbsError && error.problem === wanted
    await assert.rejects(
      pair.active.connect(to, active.parameters({ privateData: tooMuch })),
      problem("request"),
    )
    await assert.rejects(
      pair.active.connect(to, active.parameters({ initiatorDepth: -1 })),
      problem("request"),
    )
    await assert.rejects(pair.active.connect(to, active.parameters({ rnrRetryCount: 8 })), problem("request"))
    const connected = new Outcome(pair.active.connect(to, active.parameters()))
    await assert.rejects(
      pair.active.connect(to, active.parameters()),
      problem("state"),
      "the same queue pair twice",
    )
    await pair.until("the request", () => requests.length === 1)
    assert.throws(() => requests[0]!.reject(tooMuch), problem("request"))
    await assert.rejects(
      requests[0]!.accept(passive.parameters({ privateData: tooMuch })),
      problem("request"),
    )
    const accepted = new Outcome(requests[0]!.accept(passive.parameters()))
    await pair.until("the connection", () => connected.settled && accepted.settled)
    assert.deepEqual([connected.error, accepted.error], [undefined, undefined])
  })

  withPair("a closing device leaves nobody waiting", async (pair) => {
    const { active } = makeEnds(pair)
    const { to, requests } = await listen(pair)
    const connected = new Outcome(pair.active.connect(to, active.parameters()))
    await pair.until("the request", () => requests.length === 1)
    await pair.passive.close()
    await pair.until("the end of it", () => connected.settled)
    assert.ok(connected.error !== undefined)
    await pair.active.close()
    assert.throws(() => pair.active.allocatePd(), VerbsError)
    await assert.rejects(pair.active.connect(to, active.parameters()), VerbsError)
  })
}

function endTests(withEnds: WithEnds): void {
  for (const side of ["active", "passive", "both"] as const) {
    withEnds(`work in flight ends exactly once when ${side} disconnects`, async (ends) => {
      const { pair, active, passive } = ends
      for (const [end, peer] of [
        [active, passive],
        [passive, active],
      ] as const) {
        end.memory.set(pattern(30_000, end === active ? 36 : 37))
        for (let i = 0; i < 40; i++) end.receive(100 + i, 40_000, 100)
        for (let i = 0; i < 40; i++) {
          if (i % 4 === 0) end.send(i, 0, 100)
          else if (i % 4 === 1) end.read(i, 30_000, 3000, peer.mr, 0)
          else end.write(i, i * 500, 3000, peer.mr, 30_000 + i)
        }
      }
      const begun = ({ memory }: VerbsEnd): boolean =>
        memory.subarray(30_000, 31_000).some((byte) => byte !== 0)
      await pair.until("some of it", () => begun(active) || begun(passive))
      if (side !== "passive") active.connection?.disconnect()
      if (side !== "active") passive.connection?.disconnect()
      const memory = { active: active.memory.slice(), passive: passive.memory.slice() }
      await bothEnd(ends)
      for (const end of [active, passive]) {
        assert.deepEqual(
          ids(end.sends),
          Array.from({ length: 40 }, (_, i) => i),
        )
        assert.deepEqual(
          ids(end.receives),
          Array.from({ length: 40 }, (_, i) => 100 + i),
        )
        for (const { status } of [...end.sends, ...end.receives]) assert.ok(status === 0 || status === 5)
        const flushed = statusNames(end.sends).indexOf("work request flushed error")
        if (flushed >= 0) assert.ok(end.sends.slice(flushed).every(({ status }) => status === 5))
      }
      if (side !== "passive") same(active.memory, memory.active, "memory after disconnect")
      if (side !== "active") same(passive.memory, memory.passive, "memory after disconnect")
      const reasons = [active.disconnections[0]!.reason, passive.disconnections[0]!.reason]
      assert.deepEqual(reasons, [side === "passive" ? "peer" : "local", side === "active" ? "peer" : "local"])
    })
  }

  withEnds("what is posted after the end is flushed too", async (ends) => {
    const { pair, active, passive } = ends
    active.connection?.disconnect()
    active.connection?.disconnect()
    await bothEnd(ends)
    for (let i = 0; i < 5; i++) {
      active.write(i, 0, 8, passive.mr, 0, { signaled: false })
      active.receive(10 + i, 0, 8)
    }
    await pair.until("all", () => active.sends.length === 5 && active.receives.length === 5)
    assert.deepEqual(
      statusNames([...active.sends, ...active.receives]),
      Array(10).fill("work request flushed error"),
    )
    assert.ok(passive.memory.every((byte) => byte === 0))
  })

  withEnds("unsignaled requests that fail are told of", async (ends) => {
    const { active, passive } = ends
    active.write(1, 0, 8, passive.mr, 0, { signaled: false })
    active.write(2, 0, 8, { addressHigh: 0, addressLow: 0, rkey: 1 }, 0, { signaled: false })
    await bothEnd(ends)
    if (active.device.capabilities.acknowledged)
      assert.deepEqual(statusNames(active.sends.filter(({ wrId }) => wrId === 2)), ["remote access error"])
    assert.ok(ids(active.sends).length <= 2)
  })

  withEnds(
    "a peer that no longer answers is given up in the end",
    async (ends) => {
      const { pair, active, passive } = ends
      if (pair.stall === undefined) return
      passive.receive(1, 0, 8)
      pair.stall(true)
      active.write(1, 0, 8, passive.mr, 0)
      active.send(2, 0, 8)
      await pair.until("the end", () => active.disconnections.length === 1)
      assert.equal(active.disconnections[0]!.reason, "lost")
      active.collect()
      assert.equal(active.sends.length, 2)
      if (active.device.capabilities.acknowledged)
        assert.deepEqual(statusNames(active.sends), ["retry exceeded error", "work request flushed error"])
      pair.stall(false)
      await bothEnd(ends)
      assert.deepEqual(statusNames(passive.receives), ["work request flushed error"])
      assert.ok(passive.memory.every((byte) => byte === 0))
    },
    { active: { retryCount: 2 } },
  )

  withEnds("a peer silent for a while is not given up", async ({ pair, active, passive }) => {
    if (pair.stall === undefined) return
    active.memory.set(pattern(8000, 35))
    pair.stall(true)
    active.write(1, 0, 8000, passive.mr, 0)
    await pair.rest()
    pair.stall(false)
    await pair.until("the write", () => active.sends.length === 1)
    same(passive.memory.subarray(0, 8000), pattern(8000, 35))
    assert.deepEqual(active.disconnections, [])
  })
}
