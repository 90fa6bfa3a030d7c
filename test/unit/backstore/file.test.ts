import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after, describe, test } from "node:test"
import {
  BlockSpecialStore,
  FileStore,
  type FileStoreOptions,
  StoreOpenError,
} from "../../../src/backstore/index.ts"
import { systemCalls } from "../../../src/backstore/system-calls.ts"
import { fails, pattern, readBytes, same } from "../../suites/block-device.ts"

const KiB = 1024
const SIZE = 256 * KiB
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-file-"))
after(() => fs.rmSync(directory, { recursive: true }))
let number = 0
const fresh = () => path.join(directory, `${number++}.img`)
const noLibc = !(await systemCalls()).libc && "needs Linux and the koffi package"

async function refuses(
  problem: string,
  filePath: string,
  options: FileStoreOptions = {},
): Promise<StoreOpenError> {
  const error = await FileStore.open(filePath, options).then(
    async (store) => {
      await store.close()
      assert.fail(`opened, instead of ${problem}`)
    },
    (failure: unknown) => failure,
  )
  assert.ok(error instanceof StoreOpenError, String(error))
  assert.equal(error.problem, problem)
  assert.equal(error.path, filePath)
  assert.equal(error.code, `ERR_STORE_${problem.toUpperCase().replace("-", "_")}`)
  return error
}

describe("FileStore.open", () => {
  test("creates a sparse file that only its owner can read", async () => {
    const image = fresh()
    const store = await FileStore.open(image, { sizeBytes: 2 ** 40, create: true })
    const status = fs.statSync(image)
    assert.equal(status.size, 2 ** 40)
    assert.ok(status.blocks * 512 < 1024 * KiB)
    assert.equal(status.mode & 0o777, 0o600)
    await store.close()
  })

  test("opens what is there, and insists on the size asked for", async () => {
    const image = fresh()
    fs.writeFileSync(image, pattern(SIZE, 1))
    const error = await refuses("size", image, { sizeBytes: 2 * SIZE, create: true })
    assert.match(error.message, /has 262144 bytes, not the 524288 asked for/)
    const store = await FileStore.open(image, { sizeBytes: SIZE, create: true })
    same(await readBytes(store, 0, SIZE), pattern(SIZE, 1))
    await store.close()
  })

  test("takes an empty file for one whose creation was interrupted", async () => {
    const image = fresh()
    fs.writeFileSync(image, "")
    await refuses("size", image)
    const store = await FileStore.open(image, { sizeBytes: SIZE, create: true })
    assert.equal(store.sizeBytes, SIZE)
    await store.close()
  })

  test("says what is wrong", async () => {
    await refuses("not-found", fresh())
    await refuses("not-found", path.join(directory, "none", "x.img"), { sizeBytes: SIZE, create: true })
    await refuses("wrong-kind", directory)
    await refuses("wrong-kind", "/dev/null")
    await refuses("size", fresh(), { create: true })
    await refuses("size", fresh(), { create: true, sizeBytes: 0 })
    await refuses("size", fresh(), { create: true, sizeBytes: 1.5 })
    await refuses("unsupported", fresh(), { create: true, sizeBytes: SIZE, readOnly: true })
  })

  test("leaves no file behind when creation fails", async () => {
    const image = fresh()
    const system = { ...(await systemCalls()), fsync: async () => -os.constants.errno.ENOSPC }
    await refuses("no-space", image, { create: true, sizeBytes: SIZE, system })
    assert.ok(!fs.existsSync(image))
    const tooLarge = await FileStore.open(image, { create: true, sizeBytes: 2 ** 53 - 1 }).catch(
      (error) => error,
    )
    assert.ok(tooLarge instanceof StoreOpenError)
    assert.ok(!fs.existsSync(image))
  })

  test("makes a new file's size and name stable", async () => {
    const real = await systemCalls()
    const synced: boolean[] = []
    const fsync = (fd: number) => {
      synced.push(fs.fstatSync(fd).isDirectory())
      return real.fsync(fd)
    }
    const store = await FileStore.open(fresh(), { create: true, sizeBytes: SIZE, system: { ...real, fsync } })
    assert.deepEqual(synced, [false, true])
    await store.close()
  })

  test("with direct I/O wants a size of whole disk blocks", { skip: noLibc }, async () => {
    await refuses("size", fresh(), { create: true, sizeBytes: SIZE + 100, cache: "direct" })
    const store = await FileStore.open(fresh(), { create: true, sizeBytes: SIZE, cache: "direct" })
    await fails("out-of-range", () => store.resize(SIZE + 100))
    await store.close()
    await refuses("unsupported", fresh(), {
      create: true,
      sizeBytes: SIZE,
      cache: "direct",
      system: { ...(await systemCalls()), libc: undefined },
    })
  })

  test("a block special file is another store's", async () => {
    const image = fresh()
    fs.writeFileSync(image, "x")
    const error = await BlockSpecialStore.open(image).catch((failure: unknown) => failure)
    assert.ok(error instanceof StoreOpenError)
    assert.equal(error.problem, "wrong-kind")
    const missing = await BlockSpecialStore.open(fresh()).catch((failure: unknown) => failure)
    assert.ok(missing instanceof StoreOpenError)
    assert.equal(missing.problem, "not-found")
  })
})

describe("the lock", { skip: noLibc }, () => {
  test("keeps a second writer out, in this process and in others", async () => {
    const image = fresh()
    const store = await FileStore.open(image, { create: true, sizeBytes: SIZE })
    await refuses("in-use", image)
    await refuses("in-use", image, { readOnly: true })
    assert.match(openElsewhere(image), /^ERR_STORE_IN_USE .*in use by another process/)
    await store.close()
    assert.equal(openElsewhere(image), "opened")
  })

  test("lets readers share", async () => {
    const image = fresh()
    fs.writeFileSync(image, pattern(SIZE, 2))
    const one = await FileStore.open(image, { readOnly: true })
    const two = await FileStore.open(image, { readOnly: true })
    await refuses("in-use", image)
    same(await readBytes(two, 0, SIZE), pattern(SIZE, 2))
    await one.close()
    await two.close()
  })

  test("a failed opening lets go of it", async () => {
    const image = fresh()
    fs.writeFileSync(image, pattern(SIZE, 2))
    await refuses("size", image, { sizeBytes: 1 })
    await (await FileStore.open(image)).close()
  })

  function openElsewhere(image: string): string {
    const index = new URL("../../../src/backstore/index.ts", import.meta.url)
    const program = `
      import { FileStore } from ${JSON.stringify(index.href)}
      await FileStore.open(${JSON.stringify(image)}).then(
        (store) => { console.log("opened"); return store.close() },
        (error) => console.log(error.code, error.message))`
    const args = ["--import", "tsx", "--input-type=module", "-e", program]
    return execFileSync(process.execPath, args, { encoding: "utf8" }).trim()
  }
})

describe("FileStore in use", () => {
  test("tells what its cache mode promises", async () => {
    for (const [cache, writeCache] of [
      ["write-back", true],
      ["write-through", false],
      ["direct", true],
    ] as const) {
      if (cache === "direct" && noLibc) continue
      const store = await FileStore.open(fresh(), { create: true, sizeBytes: SIZE, cache })
      assert.equal(store.features.writeCache, writeCache, cache)
      assert.equal(store.features.alignmentBytes, 1)
      assert.equal(store.features.readOnly, false)
      await store.close()
    }
  })

  test("opened for reading only, changes nothing", async () => {
    const image = fresh()
    fs.writeFileSync(image, pattern(SIZE, 3))
    const store = await FileStore.open(image, { readOnly: true })
    assert.equal(store.features.readOnly, true)
    assert.equal(store.features.writeCache, false)
    await fails("read-only", () => store.write(0, pattern(512, 1), false))
    await fails("read-only", () => store.discard(0, 512))
    await fails("read-only", () => store.writeZeroes(0, 512, false))
    await fails("read-only", () => store.resize(2 * SIZE))
    await store.flush()
    same(await readBytes(store, 0, SIZE), pattern(SIZE, 3))
    await store.close()
  })

  test("what is cached is read and written without a promise", { skip: noLibc }, async () => {
    const store = await FileStore.open(fresh(), { create: true, sizeBytes: SIZE })
    assert.equal(store.write(4 * KiB, pattern(4 * KiB, 1), false), undefined)
    const into = new Uint8Array(4 * KiB)
    assert.equal(store.read(4 * KiB, into), undefined)
    same(into, pattern(4 * KiB, 1))
    await store.close()
  })

  test("finds no garbage where the file was cut off behind its back", async () => {
    const image = fresh()
    const store = await FileStore.open(image, { create: true, sizeBytes: SIZE })
    await store.write(0, pattern(SIZE, 4), false)
    fs.truncateSync(image, 10 * KiB)
    for (const offset of [8 * KiB, 64 * KiB]) {
      const error = await fails("io", () => store.read(offset, new Uint8Array(4 * KiB)))
      assert.equal(error.offsetBytes, Math.max(offset, 10 * KiB))
    }
    same(await readBytes(store, 0, 8 * KiB), pattern(SIZE, 4).subarray(0, 8 * KiB))
    await store.close()
  })

  test("sees on demand that the file has grown", async () => {
    const image = fresh()
    const store = await FileStore.open(image, { create: true, sizeBytes: SIZE })
    const told: number[] = []
    store.onResize((sizeBytes) => told.push(sizeBytes))
    assert.equal(await store.refreshSize(), SIZE)
    fs.truncateSync(image, 2 * SIZE)
    assert.equal(store.sizeBytes, SIZE)
    assert.equal(await store.refreshSize(), 2 * SIZE)
    assert.equal(store.sizeBytes, 2 * SIZE)
    assert.deepEqual(told, [2 * SIZE])
    fs.truncateSync(image, 0)
    await fails("io", () => store.refreshSize())
    assert.equal(store.sizeBytes, 2 * SIZE)
    await store.close()
    await fails("closed", () => store.refreshSize())
  })

  test("resizes in the order asked", async () => {
    const store = await FileStore.open(fresh(), { create: true, sizeBytes: SIZE })
    const sizes = [3 * SIZE, -1, SIZE / 2, 2 * SIZE]
    const outcomes = await Promise.allSettled(sizes.map((sizeBytes) => store.resize(sizeBytes)))
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ["fulfilled", "rejected", "fulfilled", "fulfilled"],
    )
    assert.equal(store.sizeBytes, 2 * SIZE)
    await fails("no-space", () => store.resize(2 ** 53 - 1))
    assert.equal(store.sizeBytes, 2 * SIZE)
    await store.close()
  })
})

describe("the storage a FileStore takes", () => {
  test("grows with what is written, and shrinks with what is discarded", { skip: noLibc }, async () => {
    const store = await FileStore.open(fresh(), { create: true, sizeBytes: 64 * 1024 * KiB })
    const atFirst = await store.usedBytes()
    assert.ok(atFirst < 64 * KiB, `${atFirst} bytes`)
    await store.write(0, pattern(1024 * KiB, 1), true)
    const written = await store.usedBytes()
    assert.ok(written >= 1024 * KiB && written < 2048 * KiB, `${written} bytes`)
    await store.discard(0, 1024 * KiB)
    await store.flush()
    if (store.features.discard) assert.ok((await store.usedBytes()) < 64 * KiB)
    await store.close()
    await fails("closed", () => store.usedBytes())
  })
})
