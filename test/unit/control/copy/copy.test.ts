import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { FaultStore, MemoryStore } from "../../../../src/backstore/index.ts"
import { compare, copy, type CopyProgress } from "../../../../src/control/copy/copy.ts"
import { type CopyEnd, DeviceEnd } from "../../../../src/control/copy/copy-end.ts"
import { isZero, splitZeroes } from "../../../../src/control/copy/zeroes.ts"
import { SanletError } from "../../../../src/base/errors.ts"

const KIB = 1024

function memory(sizeBytes: number): MemoryStore {
  return new MemoryStore({ sizeBytes })
}

/** An end that counts what is asked of it. */
class CountingEnd extends DeviceEnd {
  readBytes = 0
  writtenBytes = 0
  zeroedBytes = 0
  flushes = 0

  override read(offsetBytes: number, into: Uint8Array) {
    this.readBytes += into.length
    return super.read(offsetBytes, into)
  }

  override write(offsetBytes: number, from: Uint8Array) {
    this.writtenBytes += from.length
    return super.write(offsetBytes, from)
  }

  override zero(offsetBytes: number, lengthBytes: number) {
    this.zeroedBytes += lengthBytes
    return super.zero(offsetBytes, lengthBytes)
  }

  override flush() {
    this.flushes++
    return super.flush()
  }
}

const options = { depth: 4, pieceBytes: 64 * KIB }

function contentOf(device: MemoryStore): Buffer {
  const bytes = Buffer.alloc(device.sizeBytes)
  device.read(0, bytes)
  return bytes
}

describe("copying", () => {
  test("data arrives, holes are neither read nor written on a blank target, and all is flushed", async () => {
    const [from, to] = [memory(1024 * KIB), memory(2048 * KIB)]
    from.write(256 * KIB, Buffer.alloc(64 * KIB, 1), false)
    const [source, target] = [new CountingEnd(from, false), new CountingEnd(to, true)]
    const done = await copy(source, target, options)
    assert.deepEqual(done, {
      totalBytes: 1024 * KIB,
      doneBytes: 1024 * KIB,
      dataBytes: 64 * KIB,
      zeroBytes: 960 * KIB,
    })
    assert.deepEqual(contentOf(to).subarray(0, 1024 * KIB), contentOf(from))
    assert.equal(source.readBytes, 64 * KIB)
    assert.equal(target.writtenBytes, 64 * KIB)
    assert.equal(target.zeroedBytes, 0)
    assert.equal(target.flushes, 1)
    assert.equal(await compare(source, target, options), undefined)
  })

  test("what was on the target is gone where the source has holes, and stays behind its end", async () => {
    const [from, to] = [memory(256 * KIB), memory(512 * KIB)]
    to.write(0, Buffer.alloc(512 * KIB, 0xee), false)
    await copy(new DeviceEnd(from, false), new DeviceEnd(to, false), options)
    const content = contentOf(to)
    assert.ok(isZero(content.subarray(0, 256 * KIB)))
    assert.ok(content.subarray(256 * KIB).every((byte) => byte === 0xee))
  })

  test("a target that is too short is refused before anything is done", async () => {
    const target = new CountingEnd(memory(64 * KIB), false)
    await assert.rejects(copy(new DeviceEnd(memory(65 * KIB), false), target, options), (error) => {
      assert.ok(error instanceof SanletError)
      assert.equal(error.code, "ERR_COPY_SIZE")
      assert.equal(error.message, "memory has 65536 bytes; memory needs 66560")
      return true
    })
    assert.equal(target.writtenBytes + target.zeroedBytes, 0)
  })

  test("a source that ends within a block of the target is filled up with zeroes", async () => {
    const from = memory(70_001)
    from.write(0, Buffer.alloc(70_001, 7), false)
    const to = memory(128 * KIB)
    to.write(0, Buffer.alloc(128 * KIB, 0xee), false)
    const end = new DeviceEnd(to, false)
    const target: CopyEnd = {
      name: "disk",
      sizeBytes: to.sizeBytes,
      blockBytes: 512,
      blank: false,
      read: (offset, into) => end.read(offset, into),
      write: (offset, bytes) => {
        assert.equal(offset % 512, 0)
        assert.equal(bytes.length % 512, 0)
        return end.write(offset, bytes)
      },
      zero: (offset, length) => end.zero(offset, length),
      extents: (offset, length) => end.extents(offset, length),
      flush: () => end.flush(),
      close: () => end.close(),
    }
    const source = new DeviceEnd(from, false)
    const { doneBytes } = await copy(source, target, options)
    assert.equal(doneBytes, 70_001)
    const content = contentOf(to)
    assert.ok(content.subarray(0, 70_001).every((byte) => byte === 7))
    assert.ok(isZero(content.subarray(70_001, 70_144)))
    assert.equal(content[70_144], 0xee)
    assert.equal(await compare(source, target, options), undefined)
  })

  test("progress only grows, and ends at the whole", async () => {
    const from = memory(1024 * KIB)
    from.write(0, Buffer.alloc(700 * KIB, 1), false)
    const told: CopyProgress[] = []
    await copy(new DeviceEnd(from, false), new DeviceEnd(memory(1024 * KIB), true), {
      ...options,
      onProgress: (progress) => told.push(progress),
    })
    assert.ok(told.length > 5)
    told.forEach((progress, i) => assert.ok(i === 0 || progress.doneBytes >= told[i - 1]!.doneBytes))
    assert.equal(told.at(-1)?.doneBytes, 1024 * KIB)
  })

  test("the first failure ends it, with its own error", async () => {
    const from = memory(1024 * KIB)
    from.write(0, Buffer.alloc(1024 * KIB, 1), false)
    const to = new FaultStore(memory(1024 * KIB), [
      { operations: ["write"], skip: 3, effect: { kind: "error", reason: "no-space" } },
    ])
    await assert.rejects(copy(new DeviceEnd(from, false), new DeviceEnd(to, true), options), {
      code: "ERR_BLOCK_NO_SPACE",
    })
  })

  test("an aborted signal ends it with its reason", async () => {
    const abort = new AbortController()
    const from = memory(4096 * KIB)
    from.write(0, Buffer.alloc(4096 * KIB, 1), false)
    const stopped = copy(new DeviceEnd(from, false), new DeviceEnd(memory(4096 * KIB), true), {
      ...options,
      signal: abort.signal,
      onProgress: ({ doneBytes }) => doneBytes > 1024 * KIB && abort.abort(new Error("enough")),
    })
    await assert.rejects(stopped, /^Error: enough$/)
  })
})

describe("comparing", () => {
  test("tells the first byte that differs, also in a hole", async () => {
    for (const at of [0, 12_345, 300 * KIB + 1, 1024 * KIB - 1]) {
      const [from, to] = [memory(1024 * KIB), memory(1024 * KIB)]
      from.write(0, Buffer.alloc(128 * KIB, 1), false)
      to.write(0, Buffer.alloc(128 * KIB, 1), false)
      to.write(at, Buffer.of(9), false)
      to.write(Math.min(1024 * KIB - 1, at + 200 * KIB), Buffer.of(9), false)
      const found = await compare(new DeviceEnd(from, false), new DeviceEnd(to, false), options)
      assert.deepEqual(found, { offsetBytes: at })
    }
  })

  test("any content copied is equal, however the target looked before", async () => {
    const run = fc.record({ at: fc.nat(255), length: fc.integer({ min: 1, max: 64 }), fill: fc.nat(2) })
    const content = fc.array(run, { maxLength: 12 })
    const fill = (runs: { at: number; length: number; fill: number }[]) => {
      const device = memory(320 * 4 * KIB)
      for (const { at, length, fill: byte } of runs) {
        device.write(at * 4 * KIB, Buffer.alloc(length * 4 * KIB, byte), false)
      }
      return device
    }
    await fc.assert(
      fc.asyncProperty(content, content, fc.integer({ min: 1, max: 5 }), async (ours, theirs, depth) => {
        const [from, to] = [fill(ours), fill(theirs)]
        const pace = { depth, pieceBytes: 128 * KIB }
        const { dataBytes, zeroBytes } = await copy(
          new DeviceEnd(from, false),
          new DeviceEnd(to, false),
          pace,
        )
        assert.ok(contentOf(from).equals(contentOf(to)))
        assert.equal(dataBytes + zeroBytes, from.sizeBytes)
        assert.equal(await compare(new DeviceEnd(from, false), new DeviceEnd(to, false), pace), undefined)
      }),
      { numRuns: 25 },
    )
  })
})

test("zeroes are found by pieces, and short ones count as data", () => {
  const bytes = new Uint8Array(10 * 16)
  bytes[2 * 16] = 1
  bytes[4 * 16 + 15] = 1
  assert.deepEqual(splitZeroes(bytes, 16, 32), [
    { from: 0, to: 32, zero: true },
    { from: 32, to: 80, zero: false },
    { from: 80, to: 160, zero: true },
  ])
  assert.deepEqual(splitZeroes(new Uint8Array(16), 16, 1000), [{ from: 0, to: 16, zero: true }])
  assert.deepEqual(splitZeroes(new Uint8Array(7).fill(1), 16, 32), [{ from: 0, to: 7, zero: false }])
  assert.deepEqual(splitZeroes(new Uint8Array(0), 16, 32), [])
  const large = new Uint8Array(200_000)
  assert.ok(isZero(large))
  large[199_999] = 1
  assert.ok(!isZero(large))
  assert.ok(isZero(large.subarray(3, 199_999)))
})
