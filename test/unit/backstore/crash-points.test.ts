/** A FileStore, and what keeps protection information on one, at every step of a write that is to be stable. */
import assert from "node:assert/strict"
import fsp from "node:fs/promises"
import { describe, test } from "node:test"
import { type CacheMode, EncryptedStore, FileStore, ProtectedStore } from "../../../src/backstore/index.ts"
import { ProtectionError } from "../../../src/backstore/protection/protected-device.ts"
import { crashPoints } from "../../suites/crash/points.ts"
import { crashCalls } from "../../suites/crash/system.ts"

const IMAGE = "/crash/disk.img"
const SIZE = 16 * 1024
const AT = 4096
const BYTES = 3 * 4096
const SECTOR = 512
const [OLD, NEW] = [0x11, 0x22]

const open = (cache: CacheMode = "write-back") =>
  FileStore.open(IMAGE, { create: true, sizeBytes: SIZE, cache, system: crashCalls })

const bytes = (value: number) => new Uint8Array(BYTES).fill(value)

/** "old", "new" or "both"; nothing else may be in any sector. */
function whichOf(content: Uint8Array): string {
  const found = new Set<number>()
  for (let at = 0; at < content.length; at += SECTOR) {
    const sector = content.subarray(at, at + SECTOR)
    assert.ok(
      sector.every((byte) => byte === sector[0]) && [OLD, NEW].includes(sector[0]!),
      "a sector is whole",
    )
    found.add(sector[0]!)
  }
  return found.size > 1 ? "both" : found.has(OLD) ? "old" : "new"
}

async function find(store: FileStore): Promise<string> {
  const content = new Uint8Array(BYTES)
  await store.read(AT, content)
  return whichOf(content)
}

const before = async (store: FileStore) => {
  await store.write(AT, bytes(OLD), false)
  await store.flush()
}

describe("a file store, at every step of a write", () => {
  for (const [how, cache, write] of [
    ["with FUA", "write-back", async (store) => await store.write(AT, bytes(NEW), true)],
    [
      "and of the flush that follows",
      "write-back",
      async (store) => {
        await store.write(AT, bytes(NEW), false)
        await store.flush()
      },
    ],
    ["through", "write-through", async (store) => await store.write(AT, bytes(NEW), false)],
  ] as const satisfies readonly (readonly [string, CacheMode, (store: FileStore) => Promise<void>])[]) {
    test(`${how}: what was acknowledged is there, whatever failed before`, async () => {
      const count = await crashPoints({
        start: () => open(cache),
        before,
        write,
        find,
        old: "old",
        fresh: "new",
        otherwise: ["both"],
      })
      assert.ok(count.steps >= 2, "a write and a sync")
    })
  }

  test("a flush that failed isn't made good by the next", async () => {
    await crashPoints({
      start: () => open(),
      before,
      write: async (store) => {
        await store.write(AT, bytes(NEW), false)
        // Whoever flushed first may have been told; whoever flushes next isn't told that all is well.
        await Promise.resolve(store.flush()).catch(() => {})
        await store.flush()
      },
      find,
      old: "old",
      fresh: "new",
      otherwise: ["both"],
    })
  })

  test("and of being made: it has its size, or is made again", async () => {
    await crashPoints({
      start: async () => {},
      write: async () => void (await open()),
      find: async () => (await fsp.stat(IMAGE).catch(() => undefined))?.size,
      old: undefined,
      fresh: SIZE,
      otherwise: [0],
    })
  })

  test("and of growing", async () => {
    await crashPoints({
      start: async () => await FileStore.open(IMAGE, { system: crashCalls }).catch(() => open()),
      write: async (store) => await store.resize(2 * SIZE),
      find: async () => (await fsp.stat(IMAGE)).size,
      old: SIZE,
      fresh: 2 * SIZE,
    })
  })
})

describe("a protected store, at every step", () => {
  const BLOCKS = 8
  const protectedStore = async () =>
    await ProtectedStore.open(
      await FileStore.open(IMAGE, { create: true, sizeBytes: SIZE, system: crashCalls }),
      { type: 1, blockBytes: SECTOR },
    )
  const content = (value: number) => new Uint8Array(BLOCKS * SECTOR).fill(value)

  test("of a write with FUA: a block is old, new, or a guard error, which is none once it was acknowledged", async () => {
    await crashPoints({
      start: protectedStore,
      before: async (store) => {
        await store.write(0, content(OLD), false)
        await store.flush()
      },
      write: async (store) => await store.write(0, content(NEW), true),
      find: async (store) => {
        const states = new Set<string>()
        for (let block = 0; block < BLOCKS; block++) {
          const into = new Uint8Array(SECTOR)
          try {
            await store.read(block * SECTOR, into)
            states.add(whichOf(into))
          } catch (error) {
            assert.ok(error instanceof ProtectionError && error.field === "guard", String(error))
            states.add("torn")
          }
        }
        return states.has("torn") || states.size > 1 ? "both" : [...states][0]
      },
      old: "old",
      fresh: "new",
      otherwise: ["both"],
    })
  })

  test("of being made: the next start finds its header, or makes it", async () => {
    await crashPoints({
      start: async () => {},
      write: async () => void (await protectedStore()),
      find: async () => {
        const text = await fsp.readFile(IMAGE, "latin1" as "utf8").catch(() => "")
        return text.startsWith("SANLETPI")
      },
      old: false,
      fresh: true,
    })
  })
})

describe("an encrypted store, at every step", () => {
  const key = new Uint8Array(32).fill(0x5a)
  const encryptedStore = async () =>
    await EncryptedStore.open(
      await FileStore.open(IMAGE, { create: true, sizeBytes: 1024 * 1024 + SIZE, system: crashCalls }),
      key,
    )
  const found = async (store: EncryptedStore) => {
    const content = new Uint8Array(BYTES)
    await store.read(AT, content)
    return content
  }
  const before = async (store: EncryptedStore) => {
    await store.write(AT, bytes(OLD), false)
    await store.flush()
  }

  test("of a write with FUA: what was acknowledged is there", async () => {
    await crashPoints({
      start: encryptedStore,
      before,
      write: async (store) => await store.write(AT, bytes(NEW), true),
      find: async (store) => whichOf(await found(store)),
      old: "old",
      fresh: "new",
      otherwise: ["both"],
    })
  })

  test("of being made, and of a first write: it opens under its key with what was acknowledged", async () => {
    await crashPoints({
      start: async () => {},
      write: async () => {
        const store = await encryptedStore()
        await store.write(AT, bytes(NEW), true)
      },
      find: async () => {
        const content = await found(await encryptedStore())
        return content.every((byte) => byte === NEW) ? "new" : "old"
      },
      old: "old",
      fresh: "new",
    })
  })

  test("of CRYPTOGRAPHIC ERASE: all of it can be read until it was acknowledged, nothing from then on", async () => {
    const count = await crashPoints({
      start: encryptedStore,
      before,
      write: async (store) => await store.renewKey(),
      find: async (store) => {
        const content = await found(store)
        if (content.every((byte) => byte === OLD)) return "old"
        for (let at = 0; at < BYTES; at += SECTOR)
          assert.notDeepEqual(content.subarray(at, at + SECTOR), bytes(OLD).subarray(0, SECTOR))
        return "erased"
      },
      old: "old",
      fresh: "erased",
    })
    assert.ok(count.steps >= 4, "two copies, each written and synced")
  })
})
