/** What shared receive queues of software promise beyond the contract. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { LoopbackFabric } from "../../../../src/rdma/loopback/index.ts"
import { Access, ReceiveRequest } from "../../../../src/rdma/verbs/index.ts"
import { SoftwareSharedReceiveQueue } from "../../../../src/rdma/verbs/software/srq.ts"
import { WorkPlace, WorkQueue } from "../../../../src/rdma/verbs/software/work-queue.ts"

test("what was posted last is taken first: with few messages at a time few receives are used", async () => {
  const fabric = new LoopbackFabric({ clock: new VirtualClock(), random: new SeededRandom(1) })
  const device = fabric.openDevice("10.0.0.1")
  const pd = device.allocatePd()
  const mr = pd.registerMemory(new Uint8Array(200), Access.LocalWrite)
  const srq = device.createSrq({ pd, depth: 200, entriesMax: 1 })
  assert.ok(srq instanceof SoftwareSharedReceiveQueue)
  const receives = new WorkQueue(16, () => new WorkPlace())
  const post = (wrId: number) => {
    const request = new ReceiveRequest()
    request.wrId = wrId
    request.sgl = [{ mr, offset: wrId, length: 1 }]
    srq.postRecv(request)
  }
  for (let i = 0; i < 200; i++) post(i)
  const random = new SeededRandom(2)
  const used = new Set<number>()
  const open: number[] = []
  for (let step = 0; step < 5000; step++) {
    if (open.length < 8 && random.chance(0.5)) {
      assert.equal(srq.moveTo(receives), true)
      const sequence = receives.completed++
      const place = receives.at(sequence)
      assert.deepEqual([place.length, place.pieces[0]!.offset], [1, place.wrId])
      used.add(place.wrId)
      open.push(place.wrId)
      receives.release(sequence)
    } else if (open.length > 0) post(open.splice(random.below(open.length), 1)[0]!)
  }
  assert.equal(used.size, 8)
  await device.close()
})

test("nothing is taken that there is no place for", async () => {
  const fabric = new LoopbackFabric({ clock: new VirtualClock(), random: new SeededRandom(1) })
  const device = fabric.openDevice("10.0.0.1")
  const srq = device.createSrq({ pd: device.allocatePd(), depth: 3 })
  for (let i = 0; i < 3; i++) srq.postRecv(new ReceiveRequest())
  const receives = new WorkQueue(2, () => new WorkPlace())
  const take = () => (srq as SoftwareSharedReceiveQueue).moveTo(receives)
  assert.deepEqual([take(), take(), take()], [true, true, false])
  receives.completed += 2
  receives.release(0)
  assert.deepEqual([take(), take()], [true, false], "one place, and then no receive")
  await device.close()
})
