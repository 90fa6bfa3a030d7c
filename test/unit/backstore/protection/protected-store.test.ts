import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { type BlockDevice, BlockError } from "../../../../src/backstore/block-device.ts"
import { StoreOpenError } from "../../../../src/backstore/errors.ts"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { HEADER_BYTES, slotBytes } from "../../../../src/backstore/protection/format.ts"
import { ProtectionError } from "../../../../src/backstore/protection/protected-device.ts"
import { ProtectedStore } from "../../../../src/backstore/protection/protected-store.ts"
import { noChecks, type ProtectionType } from "../../../../src/backstore/protection/tuple.ts"
import { ReadOnlyStore } from "../../../../src/backstore/read-only.ts"
import { crc32c } from "../../../../src/wire/crc32c.ts"
import { TestDevice } from "../../scsi/sbc/test-device.ts"

const BLOCKS = 16
const BLOCK = 512
const SLOT = slotBytes(BLOCK)
const UNIT = BLOCK + 8

const fresh = (blocks = BLOCKS) => new TestDevice(HEADER_BYTES + blocks * SLOT)
const open = (below: BlockDevice = fresh(), type: ProtectionType = 1) =>
  ProtectedStore.open(below, { type, blockBytes: BLOCK })
const blocksOf = (seed: number, blocks = 1, bytes = BLOCK) =>
  Uint8Array.from({ length: blocks * bytes }, (_, i) => (seed * 31 + i * 7 + (i >> 8)) & 0xff)

async function readBlock(store: ProtectedStore, block: number): Promise<Uint8Array> {
  const into = new Uint8Array(BLOCK)
  await store.read(block * BLOCK, into)
  return into
}

async function readUnit(store: ProtectedStore, block: number, checks = noChecks): Promise<Buffer> {
  const into = Buffer.alloc(UNIT)
  await store.readProtected(block, into, checks)
  return into
}

const isProtectionError = (field: string, block: number) => (error: unknown) =>
  error instanceof ProtectionError && error.field === field && error.offsetBytes === block * BLOCK

const opensAs = (problem: string, pattern: RegExp) => (error: unknown) =>
  error instanceof StoreOpenError && error.problem === problem && pattern.test(error.message)

describe("protected store", () => {
  test("a new device is given a header that says version, type and block length, and is found again", async () => {
    const below = fresh()
    const store = await open(below, 2)
    assert.equal(store.sizeBytes, BLOCKS * BLOCK)
    const header = Buffer.from(below.bytes)
    assert.equal(header.toString("latin1", 0, 8), "SANLETPI")
    assert.deepEqual(
      [8, 12, 16].map((at) => header.readUInt32BE(at)),
      [1, 2, BLOCK],
    )
    assert.ok(below.calls.includes("flush"), "the header is stable")
    await store.write(0, blocksOf(1), false)
    assert.deepEqual(await readBlock(await open(below, 2), 0), blocksOf(1))
  })

  test("what isn't its own is refused, and left as it is", async () => {
    const other = fresh()
    await open(other, 1)
    await assert.rejects(open(other, 3), opensAs("wrong-kind", /type 1 protection, not of 512 with type 3/))
    await assert.rejects(
      ProtectedStore.open(other, { type: 1, blockBytes: 4096 }),
      opensAs("wrong-kind", /blocks of 512 bytes.*not of 4096/),
    )
    const image = fresh()
    await image.write(510, Uint8Array.of(0x55, 0xaa), false)
    await assert.rejects(open(image), opensAs("wrong-kind", /data without protection information/))
    const late = fresh()
    await late.write(9000, Uint8Array.of(1), false)
    const before = Buffer.from(late.bytes)
    await assert.rejects(open(late), opensAs("wrong-kind", /not new/))
    assert.deepEqual(Buffer.from(late.bytes), before)
  })

  test("a header of another version, or damaged, is refused", async () => {
    const damaged = fresh()
    await open(damaged)
    damaged.bytes[15]! ^= 2
    await assert.rejects(open(damaged), opensAs("wrong-kind", /damaged header/))
    damaged.bytes[11] = 2
    const header = new DataView(damaged.bytes.buffer)
    header.setUint32(20, crc32c(damaged.bytes, 0, 20))
    await assert.rejects(open(damaged), opensAs("wrong-kind", /version 2 of the format, and only 1/))
  })

  test("it asks for a device that can be written byte by byte, has room, and can tell that it is new", async () => {
    await assert.rejects(
      open(new TestDevice(65536, { alignmentBytes: 512 })),
      opensAs("unsupported", /direct/),
    )
    await assert.rejects(open(new TestDevice(HEADER_BYTES + SLOT - 1)), opensAs("size", /no room/))
    await assert.rejects(open(new TestDevice(65536, { extents: false })), opensAs("unsupported", /new/))
    await assert.rejects(open(new ReadOnlyStore(fresh())), opensAs("unsupported", /can't be written/))
  })

  test("never written, and unmapped, a block is zeroes with protection information of FFh", async () => {
    const store = await open()
    const unmapped = Buffer.concat([Buffer.alloc(BLOCK), Buffer.alloc(8, 0xff)])
    assert.deepEqual(await readUnit(store, 3), unmapped)
    await store.write(3 * BLOCK, blocksOf(9), false)
    await store.discard(3 * BLOCK, BLOCK)
    assert.deepEqual(await readUnit(store, 3, { ...noChecks, guard: true, referenceTagOffset: 0 }), unmapped)
    await store.write(4 * BLOCK, blocksOf(9), false)
    await store.writeZeroes(4 * BLOCK, BLOCK, true)
    assert.deepEqual(await readUnit(store, 4), unmapped)
  })

  test("a discard up to the end takes what is left over behind the last slot with it", async () => {
    const below = new TestDevice(HEADER_BYTES + 3 * SLOT + 17)
    const store = await open(below)
    await store.write(0, blocksOf(1, 3), false)
    below.calls.length = 0
    await store.discard(0, 2 * BLOCK)
    await store.discard(BLOCK, 2 * BLOCK)
    assert.deepEqual(below.calls, [
      `discard ${HEADER_BYTES}+${2 * SLOT}`,
      `discard ${HEADER_BYTES + SLOT}+${2 * SLOT + 17}`,
    ])
  })

  test("what comes without protection information gets it: guard, application tag, reference tag by type", async () => {
    for (const [type, tag] of [
      [1, 5],
      [2, 5],
      [3, 0xffffffff],
    ] as const) {
      const store = await open(fresh(), type)
      store.generatedApplicationTag = () => 0x1234
      await store.write(5 * BLOCK, new Uint8Array(BLOCK).fill(0xff), false)
      const unit = await readUnit(store, 5)
      assert.equal(unit.readUInt16BE(BLOCK + 2), 0x1234)
      assert.equal(unit.readUInt32BE(BLOCK + 4), tag)
      await store.read(5 * BLOCK, new Uint8Array(BLOCK))
    }
  })

  test("protection information that came is kept to the bit, and a wrong guard is found by a plain read", async () => {
    const store = await open()
    const sent = Buffer.concat([blocksOf(4), Buffer.from("dead0badc0ffee11", "hex")])
    await store.writeProtected(2, sent, noChecks, false)
    assert.deepEqual(await readUnit(store, 2), sent)
    await assert.rejects(() => readBlock(store, 2), isProtectionError("guard", 2))
    assert.deepEqual(store.protectionErrors, { guard: 1, applicationTag: 0, referenceTag: 0 })
  })

  test("FFFFh in the application tag keeps a block from being checked; type 3 wants FFFFFFFFh in the reference tag too", async () => {
    const all = { guard: true, applicationTag: { expected: 0, mask: 0xffff }, referenceTagOffset: 0 }
    const escaped = (tags: string) => Buffer.concat([blocksOf(4), Buffer.from(`0bad${tags}`, "hex")])
    for (const type of [1, 2] as const) {
      const store = await open(fresh(), type)
      store.check(0, escaped("ffff00000077"), all)
      assert.throws(() => store.check(0, escaped("fffe00000077"), all), isProtectionError("guard", 0))
    }
    const store = await open(fresh(), 3)
    store.check(0, escaped("ffffffffffff"), all)
    assert.throws(() => store.check(0, escaped("fffffffffffe"), all), isProtectionError("guard", 0))
  })

  test("a slot in the place of another is found, though its guard and tags fit", async () => {
    const below = fresh()
    const store = await open(below, 3)
    await store.write(0, blocksOf(1, 2), false)
    below.bytes.copyWithin(HEADER_BYTES, HEADER_BYTES + SLOT, HEADER_BYTES + 2 * SLOT)
    await assert.rejects(() => readBlock(store, 0), isProtectionError("guard", 0))
  })

  test("torn writes: whatever part of it got there, a block reads as old, as new, or as a guard error", async () => {
    for (const old of ["written", "unmapped"] as const) {
      for (let bytes = 0; bytes <= 3 * SLOT; bytes += 13) {
        const memory = fresh()
        const calm = await open(memory)
        if (old === "written") await calm.write(0, blocksOf(1, 3), false)
        const before = await Promise.all([0, 1, 2].map((block) => readBlock(calm, block)))
        const torn = { kind: "torn", bytes } as const
        const faulty = new FaultStore(memory, [{ operations: ["write"], effect: torn }])
        const store = await ProtectedStore.open(faulty, { type: 1, blockBytes: BLOCK })
        await assert.rejects(async () => store.write(0, blocksOf(2, 3), false))
        const after = await open(memory)
        for (const block of [0, 1, 2]) {
          const wanted = blocksOf(2, 3).subarray(block * BLOCK, (block + 1) * BLOCK)
          const untouched = bytes <= block * SLOT
          const found = await readBlock(after, block).catch((error: unknown) => error)
          if (!(found instanceof Uint8Array))
            assert.ok(isProtectionError("guard", block)(found), String(found))
          else assert.deepEqual(found, untouched ? before[block] : wanted, "never a mixture")
          // The last bytes of a slot are the same in all that were written.
          if (bytes > block * SLOT && bytes < (block + 1) * SLOT - 8)
            assert.ok(found instanceof ProtectionError)
          await after.write(block * BLOCK, wanted, false)
          assert.deepEqual(await readBlock(after, block), wanted, "and is healed by the next write")
        }
      }
    }
  })

  test("torn in any order: a mixture of two versions of a slot is one of them or a guard error", async () => {
    const memory = fresh()
    const store = await open(memory)
    const slot = () => Uint8Array.from(memory.bytes.subarray(HEADER_BYTES, HEADER_BYTES + SLOT))
    const versions = [slot()]
    for (const seed of [1, 2]) {
      await store.write(0, blocksOf(seed), false)
      versions.push(slot())
    }
    const contents = [new Uint8Array(BLOCK), blocksOf(1), blocksOf(2)]
    const choice = fc.array(fc.nat(2), { minLength: 33, maxLength: 33 })
    const property = fc.asyncProperty(choice, async (choices) => {
      for (let at = 0; at < SLOT; at++) {
        memory.bytes[HEADER_BYTES + at] = versions[choices[at >> 4]!]![at]!
      }
      try {
        const found = await readBlock(store, 0)
        assert.ok(contents.some((content) => Buffer.compare(content, found) === 0))
      } catch (error) {
        assert.ok(isProtectionError("guard", 0)(error), String(error))
      }
    })
    await fc.assert(property)
  })

  test("a discard that was cut short leaves blocks that are whole or guard errors", async () => {
    for (let bytes = 1; bytes < 2 * SLOT; bytes += 97) {
      const memory = fresh()
      await (await open(memory)).write(0, blocksOf(1, 2), false)
      memory.bytes.fill(0, HEADER_BYTES, HEADER_BYTES + bytes)
      const store = await open(memory)
      for (const block of [0, 1]) {
        const [start, end] = [block * SLOT, (block + 1) * SLOT]
        if (bytes >= end) assert.deepEqual(await readBlock(store, block), new Uint8Array(BLOCK))
        else if (bytes > start)
          await assert.rejects(() => readBlock(store, block), isProtectionError("guard", block))
        else assert.deepEqual(await readBlock(store, block), blocksOf(1, 2).subarray(BLOCK))
      }
    }
  })

  test("who reads a block while it is written waits, and gets it whole", async () => {
    const below = fresh()
    const store = await open(below)
    await store.write(0, blocksOf(1), false)
    below.slow = true
    const written = store.write(0, blocksOf(2), false)
    const read = readBlock(store, 0)
    const other = readBlock(store, 1)
    await new Promise(setImmediate)
    assert.deepEqual(
      below.waiting.map(({ call }) => call.split(" ")[0]),
      ["write", "read"],
      "the other block's reader doesn't wait",
    )
    const finishAll = setInterval(() => below.finishNext(), 0)
    await Promise.all([written, other])
    assert.deepEqual(await read, blocksOf(2))
    clearInterval(finishAll)
  })

  test("long runs go piece by piece, and a failure below tells the block it struck", async () => {
    const blocks = 1000
    const below = fresh(blocks)
    const store = await open(below)
    const data = blocksOf(3, blocks)
    await store.write(0, data, false)
    const into = new Uint8Array(data.length)
    await store.read(0, into)
    assert.deepEqual(into, data)
    const offsetBytes = HEADER_BYTES + 700 * SLOT + 5
    below.failures.set("read", new BlockError("io", "as told", { offsetBytes }))
    await assert.rejects(
      async () => store.read(0, into),
      (error: unknown) => error instanceof BlockError && error.offsetBytes === 700 * BLOCK,
    )
  })

  test("of the storage that is used, the blocks' share is told", async () => {
    const below = new MemoryStore({ sizeBytes: 2 ** 20 })
    const store = await open(below)
    await store.write(0, blocksOf(1, 300), false)
    assert.equal(await store.usedBytes?.(), Math.floor((below.usedBytes() * BLOCK) / SLOT))
    assert.equal((await open()).usedBytes, undefined)
  })

  test("a change of size is in whole blocks, and new ones were never written", async () => {
    const store = await open(new MemoryStore({ sizeBytes: HEADER_BYTES + 4 * SLOT + 17 }))
    const sizes: number[] = []
    store.onResize((sizeBytes) => sizes.push(sizeBytes))
    await store.write(0, blocksOf(1, 4), false)
    await store.resize(2 * BLOCK)
    await store.resize(4 * BLOCK)
    assert.deepEqual(sizes, [2 * BLOCK, 4 * BLOCK])
    assert.deepEqual(await readBlock(store, 1), blocksOf(1, 4).subarray(BLOCK, 2 * BLOCK))
    assert.deepEqual(await readBlock(store, 3), new Uint8Array(BLOCK))
    await assert.rejects(store.resize(4 * BLOCK + 1), /no whole blocks/)
  })
})
