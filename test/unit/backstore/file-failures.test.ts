/** What a FileStore makes of a failing system, put in place of the real calls. */
import assert from "node:assert/strict"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after, describe, test } from "node:test"
import type { Clock } from "../../../src/base/clock.ts"
import { FileStore, type FileStoreOptions } from "../../../src/backstore/index.ts"
import type { Libc } from "../../../src/backstore/libc.ts"
import { type SystemCalls, systemCalls } from "../../../src/backstore/system-calls.ts"
import { fails, pattern, readBytes, same } from "../../suites/block-device.ts"

const { EAGAIN, EDQUOT, EIO, ENOSPC, EOPNOTSUPP, EROFS } = os.constants.errno
const KiB = 1024
const SIZE = 256 * KiB
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-file-failures-"))
after(() => fs.rmSync(directory, { recursive: true }))
let number = 0
const real = await systemCalls()

/** A fresh store on calls of which some are replaced; reopening it keeps them. */
async function open(calls: Partial<SystemCalls>, options: FileStoreOptions = {}): Promise<FileStore> {
  const image = path.join(directory, `${number++}.img`)
  return FileStore.open(image, { create: true, sizeBytes: SIZE, system: { ...real, ...calls }, ...options })
}

/** The C library with some calls replaced; for tests that also run where there is none. */
const withLibc = (calls: Partial<Libc>): Libc => ({
  readNowait: () => undefined,
  fallocate: async () => -EOPNOTSUPP,
  lseek: async () => -EOPNOTSUPP,
  flock: async () => 0,
  directAlignment: () => undefined,
  addressOf: () => undefined,
  ...real.libc,
  ...calls,
})

describe("a failed flush", () => {
  for (const cache of ["write-back", "write-through"] as const)
    test(`is told, and ends all writing until the file is opened anew (${cache})`, async () => {
      let result = 0
      const store = await open({ fdatasync: async () => result }, { cache })
      await store.write(0, pattern(4 * KiB, 1), false)
      await store.flush()
      result = -EIO
      const lost = cache === "write-through" ? ["write-lost"] : []
      for (const reason of lost)
        await fails(reason as "write-lost", () => store.write(0, pattern(512, 2), false))
      if (cache === "write-back") await store.write(0, pattern(512, 2), false)
      const error = await fails("write-lost", () => store.flush())
      assert.match(error.message, /EIO/)
      result = 0 // the system says that all is well again, as Linux does
      await fails("write-lost", () => store.flush())
      await fails("write-lost", () => store.write(8 * KiB, pattern(512, 3), false))
      await fails("write-lost", () => store.write(8 * KiB, pattern(512, 3), true))
      await fails("write-lost", () => store.discard(0, 4 * KiB))
      await fails("write-lost", () => store.writeZeroes(0, 4 * KiB, false))
      await fails("write-lost", () => store.resize(2 * SIZE))
      same(await readBytes(store, 512, 3 * KiB), pattern(4 * KiB, 1).subarray(512, 3.5 * KiB))
      await fails("write-lost", () => store.close())
      const again = await FileStore.open(store.name)
      await again.write(0, pattern(4 * KiB, 4), true)
      await again.flush()
      await again.close()
    })

  test("fails all that waited for it, and those behind it", async () => {
    const gate = deferred()
    const store = await open({ fdatasync: () => gate.promise })
    const first = fails("write-lost", () => store.flush())
    await store.write(0, pattern(512, 1), false)
    const second = fails("write-lost", () => store.flush())
    gate.resolve(-ENOSPC) // whatever the reason, what was dropped is unknown
    await Promise.all([first, second])
    await fails("write-lost", () => store.close())
  })

  test("of one write with FUA counts too", async () => {
    const write = async (_fd: number, _from: Uint8Array) => -EIO
    const store = await open({ write })
    await store.write(0, pattern(512, 1), false)
    await fails("write-lost", () => store.write(0, pattern(512, 1), true))
    await fails("write-lost", () => store.write(0, pattern(512, 1), false))
    await fails("write-lost", () => store.close())
  })
})

describe("flushes", () => {
  test("that come together share one fdatasync, and never one that began before the write", async () => {
    const gates: ((result: number) => void)[] = []
    const store = await open({ fdatasync: () => new Promise((resolve) => gates.push(resolve)) })
    await store.write(0, pattern(512, 1), false)
    const order: string[] = []
    const first = Promise.all([store.flush(), store.flush()]).then(() => order.push("first"))
    assert.equal(gates.length, 1)
    await store.write(512, pattern(512, 2), false)
    const later = Promise.all([store.flush(), store.flush(), store.flush()]).then(() => order.push("later"))
    assert.equal(gates.length, 1)
    gates[0]?.(0)
    await first
    await turn()
    assert.equal(gates.length, 2)
    assert.deepEqual(order, ["first"])
    gates[1]?.(0)
    await later
    assert.equal(store.flush(), undefined, "nothing was written since")
    assert.equal(gates.length, 2)
    await store.close()
    assert.equal(gates.length, 2)
  })

  test("come before a write-through write is acknowledged, one for all of the same time", async () => {
    let syncs = 0
    const fdatasync = (fd: number) => {
      syncs++
      return real.fdatasync(fd)
    }
    const store = await open({ fdatasync }, { cache: "write-through" })
    await Promise.all(
      Array.from({ length: 32 }, async (_, i) => store.write(i * 4 * KiB, pattern(4 * KiB, i), false)),
    )
    assert.ok(syncs >= 1 && syncs <= 3, `${syncs} for 32 writes`)
    const before = syncs
    await store.discard(0, 4 * KiB)
    assert.equal(syncs, before + 1)
    await store.writeZeroes(4 * KiB, 4 * KiB, false)
    assert.equal(syncs, before + 2)
    await store.close()
  })

  test("a first one goes to the disk: the process before may have left something", async () => {
    let syncs = 0
    const store = await open({ fdatasync: async () => (syncs++, 0) })
    await store.flush()
    assert.equal(syncs, 1)
    await store.close()
  })
})

describe("failed and partial transfers", () => {
  test("errors by their reason", async () => {
    const reasons = [
      [ENOSPC, "no-space"],
      [EDQUOT, "no-space"],
      [EROFS, "read-only"],
      [EIO, "io"],
    ] as const
    for (const [errno, reason] of reasons) {
      const store = await open({ writeSync: () => -errno })
      const error = await fails(reason, () => store.write(8 * KiB, pattern(512, 1), false))
      assert.equal(error.offsetBytes, 8 * KiB)
      assert.equal(error.code, `ERR_BLOCK_${reason.toUpperCase().replace("-", "_")}`)
      await store.close()
    }
    const store = await open({ read: async () => -EIO, libc: withLibc({ readNowait: () => -EIO }) })
    await fails("io", () => store.read(0, new Uint8Array(512)))
    await store.close()
  })

  test("a short write is continued", async () => {
    const writeSync = (fd: number, from: Uint8Array, offset: number) =>
      real.writeSync(fd, from.subarray(0, 1000), offset)
    const write = (fd: number, from: Uint8Array, offset: number) =>
      real.write(fd, from.subarray(0, 999), offset)
    const store = await open({ writeSync, write })
    await store.write(100, pattern(10_000, 1), false)
    await store.write(20_000, pattern(10_000, 2), true)
    same(await readBytes(store, 100, 10_000), pattern(10_000, 1))
    same(await readBytes(store, 20_000, 10_000), pattern(10_000, 2))
    await store.close()
  })

  test("a short write that can't go on says where it stopped", async () => {
    const writeSync = (fd: number, from: Uint8Array, offset: number) =>
      real.writeSync(fd, from.subarray(0, 4 * KiB), offset)
    const full = await open({ writeSync, write: async () => -ENOSPC })
    const error = await fails("no-space", () => full.write(0, pattern(16 * KiB, 1), false))
    assert.equal(error.offsetBytes, 4 * KiB)
    await full.close()
    const stuck = await open({ writeSync, write: async () => 0 })
    await fails("io", () => stuck.write(0, pattern(16 * KiB, 1), false))
    await stuck.close()
  })

  test("what isn't cached, or only in part, is read on the thread pool", async () => {
    const answers = [-EAGAIN, 1000, 0]
    const asked: number[] = []
    const read = (fd: number, into: Uint8Array, offset: number) => {
      asked.push(offset)
      return real.read(fd, into.subarray(0, 3000), offset)
    }
    const readNowait = (fd: number, into: Uint8Array, offset: number) => {
      const answer = answers.shift() ?? -EAGAIN
      return answer > 0 ? real.readSync(fd, into.subarray(0, answer), offset) : answer
    }
    const store = await open({ read, libc: withLibc({ readNowait }) })
    await store.write(0, pattern(SIZE, 1), false)
    for (let i = 0; i < 3; i++) {
      const into = new Uint8Array(4096)
      assert.ok(store.read(0, into) instanceof Promise || i === 3)
      same(await readBytes(store, 0, 4096), pattern(SIZE, 1).subarray(0, 4096))
    }
    assert.ok(asked.includes(0) && asked.includes(1000) && asked.includes(3000))
    await store.close()
  })

  test("a filesystem without RWF_NOWAIT is read on the event loop while that is quick", async () => {
    let asked = 0
    const readNowait = () => (asked++, -EOPNOTSUPP)
    const store = await open({ libc: withLibc({ readNowait }) })
    await store.write(0, pattern(4 * KiB, 1), false)
    await readBytes(store, 0, 4 * KiB)
    assert.equal(store.read(0, new Uint8Array(4 * KiB)), undefined)
    assert.equal(asked, 1)
    await store.close()
  })

  test("a filesystem that can't punch holes or zero ranges gets zeroes written", async () => {
    const store = await open({ libc: withLibc({ fallocate: async () => -EOPNOTSUPP }) })
    assert.equal(store.features.discard, false)
    await store.write(0, pattern(SIZE, 1), false)
    await store.discard(100, 200 * KiB)
    assert.ok((await readBytes(store, 100, 200 * KiB)).every((byte) => byte === 0))
    await store.write(0, pattern(SIZE, 1), false)
    await store.writeZeroes(0, 200 * KiB, false)
    assert.ok((await readBytes(store, 0, 200 * KiB)).every((byte) => byte === 0))
    await store.close()
  })

  test("a failed discard or zeroing is told", async () => {
    let result = 0
    const store = await open({ libc: withLibc({ fallocate: async () => result }) })
    result = -ENOSPC
    await fails("no-space", () => store.writeZeroes(0, SIZE, false))
    result = -EIO
    await fails("io", () => store.discard(4 * KiB, SIZE / 2))
    await store.close()
  })
})

describe("a kernel that holds writers back", () => {
  test("is noticed, and the next writes go to the thread pool for a while", async () => {
    const clock = new HandClock()
    let slowMs = 0
    const writeSync = (fd: number, from: Uint8Array, offset: number) => {
      clock.ms += slowMs
      return real.writeSync(fd, from, offset)
    }
    const store = await open({ writeSync }, { clock })
    const synchronous = () => store.write(0, pattern(512, 1), false) === undefined
    assert.ok(synchronous())
    slowMs = 30
    assert.ok(synchronous(), "the slow one itself")
    assert.ok(!synchronous())
    clock.ms += 101
    assert.ok(synchronous(), "tried again, and slow again")
    clock.ms += 150
    assert.ok(!synchronous(), "so the pause is twice as long")
    clock.ms += 51
    slowMs = 10
    assert.ok(synchronous() && synchronous() && synchronous(), "short stalls add up")
    assert.ok(!synchronous())
    clock.ms += 401
    slowMs = 0
    assert.ok(synchronous() && synchronous())
    slowMs = 10
    for (let i = 0; i < 10; i++) {
      assert.ok(synchronous(), "rare ones don't")
      clock.ms += 100
    }
    await store.close()
  })
})

/** A clock that is moved by hand, within a call too. */
class HandClock implements Clock {
  ms = 0
  nowMs = () => this.ms
  wallMs = () => this.ms
  after = () => ({ cancel: () => {} })
}

function deferred(): { promise: Promise<number>; resolve: (result: number) => void } {
  let resolve: (result: number) => void = () => {}
  const promise = new Promise<number>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
