import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Completion } from "../../src/base/completion.ts"
import { type BlockDevice, BlockError, type BlockErrorCause } from "../../src/backstore/block-device.ts"

/** An implementation under test. */
export interface BlockDeviceSubject {
  readonly name: string
  /** A fresh device of `sizeBytes` (a multiple of 64 KiB, up to 4 MiB), reading as zeroes. */
  open(sizeBytes: number): Promise<BlockDevice>
  /** Opens the same storage again after `device` was closed; absent: it keeps nothing. */
  readonly reopen?: (device: BlockDevice) => Promise<BlockDevice>
  /** False for a device that forgets what is written (it reads as zeroes). Default: true. */
  readonly keepsData?: boolean
  /** False: neighbouring blocks share granules of storage, wherever they lie. Default: true. */
  readonly alignedStorage?: boolean
  /** Whether `resize` works. Default: true. */
  readonly resizable?: boolean
  /** A reason to skip everything, printed. */
  readonly skip?: string | false
}

const KiB = 1024
const SIZE = 1024 * KiB

/** What every BlockDevice promises; the oracle is an array of bytes. */
export function blockDeviceSuite(subject: BlockDeviceSubject): void {
  const { keepsData = true, alignedStorage = true, resizable = true, skip = false } = subject
  describe(`block device contract: ${subject.name}`, { skip }, () => {
    function withDevice(title: string, body: (device: BlockDevice) => Promise<void>, sizeBytes = SIZE): void {
      test(title, async () => {
        const device = await subject.open(sizeBytes)
        try {
          await body(device)
        } finally {
          await device.close()
        }
      })
    }

    withDevice("tells its size and reads as zeroes when new", async (device) => {
      assert.equal(device.sizeBytes, SIZE)
      assert.notEqual(device.name, "")
      const found = await readBytes(device, 0, SIZE)
      assert.ok(found.every((byte) => byte === 0))
    })

    withDevice("refuses what is out of range, and does nothing of it", async (device) => {
      const bytes = new Uint8Array(4 * KiB).fill(7)
      for (const offset of [-1, SIZE - 4 * KiB + 1, SIZE, 2 ** 53, Number.NaN, 0.5]) {
        await fails("out-of-range", () => device.read(offset, bytes))
        await fails("out-of-range", () => device.write(offset, bytes, false))
        await fails("out-of-range", () => device.discard(offset, 4 * KiB))
        await fails("out-of-range", () => device.writeZeroes(offset, 4 * KiB, false))
        await fails("out-of-range", () => device.extents(offset, 4 * KiB, 10))
      }
      await fails("out-of-range", () => device.discard(0, -1))
      await fails("out-of-range", () => device.writeZeroes(0, Number.POSITIVE_INFINITY, false))
      assert.ok((await readBytes(device, 0, SIZE)).every((byte) => byte === 0))
    })

    withDevice("treats an empty run as nothing to do", async (device) => {
      await device.read(SIZE, new Uint8Array(0))
      await device.write(SIZE, new Uint8Array(0), true)
      await device.discard(SIZE, 0)
      await device.writeZeroes(SIZE, 0, true)
      assert.deepEqual(await device.extents(SIZE, 0, 10), [])
    })

    withDevice("ends at once or with a promise, and fails with a BlockError only", async (device) => {
      const done = device.write(0, pattern(4 * KiB, 1), false)
      assert.ok(done === undefined || done instanceof Promise)
      await done
      const task = {}
      device.cancel(task) // nothing waits: nothing happens
      await device.flush(task)
    })

    withDevice("reads and writes memory at any place of a larger buffer", async (device) => {
      if (!keepsData) return
      const memory = new Uint8Array(16 * KiB + 13)
      memory.set(pattern(8 * KiB, 5), 13)
      await device.write(4 * KiB, memory.subarray(13, 13 + 8 * KiB), false)
      await device.read(4 * KiB, memory.subarray(8 * KiB + 5, 16 * KiB + 5))
      same(memory.subarray(8 * KiB + 5, 16 * KiB + 5), pattern(8 * KiB, 5))
      assert.ok(
        memory.subarray(16 * KiB + 5).every((byte) => byte === 0),
        "nothing beyond the end",
      )
    })

    withDevice("keeps what is written around what isn't aligned", async (device) => {
      if (!keepsData || device.features.alignmentBytes > 1) return
      const oracle = pattern(64 * KiB, 9)
      await device.write(0, oracle, false)
      for (const [offset, length] of [
        [1, 1],
        [511, 2],
        [4095, 4098],
        [8191, 1],
        [60_000, 5_536],
      ] as const) {
        const bytes = pattern(length, offset)
        oracle.set(bytes, offset)
        await device.write(offset, bytes, false)
        same(await readBytes(device, offset, length), bytes)
      }
      same(await readBytes(device, 0, 64 * KiB), oracle)
    })

    withDevice("makes discarded and zeroed runs read as zeroes, and nothing else", async (device) => {
      if (!keepsData) return
      const oracle = pattern(SIZE, 3)
      await device.write(0, oracle, false)
      const unit = device.features.alignmentBytes
      for (const [offset, length] of [
        [0, 64 * KiB],
        [100 * unit, 300 * unit],
        [512 * KiB, 512 * KiB],
      ] as const) {
        await device.discard(offset, length)
        oracle.fill(0, offset, offset + length)
        same(await readBytes(device, 0, SIZE), oracle)
      }
      await device.write(0, pattern(SIZE, 4), false)
      oracle.set(pattern(SIZE, 4))
      for (const [offset, length, fua] of [
        [7 * unit, 9 * unit, false],
        [256 * KiB, 700 * KiB, true],
      ] as const) {
        await device.writeZeroes(offset, length, fua)
        oracle.fill(0, offset, offset + length)
        same(await readBytes(device, 0, SIZE), oracle)
      }
    })

    withDevice("tells extents that cover the run in order, up to the count asked for", async (device) => {
      await device.write(64 * KiB, pattern(64 * KiB, 1), false)
      await device.write(256 * KiB, pattern(64 * KiB, 2), false)
      for (const [offset, length] of [
        [0, SIZE],
        [4 * KiB, 8 * KiB],
        [100 * KiB, 200 * KiB],
      ] as const) {
        const extents = await device.extents(offset, length, 100)
        let at = offset
        for (const [i, extent] of extents.entries()) {
          assert.equal(extent.offsetBytes, at)
          assert.ok(extent.lengthBytes > 0)
          if (i > 0) assert.notEqual(extent.allocated, extents[i - 1]?.allocated)
          at += extent.lengthBytes
        }
        assert.equal(at, offset + length)
        assert.deepEqual(await device.extents(offset, length, 1), extents.slice(0, 1))
        assert.deepEqual(await device.extents(offset, length, 0), [])
      }
      const states = (await device.extents(0, SIZE, 100)).map((extent) => extent.allocated)
      if (!keepsData) assert.deepEqual(states, [false])
      else if (!device.features.extents) assert.deepEqual(states, [true])
      else if (alignedStorage) assert.deepEqual(states, [false, true, false, true, false])
      else assert.ok(states.includes(true) && states.includes(false))
    })

    withDevice("gives storage back when a run of whole granules is discarded", async (device) => {
      const { discard, discardGranularityBytes, extents } = device.features
      if (!keepsData || !discard || !extents || SIZE % discardGranularityBytes !== 0) return
      await device.write(0, pattern(SIZE, 6), false)
      await device.flush()
      await device.discard(256 * KiB, 512 * KiB)
      if (!alignedStorage) {
        const found = await device.extents(0, SIZE, 10)
        assert.deepEqual(
          found.map(({ allocated }) => allocated),
          [true, false, true],
        )
        const { offsetBytes, lengthBytes } = found[1]!
        assert.ok(offsetBytes >= 256 * KiB && offsetBytes + lengthBytes <= 768 * KiB)
        return
      }
      assert.deepEqual(await device.extents(0, SIZE, 10), [
        { offsetBytes: 0, lengthBytes: 256 * KiB, allocated: true },
        { offsetBytes: 256 * KiB, lengthBytes: 512 * KiB, allocated: false },
        { offsetBytes: 768 * KiB, lengthBytes: 256 * KiB, allocated: true },
      ])
    })

    withDevice("carries many operations at the same time", async (device) => {
      if (!keepsData) return
      const oracle = new Uint8Array(SIZE)
      const work: Promise<void>[] = []
      const start = (done: Completion) => work.push(Promise.resolve(done))
      // Runs that share no byte but share pages and disk blocks: a neighbour's bytes must survive.
      const step = device.features.alignmentBytes > 1 ? 8 * KiB : 5_003
      for (let i = 0, offset = 0; offset + step <= SIZE; i++, offset += step) {
        const bytes = pattern(step, i)
        oracle.set(bytes, offset)
        if (i % 7 === 3) {
          oracle.fill(0, offset, offset + step)
          start(device.writeZeroes(offset, step, i % 2 === 0))
        } else if (i % 7 === 5) {
          oracle.fill(0, offset, offset + step)
          start(device.discard(offset, step))
        } else start(device.write(offset, bytes, i % 11 === 0))
        if (i % 13 === 0) start(device.flush())
      }
      await Promise.all(work)
      const reads = Array.from({ length: 64 }, (_, i) => readBytes(device, i * 16 * KiB, 16 * KiB))
      for (const [i, bytes] of (await Promise.all(reads)).entries())
        same(bytes, oracle.subarray(i * 16 * KiB, (i + 1) * 16 * KiB))
    })

    withDevice(
      "moves more than a mebibyte at once",
      async (device) => {
        if (!keepsData) return
        const bytes = pattern(3 * SIZE, 8)
        await device.write(SIZE, bytes, true)
        same(await readBytes(device, SIZE, 3 * SIZE), bytes)
        assert.ok((await readBytes(device, 0, SIZE)).every((byte) => byte === 0))
      },
      4 * SIZE,
    )

    withDevice("grows by zeroes, shrinks, and tells its listeners", async (device) => {
      if (!resizable) {
        await fails(["io", "read-only"], () => device.resize(2 * SIZE))
        assert.equal(device.sizeBytes, SIZE)
        return
      }
      const told: number[] = []
      const stop = device.onResize((sizeBytes) => told.push(sizeBytes))
      await device.write(SIZE - 8 * KiB, pattern(8 * KiB, 2), false)
      await device.resize(2 * SIZE)
      assert.equal(device.sizeBytes, 2 * SIZE)
      assert.ok((await readBytes(device, SIZE, SIZE)).every((byte) => byte === 0))
      if (keepsData) same(await readBytes(device, SIZE - 8 * KiB, 8 * KiB), pattern(8 * KiB, 2))
      await device.write(2 * SIZE - 4 * KiB, pattern(4 * KiB, 3), false)
      await device.resize(SIZE - 4 * KiB)
      await fails("out-of-range", () => device.read(SIZE - 4 * KiB, new Uint8Array(1)))
      await device.resize(2 * SIZE)
      const tail = await readBytes(device, SIZE - 4 * KiB, SIZE + 4 * KiB)
      assert.ok(
        tail.every((byte) => byte === 0),
        "what was cut off doesn't come back",
      )
      assert.deepEqual(told, [2 * SIZE, SIZE - 4 * KiB, 2 * SIZE])
      stop()
      await device.resize(SIZE)
      assert.equal(told.length, 3)
      for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 53])
        await fails("out-of-range", () => device.resize(bad))
      assert.equal(device.sizeBytes, SIZE)
    })

    test("refuses everything once closed, and closes once", async () => {
      const device = await subject.open(SIZE)
      const under = Promise.allSettled([device.write(0, pattern(64 * KiB, 1), true), device.flush()])
      await Promise.all([device.close(), device.close()])
      for (const outcome of await under)
        if (outcome.status === "rejected")
          assert.ok(outcome.reason instanceof BlockError && outcome.reason.reason === "closed")
      await device.close()
      await fails("closed", () => device.read(0, new Uint8Array(1)))
      await fails("closed", () => device.write(0, new Uint8Array(1), false))
      await fails("closed", () => device.flush())
      await fails("closed", () => device.discard(0, 1))
      await fails("closed", () => device.writeZeroes(0, 1, false))
      await fails("closed", () => device.extents(0, 1, 1))
      await fails(["closed", "read-only", "io"], () => device.resize(SIZE))
    })

    test("keeps everything over closing and opening again", async () => {
      if (!subject.reopen) return
      let device = await subject.open(SIZE)
      await device.write(12 * KiB, pattern(100 * KiB, 5), false)
      await device.discard(32 * KiB, 8 * KiB)
      if (resizable) await device.resize(2 * SIZE)
      await device.close()
      device = await subject.reopen(device)
      const oracle = new Uint8Array(resizable ? 2 * SIZE : SIZE)
      oracle.set(pattern(100 * KiB, 5), 12 * KiB)
      oracle.fill(0, 32 * KiB, 40 * KiB)
      assert.equal(device.sizeBytes, oracle.length)
      same(await readBytes(device, 0, oracle.length), oracle)
      await device.close()
    })

    test("does what an array of bytes does, whatever the order", async () => {
      if (!keepsData) return
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 25 }), async (operations) => {
          let device = await subject.open(OPERATIONS_SIZE)
          const oracle = new Uint8Array(OPERATIONS_SIZE)
          try {
            for (const step of operations) {
              if (step.kind === "reopen") {
                if (!subject.reopen) continue
                await device.close()
                device = await subject.reopen(device)
              } else await apply(device, oracle, step)
            }
            same(await readBytes(device, 0, OPERATIONS_SIZE), oracle)
          } finally {
            await device.close()
          }
        }),
        { numRuns: 25 },
      )
    })
  })
}

const OPERATIONS_SIZE = 256 * KiB

type Operation = ReturnType<typeof operation.generate>["value"]

/** Offsets and lengths of all sizes, on block borders and off them. */
const operation = fc
  .record({
    kind: fc.constantFrom("read", "write", "write", "discard", "writeZeroes", "flush", "extents", "reopen"),
    from: fc.oneof(
      fc.nat(OPERATIONS_SIZE),
      fc.nat(64).map((block) => block * 4 * KiB),
    ),
    to: fc.oneof(
      fc.nat(OPERATIONS_SIZE),
      fc.nat(64).map((block) => block * 4 * KiB),
    ),
    seed: fc.nat(255),
    fua: fc.boolean(),
  })
  .map(({ kind, from, to, seed, fua }) => ({
    kind,
    offset: Math.min(from, to),
    length: Math.abs(from - to),
    seed,
    fua,
  }))

async function apply(device: BlockDevice, oracle: Uint8Array, step: Operation): Promise<void> {
  const unit = device.features.alignmentBytes
  const offset = step.offset - (step.offset % unit)
  const length = step.length - (step.length % unit)
  if (step.kind === "read")
    same(await readBytes(device, offset, length), oracle.subarray(offset, offset + length))
  if (step.kind === "write") {
    const bytes = pattern(length, step.seed)
    await device.write(offset, bytes, step.fua)
    oracle.set(bytes, offset)
  }
  if (step.kind === "discard") await device.discard(offset, length)
  if (step.kind === "writeZeroes") await device.writeZeroes(offset, length, step.fua)
  if (step.kind === "discard" || step.kind === "writeZeroes") oracle.fill(0, offset, offset + length)
  if (step.kind === "flush") await device.flush()
  if (step.kind === "extents")
    for (const hole of await device.extents(offset, length, 1000))
      if (!hole.allocated)
        assert.ok(
          oracle.subarray(hole.offsetBytes, hole.offsetBytes + hole.lengthBytes).every((byte) => byte === 0),
          "a hole has no data",
        )
}

/** Bytes that differ from place to place and from seed to seed. */
export function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = (seed + 1) * 0x9e3779b1
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Reads a run into memory that holds something else before. */
export async function readBytes(device: BlockDevice, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length).fill(0xa5)
  await device.read(offset, bytes)
  return bytes
}

/** Asserts that `call` throws or rejects with a BlockError for this reason. */
export async function fails(
  reason: BlockErrorCause | readonly BlockErrorCause[],
  call: () => unknown,
): Promise<BlockError> {
  try {
    await call()
  } catch (error) {
    assert.ok(error instanceof BlockError, `a BlockError, not ${String(error)}`)
    assert.ok(
      [reason].flat().includes(error.reason),
      `${error.reason}, not ${String(reason)}: ${error.message}`,
    )
    return error
  }
  assert.fail(`should have failed with ${String(reason)}`)
}

/** Compares bytes fast, and tells where they differ. */
export function same(found: Uint8Array, wanted: Uint8Array): void {
  if (Buffer.compare(found, wanted) === 0) return
  const at = found.findIndex((byte, i) => byte !== wanted[i])
  assert.fail(
    `bytes differ at ${at}: ${found[at]}, not ${wanted[at]} (lengths ${found.length}, ${wanted.length})`,
  )
}
