import assert from "node:assert/strict"
import { it } from "node:test"
import fc from "fast-check"
import { SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, compareAndWriteCdb, type Disk, makeDisk, pattern } from "./disk.ts"

const BLOCKS = 40
const BLOCK_BYTES = 512

/** What a disk is, in a few lines: each method tells the sense key, or undefined for GOOD. */
class OracleDisk {
  readonly bytes = new Uint8Array(BLOCKS * BLOCK_BYTES)

  run(lba: number, blocks: number): Uint8Array | undefined {
    return lba + blocks > BLOCKS
      ? undefined
      : this.bytes.subarray(lba * BLOCK_BYTES, (lba + blocks) * BLOCK_BYTES)
  }

  change(lba: number, blocks: number, change: (run: Uint8Array) => number | undefined): number | undefined {
    const run = this.run(lba, blocks)
    return run === undefined ? SenseKey.illegalRequest : change(run)
  }
}

const done = (): undefined => undefined
const cdbBytes = fc.constantFrom(6, 10, 12, 16)
const place = { lba: fc.integer({ min: 0, max: BLOCKS + 1 }), blocks: fc.integer({ min: 0, max: 12 }) }
const seed = fc.integer({ min: 0, max: 3 })
const command = fc.oneof(
  fc.record({ kind: fc.constant("read" as const), cdbBytes, ...place }),
  fc.record({ kind: fc.constant("write" as const), cdbBytes, seed, fua: fc.boolean(), ...place }),
  fc.record({ kind: fc.constant("writeAndVerify" as const), seed, ...place }),
  fc.record({ kind: fc.constant("verify" as const), seed, ...place }),
  fc.record({ kind: fc.constant("same" as const), seed, unmap: fc.boolean(), ...place }),
  fc.record({ kind: fc.constant("unmap" as const), ...place }),
  fc.record({ kind: fc.constant("or" as const), seed, ...place }),
  fc.record({ kind: fc.constant("compareAndWrite" as const), seed, luck: fc.boolean(), ...place }),
  fc.record({ kind: fc.constant("synchronize" as const), ...place }),
)
type Step = typeof command extends fc.Arbitrary<infer V> ? V : never

const READ = { 6: 0x08, 10: 0x28, 12: 0xa8, 16: 0x88 } as Record<number, number>
const WRITE = { 6: 0x0a, 10: 0x2a, 12: 0xaa, 16: 0x8a } as Record<number, number>

/** Carries the step out on both; returns the sense keys they ended with. */
async function both(disk: Disk, oracle: OracleDisk, step: Step): Promise<[unknown, unknown]> {
  const { lba, blocks } = step
  const data = "seed" in step ? pattern(blocks * BLOCK_BYTES, step.seed) : new Uint8Array(0)
  const end = async (cdb: Uint8Array, dataOut = data) => (await disk.run(cdb, { dataOut })).sense?.key
  const put = (run: Uint8Array): undefined => {
    run.set(data)
  }
  switch (step.kind) {
    case "read": {
      const count = step.cdbBytes === 6 ? blocks || 256 : blocks
      const { sense, dataIn } = await disk.run(blockCdb(READ[step.cdbBytes]!, lba, blocks))
      const key = oracle.change(lba, count, done)
      if (key === undefined)
        assert.deepEqual(Uint8Array.from(dataIn), Uint8Array.from(oracle.run(lba, count)!))
      return [sense?.key, key]
    }
    case "write": {
      if (step.cdbBytes === 6 && blocks === 0) return [undefined, undefined]
      const flags = step.fua && step.cdbBytes !== 6 ? 0x08 : 0
      return [await end(blockCdb(WRITE[step.cdbBytes]!, lba, blocks, flags)), oracle.change(lba, blocks, put)]
    }
    case "writeAndVerify":
      return [await end(blockCdb(0x8e, lba, blocks, 0x02)), oracle.change(lba, blocks, put)]
    case "verify": {
      const same = (run: Uint8Array) => (Buffer.compare(run, data) === 0 ? undefined : SenseKey.miscompare)
      return [await end(blockCdb(0x8f, lba, blocks, 0x02)), oracle.change(lba, blocks, same)]
    }
    case "same": {
      const block = step.seed === 0 ? new Uint8Array(BLOCK_BYTES) : pattern(BLOCK_BYTES, step.seed)
      const fill = (run: Uint8Array) => {
        if (blocks === 0) return SenseKey.illegalRequest
        for (let at = 0; at < run.length; at += BLOCK_BYTES) run.set(block, at)
        return undefined
      }
      return [
        await end(blockCdb(0x93, lba, blocks, step.unmap ? 0x08 : 0), block),
        oracle.change(lba, blocks, fill),
      ]
    }
    case "unmap": {
      const list = Uint8Array.of(
        0,
        22,
        0,
        16,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        lba,
        0,
        0,
        0,
        blocks,
        0,
        0,
        0,
        0,
      )
      return [
        await end(blockCdb(0x42, 0, 24), list),
        oracle.change(lba, blocks, (run) => run.fill(0) && undefined),
      ]
    }
    case "or": {
      const set = (run: Uint8Array): undefined => {
        for (let i = 0; i < run.length; i++) run[i]! |= data[i]!
      }
      return [await end(blockCdb(0x8b, lba, blocks)), oracle.change(lba, blocks, set)]
    }
    case "compareAndWrite": {
      const expected = (step.luck && oracle.run(lba, blocks)?.slice()) || pattern(data.length, 77)
      const swap = (run: Uint8Array) => {
        if (Buffer.compare(run, expected) !== 0) return SenseKey.miscompare
        return put(run)
      }
      const key = await end(compareAndWriteCdb(lba, blocks), Buffer.concat([expected, data]))
      return [key, oracle.change(lba, blocks, swap)]
    }
    case "synchronize":
      return [await end(blockCdb(0x91, lba, blocks)), oracle.change(lba, blocks, done)]
  }
}

it("a disk does what an array of bytes does, whatever it is told", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 25 }), async (steps) => {
      const disk = makeDisk({ blocks: BLOCKS })
      const oracle = new OracleDisk()
      for (const step of steps) {
        const [actual, expected] = await both(disk, oracle, step)
        assert.equal(actual, expected, JSON.stringify(step))
        assert.deepEqual(disk.device.bytes, oracle.bytes, JSON.stringify(step))
      }
    }),
    { numRuns: 150 },
  )
})

it("commands at the same time leave each block as one of them wrote it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(place.lba, seed), { minLength: 2, maxLength: 12 }),
      fc.infiniteStream(fc.nat()),
      async (writes, order) => {
        const disk = makeDisk({ blocks: BLOCKS + 8 })
        disk.device.slow = true
        const runs = writes.map(([lba, value], i) =>
          i % 3 === 0
            ? disk.run(compareAndWriteCdb(lba, 4), {
                dataOut: Buffer.concat([
                  new Uint8Array(4 * BLOCK_BYTES),
                  new Uint8Array(4 * BLOCK_BYTES).fill(value + 1),
                ]),
              })
            : disk.run(blockCdb(0x8a, lba, 4), { dataOut: new Uint8Array(4 * BLOCK_BYTES).fill(value + 1) }),
        )
        let ended = false
        void Promise.all(runs).then(() => {
          ended = true
        })
        while (!ended) {
          await new Promise((resolve) => setImmediate(resolve))
          const { waiting } = disk.device
          if (waiting.length > 0) waiting.splice(order.next().value % waiting.length, 1)[0]!.finish()
        }
        for (let lba = 0; lba < BLOCKS + 8; lba++) {
          const block = disk.device.bytes.subarray(lba * BLOCK_BYTES, (lba + 1) * BLOCK_BYTES)
          assert.ok(block.every((byte) => byte === block[0]))
        }
      },
    ),
    { numRuns: 40 },
  )
})
