/**
 * Random sequences of work requests, both ways at once, against a model that just does them one after the
 * other.
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { WorkStatus } from "../../src/rdma/verbs/index.ts"
import type { MemoryRegion } from "../../src/rdma/verbs/index.ts"
import { baseSeed, seedCount } from "../seed.ts"
import { ALL_ACCESS, connectEnds, makeEnds, pattern, same, statusNames } from "./verbs-ends.ts"
import type { VerbsEnd, VerbsPair, VerbsSubject } from "./verbs-ends.ts"

const SHARED = 8192
const SOURCE = 8192
const MESSAGE = 3000
const OPERATIONS = 40
/** Own memory: what is sent from, then a sink for each read, then a buffer for each receive. */
const SINKS_AT = SOURCE
const RECEIVES_AT = SINKS_AT + (OPERATIONS + 1) * MESSAGE
const MEMORY = RECEIVES_AT + OPERATIONS * MESSAGE

interface Operation {
  readonly kind: "write" | "read" | "send" | "forward"
  readonly from: number
  readonly to: number
  readonly length: number
  readonly fence: boolean
  readonly signaled: boolean
  readonly inline: boolean
}

const operation = fc.record<Operation>({
  kind: fc.constantFrom("write", "write", "read", "read", "send", "forward"),
  from: fc.integer({ min: 0, max: SHARED - MESSAGE }),
  to: fc.integer({ min: 0, max: SHARED - MESSAGE }),
  length: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: MESSAGE })),
  fence: fc.boolean(),
  signaled: fc.boolean(),
  inline: fc.boolean(),
})

/** Its end says that all before it has been placed: where sends and writes aren't acknowledged nothing else does. */
const LAST: Operation = {
  kind: "read",
  from: 0,
  to: 0,
  length: 0,
  fence: true,
  signaled: true,
  inline: false,
}

/** One end's requests, and what they must come to. */
class Stream {
  readonly end: VerbsEnd
  readonly shared: MemoryRegion
  /** The model: the peer's shared memory, what each read finds, and each message sent. */
  readonly model: Uint8Array
  readonly found: Uint8Array[] = []
  readonly messages: Uint8Array[] = []
  readonly signaled: number[] = []
  readonly #source: Uint8Array
  readonly #operations: readonly Operation[]
  #next = 0
  /** Places in use: those of unsignaled requests too, until one behind them has ended. */
  #unsignaled = 0
  /** Reads that may still be under way: runs of the peer's memory no unfenced write may touch. */
  #reading: { from: number; to: number }[] = []

  constructor(end: VerbsEnd, shared: MemoryRegion, operations: readonly Operation[], seed: number) {
    this.end = end
    this.shared = shared
    this.model = shared.bytes.slice()
    this.#operations = operations
    this.#source = pattern(SOURCE, seed)
    end.memory.set(this.#source)
  }

  get done(): boolean {
    return this.#next === this.#operations.length && this.end.sends.length === this.signaled.length
  }

  /** Posts as much as fits. */
  pump(): void {
    const { sendQueueDepth } = this.end.qp
    while (this.#next < this.#operations.length) {
      const pending = this.signaled.length - this.end.sends.length
      // A signaled request that is pending may hold as many unsignaled ones before it.
      if (pending * 4 + this.#unsignaled >= sendQueueDepth - 1) return
      this.#post(this.#next, this.#operations[this.#next]!)
      this.#next++
    }
  }

  #post(id: number, { kind, from, to, length, fence, inline, ...operation }: Operation): void {
    const { end } = this
    const last = id === this.#operations.length - 1
    const signaled = operation.signaled || this.#unsignaled === 3 || last
    this.#unsignaled = signaled ? 0 : this.#unsignaled + 1
    if (signaled) this.signaled.push(id)
    const short = inline && length <= end.qp.inlineBytes
    const overlaps = this.#reading.some((run) => to < run.to && to + length > run.from)
    const fenced = fence || kind === "forward" || (kind === "write" && overlaps)
    if (fenced) this.#reading = []
    const fields = { signaled, fence: fenced, inline: short }
    if (kind === "write") {
      this.model.set(this.#source.subarray(from, from + length), to)
      end.write(id, from, length, this.shared, to, fields)
    } else if (kind === "read") {
      const sinkAt = SINKS_AT + this.found.length * MESSAGE
      this.found.push(this.model.slice(from, from + length))
      this.#reading.push({ from, to: from + length })
      end.read(id, sinkAt, length, this.shared, from, { ...fields, inline: false })
    } else if (kind === "forward" && this.found.length > 0) {
      const found = this.found.at(-1)!
      this.messages.push(found)
      end.send(id, SINKS_AT + (this.found.length - 1) * MESSAGE, found.length, { ...fields, inline: false })
    } else {
      this.messages.push(this.#source.slice(from, from + length))
      end.send(id, from, length, fields)
    }
  }

  check(peer: VerbsEnd): void {
    assert.deepEqual(
      this.end.sends.map(({ wrId }) => wrId),
      this.signaled,
      "signaled requests end once and in order",
    )
    assert.ok(this.end.sends.every(({ status }) => status === WorkStatus.success))
    same(this.shared.bytes, this.model, "the peer's memory")
    for (const [i, found] of this.found.entries()) {
      const at = SINKS_AT + i * MESSAGE
      same(this.end.memory.subarray(at, at + found.length), found, `read ${i}`)
    }
    assert.equal(peer.receives.length, this.messages.length)
    for (const [i, message] of this.messages.entries()) {
      assert.equal(peer.receives[i]!.byteLength, message.length)
      const at = RECEIVES_AT + i * MESSAGE
      same(peer.memory.subarray(at, at + message.length), message, `message ${i}`)
    }
  }
}

async function run(
  pair: VerbsPair,
  there: readonly Operation[],
  back: readonly Operation[],
  lateReceives: boolean,
): Promise<void> {
  const queues = { sendQueueDepth: 16, receiveQueueDepth: OPERATIONS, inlineBytes: 64 }
  const ends = makeEnds(pair, { memoryBytes: MEMORY, queues })
  const { active, passive } = ends
  await connectEnds(ends, { active: { initiatorDepth: 3 }, passive: { initiatorDepth: 2 } })
  const [activeShared, passiveShared] = [active, passive].map((end, i) =>
    end.pd.registerMemory(pattern(SHARED, 50 + i), ALL_ACCESS),
  )
  const streams = [
    new Stream(active, passiveShared!, [...there, LAST], 60),
    new Stream(passive, activeShared!, [...back, LAST], 61),
  ]
  const postReceives = (): void => {
    for (const end of [active, passive])
      for (let i = 0; i < OPERATIONS; i++) end.receive(i, RECEIVES_AT + i * MESSAGE, MESSAGE)
  }
  if (!lateReceives) postReceives()
  for (const stream of streams) stream.pump()
  if (lateReceives) {
    await pair.rest()
    postReceives()
  }
  await pair.until("the requests to end", () => {
    for (const stream of streams) stream.pump()
    return streams.every(({ done }) => done) || active.disconnections.length > 0
  })
  await pair.rest()
  assert.deepEqual([active.disconnections, passive.disconnections], [[], []])
  streams[0]!.check(passive)
  streams[1]!.check(active)
  assert.deepEqual(
    new Set(statusNames(active.receives)),
    new Set(streams[1]!.messages.length > 0 ? ["success"] : []),
  )
}

export function modelTests(subject: VerbsSubject): void {
  test("any sequence of requests comes to what the model says", async () => {
    const operations = fc.array(operation, { maxLength: OPERATIONS })
    const property = fc.asyncProperty(
      operations,
      operations,
      fc.nat(),
      fc.boolean(),
      async (there, back, seed, late) => {
        const pair = await subject.open(seed)
        try {
          await run(pair, there, back, late && pair.active.capabilities.receiverNotReady)
        } finally {
          await pair.dispose()
        }
      },
    )
    await fc.assert(property, { seed: baseSeed | 0, numRuns: Math.max(10, seedCount(25)) })
  })
}
