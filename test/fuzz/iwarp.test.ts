/**
 * Mutated MPA frames, DDP segments and RDMAP messages against both roles of the iWARP provider. The oracle: the
 * stream goes on, or ends with a Terminate or without; nothing is written outside what was opened to the peer or
 * posted for it; memory stays bounded; errors are typed; every request ends once.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SanletError } from "../../src/base/errors.ts"
import { CLOSE_DEADLINE_MS, RDMA_CONNECT_DEADLINE_MS } from "../../src/base/limits.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { Access } from "../../src/rdma/verbs/index.ts"
import type { MemoryRegion } from "../../src/rdma/verbs/index.ts"
import { forEachSeed } from "../seed.ts"
import { ids, same } from "../suites/verbs-ends.ts"
import {
  acceptedRaw,
  C,
  connectedRaw,
  depths,
  fpdu,
  mpa,
  Raw,
  readRequest,
  S,
  segments,
  tagged,
  untagged,
  write,
} from "../unit/rdma/iwarp/raw.ts"
import type { Segment } from "../unit/rdma/iwarp/raw.ts"
import { boundedMemory } from "./memory.ts"

/** Memory: what may be written, between walls of what may not. */
const WALL = 1000
const OPEN = 30_000
const RECEIVE = 500
const RECEIVES = 20

class Victim {
  readonly raw: Raw
  readonly bytes = new Uint8Array(3 * WALL + OPEN + RECEIVES * RECEIVE)
  readonly open: MemoryRegion
  readonly readable: MemoryRegion
  readonly crc: boolean
  /** What the peer has seen of us: reads it might answer. */
  readonly asked: Segment[] = []
  sequence = 1
  reads = 1
  posted = 0

  constructor(raw: Raw, crc: boolean) {
    const { pd } = raw.end
    this.raw = raw
    this.crc = crc
    this.open = pd.registerMemory(
      this.bytes.subarray(WALL, WALL + OPEN),
      Access.LocalWrite | Access.RemoteWrite | Access.RemoteRead,
    )
    this.readable = pd.registerMemory(this.bytes.subarray(0, WALL), Access.RemoteRead)
    const receives = pd.registerMemory(this.bytes.subarray(2 * WALL + OPEN), Access.LocalWrite)
    for (let i = 0; i < RECEIVES; i++)
      raw.end.receiveInto(i, [{ mr: receives, offset: i * RECEIVE, length: RECEIVE }])
  }

  /** Nothing is written but where it may be. */
  check(): void {
    for (const [from, to] of [
      [0, WALL],
      [WALL + OPEN, 2 * WALL + OPEN],
      [2 * WALL + OPEN + RECEIVES * RECEIVE, this.bytes.length],
    ] as const)
      assert.ok(
        this.bytes.subarray(from, to).every((byte) => byte === 0),
        `wall at ${from}`,
      )
    const { memory } = this.raw.end
    same(memory.subarray(20_000), new Uint8Array(memory.length - 20_000), "memory no read was for")
  }
}

/** A message that makes sense, or nearly. */
function message(random: SeededRandom, victim: Victim): Buffer {
  const { open, readable } = victim
  const wrong = random.chance(0.03)
  const payload = random.fill(new Uint8Array(random.below(random.pick([1, 20, 600, 20_000]))))
  const last = random.chance(0.8)
  switch (random.below(9)) {
    case 0:
    case 1:
      return write(wrong ? readable : open, random.below(wrong ? OPEN + 100 : 10_000), payload, last)
    case 2:
    case 3: {
      const bytes = Math.min(payload.length, RECEIVE + (wrong ? 1 : 0))
      const sequence = victim.sequence++
      const opcode = random.chance(0.05) ? 4 : random.pick([3, 3, 5])
      return untagged(opcode, {
        sequence,
        stag: wrong ? 1 : readable.rkey,
        payload: payload.subarray(0, bytes),
      })
    }
    case 4:
    case 5: {
      const bytes = random.below(wrong ? 2 ** 32 : 20_000)
      return readRequest(victim.reads++, { bytes, from: open, offset: random.below(2000) })
    }
    case 6:
    case 7: {
      const request = victim.asked.shift()
      if (request === undefined)
        return wrong ? tagged(2, { stag: random.uint32(), payload, last }) : write(open, 0, payload)
      const [stag, high, low, length] = [0, 4, 8, 12].map((at) => request.payload.readUInt32BE(at)) as [
        number,
        number,
        number,
        number,
      ]
      return tagged(2, { stag, high, low, payload: random.fill(new Uint8Array(length)) })
    }
    default:
      if (!wrong) return write(open, random.below(100), payload, last)
      return random.chance(0.3)
        ? untagged(7, { queue: 2, payload: random.fill(new Uint8Array(random.below(60))) })
        : untagged(random.below(16), { queue: random.below(4), sequence: random.below(4), payload })
  }
}

/** Breaks a ULPDU, or doesn't: most have to get through, or nothing is ever reached. */
function broken(random: SeededRandom, ulpdu: Buffer): Buffer {
  const bad = Buffer.from(ulpdu)
  switch (random.below(60)) {
    case 0:
      bad[random.below(Math.min(bad.length, 46))]! ^= 1 << random.below(8)
      return bad
    case 1:
      bad[random.below(Math.min(bad.length, 46))] = random.pick([0, 1, 0x7f, 0x80, 0xff])
      return bad
    case 2:
      return bad.subarray(0, random.below(bad.length))
    case 3:
      return Buffer.concat([bad, random.fill(new Uint8Array(random.below(50)))])
    case 4:
      return Buffer.from(random.fill(new Uint8Array(random.below(100))))
    default:
      return ulpdu
  }
}

/** Something of our own to do: the peer may answer it, or not. */
function work(random: SeededRandom, victim: Victim): void {
  const { end } = victim.raw
  if (end.qp.state !== "RTS" || victim.posted - end.sends.length > 30) return
  const id = victim.posted++
  const length = random.below(random.pick([100, 19_000]))
  const kind = random.below(3)
  if (kind === 0) end.send(id, 30_000, length)
  else if (kind === 1) end.read(id, random.below(500), length, end.mr, 0, { fence: random.chance(0.2) })
  else end.write(id, 30_000, length, end.mr, 0)
}

async function play(random: SeededRandom, victim: Victim): Promise<void> {
  const { raw, crc } = victim
  const { stream, end } = raw
  for (let i = 0; i < 40 && !stream.destroyed && !stream.ended; i++) {
    if (random.chance(0.5)) work(random, victim)
    const bytes = fpdu(broken(random, message(random, victim)), crc)
    if (random.chance(0.01)) bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
    const cut = random.below(bytes.length + 1)
    stream.feed(bytes.subarray(0, cut))
    if (random.chance(0.3)) await raw.turn(random.below(3))
    if (random.chance(0.02)) victim.open.reregister(victim.open.bytes, victim.open.access)
    if (random.chance(0.005)) raw.connection?.disconnect()
    stream.feed(bytes.subarray(cut))
    if (random.chance(0.7)) stream.take()
    await raw.turn()
    // What we send is whole and has its CRC, to the end.
    const sent = segments(stream.written(), crc)
    victim.asked.push(...sent.filter(({ opcode }) => opcode === 1))
    assert.ok(sent.findIndex(({ opcode }) => opcode === 7) === -1 || sent.at(-1)?.opcode === 7)
    victim.check()
    if (random.chance(0.01)) stream.close()
  }
  const frozen = victim.bytes.slice()
  const over = stream.destroyed || stream.ended
  stream.feed(fpdu(write(victim.open, 0, Buffer.alloc(100, 0xee)), crc))
  if (over) same(victim.bytes, frozen, "memory after the end")
  stream.close()
  await raw.turn(CLOSE_DEADLINE_MS)
  assert.equal(end.disconnections.length, 1)
  assert.equal(end.qp.state, "ERROR")
  end.collect()
  assert.deepEqual(
    ids(end.sends),
    Array.from({ length: victim.posted }, (_, i) => i),
    "each request ends once",
  )
  assert.deepEqual(
    ids(end.receives),
    Array.from({ length: RECEIVES }, (_, i) => i),
  )
  assert.deepEqual(raw.clock.pending(), [])
}

async function fuzzStream(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const crc = random.chance(0.4)
  const options = {
    device: { crc, fpduBytes: random.pick(["auto", "mss", 128, 5000] as const) },
    connection: { responderResources: 4, initiatorDepth: 4 },
  }
  const flags = crc ? C | S : S
  const raw = await (random.chance(0.5) ? acceptedRaw : connectedRaw)(options, {
    flags,
    privateData: depths(4, 4),
  })
  await play(random, new Victim(raw, crc))
}

/** A frame of MPA with something wrong, or nothing. */
function frame(random: SeededRandom, kind: "Req" | "Rep"): Buffer {
  const bytes = mpa(random.chance(0.95) ? kind : random.pick(["Req", "Rep"]), {
    flags: random.chance(0.5) ? C | S : random.below(256),
    revision: random.pick([0, 1, 2, 2, 2, 3, 255]),
    privateData: Buffer.concat([
      depths(random.below(2 ** 14), random.below(2 ** 14), random.below(4) << 14, random.below(4) << 14),
      random.fill(new Uint8Array(random.below(random.pick([5, 520])))),
    ]).subarray(random.below(6)),
  })
  if (random.chance(0.3)) bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
  const more = random.chance(0.1) ? random.fill(new Uint8Array(random.below(100))) : new Uint8Array(0)
  return Buffer.concat([random.chance(0.1) ? bytes.subarray(0, random.below(bytes.length)) : bytes, more])
}

async function fuzzBeginning(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const raw = new Raw({ device: { crc: random.chance(0.5), peerToPeer: random.chance(0.5) } })
  raw.end.receive(0, 0, 100)
  const passive = random.chance(0.5)
  const bytes = frame(random, passive ? "Req" : "Rep")
  if (passive) raw.adopt(bytes.subarray(0, random.below(bytes.length)))
  else raw.connect()
  await raw.turn()
  const from = passive ? random.below(bytes.length) : 0
  const cut = from + random.below(bytes.length - from + 1)
  raw.stream.feed(bytes.subarray(from, cut))
  if (random.chance(0.5)) await raw.turn()
  raw.stream.feed(bytes.subarray(cut))
  await raw.turn()
  if (raw.requests.length > 0) {
    if (random.chance(0.8)) raw.accept()
    else raw.requests[0]!.reject()
    raw.stream.feed(fpdu(untagged(3), random.chance(0.5)))
  }
  await raw.turn(RDMA_CONNECT_DEADLINE_MS)
  if (raw.connection === undefined) {
    assert.ok(raw.error === undefined || raw.error instanceof SanletError, `${raw.error}`)
    for (const failure of raw.failures) assert.ok(failure instanceof SanletError)
    assert.ok(raw.stream.destroyed || raw.stream.ended)
    assert.equal(raw.end.disconnections.length, 0)
  }
  raw.stream.close()
  await raw.turn(CLOSE_DEADLINE_MS)
  assert.ok(raw.end.disconnections.length <= 1)
  assert.deepEqual(raw.clock.pending(), [])
}

describe("mutated iWARP", () => {
  test("frames of MPA", async () => forEachSeed(import.meta.url, 1500, fuzzBeginning))
  test("segments and messages", async () =>
    boundedMemory(() => forEachSeed(import.meta.url, 500, fuzzStream)))
})
