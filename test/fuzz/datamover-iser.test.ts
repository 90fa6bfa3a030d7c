/**
 * Mutated messages and RDMA against both roles of the iSER datamover, by a peer of nothing but verbs. The
 * oracle: only typed errors end a connection, nothing is touched but memory that was lent, while it was lent,
 * and when it is over nothing is lent and nothing waits.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SanletError } from "../../src/base/errors.ts"
import { SeededRandom } from "../../src/base/random.ts"
import {
  DataOut,
  encodeAhs,
  encodePdu,
  NopIn,
  NopOut,
  Opcode,
  pduTypes,
  ScsiCommand,
  ScsiResponse,
  TaskManagementRequest,
  TextRequest,
} from "../../src/iscsi/pdu/index.ts"
import type { MemoryRegion } from "../../src/rdma/verbs/index.ts"
import { forEachSeed } from "../seed.ts"
import { ISER, message, rawInitiator, rawTarget } from "../unit/datamover/iser/raw-peer.ts"
import type { RawPeer } from "../unit/datamover/iser/raw-peer.ts"

const TRANSFER_BYTES_MAX = 200_000
const GUARD = 0x5a

/** A header of chance, of a known opcode or not, with STags or not. */
function nonsense(random: SeededRandom, region: MemoryRegion | undefined): Buffer {
  const header = random.fill(new Uint8Array(48))
  if (random.chance(0.8)) header[0] = random.pick(pduTypes).opcode | (random.chance(0.5) ? 0x40 : 0)
  const read = random.chance(0.3) ? region : undefined
  return message(header, random.fill(new Uint8Array(random.below(100))), { read, pad: random.below(5) })
}

/** Breaks something, or nothing. */
function mutate(random: SeededRandom, bytes: Buffer): Buffer[] {
  switch (random.below(12)) {
    case 0: {
      const bad = Buffer.from(bytes)
      bad[random.below(bad.length)]! ^= 1 << random.below(8)
      return [bad]
    }
    case 1: {
      const bad = Buffer.from(bytes)
      bad[random.below(Math.min(bad.length, ISER + 48))] = random.pick([0, 1, 0x7f, 0x80, 0xff])
      return [bad]
    }
    case 2:
      return random.chance(0.3) ? [bytes.subarray(0, random.below(bytes.length))] : [bytes]
    case 3:
      return [bytes, bytes]
    case 4:
      return random.chance(0.3)
        ? [Buffer.concat([bytes, random.fill(Buffer.alloc(random.below(64)))])]
        : [bytes]
    default:
      return [bytes]
  }
}

/** What an initiator sends: mostly sense, with tags that are in use and memory that is lent, or was. */
function requestOf(random: SeededRandom, tag: number, raw: RawPeer, regions: MemoryRegion[]): Buffer {
  const data = random.fill(new Uint8Array(random.below(random.chance(0.1) ? 8193 : 60)))
  const initiatorTaskTag = random.below(tag + 1)
  const bytes = 60 + random.below(random.chance(0.2) ? 100_000 : 5000)
  const fresh = () => {
    const region = raw.lend(new Uint8Array(bytes))
    regions.push(region)
    if (random.chance(0.05)) region.invalidate()
    return region
  }
  const lent = () => (random.chance(0.9) || regions.length === 0 ? fresh() : random.pick(regions))
  switch (random.below(7)) {
    case 0:
      return message(encodePdu(NopOut, { final: true, initiatorTaskTag }), data)
    case 1:
      return message(encodePdu(TextRequest, { final: true, initiatorTaskTag }), data)
    case 2: {
      const ahs = encodeAhs({ extendedCdb: new Uint8Array(1 + random.below(40)) })
      const header = encodePdu(ScsiCommand, { read: true, initiatorTaskTag, expectedDataTransferLength: 60 })
      return message(Buffer.concat([header, ahs]), undefined, {
        read: random.chance(0.9) ? lent() : undefined,
      })
    }
    case 3: {
      const values = { read: true, initiatorTaskTag: tag, expectedDataTransferLength: bytes }
      return message(encodePdu(ScsiCommand, values), undefined, { read: lent() })
    }
    case 4: {
      const unsolicited = data.subarray(0, Math.min(60, random.below(61)))
      const values = { write: true, final: true, initiatorTaskTag: tag, expectedDataTransferLength: bytes }
      const writeOffset = random.chance(0.9) ? unsolicited.length : random.below(bytes)
      return message(encodePdu(ScsiCommand, values), unsolicited, { write: lent(), writeOffset })
    }
    case 5:
      return message(encodePdu(TaskManagementRequest, { initiatorTaskTag }), data)
    default: {
      const targetTransferTag = random.chance(0.8) ? 0xffffffff : random.below(tag + 1)
      return message(encodePdu(DataOut, { final: true, initiatorTaskTag, targetTransferTag }), data)
    }
  }
}

async function fuzzTarget(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const keys = {
    taggedBufferForSolicitedDataOnly: random.pick([undefined, true, false]),
    maxBurstLength: random.pick([512, 65536]),
    peerMaxOutstandingUnexpectedPdus: random.pick([undefined, 0, 2]),
  }
  const world = await rawInitiator({ seed, keys, receives: 200, responderResources: random.pick([1, 16]) })
  const { raw, end, datamover, clock } = world
  if (random.chance(0.9)) await world.login()
  // What the layer above refuses: commands of gigabytes, more data than is written.
  const serve = end.onPdu
  end.onPdu = (pdu) => {
    const opcode = pdu.view.getUint8(pdu.at) & 0x3f
    const expected = pdu.view.getUint32(pdu.at + 20)
    if (opcode === Opcode.scsiCommand && (expected > TRANSFER_BYTES_MAX || pdu.dataBytes > expected)) return
    if (opcode === Opcode.nopOut && random.chance(0.2)) datamover.deallocateTaskResources(random.below(40))
    serve(pdu)
  }
  const regions: MemoryRegion[] = []
  for (let tag = 0; tag < 40 && raw.ended === undefined; tag++) {
    const bytes = random.chance(0.05) ? nonsense(random, regions[0]) : requestOf(random, tag, raw, regions)
    for (const piece of mutate(random, bytes)) if (raw.ended === undefined) raw.send(piece)
    if (random.chance(0.1)) raw.receive(8)
    if (random.chance(0.5)) await clock.advance(random.below(3))
    assert.ok(world.budget.takenBytes <= 16 * 1024 * 1024)
  }
  await clock.advance(100)
  const way = random.below(3)
  if (way === 0) raw.connection!.disconnect()
  else if (way === 1) datamover.connectionClose()
  await clock.advance(random.below(20))
  await world.finish()
  assert.ok(end.lost.length <= 1)
  for (const error of end.lost) assert.ok(error instanceof SanletError, `${error}`)
}

/** The buffer of a read with guards on both sides, and what it held when its command had ended. */
class Guarded {
  readonly whole: Uint8Array
  readonly dataIn: Uint8Array
  ended: Uint8Array | undefined

  constructor(bytes: number) {
    this.whole = new Uint8Array(bytes + 128).fill(GUARD)
    this.dataIn = this.whole.subarray(64, 64 + bytes)
  }

  check(): void {
    const { whole, ended } = this
    for (let i = 0; i < 64; i++)
      assert.ok(whole[i] === GUARD && whole.at(-1 - i) === GUARD, "a guard was hit")
    if (ended) assert.equal(Buffer.compare(this.dataIn, ended), 0, "written after the command had ended")
  }
}

async function fuzzInitiator(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const world = await rawTarget({ seed, receives: 300 })
  const { raw, end, datamover, clock } = world
  await world.login()
  const buffers = new Map<number, Guarded>()
  end.onPdu = (pdu) => {
    const tag = pdu.view.getUint32(pdu.at + 16)
    const buffer = buffers.get(tag)
    if ((pdu.view.getUint8(pdu.at) & 0x3f) === Opcode.scsiResponse && buffer)
      buffer.ended ??= buffer.dataIn.slice()
  }
  const command = (tag: number) => {
    if (random.chance(0.4)) return end.write(tag, 1 + random.below(20_000), 0)
    const buffer = new Guarded(1 + random.below(20_000))
    buffers.set(tag, buffer)
    const values = { read: true, initiatorTaskTag: tag, expectedDataTransferLength: buffer.dataIn.length }
    datamover.sendCommand(encodePdu(ScsiCommand, values), { dataIn: buffer.dataIn, unsolicitedBytes: 0 })
  }
  for (let tag = 0; tag < 40 && raw.ended === undefined && end.lost.length === 0; tag++) {
    command(tag)
    if (random.chance(0.1)) {
      const gone = random.below(tag + 1)
      datamover.deallocateTaskResources(gone)
      const buffer = buffers.get(gone)
      if (buffer) buffer.ended ??= buffer.dataIn.slice()
    }
    await clock.advance(random.below(3))
    if (raw.ended === undefined) misbehave(random, raw, tag)
    await clock.advance(random.below(2))
    for (const buffer of buffers.values()) buffer.check()
  }
  await clock.advance(100)
  await world.finish()
  for (const buffer of buffers.values()) buffer.check()
  assert.ok(end.lost.length <= 1)
  for (const error of end.lost) assert.ok(error instanceof SanletError, `${error}`)
}

/** Something a target might do, or should not. */
function misbehave(random: SeededRandom, raw: RawPeer, tag: number): void {
  const seen = raw.messages.length > 0 ? random.pick(raw.messages) : undefined
  const initiatorTaskTag = seen && seen.bytes.length >= ISER + 20 ? seen.view.getUint32(ISER + 16) : tag
  const data = random.fill(new Uint8Array(random.below(60)))
  switch (random.below(8)) {
    case 0:
      return mutate(random, message(encodePdu(NopIn, { initiatorTaskTag }), data)).forEach((piece) =>
        raw.send(piece),
      )
    case 1:
    case 2: {
      const response = message(encodePdu(ScsiResponse, { initiatorTaskTag }), data)
      const stag = seen?.view.getUint32(random.chance(0.9) ? 16 : 4)
      const invalidate = stag !== undefined && stag !== 0 && random.chance(0.5) ? stag : undefined
      return mutate(random, response).forEach((piece) => raw.send(piece, invalidate))
    }
    case 3:
      return raw.send(nonsense(random, undefined))
    case 4:
    case 5:
      if (seen && seen.view.getUint32(16) !== 0)
        raw.write(random.fill(new Uint8Array(random.below(random.chance(0.9) ? 64 : 30_000))), seen.view, 16)
      return
    default:
      if (seen && seen.view.getUint32(4) !== 0)
        raw.read(random.below(random.chance(0.9) ? 64 : 30_000), seen.view, 4)
  }
}

describe("mutated messages over iSER", () => {
  test("to a target", async () => forEachSeed(import.meta.url, 200, fuzzTarget))
  test("to an initiator", async () => forEachSeed(import.meta.url, 200, fuzzInitiator))
})
