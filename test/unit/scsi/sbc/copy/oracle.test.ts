import assert from "node:assert/strict"
import { it } from "node:test"
import fc from "fast-check"
import { ThirdPartyCopyIn, ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import type { TestTask } from "../../../../suites/scsi-task.ts"
import { pattern } from "../disk.ts"
import {
  blockSegment,
  byteSegment,
  CopyBench,
  extendedCopyCdb,
  lid1List,
  populateList,
  receiveCdb,
  settle,
  tokenCdb,
  writeList,
  zeroToken,
} from "./copy-bench.ts"

/** Two disks of 512 byte blocks and one of 4096, equally long. */
const DISK_BYTES = 16 * 4096
const BLOCK_BYTES = [512, 512, 4096] as const

/** What the disks are, in a few lines. */
class Oracle {
  readonly disks = BLOCK_BYTES.map((_, i) => Buffer.from(pattern(DISK_BYTES, i + 1)))

  /** As memmove does. */
  move(from: number, fromBytes: number, to: number, toBytes: number, lengthBytes: number): void {
    const moved = Buffer.from(this.disks[from]!.subarray(fromBytes, fromBytes + lengthBytes))
    moved.copy(this.disks[to]!, toBytes)
  }
}

const lun = fc.integer({ min: 0, max: 2 })
const place = fc.integer({ min: 0, max: DISK_BYTES / 512 + 1 })
const command = fc.oneof(
  fc.record({
    kind: fc.constant("blocks" as const),
    source: lun,
    destination: lun,
    through: lun,
    blocks: fc.integer({ min: 0, max: 40 }),
    from: place,
    to: place,
    destinationCount: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("bytes" as const),
    source: lun,
    destination: lun,
    through: lun,
    bytes: fc.integer({ min: 0, max: 20_000 }),
    from: fc.tuple(place, fc.integer({ min: 0, max: 600 })),
    to: fc.tuple(place, fc.integer({ min: 0, max: 600 })),
  }),
  fc.record({
    kind: fc.constant("token" as const),
    source: lun,
    destination: lun,
    from: place,
    blocks: fc.integer({ min: 1, max: 24 }),
    to: place,
    written: fc.integer({ min: 1, max: 24 }),
    offset: fc.integer({ min: 0, max: 3 }),
  }),
  fc.record({
    kind: fc.constant("zeroes" as const),
    destination: lun,
    to: place,
    written: fc.integer({ min: 1, max: 24 }),
  }),
)
type Step = typeof command extends fc.Arbitrary<infer V> ? V : never

const fits = (lunOf: number, lba: number, byte: number, lengthBytes: number): boolean => {
  const size = BLOCK_BYTES[lunOf]!
  return byte < size && lba + Math.ceil((byte + lengthBytes) / size) <= DISK_BYTES / size
}

/** Carries the step out on both; returns whether each has succeeded. */
async function both(bench: CopyBench, oracle: Oracle, step: Step): Promise<[boolean, boolean]> {
  const { destination: to } = step
  const toSize = BLOCK_BYTES[to]!
  const send = async (cdb: Uint8Array, dataOut: Uint8Array, through: number): Promise<boolean> => {
    const task = bench.send(cdb, { dataOut, lun: through })
    await finish(bench, task)
    return task.status === 0
  }
  switch (step.kind) {
    case "blocks": {
      const fromSize = BLOCK_BYTES[step.source]!
      const lengthBytes = step.blocks * (step.destinationCount ? toSize : fromSize)
      const ends = { source: 0, destination: 1, blocks: step.blocks, from: step.from, to: step.to }
      const list = lid1List(
        [bench.cscd(step.source), bench.cscd(to)],
        [blockSegment({ ...ends, flags: step.destinationCount ? 0x02 : 0 })],
      )
      const expected =
        lengthBytes % fromSize === 0 &&
        lengthBytes % toSize === 0 &&
        fits(step.source, step.from, 0, lengthBytes) &&
        fits(to, step.to, 0, lengthBytes)
      if (expected) oracle.move(step.source, step.from * fromSize, to, step.to * toSize, lengthBytes)
      return [
        await send(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, list.length), list, step.through),
        expected,
      ]
    }
    case "bytes": {
      const { source, bytes, from, to: target } = step
      const list = lid1List([bench.cscd(source), bench.cscd(to)], [byteSegment({ bytes, from, to: target })])
      const expected = fits(source, ...from, bytes) && fits(to, ...target, bytes)
      if (expected) {
        const fromBytes = from[0] * BLOCK_BYTES[source]! + from[1]
        oracle.move(source, fromBytes, to, target[0] * toSize + target[1], bytes)
      }
      return [
        await send(extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, list.length), list, step.through),
        expected,
      ]
    }
    case "token": {
      const fromSize = BLOCK_BYTES[step.source]!
      const populate = populateList([[step.from, step.blocks]])
      const represented = step.blocks * fromSize
      if (
        !(await send(tokenCdb(ThirdPartyCopyOut.populateToken, 1, populate.length), populate, step.source))
      ) {
        return [false, fits(step.source, step.from, 0, represented)]
      }
      const information = bench.send(receiveCdb(ThirdPartyCopyIn.receiveRodTokenInformation, 1), {
        lun: step.source,
      })
      await finish(bench, information)
      const list = writeList(information.dataIn.subarray(-512), [[step.to, step.written]], {
        offset: step.offset,
      })
      const offsetBytes = step.offset * toSize
      const available = represented - offsetBytes
      const wanted = Math.min(available, step.written * toSize)
      const source = step.from * fromSize + offsetBytes
      const overlaps =
        step.source === to && source < step.to * toSize + wanted && step.to * toSize < source + wanted
      // What it overwrites of itself cancels the token: how far it comes then is another test's.
      if (overlaps) return [true, true]
      const expected = available > 0 && fits(to, step.to, 0, step.written * toSize)
      if (expected) {
        oracle.move(step.source, source, to, step.to * toSize, wanted)
        const end = step.to * toSize + wanted
        oracle.disks[to]!.fill(0, end, Math.ceil(end / toSize) * toSize)
      }
      return [await send(tokenCdb(ThirdPartyCopyOut.writeUsingToken, 2, list.length), list, to), expected]
    }
    case "zeroes": {
      const list = writeList(zeroToken(), [[step.to, step.written]])
      const expected = fits(to, step.to, 0, step.written * toSize)
      if (expected) oracle.disks[to]!.fill(0, step.to * toSize, (step.to + step.written) * toSize)
      return [await send(tokenCdb(ThirdPartyCopyOut.writeUsingToken, 2, list.length), list, to), expected]
    }
  }
}

async function finish(bench: CopyBench, task: TestTask): Promise<void> {
  while (!task.over) {
    await bench.finishAll()
    await settle()
  }
}

it("copies do what moving bytes between arrays does, whatever they are told", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 12 }), fc.boolean(), async (steps, slow) => {
      const bench = new CopyBench(
        ...BLOCK_BYTES.map((logicalBlockBytes) => ({
          logicalBlockBytes,
          blocks: DISK_BYTES / logicalBlockBytes,
        })),
      )
      const oracle = new Oracle()
      bench.disks.forEach(({ device }, i) => {
        device.bytes.set(oracle.disks[i]!)
        device.slow = slow
      })
      for (const step of steps) {
        const [actual, expected] = await both(bench, oracle, step)
        assert.equal(actual, expected, JSON.stringify(step))
        bench.disks.forEach(({ device }, i) => {
          assert.equal(
            Buffer.compare(device.bytes, oracle.disks[i]!),
            0,
            `disk ${i} after ${JSON.stringify(step)}`,
          )
        })
      }
    }),
    { numRuns: 150 },
  )
})
