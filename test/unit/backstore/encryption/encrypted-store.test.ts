import assert from "node:assert/strict"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after, describe, test } from "node:test"
import type { BlockDevice } from "../../../../src/backstore/block-device.ts"
import { EncryptedStore } from "../../../../src/backstore/encryption/encrypted-store.ts"
import { DATA_OFFSET } from "../../../../src/backstore/encryption/format.ts"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { FileStore } from "../../../../src/backstore/file.ts"
import type { CacheMode } from "../../../../src/backstore/kernel-store.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { HEADER_BYTES, slotBytes } from "../../../../src/backstore/protection/format.ts"
import { ProtectedStore } from "../../../../src/backstore/protection/protected-store.ts"
import { ReadOnlyStore } from "../../../../src/backstore/read-only.ts"
import { StackedStore } from "../../../../src/backstore/stacked.ts"
import { systemCalls } from "../../../../src/backstore/system-calls.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { blockDeviceSuite, fails, pattern, readBytes, same } from "../../../suites/block-device.ts"

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-encrypted-"))
after(() => fs.rmSync(directory, { recursive: true }))

const key = pattern(32, 1)
const random = new SeededRandom(7)
const MiB = 1024 * 1024
const memory = (sizeBytes: number) => new MemoryStore({ sizeBytes: DATA_OFFSET + sizeBytes })
const encrypted = (below: BlockDevice) => EncryptedStore.open(below, key, { random })

let number = 0
const file = (sizeBytes: number, cache: CacheMode) =>
  FileStore.open(path.join(directory, `${number++}.img`), {
    sizeBytes: DATA_OFFSET + sizeBytes,
    create: true,
    cache,
  })
const pathOf = (device: BlockDevice) => /\((.*)\)/.exec(device.name)?.[1] ?? ""
const { libc } = await systemCalls()

blockDeviceSuite({ name: "encrypted", open: (sizeBytes) => encrypted(memory(sizeBytes)) })
for (const cache of ["write-back", "write-through", "direct"] as const) {
  blockDeviceSuite({
    name: `encrypted, on a file, ${cache}`,
    skip: cache === "direct" && libc === undefined && "direct I/O needs Linux and the koffi package",
    open: async (sizeBytes) => encrypted(await file(sizeBytes, cache)),
    reopen: async (device) => encrypted(await FileStore.open(pathOf(device), { cache })),
  })
}

/** Every operation ends in a turn of its own, so that others come between. */
class SlowStore extends StackedStore {
  override async read(offsetBytes: number, into: Uint8Array): Promise<void> {
    await new Promise(setImmediate)
    await this.below.read(offsetBytes, into)
  }

  override async write(offsetBytes: number, from: Uint8Array, fua: boolean): Promise<void> {
    await new Promise(setImmediate)
    await this.below.write(offsetBytes, from, fua)
  }
}
blockDeviceSuite({
  name: "encrypted, on a slow device",
  open: (sizeBytes) => encrypted(new SlowStore("slow", memory(sizeBytes))),
})

const format = { type: 1, blockBytes: 512 } as const
blockDeviceSuite({
  name: "protected, on an encrypted file",
  alignedStorage: false,
  open: async (sizeBytes) => {
    const below = await file(HEADER_BYTES + (sizeBytes / 512) * slotBytes(512), "write-back")
    return ProtectedStore.open(await encrypted(below), format)
  },
  reopen: async (device) => {
    const name = /\((?:encrypted\()(.*)\)\)/.exec(device.name)?.[1] ?? ""
    return ProtectedStore.open(await encrypted(await FileStore.open(name)), format)
  },
})

describe("an encrypted device", () => {
  test("lets nothing of what is written reach the device below, and the same twice looks different", async () => {
    const below = memory(MiB)
    const device = await encrypted(below)
    const content = Buffer.alloc(64 * 1024, "the quick brown fox jumps over the lazy dog ")
    await device.write(0, content, false)
    await device.write(512 * 3 + 100, content.subarray(0, 700), false)
    const raw = Buffer.from(await readBytes(below, 0, below.sizeBytes))
    for (const word of ["quick", "brown", "lazy"]) assert.equal(raw.indexOf(word), -1)
    const zeroes = new Uint8Array(8192)
    await device.write(0, zeroes, false)
    const units = Buffer.from(await readBytes(below, DATA_OFFSET, 8192))
    const distinct = new Set(
      Array.from({ length: 16 }, (_, i) => units.toString("hex", i * 512, i * 512 + 512)),
    )
    assert.equal(distinct.size, 16)
    await device.close()
  })

  test("passes on what has no storage, and what reads as zeroes below does so here", async () => {
    const below = memory(MiB)
    const device = await encrypted(below)
    await device.write(0, pattern(MiB, 3), false)
    const used = (await device.usedBytes?.()) ?? 0
    await device.discard(128 * 1024, 256 * 1024)
    assert.equal((await device.usedBytes?.()) ?? 0, used - 256 * 1024)
    assert.deepEqual(
      (await device.extents(0, MiB, 10)).map(({ offsetBytes, allocated }) => [offsetBytes, allocated]),
      [
        [0, true],
        [128 * 1024, false],
        [384 * 1024, true],
      ],
    )
    assert.ok((await readBytes(device, 128 * 1024, 256 * 1024)).every((byte) => byte === 0))
    await device.close()
  })

  test("has nothing copied below it, from a device of another key or its own", async () => {
    const [from, to] = [
      await encrypted(await file(MiB, "write-back")),
      await encrypted(await file(MiB, "write-back")),
    ]
    assert.equal((to as BlockDevice).copyFrom, undefined)
    const plain = await file(MiB, "write-back")
    assert.equal(await plain.copyFrom(from, 0, 0, 4096), false)
    for (const device of [from, to, plain]) await device.close()
  })

  test("tells of failures below in its own bytes", async () => {
    const faults = new FaultStore(memory(MiB))
    const device = await encrypted(faults)
    faults.addRule({ operations: ["read"], effect: { kind: "error", reason: "io" } })
    const error = await fails("io", () => device.read(8192, new Uint8Array(512)))
    assert.equal(error.offsetBytes, 8192)
    faults.heal()
    faults.addRule({ operations: ["write"], effect: { kind: "error", reason: "no-space" } })
    assert.equal(
      (await fails("no-space", () => device.write(700, new Uint8Array(10), false))).offsetBytes,
      512,
    )
    await device.close()
  })

  test("keeps what lies in the same unit apart, whoever writes and reads at the same time", async () => {
    const device = await encrypted(new SlowStore("slow", memory(MiB)))
    const [old, fresh] = [Buffer.alloc(4096, 1), Buffer.alloc(4096, 2)]
    await device.write(0, old, false)
    const found = Array.from({ length: 8 }, () => new Uint8Array(4096))
    const work = [
      ...found.map((into, i) => (i < 4 ? device.read(0, into) : undefined)),
      device.write(0, fresh, false),
      ...found.map((into, i) => (i >= 4 ? device.read(0, into) : undefined)),
      ...Array.from({ length: 100 }, (_, i) => device.write(i * 41, new Uint8Array(41).fill(i), false)),
    ]
    await Promise.all(work.map((done) => Promise.resolve(done)))
    for (const [i, bytes] of found.entries()) same(bytes, i < 4 ? old : fresh)
    const all = await readBytes(device, 0, 4096)
    for (let i = 0; i < 99; i++) same(all.subarray(i * 41, i * 41 + 41), new Uint8Array(41).fill(i))
    await device.close()
  })

  test("can't be had on a device that is too small, or for reading only when it is new", async () => {
    await assert.rejects(encrypted(new MemoryStore({ sizeBytes: DATA_OFFSET })), { code: "ERR_STORE_SIZE" })
    await assert.rejects(encrypted(new MemoryStore({ sizeBytes: 2 ** 48 + 2 * MiB })), {
      code: "ERR_STORE_SIZE",
    })
    await assert.rejects(encrypted(new ReadOnlyStore(memory(MiB))), {
      code: "ERR_STORE_WRONG_KIND",
      message: "readonly(memory): has no encryption header yet, and can't be written",
    })
  })
})
