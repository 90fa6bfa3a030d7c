/** Work queues, completion queues, memory and their bounds. */
import assert from "node:assert/strict"
import {
  Access,
  ReceiveRequest,
  SendOpcode,
  SendRequest,
  WorkCompletion,
} from "../../src/rdma/verbs/index.ts"
import { bothEnd, ids, statusNames, throwsVerbs } from "./verbs-ends.ts"
import type { WithEnds } from "./verbs-ends.ts"

export function queueTests(withEnds: WithEnds): void {
  withEnds(
    "a full queue takes nothing more until completions are polled",
    async ({ pair, active, passive }) => {
      for (let i = 0; i < 4; i++) active.write(i, 0, 8, passive.mr, 0, { signaled: i === 3 })
      throwsVerbs("queue-full", () => active.write(4, 0, 8, passive.mr, 0))
      await pair.until("the signaled one", () => active.sends.length === 1)
      assert.deepEqual(ids(active.sends), [3])
      for (let i = 0; i < 4; i++) active.write(10 + i, 0, 8, passive.mr, 0)
      await pair.until("the next", () => active.sends.length === 5)
      for (let i = 0; i < 4; i++) passive.receive(i, 0, 8)
      throwsVerbs("queue-full", () => passive.receive(4, 0, 8))
    },
    { queues: { sendQueueDepth: 4, receiveQueueDepth: 4 } },
  )

  withEnds("malformed requests are refused and leave no trace", async ({ pair, active, passive }) => {
    const send = (fields: Partial<SendRequest>) => active.post(1, SendOpcode.send, [], fields)
    throwsVerbs("request", () => active.post(1, 5, []))
    throwsVerbs("request", () => send({ wrId: -1 }))
    throwsVerbs("request", () => send({ wrId: 2 ** 32 }))
    throwsVerbs("request", () => send({ sgl: [active.at(-1, 4)] }))
    throwsVerbs("request", () => send({ sgl: [active.at(0, 0.5)] }))
    throwsVerbs("request", () => send({ sgl: [active.at(0, Number.NaN)] }))
    throwsVerbs("request", () => send({ sgl: Array.from({ length: 5 }, () => active.at(0, 1)) }))
    throwsVerbs("request", () => send({ inline: true, sgl: [active.at(0, 1)] }))
    throwsVerbs("request", () => passive.receiveInto(-1, []))
    passive.receive(1, 0, 8)
    active.send(7, 0, 8)
    await pair.until("the good one", () => active.sends.length === 1 && passive.receives.length === 1)
    assert.deepEqual(ids(active.sends), [7])
  })

  withEnds("an armed queue calls once until it is armed again", async ({ pair, active, passive }) => {
    passive.automatic = false
    for (let i = 0; i < 6; i++) passive.receive(i, 0, 8)
    for (let i = 0; i < 3; i++) active.send(i, 0, 8)
    active.read(3, 0, 8, passive.mr, 0) // answered when what was sent before has come
    await pair.until("the sends", () => active.sends.length === 4)
    await pair.rest()
    assert.equal(passive.receiveCalls, 1)
    const found = [new WorkCompletion(), new WorkCompletion()]
    assert.equal(passive.receiveCq.poll(found, 1), 1)
    assert.equal(found[0]!.wrId, 0)
    assert.equal(passive.receiveCq.poll(found), 2)
    assert.deepEqual(ids(found), [1, 2])
    assert.equal(passive.receiveCq.poll(found), 0)
    active.send(4, 0, 8)
    await pair.until("the fourth", () => active.sends.length === 5)
    await pair.rest()
    assert.equal(passive.receiveCalls, 1, "not armed")
    assert.equal(passive.receiveCq.poll(found, 0), 0)
    assert.equal(passive.receiveCq.poll(found), 1)
    passive.receiveCq.arm()
    active.send(4, 0, 8)
    await pair.until("the call", () => passive.receiveCalls === 2)
  })

  withEnds("a queue armed for solicited events sleeps through others", async ({ pair, active, passive }) => {
    passive.automatic = false
    for (let i = 0; i < 6; i++) passive.receive(i, 0, 8)
    active.send(1, 0, 8)
    await pair.until("the first call", () => passive.receiveCalls === 1)
    passive.receiveCq.arm(true)
    active.send(2, 0, 8)
    await pair.until("the second send", () => active.sends.length === 2)
    await pair.rest()
    assert.equal(passive.receiveCalls, 1)
    active.send(3, 0, 8, { solicited: true })
    await pair.until("the call", () => passive.receiveCalls === 2)
    passive.receiveCq.arm(true)
    active.connection?.disconnect()
    await pair.until("the call for what was flushed", () => passive.receiveCalls === 3)
  })

  withEnds("no call up comes from within a call down", async ({ active, passive, pair }) => {
    passive.receive(1, 0, 8)
    await pair.rest()
    const before = [active.sendCalls, passive.receiveCalls]
    active.connection?.disconnect()
    passive.connection?.disconnect()
    active.send(1, 0, 8)
    passive.receive(2, 0, 8)
    assert.deepEqual([active.sendCalls, passive.receiveCalls], before)
    assert.deepEqual([active.disconnections.length, passive.disconnections.length], [0, 0])
    await bothEnd({ pair, active, passive })
    assert.deepEqual(
      statusNames([...active.sends, ...passive.receives]),
      Array(3).fill("work request flushed error"),
    )
  })

  withEnds("what is in use can't be taken away, what is gone can't be used", async ({ pair, active }) => {
    throwsVerbs("busy", () => active.pd.deallocate())
    throwsVerbs("busy", () => active.sendCq.destroy())
    active.qp.destroy()
    active.qp.destroy()
    assert.equal(active.qp.state, "RESET")
    throwsVerbs("state", () => active.qp.postSend(new SendRequest()))
    throwsVerbs("state", () => active.qp.postRecv(new ReceiveRequest()))
    active.sendCq.destroy()
    active.receiveCq.destroy()
    throwsVerbs("busy", () => active.pd.deallocate())
    active.mr.deregister()
    active.mr.deregister()
    assert.equal(active.mr.valid, false)
    throwsVerbs("closed", () => active.mr.reregister(active.memory, 0))
    active.pd.deallocate()
    throwsVerbs("closed", () => active.pd.registerMemory(active.memory, 0))
    await pair.rest()
  })

  withEnds("a destroyed queue pair takes its completions with it", async ({ pair, active, passive }) => {
    passive.automatic = false
    for (let i = 0; i < 4; i++) passive.receive(i, 0, 8)
    active.send(1, 0, 8)
    await pair.until("the send", () => active.sends.length === 1)
    await pair.rest()
    passive.qp.destroy()
    passive.collect()
    assert.deepEqual(passive.receives, [])
    await pair.until("the peer to hear of it", () => active.disconnections.length === 1)
  })

  withEnds("queues and regions have bounds and need sense", async ({ active, pair }) => {
    const { device, pd } = active
    const { limits } = device
    const cq = device.createCq(10, () => {})
    const base = { pd, sendCq: cq, receiveCq: cq, sendQueueDepth: 5, receiveQueueDepth: 5 }
    throwsVerbs("limit", () => device.createQp({ ...base, sendQueueDepth: 6 }))
    throwsVerbs("limit", () => device.createQp({ ...base, sendQueueDepth: limits.workRequestsMax + 1 }))
    throwsVerbs("limit", () => device.createQp({ ...base, sendEntriesMax: limits.entriesMax + 1 }))
    throwsVerbs("limit", () => device.createQp({ ...base, inlineBytes: limits.inlineBytesMax + 1 }))
    throwsVerbs("request", () => device.createQp({ ...base, receiveQueueDepth: 0 }))
    throwsVerbs("limit", () => device.createCq(limits.completionsMax + 1, () => {}))
    throwsVerbs("request", () => device.createCq(0, () => {}))
    const qp = device.createQp(base)
    throwsVerbs("limit", () => device.createQp({ ...base, sendQueueDepth: 1, receiveQueueDepth: 1 }))
    assert.equal(qp.state, "INIT")
    throwsVerbs("state", () => qp.postSend(new SendRequest()))
    qp.destroy()
    device.createQp(base).destroy()
    cq.destroy()
    throwsVerbs("registration", () => pd.registerMemory(new Uint8Array(1), Access.RemoteWrite))
    throwsVerbs("registration", () => pd.registerMemory(new Uint8Array(1), 64))
    throwsVerbs("registration", () => pd.registerMemory("text" as unknown as Uint8Array, 0))
    assert.throws(() => active.mr.reregister(active.memory, 64))
    assert.equal(active.mr.valid, false, "what could not be registered again is invalid")
    await pair.rest()
  })

  withEnds("every registration has a key of its own", async ({ active, pair }) => {
    const keys = new Set<number>()
    const mr = active.pd.registerMemory(new Uint8Array(64), Access.RemoteRead)
    for (let i = 0; i < 1000; i++) {
      assert.notEqual(mr.rkey, 0)
      keys.add(mr.rkey)
      mr.reregister(new Uint8Array(64), Access.RemoteRead)
    }
    for (let i = 0; i < 100; i++) {
      const other = active.pd.registerMemory(new Uint8Array(64), Access.RemoteRead)
      keys.add(other.rkey)
      other.deregister()
    }
    assert.equal(keys.size, 1100)
    await pair.rest()
  })
}
