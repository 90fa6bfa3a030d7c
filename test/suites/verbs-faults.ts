/** What happens to requests that may not be: here, at the peer, and to the memory they meant. */
import assert from "node:assert/strict"
import { Access, SendOpcode, WorkStatus, workStatusName } from "../../src/rdma/verbs/index.ts"
import type { MemoryRegion } from "../../src/rdma/verbs/index.ts"
import { ALL_ACCESS, bothEnd, ids, pattern, remote, same, statusNames } from "./verbs-ends.ts"
import type { Ends, Remote, WithEnds } from "./verbs-ends.ts"

const FLUSHED = WorkStatus.workRequestFlushedError
const BYTES = 8192

export function faultTests(withEnds: WithEnds): void {
  boundsTests(withEnds)
  rightsTests(withEnds)
  staleKeyTests(withEnds)
  invalidationTests(withEnds)
  localFaultTests(withEnds)
  receiverTests(withEnds)
}

/**
 * The peer refuses request 1, which has good ones before and after it: it alone is refused, the rest is
 * flushed.
 */
async function refused(ends: Ends, status: number, post: () => void, peer = "peer-violation"): Promise<void> {
  const { active, passive } = ends
  passive.receive(900, 0, 16)
  passive.receive(901, 0, 16)
  active.write(0, 0, 8, passive.mr, 0)
  post()
  active.write(2, 0, 8, passive.mr, 8)
  await bothEnd(ends)
  const { acknowledged } = active.device.capabilities
  assert.deepEqual(ids(active.sends), [0, 1, 2], "each request ends once")
  const [before, itself, after] = active.sends
  if (acknowledged) assert.equal(workStatusName(itself!.status), workStatusName(status))
  assert.ok(before!.status === WorkStatus.success || (!acknowledged && before!.status === FLUSHED))
  assert.ok(after!.status === FLUSHED || (!acknowledged && after!.status === WorkStatus.success))
  assert.equal(active.disconnections[0]!.reason, "request-failed")
  assert.equal(passive.disconnections[0]!.reason, peer)
}

/** A region at the passive end inside memory of which not a byte may change. */
function guarded(ends: Ends, access: number): { memory: Uint8Array; mr: MemoryRegion } {
  const memory = pattern(3 * BYTES, 21)
  return { memory, mr: ends.passive.pd.registerMemory(memory.subarray(BYTES, 2 * BYTES), access) }
}

function boundsTests(withEnds: WithEnds): void {
  const places: readonly (readonly [title: string, offset: number, length: number])[] = [
    ["one byte beyond the end", BYTES - 99, 100],
    ["from the end on", BYTES, 1],
    ["one byte before the start", -1, 100],
    ["far beyond", 2 ** 31, 1],
    ["longer than the region", 0, BYTES + 1],
  ]
  for (const [title, offset, length] of places) {
    for (const opcode of [SendOpcode.rdmaWrite, SendOpcode.rdmaRead]) {
      const what = opcode === SendOpcode.rdmaWrite ? "write" : "read"
      withEnds(`a ${what} ${title} of a region is refused and moves nothing`, async (ends) => {
        const { active } = ends
        const { memory, mr } = guarded(ends, ALL_ACCESS)
        const target = memory.slice()
        await refused(ends, WorkStatus.remoteAccessError, () =>
          active.post(1, opcode, [active.at(1000, length)], remote(mr, offset)),
        )
        // Segments checked one by one may have filled the region; never more.
        const whole = active.device.capabilities.wholeMessageChecks
        if (!whole) target.set(memory.subarray(BYTES, 2 * BYTES), BYTES)
        same(memory, target)
        assert.ok(active.memory.every((byte) => byte === 0))
      })
    }
  }

  withEnds("nothing behind a refused request is done, and all before it is", async (ends) => {
    const { active, passive } = ends
    passive.memory.set(pattern(60_000, 25))
    active.memory.subarray(60_000).fill(255)
    const before = passive.memory.slice()
    passive.receive(1, 0, 100)
    active.read(0, 0, 60_000, passive.mr, 0)
    active.write(1, 60_000, 8, passive.mr, 65_529)
    active.write(2, 60_000, 8, passive.mr, 100)
    active.send(3, 60_000, 8)
    await bothEnd(ends)
    same(passive.memory, before)
    assert.deepEqual(statusNames(passive.receives), ["work request flushed error"])
    assert.deepEqual(ids(active.sends), [0, 1, 2, 3])
    if (!active.device.capabilities.acknowledged) return
    assert.deepEqual(statusNames(active.sends).slice(0, 2), ["success", "remote access error"])
    same(active.memory.subarray(0, 60_000), before.subarray(0, 60_000), "read")
  })

  withEnds("an address that wraps around 2^64 leads nowhere", async (ends) => {
    const { active } = ends
    const { memory, mr } = guarded(ends, ALL_ACCESS)
    const before = memory.slice()
    const fields = { rkey: mr.rkey, remoteHigh: 0xffffffff, remoteLow: 0xffffff00 }
    await refused(ends, WorkStatus.remoteAccessError, () =>
      active.post(1, SendOpcode.rdmaWrite, [active.at(0, 4096)], fields),
    )
    same(memory, before)
  })

  withEnds("all of a region may be used, to its last byte", async ({ pair, active, passive }) => {
    const { memory, mr } = guarded({ pair, active, passive }, ALL_ACCESS)
    const before = memory.slice()
    active.memory.set(pattern(BYTES, 22))
    active.write(1, 0, BYTES, mr, 0)
    active.read(2, BYTES, 1, mr, BYTES - 1)
    await pair.until("both", () => active.sends.length === 2)
    assert.deepEqual(statusNames(active.sends), ["success", "success"])
    before.set(pattern(BYTES, 22), BYTES)
    same(memory, before)
    assert.equal(active.memory[BYTES], before[2 * BYTES - 1])
  })
}

function rightsTests(withEnds: WithEnds): void {
  const rights: readonly (readonly [title: string, access: number, opcode: SendOpcode])[] = [
    ["a write to what may only be read", Access.RemoteRead | Access.LocalWrite, SendOpcode.rdmaWrite],
    ["a read of what may only be written", Access.RemoteWrite | Access.LocalWrite, SendOpcode.rdmaRead],
    ["a write to what is not for peers", Access.LocalWrite, SendOpcode.rdmaWrite],
    ["a read of what is not for peers", 0, SendOpcode.rdmaRead],
  ]
  for (const [title, access, opcode] of rights) {
    withEnds(`${title} is refused`, async (ends) => {
      const { memory, mr } = guarded(ends, access)
      const before = memory.slice()
      await refused(ends, WorkStatus.remoteAccessError, () =>
        ends.active.post(1, opcode, [ends.active.at(0, 100)], remote(mr, 0)),
      )
      same(memory, before)
    })
  }

  withEnds("memory of another protection domain is out of reach", async (ends) => {
    const other = ends.passive.device.allocatePd()
    const memory = new Uint8Array(BYTES)
    const mr = other.registerMemory(memory, ALL_ACCESS)
    await refused(ends, WorkStatus.remoteAccessError, () => ends.active.write(1, 1000, 100, mr, 0))
    assert.ok(memory.every((byte) => byte === 0))
  })

  withEnds("a key nobody gave out leads nowhere", async (ends) => {
    const { active, passive } = ends
    const forged = { ...known(passive.mr), rkey: (passive.mr.rkey ^ 0x00010000) >>> 0 }
    const before = passive.memory.slice()
    await refused(ends, WorkStatus.remoteAccessError, () => active.read(1, 1000, 100, forged, 0))
    same(passive.memory, before)
  })
}

/** What a peer knows of a region, to keep when the region changes. */
const known = ({ rkey, addressHigh, addressLow }: Remote): Remote => ({ rkey, addressHigh, addressLow })

function staleKeyTests(withEnds: WithEnds): void {
  const ends: readonly (readonly [title: string, act: (mr: MemoryRegion) => void])[] = [
    ["invalidated", (mr) => mr.invalidate()],
    ["registered again", (mr) => mr.reregister(mr.bytes, mr.access)],
    ["deregistered", (mr) => mr.deregister()],
  ]
  for (const [title, act] of ends) {
    for (const opcode of [SendOpcode.rdmaWrite, SendOpcode.rdmaRead]) {
      const what = opcode === SendOpcode.rdmaWrite ? "write" : "read"
      withEnds(`a ${what} through the key of a region that was ${title} is refused`, async (both) => {
        const { pair, active } = both
        const { memory, mr } = guarded(both, ALL_ACCESS)
        const key = known(mr)
        active.post(0xffff, opcode, [active.at(0, 1)], remote(key, 0))
        await pair.until("what is still allowed", () => active.sends.length === 1)
        assert.deepEqual(statusNames(active.sends.splice(0)), ["success"])
        active.read(0xffff, 60_000, 0, key, 0)
        await pair.until("its arrival", () => active.sends.length === 1)
        active.sends.length = 0
        act(mr)
        const before = memory.slice()
        await refused(both, WorkStatus.remoteAccessError, () =>
          active.post(1, opcode, [active.at(5000, 100)], remote(key, 0)),
        )
        same(memory, before)
        assert.ok(active.memory.subarray(5000).every((byte) => byte === 0))
      })
    }
  }

  withEnds("a region registered again serves under its new key", async ({ pair, active, passive }) => {
    const { memory, mr } = guarded({ pair, active, passive }, Access.RemoteRead)
    mr.invalidate()
    assert.equal(mr.valid, false)
    const other = pattern(500, 23)
    mr.reregister(other, Access.RemoteRead)
    assert.equal(mr.valid, true)
    active.read(1, 0, 500, mr, 0)
    await pair.until("the read", () => active.sends.length === 1)
    same(active.memory.subarray(0, 500), other)
    assert.ok(memory.length > 0)
  })
}

function invalidationTests(withEnds: WithEnds): void {
  withEnds("a send with invalidate takes the key out of use before its receive completes", async (ends) => {
    const { pair, active, passive } = ends
    if (!passive.device.capabilities.remoteInvalidate) return
    const { mr } = guarded(ends, ALL_ACCESS)
    const key = known(mr)
    passive.receive(1, 0, 100)
    active.write(1, 0, 100, key, 0)
    active.post(2, SendOpcode.sendWithInvalidate, [active.at(0, 10)], { invalidateRkey: key.rkey })
    await pair.until("the receive", () => passive.receives.length === 1)
    assert.equal(mr.valid, false)
    assert.deepEqual(statusNames(passive.receives), ["success"])
    assert.equal(passive.receives[0]!.invalidatedRkey, key.rkey)
    assert.equal(passive.receives[0]!.byteLength, 10)
    await pair.until("the sends", () => active.sends.length === 2)
    assert.deepEqual(statusNames(active.sends.splice(0)), ["success", "success"])
    await refused(ends, WorkStatus.remoteAccessError, () => active.read(1, 0, 1, key, 0))
  })

  const bad: readonly (readonly [title: string, key: (ends: Ends) => number])[] = [
    ["that isn't one", () => 0x7777_0001],
    [
      "of a region that is not for peers",
      ({ passive }) => passive.pd.registerMemory(new Uint8Array(9), 1).rkey,
    ],
    [
      "of another protection domain",
      ({ passive }) => passive.device.allocatePd().registerMemory(new Uint8Array(9), ALL_ACCESS).rkey,
    ],
  ]
  for (const [title, keyOf] of bad) {
    withEnds(`a key ${title} can't be invalidated`, async (ends) => {
      const { active, passive } = ends
      passive.receive(1, 0, 100)
      const invalidateRkey = keyOf(ends)
      active.post(1, SendOpcode.sendWithInvalidate, [active.at(0, 10)], { invalidateRkey })
      await bothEnd(ends)
      assert.deepEqual([ids(active.sends), ids(passive.receives)], [[1], [1]])
      assert.notEqual(passive.receives[0]!.status, WorkStatus.success)
      assert.equal(passive.disconnections[0]!.reason, "peer-violation")
      assert.equal(passive.mr.valid, true)
    })
  }
}

function localFaultTests(withEnds: WithEnds): void {
  const PROTECTION = WorkStatus.localProtectionError
  const posts: readonly (readonly [title: string, post: (ends: Ends) => void])[] = [
    ["beyond its region", ({ active }) => active.send(1, 65_530, 7)],
    ["of an invalidated region", (ends) => ends.active.post(1, SendOpcode.send, [gone(ends)])],
    [
      "of another protection domain",
      ({ active }) => {
        const mr = active.device.allocatePd().registerMemory(new Uint8Array(9), ALL_ACCESS)
        active.post(1, SendOpcode.send, [{ mr, offset: 0, length: 9 }])
      },
    ],
    [
      "it may not put a read into",
      ({ active, passive }) => {
        const mr = active.pd.registerMemory(new Uint8Array(9), 0)
        active.post(1, SendOpcode.rdmaRead, [{ mr, offset: 0, length: 9 }], remote(passive.mr, 0))
      },
    ],
  ]
  for (const [title, post] of posts) {
    withEnds(`a request with memory ${title} fails here and ends the connection`, async (ends) => {
      const { active, passive } = ends
      passive.receive(900, 0, 100)
      active.write(0, 0, 8, passive.mr, 0)
      post(ends)
      active.send(2, 0, 8)
      await bothEnd(ends)
      assert.deepEqual(ids(active.sends), [0, 1, 2])
      assert.equal(active.sends[1]!.status, PROTECTION)
      assert.equal(active.sends[2]!.status, FLUSHED)
      assert.deepEqual(statusNames(passive.receives), ["work request flushed error"])
      assert.equal(active.disconnections[0]!.reason, "request-failed")
    })
  }

  withEnds(
    "a receive with memory that may not be written fails, and the sender hears of it",
    async (ends) => {
      const { active, passive } = ends
      const bytes = new Uint8Array(100)
      const mr = passive.pd.registerMemory(bytes, Access.RemoteRead)
      passive.receiveInto(1, [{ mr, offset: 0, length: 100 }])
      passive.receive(2, 0, 100)
      active.memory.fill(1)
      active.send(1, 0, 50)
      await bothEnd(ends)
      assert.deepEqual(statusNames(passive.receives), [
        "local protection error",
        "work request flushed error",
      ])
      if (active.device.capabilities.acknowledged)
        assert.deepEqual(statusNames(active.sends), ["remote operation error"])
      assert.equal(active.sends.length, 1)
      assert.ok(bytes.every((byte) => byte === 0))
      assert.equal(passive.disconnections[0]!.reason, "request-failed")
    },
  )

  withEnds("a receive with a region that was invalidated since fails", async (ends) => {
    const { active, passive } = ends
    passive.receiveInto(1, [goneLater(ends)])
    active.send(1, 0, 50)
    await bothEnd(ends)
    assert.deepEqual(statusNames(passive.receives), ["local protection error"])
  })
}

function gone({ active }: Ends) {
  const mr = active.pd.registerMemory(new Uint8Array(9), ALL_ACCESS)
  mr.invalidate()
  return { mr, offset: 0, length: 9 }
}

/** A piece whose region is registered anew once the request has been posted: the old key counts. */
function goneLater({ passive }: Ends) {
  const mr = passive.pd.registerMemory(new Uint8Array(100), ALL_ACCESS)
  queueMicrotask(() => mr.reregister(new Uint8Array(100), ALL_ACCESS))
  return { mr, offset: 0, length: 100 }
}

function receiverTests(withEnds: WithEnds): void {
  for (const over of [1, 5000]) {
    withEnds(`a send ${over} longer than its receive writes nothing beyond it`, async (ends) => {
      const { active, passive } = ends
      passive.receive(1, 1000, 100)
      passive.receive(2, 20_000, 10_000)
      active.memory.fill(7)
      active.send(1, 0, 100 + over)
      await bothEnd(ends)
      assert.deepEqual(statusNames(passive.receives), ["local length error", "work request flushed error"])
      if (active.device.capabilities.acknowledged)
        assert.deepEqual(statusNames(active.sends), ["remote invalid request error"])
      const beyond = [passive.memory.subarray(0, 1000), passive.memory.subarray(1100)]
      for (const part of beyond) assert.ok(part.every((byte) => byte === 0))
      assert.equal(passive.disconnections[0]!.reason, "peer-violation")
    })
  }

  withEnds("a send waits for its receive, and what is behind it too", async (ends) => {
    const { pair, active, passive } = ends
    if (!active.device.capabilities.receiverNotReady) return
    active.memory.set(pattern(100, 24))
    active.write(1, 0, 100, passive.mr, 0)
    active.send(2, 0, 100)
    active.read(3, 30_000, 100, passive.mr, 0)
    active.write(4, 0, 100, passive.mr, 200)
    await pair.rest()
    assert.deepEqual(ids(active.sends), [1])
    same(passive.memory.subarray(200, 300), new Uint8Array(100), "not before its turn")
    passive.receive(1, 1000, 100)
    await pair.until("all", () => active.sends.length === 4)
    assert.deepEqual(statusNames(active.sends), Array(4).fill("success"))
    for (const at of [0, 200, 1000]) same(passive.memory.subarray(at, at + 100), pattern(100, 24))
    same(active.memory.subarray(30_000, 30_100), pattern(100, 24))
  })

  withEnds("a request that fails here waits until those before it have been taken", async (ends) => {
    const { pair, active, passive } = ends
    if (!active.device.capabilities.receiverNotReady) return
    active.send(1, 0, 100)
    active.post(2, SendOpcode.send, [gone(ends)])
    await pair.rest()
    assert.deepEqual(active.sends, [])
    passive.receive(1, 1000, 100)
    await bothEnd(ends)
    assert.deepEqual(statusNames(active.sends), ["success", "local protection error"])
    assert.deepEqual(statusNames(passive.receives), ["success"])
  })

  for (const tries of [0, 3]) {
    withEnds(
      `a send without a receive fails when it has been tried again ${tries} times`,
      async (ends) => {
        const { pair, active, passive } = ends
        passive.receive(1, 0, 100)
        active.send(0, 0, 8)
        await pair.until("the first", () => passive.receives.length === 1)
        active.send(1, 0, 8)
        active.write(2, 0, 8, passive.mr, 500)
        await bothEnd(ends)
        assert.deepEqual(ids(active.sends), [0, 1, 2])
        if (active.device.capabilities.receiverNotReady) {
          assert.equal(workStatusName(active.sends[1]!.status), "rnr retry exceeded error")
          assert.equal(active.sends[2]!.status, FLUSHED)
        }
        assert.equal(active.disconnections[0]!.reason, "request-failed")
        assert.equal(passive.receives.length, 1)
      },
      { passive: { rnrRetryCount: tries } },
    )
  }
}
