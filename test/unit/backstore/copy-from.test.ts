import assert from "node:assert/strict"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after, describe, test } from "node:test"
import { FileStore, type FileStoreOptions, MemoryStore } from "../../../src/backstore/index.ts"
import { type SystemCalls, systemCalls } from "../../../src/backstore/system-calls.ts"
import { fails, pattern, readBytes, same } from "../../suites/block-device.ts"

const { EIO, ENOSPC, EXDEV, EINTR } = os.constants.errno
const KiB = 1024
const SIZE = 256 * KiB
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-copy-from-"))
after(() => fs.rmSync(directory, { recursive: true }))
let number = 0
const real = await systemCalls()
const skip = real.libc?.copyFileRange === undefined && "needs Linux, the koffi package and copy_file_range"

const open = (options: FileStoreOptions = {}): Promise<FileStore> =>
  FileStore.open(path.join(directory, `${number++}.img`), { create: true, sizeBytes: SIZE, ...options })

/** Calls with another copy_file_range. */
const copying = (copyFileRange: () => Promise<number>): SystemCalls => ({
  ...real,
  ...(real.libc && { libc: { ...real.libc, copyFileRange } }),
})

describe("a file copied from another by the system", { skip }, () => {
  test("has the run, and nothing else of it", async () => {
    const [source, destination] = [await open(), await open()]
    const data = pattern(SIZE, 1)
    await source.write(0, data, false)
    await destination.write(0, pattern(SIZE, 2), false)
    assert.equal(await destination.copyFrom(source, 4 * KiB + 3, 64 * KiB + 5, 100 * KiB), true)
    const expected = pattern(SIZE, 2)
    expected.set(data.subarray(4 * KiB + 3, 104 * KiB + 3), 64 * KiB + 5)
    same(await readBytes(destination, 0, SIZE), expected)
    assert.equal(await destination.copyFrom(destination, 0, 128 * KiB, 128 * KiB), true)
    expected.copyWithin(128 * KiB, 0, 128 * KiB)
    same(await readBytes(destination, 0, SIZE), expected)
    await Promise.all([source.close(), destination.close()])
  })

  test("is stable as its mode promises: in write-through mode at once, else by the next flush", async () => {
    for (const cache of ["write-through", "write-back"] as const) {
      let flushes = 0
      const fdatasync: SystemCalls["fdatasync"] = (fd) => {
        flushes++
        return real.fdatasync(fd)
      }
      const [source, destination] = [await open(), await open({ cache, system: { ...real, fdatasync } })]
      flushes = 0
      await destination.copyFrom(source, 0, 0, SIZE)
      assert.equal(flushes, cache === "write-through" ? 1 : 0)
      await destination.flush()
      assert.equal(flushes, 1)
      await Promise.all([source.close(), destination.close()])
    }
  })

  test("refuses what every change is refused for", async () => {
    const [source, destination] = [await open(), await open()]
    await fails("out-of-range", () => destination.copyFrom(source, SIZE - 1, 0, 2))
    await fails("out-of-range", () => destination.copyFrom(source, 0, SIZE - 1, 2))
    const readOnly = await FileStore.open((await closed(await open())).name, { readOnly: true })
    await fails("read-only", () => readOnly.copyFrom(source, 0, 0, KiB))
    assert.equal(await destination.copyFrom(readOnly, 0, 0, KiB), true)
    await source.close()
    await fails("closed", () => destination.copyFrom(source, 0, 0, KiB))
    await Promise.all([readOnly.close(), destination.close()])
  })

  test("is left to others where the system can't, or the data is to pass the page cache by", async () => {
    const source = await open()
    const elsewhere = await open({ system: copying(async () => -EXDEV) })
    assert.equal(await elsewhere.copyFrom(source, 0, 0, KiB), false)
    const without = await open({ system: { ...real, libc: undefined } })
    assert.equal(await without.copyFrom(source, 0, 0, KiB), false)
    const direct = await open({ cache: "direct" })
    assert.equal(await direct.copyFrom(source, 0, 0, 4 * KiB), false)
    assert.equal(await source.copyFrom(direct, 0, 0, 4 * KiB), false)
    assert.equal(await source.copyFrom(new MemoryStore({ sizeBytes: SIZE }), 0, 0, KiB), false)
    await Promise.all([source, elsewhere, without, direct].map((store) => store.close()))
  })

  test("goes on after a short or interrupted copy, and tells what ended it", async () => {
    const source = await open()
    const results = [100, -EINTR, 400, 524]
    const short = await open({ system: copying(async () => results.shift() ?? 0) })
    assert.equal(await short.copyFrom(source, 0, 0, KiB), true)
    assert.deepEqual(results, [])
    for (const [errno, reason] of [
      [EIO, "io"],
      [ENOSPC, "no-space"],
    ] as const) {
      let calls = 0
      const failing = await open({ system: copying(async () => (calls++ === 0 ? 100 : -errno)) })
      const error = await fails(reason, () => failing.copyFrom(source, 0, 8, KiB))
      assert.equal(error.offsetBytes, 108)
      await failing.close()
    }
    const cut = await open({ system: copying(async () => 0) })
    await fails("io", () => cut.copyFrom(source, 0, 0, KiB))
    await Promise.all([source, short, cut].map((store) => store.close()))
  })
})

async function closed(store: FileStore): Promise<FileStore> {
  await store.close()
  return store
}
