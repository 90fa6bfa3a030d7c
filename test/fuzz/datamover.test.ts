/**
 * Mutated PDU streams against both roles of the TCP datamover. The oracle: only typed errors end a connection,
 * memory stays bounded, and when it is over nothing is lent and nothing waits.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { SanletError } from "../../src/base/errors.ts"
import { SeededRandom } from "../../src/base/random.ts"
import { VirtualClock } from "../../src/base/virtual-clock.ts"
import { DataBufferBudget } from "../../src/datamover/shared/index.ts"
import { TcpInitiatorDatamover, TcpTargetDatamover } from "../../src/datamover/tcp/index.ts"
import type { DatamoverKeys } from "../../src/iscsi/da.ts"
import {
  DataIn,
  DataOut,
  encodeAhs,
  encodePdu,
  NopIn,
  NopOut,
  Opcode,
  pduTypes,
  ReadyToTransfer,
  ScsiCommand,
  ScsiResponse,
  TextRequest,
} from "../../src/iscsi/pdu/index.ts"
import { forEachSeed } from "../seed.ts"
import { InitiatorEnd, TargetEnd } from "../suites/datamover-ends.ts"
import { frame, ManualStream, testKeys } from "../unit/datamover/tcp/frame.ts"
import type { Digests } from "../unit/datamover/tcp/frame.ts"

const MiB = 1024 * 1024
const MEMORY_BYTES_MAX = 12 * MiB

function keysOf(random: SeededRandom): { keys: DatamoverKeys; digests: Digests } {
  const digests = { header: random.chance(0.3), data: random.chance(0.3) }
  const inOrder = random.chance(0.5)
  return {
    digests,
    keys: {
      ...testKeys,
      headerDigest: digests.header ? "CRC32C" : "None",
      dataDigest: digests.data ? "CRC32C" : "None",
      dataPduInOrder: inOrder,
      dataSequenceInOrder: inOrder,
    },
  }
}

/** What an initiator sends: mostly sense, with the tags and offsets that are in use. */
function requestOf(random: SeededRandom, tag: number, digests: Digests): Buffer {
  const data = random.fill(new Uint8Array(random.below(random.chance(0.1) ? 8193 : 60)))
  const initiatorTaskTag = random.below(tag + 1)
  switch (random.below(6)) {
    case 0:
      return frame(encodePdu(NopOut, { final: true, initiatorTaskTag }), data, digests)
    case 1:
      return frame(encodePdu(TextRequest, { final: true, initiatorTaskTag }), data, digests)
    case 2: {
      const ahs = encodeAhs({ extendedCdb: new Uint8Array(1 + random.below(40)) })
      const header = encodePdu(ScsiCommand, { read: true, initiatorTaskTag, expectedDataTransferLength: 512 })
      return frame(Buffer.concat([header, ahs]), undefined, digests)
    }
    case 3: {
      const values = { read: true, initiatorTaskTag: tag, expectedDataTransferLength: random.below(100_000) }
      return frame(encodePdu(ScsiCommand, values), undefined, digests)
    }
    case 4: {
      const values = {
        write: true,
        initiatorTaskTag: tag,
        expectedDataTransferLength: 60 + random.below(30_000),
      }
      return frame(encodePdu(ScsiCommand, values), data.subarray(0, 60), digests)
    }
    default: {
      const header = encodePdu(DataOut, {
        final: random.chance(0.5),
        initiatorTaskTag,
        targetTransferTag: random.chance(0.1) ? 0xffffffff : random.below(tag + 1),
        dataSn: random.below(3),
        bufferOffset: random.below(100),
      })
      return frame(header, data, digests)
    }
  }
}

/** What a target sends to tasks that read (even tags) or write (odd tags) 20,000 bytes. */
function responseOf(random: SeededRandom, tag: number, digests: Digests): Buffer {
  const data = random.fill(new Uint8Array(random.below(random.chance(0.1) ? 8193 : 60)))
  const initiatorTaskTag = random.below(tag + 1)
  const dataSn = random.below(3)
  switch (random.below(4)) {
    case 0:
      return frame(encodePdu(NopIn, { final: true, initiatorTaskTag }), data, digests)
    case 1:
      return frame(encodePdu(ScsiResponse, { final: true, initiatorTaskTag }), data, digests)
    case 2: {
      const header = encodePdu(DataIn, {
        initiatorTaskTag,
        dataSn,
        bufferOffset: random.below(100),
        statusPresent: random.chance(0.2),
      })
      return frame(header, data, digests)
    }
    default: {
      const desiredDataTransferLength = random.below(20_000)
      const values = { initiatorTaskTag, r2tSn: dataSn, desiredDataTransferLength, targetTransferTag: tag }
      return frame(encodePdu(ReadyToTransfer, values), undefined, digests)
    }
  }
}

/** A header of chance, of a known opcode or not. */
function nonsense(random: SeededRandom): Buffer {
  const header = random.fill(new Uint8Array(48))
  if (random.chance(0.8)) header[0] = random.pick(pduTypes).opcode | (random.chance(0.5) ? 0x40 : 0)
  return frame(header, random.fill(new Uint8Array(random.below(100))))
}

/** Breaks something, or nothing. */
function mutate(random: SeededRandom, bytes: Buffer): Buffer {
  switch (random.below(12)) {
    case 0: {
      const bad = Buffer.from(bytes)
      bad[random.below(bad.length)]! ^= 1 << random.below(8)
      return bad
    }
    case 1: {
      const bad = Buffer.from(bytes)
      bad[random.below(48)] = random.pick([0, 1, 0x7f, 0x80, 0xff])
      return bad
    }
    case 2:
      return random.chance(0.2) ? bytes.subarray(0, random.below(bytes.length)) : bytes
    case 3:
      return Buffer.concat([bytes, bytes])
    default:
      return bytes
  }
}

function checkLimits(budget: DataBufferBudget): void {
  assert.ok(budget.takenBytes <= MEMORY_BYTES_MAX, `${budget.takenBytes} bytes of tasks`)
  assert.ok(budget.pool.taken <= 80, `${budget.pool.taken} pieces of memory`)
}

/** Everything promised is kept once the connection is gone. */
async function checkEnd(
  stream: ManualStream,
  budget: DataBufferBudget,
  end: TargetEnd | InitiatorEnd,
): Promise<void> {
  const wasDestroyed = stream.destroyed
  stream.close()
  for (let i = 0; i < 10; i++) await Promise.resolve()
  if (end instanceof TargetEnd) {
    for (let i = 0; i < 200 && end.running > 0; i++) await Promise.resolve()
    assert.equal(end.running, 0, "tasks that wait for ever")
    assert.deepEqual(end.escaped, [])
  }
  assert.equal(end.lost.length, 1)
  assert.ok(end.lost[0] instanceof SanletError, `${end.lost[0]}`)
  if (!wasDestroyed) assert.equal((end.lost[0] as SanletError).code, "ERR_CONNECTION_LOST")
  assert.equal(budget.takenBytes, 0)
  assert.ok(budget.pool.taken <= 1, `${budget.pool.taken} pieces of memory left`)
}

async function play(
  random: SeededRandom,
  stream: ManualStream,
  budget: DataBufferBudget,
  next: (tag: number) => Buffer,
): Promise<void> {
  for (let tag = 0; tag < 40 && !stream.destroyed; tag++) {
    const bytes = mutate(random, random.chance(0.05) ? nonsense(random) : next(tag))
    const cut = random.below(bytes.length + 1)
    stream.feed(bytes.subarray(0, cut))
    if (random.chance(0.3)) await Promise.resolve()
    stream.feed(bytes.subarray(cut))
    if (random.chance(0.5)) stream.take()
    await Promise.resolve()
    stream.writes.length = 0
    checkLimits(budget)
  }
}

async function fuzzTarget(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const { keys, digests } = keysOf(random)
  const stream = new ManualStream()
  const budget = new DataBufferBudget(MEMORY_BYTES_MAX)
  const datamover = new TcpTargetDatamover(stream, { clock: new VirtualClock(), budget })
  const end = new TargetEnd(datamover)
  // A command that says 4 GiB is the layer above's to refuse.
  const serve = end.onPdu
  end.onPdu = (pdu) => {
    const opcode = pdu.view.getUint8(pdu.at) & 0x3f
    if (opcode === Opcode.scsiCommand && pdu.view.getUint32(pdu.at + 20) > 200_000) return
    if (opcode === Opcode.scsiCommand && pdu.dataBytes > pdu.view.getUint32(pdu.at + 20)) return
    if (opcode === Opcode.nopOut && random.chance(0.1)) datamover.deallocateTaskResources(random.below(40))
    serve(pdu)
  }
  datamover.start(end, end)
  datamover.noticeKeyValues(keys)
  datamover.enableDatamover()
  await play(random, stream, budget, (tag) => requestOf(random, tag, digests))
  await checkEnd(stream, budget, end)
}

async function fuzzInitiator(seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const { keys, digests } = keysOf(random)
  const stream = new ManualStream()
  const budget = new DataBufferBudget(MEMORY_BYTES_MAX)
  const datamover = new TcpInitiatorDatamover(stream, { clock: new VirtualClock(), budget })
  const end = new InitiatorEnd(datamover)
  datamover.start(end, end)
  datamover.noticeKeyValues(keys)
  datamover.enableDatamover()
  await play(random, stream, budget, (tag) => {
    if (tag % 2 === 0) end.read(tag, 20_000)
    else end.write(tag, 20_000)
    if (random.chance(0.1)) datamover.deallocateTaskResources(random.below(tag + 1))
    return responseOf(random, tag, digests)
  })
  await checkEnd(stream, budget, end)
}

describe("mutated PDUs", () => {
  test("to a target", async () => forEachSeed(import.meta.url, 600, fuzzTarget))
  test("to an initiator", async () => forEachSeed(import.meta.url, 600, fuzzInitiator))
})
