/**
 * What every provider of the verbs seam promises (src/rdma/verbs; IB spec ch. 10 and 11, RFC 5040), seen
 * through the seam alone. Where standards differ, the device's capabilities say which it follows.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Access, CompletionOpcode, SendOpcode, WorkStatus } from "../../src/rdma/verbs/index.ts"
import type { MemoryRegion } from "../../src/rdma/verbs/index.ts"
import { connectionTests } from "./verbs-connection.ts"
import { connectEnds, ids, makeEnds, pattern, remote, same, statusNames, throwsVerbs } from "./verbs-ends.ts"
import type { VerbsEnd, VerbsSubject, WithEnds } from "./verbs-ends.ts"
import { faultTests } from "./verbs-faults.ts"
import { modelTests } from "./verbs-model.ts"
import { queueTests } from "./verbs-queues.ts"
import { sharedQueueTests } from "./verbs-srq.ts"

export type { VerbsPair, VerbsSubject } from "./verbs-ends.ts"

const MiB = 1024 * 1024

export function verbsSuite(subject: VerbsSubject, seeds: readonly number[] = [1, 2, 3]): void {
  const { skip = false } = subject
  const withEnds: WithEnds = (title, body, options = {}) => {
    test(title, async () => {
      for (const seed of seeds) {
        const pair = await subject.open(seed)
        try {
          const ends = makeEnds(pair, options)
          await connectEnds(ends, options)
          await body(ends)
        } catch (cause) {
          throw new Error(`seed ${seed}: ${cause instanceof Error ? cause.message : cause}`, { cause })
        } finally {
          await pair.dispose()
        }
      }
    })
  }
  describe(`verbs contract: ${subject.name}`, { skip }, () => {
    transferTests(withEnds)
    orderTests(withEnds)
    queueTests(withEnds)
    sharedQueueTests(withEnds)
    faultTests(withEnds)
    connectionTests(subject, seeds, withEnds)
    modelTests(subject)
  })
}

const succeeded = (end: VerbsEnd, sends: number, receives = 0): boolean =>
  end.sends.length === sends && end.receives.length === receives

function transferTests(withEnds: WithEnds): void {
  withEnds(
    "a send arrives in the receive posted first, with its length",
    async ({ pair, active, passive }) => {
      active.memory.set(pattern(100, 1))
      for (let i = 0; i < 3; i++) passive.receive(100 + i, i * 1000, 1000)
      active.send(1, 0, 100)
      active.send(2, 10, 50)
      await pair.until("both", () => succeeded(active, 2) && succeeded(passive, 0, 2))
      same(passive.memory.subarray(0, 100), pattern(100, 1))
      same(passive.memory.subarray(1000, 1050), pattern(100, 1).subarray(10, 60))
      assert.deepEqual(
        passive.receives.map(({ wrId, status, opcode, byteLength }) => [wrId, status, opcode, byteLength]),
        [
          [100, 0, CompletionOpcode.receive, 100],
          [101, 0, CompletionOpcode.receive, 50],
        ],
      )
      assert.deepEqual(
        active.sends.map(({ wrId, status, opcode }) => [wrId, status, opcode]),
        [
          [1, 0, CompletionOpcode.send],
          [2, 0, CompletionOpcode.send],
        ],
      )
    },
  )

  withEnds("both ends may send, write and read", async ({ pair, active, passive }) => {
    for (const [end, peer, seed] of [
      [active, passive, 3],
      [passive, active, 4],
    ] as const) {
      end.memory.set(pattern(3000, seed))
      end.receive(1, 10_000, 1000)
      end.write(2, 0, 1000, peer.mr, 20_000)
    }
    active.send(3, 1000, 1000)
    await pair.until("the send", () => passive.receives.length === 1)
    passive.send(3, 1000, 1000)
    await pair.until("its answer", () => active.receives.length === 1)
    active.read(4, 30_000, 1000, passive.mr, 2000)
    passive.read(4, 30_000, 1000, active.mr, 2000)
    await pair.until("the reads", () => active.sends.length === 3 && passive.sends.length === 3)
    for (const [end, seed] of [
      [active, 4],
      [passive, 3],
    ] as const) {
      same(end.memory.subarray(20_000, 21_000), pattern(3000, seed).subarray(0, 1000), "written")
      same(end.memory.subarray(10_000, 11_000), pattern(3000, seed).subarray(1000, 2000), "sent")
      same(end.memory.subarray(30_000, 31_000), pattern(3000, seed).subarray(2000, 3000), "read")
      assert.deepEqual(statusNames([...end.sends, ...end.receives]), Array(4).fill("success"))
    }
  })

  withEnds(
    "1 MiB by send, write and read",
    async ({ pair, active, passive }) => {
      active.memory.set(pattern(MiB, 5))
      passive.receive(1, 0, MiB)
      active.write(1, 0, MiB, passive.mr, MiB)
      active.send(2, 0, MiB)
      active.read(3, MiB, MiB, passive.mr, MiB)
      await pair.until("all", () => succeeded(active, 3) && succeeded(passive, 0, 1))
      assert.deepEqual(statusNames(active.sends), ["success", "success", "success"])
      assert.equal(active.sends[2]!.byteLength, MiB)
      assert.equal(passive.receives[0]!.byteLength, MiB)
      for (const found of [passive.memory.subarray(0, MiB), passive.memory.subarray(MiB, 2 * MiB)])
        same(found, pattern(MiB, 5))
      same(active.memory.subarray(MiB, 2 * MiB), pattern(MiB, 5), "read")
      assert.ok(passive.memory.subarray(2 * MiB).every((byte) => byte === 0))
    },
    { memoryBytes: 2 * MiB + 4096 },
  )

  withEnds(
    "lists gather and scatter over regions, empty entries and all",
    async ({ pair, active, passive }) => {
      const other = new Uint8Array(5000)
      const otherMr = passive.pd.registerMemory(other, Access.LocalWrite)
      active.memory.set(pattern(9000, 6))
      passive.receiveInto(1, [
        passive.at(10, 1),
        { mr: otherMr, offset: 100, length: 4000 },
        passive.at(60_000, 0),
        passive.at(100, 5000),
      ])
      active.post(1, SendOpcode.send, [
        active.at(0, 3000),
        active.at(5, 0),
        active.at(3000, 1),
        active.at(3001, 5999),
      ])
      await pair.until("it", () => passive.receives.length === 1)
      const found = Buffer.concat([
        passive.memory.subarray(10, 11),
        other.subarray(100, 4100),
        passive.memory.subarray(100, 5099),
      ])
      same(found, pattern(9000, 6))
      assert.equal(passive.memory[5099], 0)
      active.post(
        2,
        SendOpcode.rdmaRead,
        [active.at(50_000, 7), active.at(40_000, 93)],
        remote(passive.mr, 100),
      )
      await pair.until("the read", () => active.sends.length === 2)
      same(active.memory.subarray(50_000, 50_007), pattern(9000, 6).subarray(4001, 4008))
      same(active.memory.subarray(40_000, 40_093), pattern(9000, 6).subarray(4008, 4101))
    },
  )

  withEnds("no bytes at all are a message too, and need no key", async ({ pair, active, passive }) => {
    passive.receiveInto(1, [])
    passive.receive(2, 0, 100)
    const nowhere = { rkey: 0x12345678, remoteHigh: 1, remoteLow: 2 }
    active.post(1, SendOpcode.rdmaWrite, [], nowhere)
    active.post(2, SendOpcode.rdmaRead, [], nowhere)
    active.post(3, SendOpcode.send, [])
    active.post(4, SendOpcode.rdmaRead, [active.at(0, 0)], nowhere)
    active.post(5, SendOpcode.send, [active.at(0, 0)])
    await pair.until("all", () => succeeded(active, 5) && succeeded(passive, 0, 2))
    assert.deepEqual(statusNames([...active.sends, ...passive.receives]), Array(7).fill("success"))
    assert.deepEqual(
      passive.receives.map(({ byteLength }) => byteLength),
      [0, 0],
    )
    assert.equal(active.disconnections.length, 0)
  })

  withEnds(
    "inline data is taken when it is posted",
    async ({ pair, active, passive }) => {
      passive.receive(1, 0, 100)
      active.memory.set(pattern(32, 7))
      // What a write has carried is there when a send behind it is.
      active.write(2, 0, 32, passive.mr, 200, { inline: true })
      active.send(1, 0, 32, { inline: true })
      active.memory.fill(0)
      await pair.until("both", () => succeeded(active, 2) && succeeded(passive, 0, 1))
      same(passive.memory.subarray(0, 32), pattern(32, 7))
      same(passive.memory.subarray(200, 232), pattern(32, 7))
      throwsVerbs("request", () => active.send(3, 0, 33, { inline: true }))
    },
    { queues: { inlineBytes: 32 } },
  )

  withEnds("a region may lie anywhere, 2^32 in its middle included", async ({ pair, active, passive }) => {
    active.memory.set(pattern(4096, 8))
    const regions: { bytes: Uint8Array; mr: MemoryRegion }[] = []
    for (let i = 0; i < 16; i++) {
      const bytes = new Uint8Array(4096)
      const mr = passive.pd.registerMemory(bytes, Access.LocalWrite | Access.RemoteWrite)
      regions.push({ bytes, mr })
      active.write(i, 0, 1000, mr, 0, { signaled: false })
      active.write(i, 1000, 2000, mr, 1000, { signaled: false })
      active.write(i, 3000, 1096, mr, 3000)
    }
    await pair.until("the writes", () => active.sends.length === 16)
    active.read(99, 5000, 0, passive.mr, 0)
    await pair.until("their arrival", () => active.sends.length === 17)
    for (const { bytes } of regions) same(bytes, pattern(4096, 8))
  })
}

function orderTests(withEnds: WithEnds): void {
  withEnds("what was written is there when a later send completes", async ({ pair, active, passive }) => {
    const seen: boolean[] = []
    const { receives } = passive
    for (let i = 0; i < 20; i++) passive.receive(i, 60_000, 16)
    let looked = 0
    for (let i = 0; i < 20; i++) {
      const bytes = 1 + ((i * 2711) % 3000)
      active.memory.subarray(i * 3000, i * 3000 + bytes).fill(i + 1)
      active.write(2 * i, i * 3000, bytes, passive.mr, i * 3000, { signaled: false })
      active.send(2 * i + 1, 0, 4)
    }
    await pair.until("the sends", () => {
      for (; looked < receives.length; looked++) {
        const bytes = 1 + ((looked * 2711) % 3000)
        const written = passive.memory.subarray(looked * 3000, looked * 3000 + bytes)
        seen.push(written.every((byte) => byte === looked + 1))
      }
      return looked === 20
    })
    assert.deepEqual(seen, Array(20).fill(true))
    assert.deepEqual(
      ids(receives),
      Array.from({ length: 20 }, (_, i) => i),
    )
  })

  withEnds("a read sees the writes before it", async ({ pair, active, passive }) => {
    for (let i = 0; i < 10; i++) {
      active.memory.subarray(0, 20_000).fill(i + 1)
      active.write(2 * i, 0, 20_000, passive.mr, 5000, { signaled: false })
      active.read(2 * i + 1, 30_000, 20_000, passive.mr, 5000)
      await pair.until("the read", () => active.sends.length === i + 1)
      assert.ok(active.memory.subarray(30_000, 50_000).every((byte) => byte === i + 1))
    }
  })

  withEnds("a fence holds a request until what was read is there", async ({ pair, active, passive }) => {
    passive.memory.set(pattern(20_000, 9))
    for (let i = 0; i < 8; i++) passive.receive(i, 40_000 + i * 2500, 2500)
    for (let i = 0; i < 8; i++) {
      active.read(2 * i, i * 2500, 2500, passive.mr, i * 2500)
      active.send(2 * i + 1, i * 2500, 2500, { fence: true })
    }
    await pair.until("all", () => succeeded(active, 16) && succeeded(passive, 0, 8))
    same(passive.memory.subarray(40_000, 60_000), pattern(20_000, 9), "sent on")
  })

  withEnds("a fenced write leaves a read before it what it came for", async ({ pair, active, passive }) => {
    passive.memory.set(pattern(30_000, 10))
    active.read(1, 0, 30_000, passive.mr, 0)
    active.write(2, 50_000, 10_000, passive.mr, 0, { fence: true })
    await pair.until("both", () => active.sends.length === 2)
    same(active.memory.subarray(0, 30_000), pattern(30_000, 10))
  })

  withEnds("requests complete in the order they were posted", async ({ pair, active, passive }) => {
    for (let i = 0; i < 10; i++) passive.receive(i, 50_000, 100)
    for (let i = 0; i < 30; i++) {
      if (i % 3 === 0) active.read(i, 1000 * i, 1000, passive.mr, 0)
      else if (i % 3 === 1) active.write(i, 0, 10, passive.mr, 0)
      else active.send(i, 0, 10)
    }
    await pair.until("all", () => active.sends.length === 30)
    assert.deepEqual(
      ids(active.sends),
      Array.from({ length: 30 }, (_, i) => i),
    )
    assert.ok(active.sends.every(({ status }) => status === WorkStatus.success))
  })

  for (const depth of [1, 2, 5]) {
    withEnds(
      `more reads than the agreed depth of ${depth} wait their turn`,
      async ({ pair, active, passive }) => {
        assert.equal(active.connection?.initiatorDepth, depth)
        assert.equal(passive.connection?.responderResources, depth)
        passive.memory.set(pattern(40_000, 11))
        for (let i = 0; i < 40; i++) active.read(i, i * 1000, 1000, passive.mr, i * 1000)
        await pair.until("the reads", () => active.sends.length === 40)
        assert.deepEqual(statusNames(active.sends), Array(40).fill("success"))
        same(active.memory.subarray(0, 40_000), pattern(40_000, 11))
      },
      { active: { initiatorDepth: 7 }, passive: { responderResources: depth } },
    )
  }

  withEnds(
    "without any depth a read is no operation of this queue pair",
    async ({ pair, active, passive }) => {
      active.read(1, 0, 100, passive.mr, 0)
      await pair.until("its end", () => active.sends.length === 1 && passive.disconnections.length === 1)
      assert.deepEqual(statusNames(active.sends), ["local qp operation error"])
      assert.equal(active.qp.state, "ERROR")
    },
    { passive: { responderResources: 0 } },
  )
}
