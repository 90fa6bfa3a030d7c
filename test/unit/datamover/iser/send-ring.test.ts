import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SendRing } from "../../../../src/datamover/iser/send-ring.ts"
import { SendOpcode, WorkStatus } from "../../../../src/rdma/verbs/index.ts"
import type { MemoryRegion, QueuePair, SendRequest } from "../../../../src/rdma/verbs/index.ts"

interface Posted {
  readonly wrId: number
  readonly signaled: boolean
  readonly more: boolean
}

function makeRing(depth: number) {
  const posted: Posted[] = []
  const qp = {
    sendQueueDepth: depth,
    postSend: ({ wrId, signaled }: SendRequest, more: boolean) => void posted.push({ wrId, signaled, more }),
  } as unknown as QueuePair
  const released: number[] = []
  const ring = new SendRing(qp)
  const region = {} as MemoryRegion
  const add = (name: number, bytes = 10) =>
    ring.add(SendOpcode.send, region, 0, bytes, { release: () => void released.push(name) })
  return { ring, posted, released, add, ids: () => posted.splice(0).map(({ wrId }) => wrId) }
}

describe("send ring", () => {
  test("a batch is posted together, and its last request tells of all", () => {
    const { ring, posted, released, add } = makeRing(8)
    for (let i = 0; i < 3; i++) add(i)
    ring.post()
    assert.deepEqual(
      posted.map(({ signaled, more }) => [signaled, more]),
      [
        [false, true],
        [false, true],
        [true, false],
      ],
    )
    assert.equal(ring.queuedBytes, 30)
    ring.completed(posted[2]!.wrId, WorkStatus.success)
    assert.deepEqual(released, [0, 1, 2])
    assert.equal(ring.queuedBytes, 0)
    assert.ok(ring.empty)
  })

  test("a request may move a second piece of memory, and the next one in its place doesn't", () => {
    const { ring, posted, add } = makeRing(8)
    const other = {} as MemoryRegion
    for (let round = 0; round < 130; round++) {
      const work = add(round)
      assert.equal(work.sgl.length, 1)
      if (round % 2 === 0) {
        ring.append(work, other, 5, 1000)
        assert.deepEqual(work.sgl[1], { mr: other, offset: 5, length: 1000 })
        assert.equal(work.bytes, 1010)
      }
      assert.equal(ring.queuedBytes, work.bytes)
      ring.post()
      ring.completed(posted.at(-1)!.wrId, WorkStatus.success)
      assert.equal(ring.queuedBytes, 0)
    }
  })

  test("many bytes ask for word in between, so that memory comes back", () => {
    const { ring, posted, add } = makeRing(8)
    for (let i = 0; i < 4; i++) add(i, 200_000)
    ring.post()
    assert.deepEqual(
      posted.map(({ signaled }) => signaled),
      [false, true, false, true],
    )
  })

  test("no more are posted than there are places; the others follow", () => {
    const { ring, add, ids } = makeRing(4)
    for (let i = 0; i < 10; i++) add(i)
    ring.post()
    assert.deepEqual(ids(), [0, 1, 2, 3])
    ring.post()
    assert.deepEqual(ids(), [])
    ring.completed(1, WorkStatus.success)
    ring.post()
    assert.deepEqual(ids(), [4, 5])
    ring.completed(5, WorkStatus.success)
    ring.post()
    assert.deepEqual(ids(), [6, 7, 8, 9])
    assert.ok(!ring.unposted)
  })

  test("what was cancelled before it was posted ends at once, wherever it stands", () => {
    for (const gone of [[0], [1], [3], [0, 1, 2, 3], [1, 2], [2, 3]]) {
      const { ring, released, add, ids } = makeRing(8)
      const works = [0, 1, 2, 3].map((i) => add(i))
      ring.cancel((work) => gone.some((i) => works[i] === work))
      assert.deepEqual(released, gone)
      const left = [0, 1, 2, 3].filter((i) => !gone.includes(i))
      ring.post()
      assert.deepEqual(ids(), left)
      if (left.length > 0) ring.completed(left.at(-1)!, WorkStatus.success)
      assert.deepEqual(released, [...gone, ...left])
      assert.ok(ring.empty, `${gone}`)
      assert.equal(ring.queuedBytes, 0)
      add(9)
      ring.post()
      assert.deepEqual(ids(), [4])
    }
  })

  test("what was posted can't be cancelled", () => {
    const { ring, released, add } = makeRing(8)
    add(0)
    ring.post()
    ring.cancel(() => true)
    assert.deepEqual(released, [])
    assert.ok(!ring.empty)
  })

  test("the owner of a read hears how it has ended; those before a failed one were successes", () => {
    const { ring, add } = makeRing(8)
    const heard: [number, boolean][] = []
    for (let i = 0; i < 3; i++)
      add(i, 100 + i).owner = { readEnded: (bytes, ok) => void heard.push([bytes, ok]) }
    ring.post()
    ring.completed(1, WorkStatus.remoteAccessError)
    assert.deepEqual(heard, [
      [100, true],
      [101, false],
    ])
    ring.abandon()
    assert.deepEqual(heard[2], [102, false])
    assert.ok(ring.empty)
  })

  test("it grows while requests are under way, and keeps their order", () => {
    const { ring, released, add, posted } = makeRing(1024)
    let added = 0
    let ended = 0
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 37; i++) add(added++)
      ring.post()
      const upTo = posted[Math.min(posted.length - 1, ended + 17)]!.wrId
      ring.completed(upTo, WorkStatus.success)
      ended = upTo + 1
    }
    ring.abandon()
    assert.deepEqual(
      released,
      Array.from({ length: added }, (_, i) => i),
    )
  })
})
