import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { blockCdb, compareAndWriteCdb, makeDisk, pattern } from "./disk.ts"

const { illegalRequest, miscompare, dataProtect } = SenseKey
const ORWRITE = 0x8b
const WRITE16 = 0x8a

const both = (expected: Uint8Array, then: Uint8Array): Uint8Array => Buffer.concat([expected, then])

/** Lets promise callbacks run, so that operations get as far as they can. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe("COMPARE AND WRITE", () => {
  it("writes where the blocks hold what is expected, up to its limit", async () => {
    const disk = makeDisk({ blocks: 300 })
    for (const [lba, blocks] of [
      [0, 1],
      [5, 17],
      [300 - 255, 255],
    ] as const) {
      const old = pattern(blocks * 512, 1)
      const fresh = pattern(blocks * 512, 2)
      disk.device.bytes.set(old, lba * 512)
      await disk.good(compareAndWriteCdb(lba, blocks), { dataOut: both(old, fresh) })
      assert.deepEqual(disk.device.bytes.subarray(lba * 512, (lba + blocks) * 512), fresh)
    }
  })

  it("writes nothing where one byte differs, and tells which", async () => {
    const disk = makeDisk({ blocks: 300 })
    for (const at of [0, 1, 511, 512, 100_000, 255 * 512 - 27]) {
      const old = pattern(255 * 512, 1)
      disk.device.bytes.set(old)
      const expected = Uint8Array.from(old)
      expected[at]! ^= 0x43
      const sense = await disk.fails(compareAndWriteCdb(0, 255), miscompare, Asc.miscompareDuringVerify, {
        dataOut: both(expected, pattern(255 * 512, 2)),
      })
      assert.equal(sense.detail.information, at)
      assert.deepEqual(disk.device.bytes.subarray(0, old.length), old)
    }
  })

  it("refuses more blocks than VPD page B0h says, protection, and lengths that don't fit", async () => {
    const disk = makeDisk({ blocks: 300, logicalBlockBytes: 4096 })
    assert.equal(disk.unit.limits.compareAndWriteBlocks, 128)
    const data = new Uint8Array(2 * 129 * 4096)
    await disk.fails(compareAndWriteCdb(0, 129), illegalRequest, Asc.invalidFieldInCdb, { dataOut: data })
    await disk.good(compareAndWriteCdb(0, 128), { dataOut: data.subarray(0, 2 * 128 * 4096) })
    await disk.fails(compareAndWriteCdb(0, 1, 0x20), illegalRequest, Asc.invalidFieldInCdb, { dataOut: data })
    await disk.fails(compareAndWriteCdb(299, 2), illegalRequest, Asc.lbaOutOfRange)
    await disk.fails(compareAndWriteCdb(2n ** 63n, 1), illegalRequest, Asc.lbaOutOfRange)
    for (const blocks of [0, 1, 3]) {
      const dataOut = new Uint8Array(4 * 4096)
      await disk.fails(compareAndWriteCdb(0, blocks), illegalRequest, Asc.invalidFieldInCdb, { dataOut })
    }
    await disk.good(compareAndWriteCdb(0, 0))
  })

  it("honours FUA", async () => {
    const disk = makeDisk()
    await disk.good(compareAndWriteCdb(0, 1, 0x18), { dataOut: new Uint8Array(1024) })
    assert.deepEqual(disk.device.calls, ["read 0+512", "write 0+512 fua"])
  })

  it("is refused on a device that is read-only", async () => {
    const disk = makeDisk({ readOnly: true })
    const dataOut = new Uint8Array(1024)
    await disk.fails(compareAndWriteCdb(0, 1), dataProtect, Asc.writeProtected, { dataOut })
  })
})

describe("COMPARE AND WRITE among others, on a device that takes its time", () => {
  it("lets one of many counters win each round", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    const word = (value: number) => new Uint8Array(512).fill(value)
    const attempts = Array.from({ length: 8 }, (_, i) =>
      disk.run(compareAndWriteCdb(3, 1), { dataOut: both(word(0), word(i + 1)) }),
    )
    await finishAll(disk)
    const outcomes = await Promise.all(attempts)
    const won = outcomes.map(({ sense }) => sense === undefined)
    assert.equal(won.filter(Boolean).length, 1)
    assert.equal(disk.device.bytes[3 * 512], won.indexOf(true) + 1)
    assert.ok(outcomes.every(({ sense }) => sense === undefined || sense.key === miscompare))
  })

  it("waits for a write that began before, and keeps a later one waiting", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    const [one, two, three] = [1, 2, 3].map((value) => new Uint8Array(512).fill(value)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ]
    const first = disk.run(blockCdb(WRITE16, 3, 1), { dataOut: one })
    await settle()
    const swap = disk.run(compareAndWriteCdb(3, 1), { dataOut: both(one, two) })
    await settle()
    const last = disk.run(blockCdb(WRITE16, 3, 1), { dataOut: three })
    const elsewhere = disk.run(blockCdb(WRITE16, 4, 1), { dataOut: three })
    await settle()
    // Only the first write and the one elsewhere have reached the device.
    assert.deepEqual(
      disk.device.waiting.map(({ call }) => call),
      ["write 1536+512", "write 2048+512"],
    )
    await finishAll(disk)
    for (const done of await Promise.all([first, swap, last, elsewhere])) assert.equal(done.sense, undefined)
    assert.deepEqual(disk.device.calls, [
      "write 1536+512",
      "write 2048+512",
      "read 1536+512",
      "write 1536+512",
      "write 1536+512",
    ])
    assert.deepEqual(disk.device.bytes.subarray(1536, 2048), three)
  })

  it("excludes WRITE SAME and UNMAP of its range too", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    const swap = disk.run(compareAndWriteCdb(8, 8), { dataOut: new Uint8Array(2 * 4096).fill(9, 4096) })
    await settle()
    const same = disk.run(blockCdb(0x93, 10, 2, 0x01))
    const list = new Uint8Array(24)
    list.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1])
    const unmap = disk.run(blockCdb(0x42, 0, 24), { dataOut: list })
    await settle()
    assert.deepEqual(
      disk.device.waiting.map(({ call }) => call),
      ["read 4096+4096"],
    )
    await finishAll(disk)
    for (const done of await Promise.all([swap, same, unmap])) assert.equal(done.sense, undefined)
    assert.deepEqual(disk.device.calls.slice(2), ["zero 5120+1024", "discard 6144+512"])
  })

  it("gives its range back when it fails", async () => {
    const disk = makeDisk()
    const dataOut = new Uint8Array(1024).fill(7)
    await disk.fails(compareAndWriteCdb(0, 1), miscompare, Asc.miscompareDuringVerify, { dataOut })
    assert.equal((await disk.run(blockCdb(WRITE16, 0, 1), { dataOut: pattern(512) })).atOnce, true)
  })

  it("doesn't change the medium when it was aborted while it waited", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    const first = disk.run(blockCdb(WRITE16, 0, 1), { dataOut: new Uint8Array(512) })
    await settle()
    const swap = disk.run(compareAndWriteCdb(0, 1), { dataOut: new Uint8Array(1024).fill(9, 512) })
    await settle()
    let aborted = false
    void disk.unit.abortTasks([disk.tasks.at(-1)!]).then(() => {
      aborted = true
    })
    await settle()
    assert.equal(aborted, false, "it still waits for its range")
    await finishAll(disk)
    await Promise.all([first, swap])
    assert.equal(aborted, true)
    assert.equal(disk.tasks.at(-1)!.buffersOut, 0)
    assert.deepEqual(disk.device.calls, ["write 0+512", "cancel"])
  })
})

describe("ORWRITE (16)", () => {
  it("sets bits and clears none, in steps", async () => {
    const disk = makeDisk({ blocks: 6000 })
    for (const [lba, blocks] of [
      [0, 1],
      [3, 5],
      [100, 5000],
    ] as const) {
      const bytes = blocks * 512
      const old = pattern(bytes, 1)
      const set = pattern(bytes, 2)
      disk.device.bytes.set(old, lba * 512)
      await disk.good(blockCdb(ORWRITE, lba, blocks), { dataOut: set })
      assert.deepEqual(
        disk.device.bytes.subarray(lba * 512, lba * 512 + bytes),
        old.map((byte, i) => byte | set[i]!),
      )
    }
  })

  it("keeps its bounds", async () => {
    const disk = makeDisk()
    await disk.good(blockCdb(ORWRITE, 0, 0))
    const dataOut = pattern(1024)
    for (const [lba, blocks] of [
      [65, 0],
      [63, 2],
      [2n ** 63n, 1],
      [2n ** 64n - 1n, 0],
    ] as const) {
      await disk.fails(blockCdb(ORWRITE, lba, blocks), illegalRequest, Asc.lbaOutOfRange, { dataOut })
    }
    await disk.fails(blockCdb(ORWRITE, 0, 1, 0x20), illegalRequest, Asc.invalidFieldInCdb, { dataOut })
    await disk.good(blockCdb(ORWRITE, 0, 1, 0x18), { dataOut: dataOut.subarray(0, 512) })
    assert.deepEqual(disk.device.calls, ["read 0+512", "write 0+512 fua"])
  })

  it("loses no bit when many set theirs at the same time", async () => {
    const disk = makeDisk()
    disk.device.slow = true
    const runs = Array.from({ length: 8 }, (_, bit) =>
      disk.run(blockCdb(ORWRITE, 1, 2), { dataOut: new Uint8Array(1024).fill(1 << bit) }),
    )
    await finishAll(disk)
    await Promise.all(runs)
    assert.ok(disk.device.bytes.subarray(512, 1536).every((byte) => byte === 0xff))
  })
})

/** Ends operations, the newest first so that order is put to the test, until none is left. */
async function finishAll({ device }: ReturnType<typeof makeDisk>): Promise<void> {
  for (;;) {
    await settle()
    const next = device.waiting.pop()
    if (!next) return
    next.finish()
  }
}
