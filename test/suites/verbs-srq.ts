/** Receives that queue pairs have in common. */
import assert from "node:assert/strict"
import { SeededRandom } from "../../src/base/random.ts"
import { ReceiveRequest } from "../../src/rdma/verbs/index.ts"
import type { SharedReceiveQueue } from "../../src/rdma/verbs/index.ts"
import { bothEnd, connectEnds, ids, pattern, same, statusNames, throwsVerbs, VerbsEnd } from "./verbs-ends.ts"
import type { Ends, WithEnds } from "./verbs-ends.ts"

const SHARED = { shared: true } as const

/** Posts one of the passive end's receives of 1000 bytes. */
const post = (end: VerbsEnd, wrId: number): void => end.receive(wrId, wrId * 1000, 1000)

/** The memory of the receive that took the end's n-th message. */
function message(end: VerbsEnd, n: number): Uint8Array {
  const { wrId, byteLength } = end.receives[n]!
  return end.memory.subarray(wrId * 1000, wrId * 1000 + byteLength)
}

export function sharedQueueTests(withEnds: WithEnds): void {
  withEnds(
    "messages in their order take receives of a shared queue, each once",
    async ({ pair, active, passive }) => {
      active.memory.set(pattern(9000, 3))
      for (let i = 0; i < 12; i++) post(passive, i)
      for (let i = 0; i < 9; i++) active.send(i, i * 1000, 100 * (i + 1))
      await pair.until("the messages", () => passive.receives.length === 9)
      for (let i = 0; i < 9; i++)
        same(message(passive, i), active.memory.subarray(i * 1000, i * 1000 + 100 * (i + 1)), `message ${i}`)
      assert.equal(new Set(ids(passive.receives)).size, 9)
      assert.deepEqual(statusNames(passive.receives), Array(9).fill("success"))
      for (const id of ids(passive.receives)) post(passive, id)
      for (let i = 0; i < 9; i++) active.send(10 + i, i * 1000, 1000)
      await pair.until("more", () => passive.receives.length === 18)
      for (let i = 0; i < 9; i++)
        same(message(passive, 9 + i), active.memory.subarray(i * 1000, (i + 1) * 1000))
    },
    SHARED,
  )

  withEnds(
    "queue pairs with a queue in common have completions of their own",
    async (ends) => {
      const { pair, active, passive } = ends
      const second = await another(ends)
      for (let i = 0; i < 6; i++) post(passive, i)
      for (const [end, seed] of [
        [active, 1],
        [second.active, 2],
      ] as const) {
        end.memory.set(pattern(3000, seed))
        for (let i = 0; i < 3; i++) end.send(i, i * 1000, 1000)
      }
      const all = () => passive.receives.length === 3 && second.passive.receives.length === 3
      await pair.until("all messages", all)
      for (let i = 0; i < 3; i++) {
        same(message(passive, i), pattern(3000, 1).subarray(i * 1000, (i + 1) * 1000))
        const { wrId } = second.passive.receives[i]!
        const bytes = passive.memory.subarray(wrId * 1000, (wrId + 1) * 1000)
        same(bytes, pattern(3000, 2).subarray(i * 1000, (i + 1) * 1000))
      }
      assert.equal(new Set([...ids(passive.receives), ...ids(second.passive.receives)]).size, 6)
    },
    SHARED,
  )

  withEnds(
    "what no message has taken stays when a queue pair ends",
    async (ends) => {
      const { pair, active, passive } = ends
      const second = await another(ends)
      for (let i = 0; i < 4; i++) post(passive, i)
      active.send(1, 0, 100)
      await pair.until("a message", () => passive.receives.length === 1)
      active.connection?.disconnect()
      await bothEnd(ends)
      assert.deepEqual(statusNames(passive.receives), ["success"])
      assert.equal(passive.qp.state, "ERROR")
      passive.qp.destroy()
      for (let i = 0; i < 3; i++) second.active.send(i, 0, 100)
      await pair.until("three on the other", () => second.passive.receives.length === 3)
      assert.deepEqual(statusNames(second.passive.receives), Array(3).fill("success"))
    },
    SHARED,
  )

  withEnds(
    "a message that finds the shared queue empty fares as without a receive",
    async (ends) => {
      const { pair, active, passive } = ends
      if (active.device.capabilities.receiverNotReady) {
        active.send(1, 0, 100)
        await pair.rest()
        assert.deepEqual(active.sends, [])
        post(passive, 1)
        await pair.until("the message", () => passive.receives.length === 1)
        return
      }
      post(passive, 1)
      active.send(1, 0, 100)
      await pair.until("the first", () => passive.receives.length === 1)
      active.send(2, 0, 100)
      await bothEnd(ends)
      assert.deepEqual(statusNames(passive.receives), ["success"])
    },
    SHARED,
  )

  withEnds(
    "messages of all lengths, close behind each other, arrive as they were sent",
    async ({ pair, active, passive }) => {
      const random = new SeededRandom(7)
      const slotBytes = 300_000
      const slots = 8
      const free = Array.from({ length: slots }, (_, i) => i)
      const receive = (slot: number) => passive.receive(slot, slot * slotBytes, slotBytes)
      for (const slot of free.splice(0)) receive(slot)
      active.memory.set(pattern(slotBytes + 1000, 5))
      // Mostly many of one length, as a stream of commands is.
      const lengths: number[] = []
      while (lengths.length < 60) {
        const length = random.below(random.pick([300, 70_000, slotBytes]))
        for (let i = random.pick([1, 1, 2, 12]); i > 0; i--) lengths.push(length)
      }
      let sent = 0
      for (let seen = 0; seen < lengths.length; ) {
        while (sent < lengths.length && sent - seen < slots) {
          active.send(sent, sent % 997, lengths[sent]!, {}, sent % 3 > 0 && sent - seen < slots - 1)
          sent++
        }
        const before = seen
        await pair.until("messages", () => passive.receives.length > before)
        for (; seen < passive.receives.length; seen++) {
          const { wrId, byteLength } = passive.receives[seen]!
          assert.equal(byteLength, lengths[seen])
          const found = passive.memory.subarray(wrId * slotBytes, wrId * slotBytes + byteLength)
          same(found, active.memory.subarray(seen % 997, (seen % 997) + byteLength), `message ${seen}`)
          receive(wrId)
        }
        active.collect()
      }
    },
    { memoryBytes: 8 * 300_000, ...SHARED },
  )

  withEnds("shared queues have bounds and need sense", async ({ active, passive, pair }) => {
    const { device, pd } = passive
    const { limits } = device
    throwsVerbs("request", () => device.createSrq({ pd, depth: 0 }))
    throwsVerbs("limit", () => device.createSrq({ pd, depth: limits.workRequestsMax + 1 }))
    throwsVerbs("limit", () => device.createSrq({ pd, depth: 1, entriesMax: limits.entriesMax + 1 }))
    const srq = device.createSrq({ pd, depth: 2, entriesMax: 1 })
    const to = (entries: number, queue: SharedReceiveQueue = srq) => {
      const request = new ReceiveRequest()
      request.sgl = Array.from({ length: entries }, () => passive.at(0, 8))
      queue.postRecv(request)
    }
    throwsVerbs("request", () => to(2))
    to(1)
    to(0)
    throwsVerbs("queue-full", () => to(1))
    const cq = device.createCq(4, () => {})
    const options = { sendCq: cq, receiveCq: cq, sendQueueDepth: 2, receiveQueueDepth: 2, srq }
    const other = device.allocatePd()
    throwsVerbs("request", () => device.createQp({ ...options, pd: other }))
    if (active.device !== device) throwsVerbs("request", () => active.device.createSrq({ pd, depth: 1 }))
    const qp = device.createQp({ ...options, pd })
    throwsVerbs("request", () => qp.postRecv(new ReceiveRequest()))
    throwsVerbs("busy", () => srq.destroy())
    qp.destroy()
    srq.destroy()
    srq.destroy()
    throwsVerbs("closed", () => to(1))
    throwsVerbs("request", () => device.createQp({ ...options, pd }))
    cq.destroy()
    other.deallocate()
    await pair.rest()
  })
}

/** A second pair of queue pairs, connected; its passive end takes receives from the first one's queue. */
async function another({ pair, passive }: Ends): Promise<Ends> {
  const second = {
    pair,
    active: new VerbsEnd(pair.active, 65536),
    passive: new VerbsEnd(pair.passive, 65536, { pd: passive.pd, srq: passive.srq! }),
  }
  await connectEnds(second)
  return second
}
