/** The header of an encrypted device: who can open it, what is formatted, and what a crash leaves of it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { EncryptedStore } from "../../../../src/backstore/encryption/encrypted-store.ts"
import {
  COPY_OFFSETS,
  DATA_OFFSET,
  encodeHeader,
  HEADER_BYTES,
  inspectHeader,
  newMediaKey,
  unwrapMediaKey,
} from "../../../../src/backstore/encryption/format.ts"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { ReadOnlyStore } from "../../../../src/backstore/read-only.ts"
import { StackedStore } from "../../../../src/backstore/stacked.ts"
import { SeededRandom } from "../../../../src/base/random.ts"
import { fails, pattern, readBytes, same } from "../../../suites/block-device.ts"

const key = pattern(32, 1)
const random = new SeededRandom(11)
const SIZE = 256 * 1024
const image = () => new MemoryStore({ sizeBytes: DATA_OFFSET + SIZE, name: "disk.img" })
const content = pattern(SIZE, 2)

/** An image that was formatted and filled. */
async function filled(): Promise<MemoryStore> {
  const below = image()
  const device = await EncryptedStore.open(below, key, { random })
  await device.write(0, content, false)
  return below
}

const copyAt = async (below: MemoryStore, index: number): Promise<Buffer> =>
  Buffer.from(await readBytes(below, COPY_OFFSETS[index]!, HEADER_BYTES))

async function holds(below: MemoryStore, wanted: Uint8Array): Promise<boolean> {
  const device = await EncryptedStore.open(below, key, { random })
  return Buffer.compare(await readBytes(device, 0, SIZE), wanted) === 0
}

/** What was written below, in order. */
class Recorder extends StackedStore {
  readonly writes: { offsetBytes: number; bytes: Uint8Array; fua: boolean }[] = []

  override write(offsetBytes: number, from: Uint8Array, fua: boolean): void {
    this.writes.push({ offsetBytes, bytes: Uint8Array.from(from), fua })
    void this.below.write(offsetBytes, from, fua)
  }
}

async function copyOf(below: MemoryStore): Promise<MemoryStore> {
  const copy = image()
  for (const { offsetBytes, lengthBytes, allocated } of below.extents(0, below.sizeBytes, 1000))
    if (allocated) copy.write(offsetBytes, await readBytes(below, offsetBytes, lengthBytes), false)
  return copy
}

describe("the header", () => {
  test("gives the media key to whoever has its key, and to nobody else", () => {
    const mediaKey = newMediaKey(random)
    const header = encodeHeader(5, mediaKey, key, random)
    assert.deepEqual(inspectHeader(header), { kind: "whole", sequence: 5 })
    same(unwrapMediaKey(header, key)!, mediaKey)
    assert.equal(unwrapMediaKey(header, pattern(32, 9)), undefined)
    assert.equal(header.indexOf(mediaKey.subarray(0, 16)), -1)
    const again = encodeHeader(5, mediaKey, key, random)
    assert.notDeepEqual(again.subarray(80, 144), header.subarray(80, 144), "no salt is used twice")
  })

  test("is damaged by any bit that changes, and known by its version", () => {
    const header = encodeHeader(1, newMediaKey(random), key, random)
    for (let bit = 96; bit < 164 * 8; bit++) {
      const changed = Buffer.from(header)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      assert.equal(inspectHeader(changed).kind, "damaged", `bit ${bit}`)
    }
    header.writeUInt32BE(2, 8)
    assert.deepEqual(inspectHeader(header), { kind: "unknown", version: 2 })
    assert.deepEqual(inspectHeader(Buffer.alloc(HEADER_BYTES)), { kind: "none" })
  })

  test("a wrong key is refused in one line, and nothing is changed", async () => {
    const below = await filled()
    const before = await readBytes(below, 0, below.sizeBytes)
    await assert.rejects(EncryptedStore.open(below, pattern(32, 3), { random }), {
      code: "ERR_STORE_KEY",
      message: "disk.img: is encrypted under another key than that of the key file",
    })
    same(await readBytes(below, 0, below.sizeBytes), before)
  })

  test("one damaged copy is made whole again, whichever it is", async () => {
    for (const index of [0, 1]) {
      for (const damage of [
        new Uint8Array(HEADER_BYTES),
        pattern(HEADER_BYTES, 4),
        Buffer.from("SANLETCR"),
      ]) {
        const below = await filled()
        const whole = await copyAt(below, index)
        below.write(COPY_OFFSETS[index]!, damage, false)
        assert.ok(await holds(below, content))
        same(await copyAt(below, index), whole)
      }
    }
  })

  test("nothing is repaired of what can only be read", async () => {
    const below = await filled()
    below.write(COPY_OFFSETS[1]!, new Uint8Array(HEADER_BYTES), false)
    const device = await EncryptedStore.open(new ReadOnlyStore(below), key)
    same(await readBytes(device, 0, SIZE), content)
    await fails("read-only", () => device.write(0, new Uint8Array(512), false))
    assert.equal(inspectHeader(await copyAt(below, 1)).kind, "none")
  })

  test("both copies damaged: it is refused, and so is one of another version", async () => {
    const below = await filled()
    for (const at of COPY_OFFSETS) below.write(at + 100, Uint8Array.of(1, 2, 3), false)
    await assert.rejects(EncryptedStore.open(below, key), {
      code: "ERR_STORE_WRONG_KIND",
      message: /^disk\.img: both copies of its encryption header are damaged: /,
    })
    const other = image()
    const header = encodeHeader(1, newMediaKey(random), key, random)
    header.writeUInt32BE(2, 8)
    other.write(COPY_OFFSETS[0]!, header, false)
    await assert.rejects(EncryptedStore.open(other, key), { message: /version 2, and only 1 is known/ })
  })
})

describe("what isn't encrypted yet", () => {
  test("is formatted when it is zeroes, written ones too, and stays formatted", async () => {
    const below = image()
    below.writeZeroes(0, below.sizeBytes, false)
    assert.ok(await holds(below, new Uint8Array(SIZE)))
    same(await copyAt(below, 0), await copyAt(below, 1))
    assert.ok(await holds(below, new Uint8Array(SIZE)))
  })

  test("is refused when it holds one byte, wherever", async () => {
    for (const at of [0, 4096, 600_000, DATA_OFFSET, DATA_OFFSET + SIZE - 1]) {
      const below = image()
      below.write(at, Uint8Array.of(1), false)
      await assert.rejects(EncryptedStore.open(below, key, { random }), {
        code: "ERR_STORE_WRONG_KIND",
        message: /^disk\.img: holds data that isn't encrypted: /,
      })
    }
  })

  test("is formatted after all when a crash broke that off", async () => {
    const fresh = image()
    const recorder = new Recorder("disk.img", fresh)
    await EncryptedStore.open(recorder, key, { random })
    assert.deepEqual(
      recorder.writes.map(({ offsetBytes, fua }) => [offsetBytes, fua]),
      COPY_OFFSETS.map((offset) => [offset, true]),
    )
    for (const [index, write] of recorder.writes.entries()) {
      for (const torn of [8, 100, 512, HEADER_BYTES]) {
        const below = image()
        for (const done of recorder.writes.slice(0, index)) below.write(done.offsetBytes, done.bytes, false)
        below.write(write.offsetBytes, write.bytes.subarray(0, torn), false)
        assert.ok(await holds(below, new Uint8Array(SIZE)))
        same(await copyAt(below, 0), await copyAt(below, 1))
      }
    }
  })
})

describe("a new media key", () => {
  test("makes noise of what was written, leaves holes, and nothing of the old one", async () => {
    const below = await filled()
    const old = await copyAt(below, 0)
    const device = await EncryptedStore.open(below, key, { random })
    await device.discard(0, 64 * 1024)
    await device.encryption.renewKey()
    const found = Buffer.from(await readBytes(device, 0, SIZE))
    assert.ok(found.subarray(0, 64 * 1024).every((byte) => byte === 0))
    for (let at = 64 * 1024; at < SIZE; at += 16)
      assert.notEqual(found.compare(content, at, at + 16, at, at + 16), 0)
    await device.write(4096, content.subarray(0, 4096), false)
    same(await readBytes(device, 4096, 4096), content.subarray(0, 4096))
    const raw = Buffer.from(await readBytes(below, 0, below.sizeBytes))
    assert.equal(raw.indexOf(old.subarray(80, 144)), -1)
    const after = Buffer.from(await readBytes(device, 0, SIZE))
    assert.ok(await holds(below, after), "it is the one that is found again")
  })

  test("is there as a whole or not at all, wherever a crash breaks it off", async () => {
    const start = await filled()
    const oldKey = (await copyAt(start, 0)).subarray(80, 144)
    const recorder = new Recorder("disk.img", await copyOf(start))
    const device = await EncryptedStore.open(recorder, key, { random })
    await device.encryption.renewKey()
    const noise = await readBytes(device, 0, SIZE)
    assert.equal(recorder.writes.length, 2)
    assert.ok(recorder.writes.every(({ fua }) => fua))
    let renewed = 0
    for (let count = 0; count <= recorder.writes.length; count++) {
      for (const torn of [0, 1, 100, 163, 164, 512, 4095]) {
        const below = await copyOf(start)
        for (const done of recorder.writes.slice(0, count)) below.write(done.offsetBytes, done.bytes, false)
        const next = recorder.writes[count]
        if (next !== undefined) below.write(next.offsetBytes, next.bytes.subarray(0, torn), false)
        const isOld = await holds(below, content)
        const isNew = await holds(below, noise)
        assert.ok(isOld !== isNew, `after ${count} writes and ${torn} bytes`)
        same(await copyAt(below, 0), await copyAt(below, 1))
        if (!isNew) continue
        renewed++
        const raw = Buffer.from(await readBytes(below, 0, below.sizeBytes))
        assert.equal(raw.indexOf(oldKey), -1, "the next opening has removed the old key")
      }
    }
    assert.ok(renewed >= 14)
  })

  test("that can't be written stops everything, until it can or the device is opened anew", async () => {
    for (const [skip, isOld] of [
      [0, true],
      [1, false],
    ] as const) {
      const below = await filled()
      const faults = new FaultStore(below)
      const device = await EncryptedStore.open(faults, key, { random })
      faults.addRule({ operations: ["write"], skip, count: 1, effect: { kind: "error", reason: "io" } })
      await assert.rejects(device.encryption.renewKey(), BlockError)
      await fails("io", () => device.read(0, new Uint8Array(512)))
      await fails("io", () => device.write(0, new Uint8Array(512), false))
      await fails("io", () => device.discard(0, 512))
      assert.equal(await holds(await copyOf(below), content), isOld)
      await device.encryption.renewKey()
      await device.write(0, content.subarray(0, 512), false)
      same(await readBytes(device, 0, 512), content.subarray(0, 512))
    }
  })

  test("waits for what is under way, and what comes meanwhile waits for it", async () => {
    class Held extends StackedStore {
      release: (() => void)[] = []
      override async write(offsetBytes: number, from: Uint8Array, fua: boolean): Promise<void> {
        await new Promise<void>((resolve) => this.release.push(resolve))
        await this.below.write(offsetBytes, from, fua)
      }
    }
    const below = await filled()
    const held = new Held("held", below)
    const device = await EncryptedStore.open(held, key, { random })
    const ends: string[] = []
    const log = (what: string) => () => void ends.push(what)
    const work = [
      Promise.resolve(device.write(0, content.subarray(0, 512), false)).then(log("before")),
      device.encryption.renewKey().then(log("key")),
      Promise.resolve(device.write(0, content.subarray(0, 512), false)).then(log("after")),
    ]
    while (ends.length < work.length) {
      await new Promise(setImmediate)
      assert.ok(held.release.length <= 1)
      held.release.shift()?.()
    }
    await Promise.all(work)
    assert.deepEqual(ends, ["before", "key", "after"])
    same(await readBytes(device, 0, 512), content.subarray(0, 512))
  })
})
