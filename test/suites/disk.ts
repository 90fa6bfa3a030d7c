import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { SeededRandom } from "../../src/base/random.ts"
import { type Disk, DiskError, type OpenOptions, ScsiError } from "../../src/initiator/index.ts"
import { Asc, SenseKey } from "../../src/scsi/spec/sense.ts"
import { Status } from "../../src/scsi/spec/status.ts"
import { baseSeed, reproduce } from "../seed.ts"

/** What a logical unit can; what it can't it must refuse. All default to true. */
export interface DiskFeatures {
  readonly compareAndWrite: boolean
  readonly unmap: boolean
  readonly writeSame: boolean
  readonly verify: boolean
  readonly lbaStatus: boolean
  /** Header and data digests. */
  readonly digests: boolean
  /** CHECK CONDITION always comes with sense data, as iSCSI demands. */
  readonly sense: boolean
  /** A write that is aborted leaves the target in peace. */
  readonly abortsWrites: boolean
}

export interface DiskSubject {
  readonly name: string
  /** A disk of at least 32 MiB whose content the suite may destroy; called once. */
  start(): Promise<{ open(options?: OpenOptions): Promise<Disk>; close(): Promise<void> }>
  readonly features?: Partial<DiskFeatures>
  /** Of each of the 64 commands that are under way at once, to be aborted. Default: 1 MiB. */
  readonly abortedBytes?: number
  /** A reason to skip everything, printed. */
  readonly skip?: string | false
}

const MiB = 1024 * 1024

/** Bytes that are different everywhere. */
export function pattern(bytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(bytes / 4))
  let word = (seed * 0x9e3779b1) >>> 0
  for (let i = 0; i < words.length; i++) words[i] = word = (Math.imul(word, 1664525) + 1013904223) >>> 0
  return new Uint8Array(words.buffer, 0, bytes)
}

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  assert.fail(`${what}: byte ${at} of ${expected.length} is ${actual[at]}, not ${expected[at]}`)
}

async function readBack(disk: Disk, lba: number, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes).fill(0xa5)
  await disk.readBlocks(lba, into)
  return into
}

/** What the initiator and a target must be able to do together, whosever the target is. */
export function diskSuite(subject: DiskSubject): void {
  const can: DiskFeatures = {
    compareAndWrite: true,
    unmap: true,
    writeSame: true,
    verify: true,
    lbaStatus: true,
    digests: true,
    sense: true,
    abortsWrites: true,
    ...subject.features,
  }
  describe(`disk: ${subject.name}`, { skip: subject.skip ?? false }, () => {
    let running: Awaited<ReturnType<DiskSubject["start"]>>
    let disk: Disk
    before(async () => {
      running = await subject.start()
      disk = await running.open()
    })
    after(async () => {
      await disk?.close()
      await running?.close()
    })

    async function withDisk(options: OpenOptions, body: (disk: Disk) => Promise<void>): Promise<void> {
      const own = await running.open(options)
      try {
        await body(own)
      } finally {
        await own.close()
      }
    }

    test("tells what it is and how large", () => {
      assert.equal(disk.inquiry.peripheralDeviceType, 0)
      assert.ok(disk.inquiry.vendor.length > 0 && disk.inquiry.product.length > 0)
      assert.ok(disk.sizeBytes >= 32 * MiB, `${disk.sizeBytes} bytes`)
      assert.equal(disk.sizeBytes, disk.countBlocks * disk.blockBytes)
      assert.ok(disk.identity.serial !== undefined || disk.identity.designators.length > 0)
    })

    test("keeps what is written, at both ends and in odd numbers of blocks", async () => {
      const { blockBytes, countBlocks } = disk
      for (const [lba, count] of [
        [0, 1],
        [countBlocks - 1, 1],
        [7, 3],
        [countBlocks - 13, 13],
        [1001, 127],
        [3000, 129],
      ] as const) {
        const data = pattern(count * blockBytes, lba + count)
        await disk.writeBlocks(lba, data)
        same(await readBack(disk, lba, data.length), data, `${count} blocks at ${lba}`)
      }
      await disk.flush()
    })

    test("moves every length around the negotiated ones", async () => {
      const { blockBytes } = disk
      const { keys } = disk.session
      const edges = [keys.firstBurstLength, keys.maxBurstLength, keys.maxSendDataSegmentLength]
      const lengths = new Set<number>()
      for (const edge of edges) {
        if (edge > 4 * MiB) continue
        const blocks = Math.max(1, Math.floor(edge / blockBytes))
        for (const count of [blocks - 1, blocks, blocks + 1, 2 * blocks + 1])
          if (count > 0) lengths.add(count)
      }
      for (const count of lengths) {
        const data = pattern(count * blockBytes, count)
        await disk.writeBlocks(11, data)
        same(await readBack(disk, 11, data.length), data, `${count} blocks`)
      }
    })

    test("cuts up what is longer than one command", async () => {
      const data = pattern(9 * MiB + 3 * disk.blockBytes, 9)
      await disk.writeBlocks(17, data)
      same(await readBack(disk, 17, data.length), data, "9 MiB")
      await withDisk({ transferBytesMax: 64 * 1024 }, async (small) => {
        same(await readBack(small, 17, data.length), data, "9 MiB in 64 KiB commands")
      })
    })

    test("addresses by bytes as well", async () => {
      const data = pattern(4 * disk.blockBytes, 4)
      await disk.write(20 * disk.blockBytes, data)
      const into = new Uint8Array(2 * disk.blockBytes)
      await disk.read(21 * disk.blockBytes, into)
      same(into, data.subarray(disk.blockBytes, 3 * disk.blockBytes), "from block 21")
    })

    test("has many commands under way at once", async () => {
      const { blockBytes } = disk
      const writes = Array.from({ length: 400 }, (_, i) => pattern((1 + (i % 9)) * blockBytes, i))
      await Promise.all(writes.map((data, i) => disk.writeBlocks(i * 9, data)))
      const back = await Promise.all(writes.map((data, i) => readBack(disk, i * 9, data.length)))
      back.forEach((data, i) => same(data, writes[i]!, `write ${i}`))
    })

    test("works with a queue depth of one", () =>
      withDisk({ queueDepth: 1 }, async (narrow) => {
        const data = pattern(narrow.blockBytes, 1)
        await Promise.all(Array.from({ length: 20 }, (_, i) => narrow.writeBlocks(i, data)))
        same(await readBack(narrow, 19, data.length), data, "block 19")
      }))

    test("two sessions see each other's writes", () =>
      withDisk({}, async (other) => {
        const data = pattern(disk.blockBytes * 5, 5)
        await disk.writeBlocks(100, data)
        same(await readBack(other, 100, data.length), data, "read by the other")
        assert.deepEqual(other.identity, disk.identity)
      }))

    test("acknowledges FUA writes, and flushes", async () => {
      await disk.writeBlocks(0, pattern(disk.blockBytes, 3), { fua: true })
      await disk.flush()
    })

    test(
      "moves data under header and data digests",
      { skip: !can.digests && "the target has no digests" },
      () =>
        withDisk({ keys: { headerDigest: ["CRC32C"], dataDigest: ["CRC32C"] } }, async (digested) => {
          assert.equal(digested.session.keys.headerDigest, "CRC32C")
          assert.equal(digested.session.keys.dataDigest, "CRC32C")
          const data = pattern(MiB + digested.blockBytes, 77)
          await digested.writeBlocks(33, data)
          same(await readBack(digested, 33, data.length), data, "under digests")
        }),
    )

    test("moves data whatever is negotiated about unsolicited data", async () => {
      const { blockBytes } = disk
      for (const initialR2T of [true, false]) {
        for (const immediateData of [true, false]) {
          const keys = { initialR2T, immediateData, firstBurstLength: 32768, maxBurstLength: 65536 }
          await withDisk({ keys }, async (varied) => {
            for (const bytes of [blockBytes, 8192, 32768, 32768 + blockBytes, 300 * 1024]) {
              const data = pattern(bytes, bytes + Number(initialR2T))
              await varied.writeBlocks(64, data)
              same(await readBack(varied, 64, bytes), data, `${bytes} bytes, ${JSON.stringify(keys)}`)
            }
          })
        }
      }
    })

    describe("COMPARE AND WRITE", () => {
      test("writes only what matches", { skip: !can.compareAndWrite && "not supported" }, async () => {
        const [old, fresh] = [pattern(disk.blockBytes, 1), pattern(disk.blockBytes, 2)]
        await disk.writeBlocks(40, old)
        assert.equal(await disk.compareAndWrite(40, fresh, old), false)
        same(await readBack(disk, 40, old.length), old, "after a miscompare")
        assert.equal(await disk.compareAndWrite(40, old, fresh), true)
        same(await readBack(disk, 40, old.length), fresh, "after a match")
      })

      test("counts right among many", { skip: !can.compareAndWrite && "not supported" }, async () => {
        const { blockBytes } = disk
        await disk.writeBlocks(50, new Uint8Array(blockBytes))
        const increment = async (on: Disk) => {
          for (;;) {
            const seen = await readBack(on, 50, blockBytes)
            const next = seen.slice()
            const view = new DataView(next.buffer)
            view.setUint32(0, view.getUint32(0) + 1)
            if (await on.compareAndWrite(50, seen, next)) return
          }
        }
        await withDisk({}, async (other) => {
          const both = [disk, other, disk, other]
          const worker = async (on: Disk) => {
            for (let i = 0; i < 15; i++) await increment(on)
          }
          await Promise.all(both.map(worker))
        })
        const counter = await readBack(disk, 50, blockBytes)
        assert.equal(new DataView(counter.buffer).getUint32(0), 60)
      })

      test("is refused where there is none", { skip: can.compareAndWrite && "there is one" }, () =>
        assert.rejects(
          disk.compareAndWrite(0, new Uint8Array(disk.blockBytes), new Uint8Array(disk.blockBytes)),
          (error) => error instanceof DiskError || error instanceof ScsiError,
        ),
      )
    })

    test("verifies", { skip: !can.verify && "not supported" }, async () => {
      const data = pattern(16 * disk.blockBytes, 16)
      await disk.writeBlocks(200, data)
      assert.equal(await disk.verifyBlocks(200, data), true)
      const other = data.slice()
      other[5 * disk.blockBytes + 1]! ^= 1
      assert.equal(await disk.verifyBlocks(200, other), false)
      await disk.checkBlocks(0, Math.min(disk.countBlocks, 200_000))
    })

    test("writes the same, and zeroes", { skip: !can.writeSame && "not supported" }, async () => {
      const { blockBytes } = disk
      const block = pattern(blockBytes, 6)
      await disk.writeSame(300, 70, block)
      const back = await readBack(disk, 299, 72 * blockBytes)
      for (let i = 1; i <= 70; i++)
        same(back.subarray(i * blockBytes, (i + 1) * blockBytes), block, `block ${i}`)
    })

    test("zeroes blocks, with or without giving them back", async () => {
      const { blockBytes } = disk
      for (const unmap of [false, true]) {
        await disk.writeBlocks(400, pattern(100 * blockBytes, 100))
        await disk.writeZeroes(410, 50, { unmap })
        const back = await readBack(disk, 400, 100 * blockBytes)
        same(
          back.subarray(0, 10 * blockBytes),
          pattern(100 * blockBytes, 100).subarray(0, 10 * blockBytes),
          "before",
        )
        same(back.subarray(10 * blockBytes, 60 * blockBytes), new Uint8Array(50 * blockBytes), "zeroed")
      }
    })

    test("unmaps", { skip: !can.unmap && "not supported" }, async () => {
      const { blockBytes } = disk
      const megabyte = MiB / blockBytes
      await disk.writeBlocks(8 * megabyte, pattern(4 * MiB, 12))
      await disk.unmap([
        { lba: 8 * megabyte, countBlocks: megabyte },
        { lba: 10 * megabyte, countBlocks: megabyte },
      ])
      const back = await readBack(disk, 8 * megabyte, 4 * MiB)
      same(back.subarray(MiB, 2 * MiB), pattern(4 * MiB, 12).subarray(MiB, 2 * MiB), "between")
      if (disk.limits.unmappedReadZeroes) {
        same(back.subarray(0, MiB), new Uint8Array(MiB), "first")
        same(back.subarray(2 * MiB, 3 * MiB), new Uint8Array(MiB), "second")
      }
    })

    test("tells which blocks hold data", { skip: !can.lbaStatus && "not supported" }, async () => {
      const megabyte = MiB / disk.blockBytes
      await disk.writeBlocks(16 * megabyte, pattern(2 * MiB, 13))
      await disk.unmap([{ lba: 17 * megabyte, countBlocks: megabyte }])
      const [first, second] = [await disk.getLbaStatus(16 * megabyte), await disk.getLbaStatus(17 * megabyte)]
      assert.equal(first[0]?.lba, 16 * megabyte)
      assert.equal(first[0]?.provisioning, "mapped")
      assert.equal(second[0]?.lba, 17 * megabyte)
      assert.equal(second[0]?.provisioning, "deallocated")
      assert.ok((second[0]?.countBlocks ?? 0) >= megabyte)
    })

    test("refuses what lies beyond, or is no whole block", async () => {
      const block = new Uint8Array(disk.blockBytes)
      const code = (wanted: string) => (error: unknown) => error instanceof DiskError && error.code === wanted
      await assert.rejects(disk.readBlocks(disk.countBlocks, block), code("ERR_RANGE"))
      await assert.rejects(disk.writeBlocks(-1, block), code("ERR_RANGE"))
      await assert.rejects(disk.readBlocks(0.5, block), code("ERR_RANGE"))
      await assert.rejects(disk.readBlocks(0, block.subarray(1)), code("ERR_ALIGNMENT"))
      await assert.rejects(async () => disk.read(1, block), code("ERR_ALIGNMENT"))
      await disk.readBlocks(0, new Uint8Array(0))
    })

    test("carries out any command, and tells of its sense", async () => {
      const dataIn = new Uint8Array(disk.blockBytes)
      const beyond = Uint8Array.of(0x88, 0, 0, 0, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)
      const refused = await disk.execute(beyond, { dataIn })
      assert.equal(refused.status, Status.checkCondition)
      if (can.sense) {
        assert.equal(refused.sense?.key, SenseKey.illegalRequest)
        assert.equal(refused.sense?.asc, Asc.lbaOutOfRange)
      }
      const unknown = await disk.execute(Uint8Array.of(0xc7, 0, 0, 0, 0, 0, 0, 0, 0, 0))
      assert.equal(unknown.status, Status.checkCondition)
      const inquiry = new Uint8Array(512)
      const told = await disk.execute(Uint8Array.of(0x12, 0, 0, 0, 36, 0), { dataIn: inquiry })
      assert.equal(told.status, Status.good)
      assert.ok(told.dataInBytes >= 36 && told.dataInBytes < 512, `${told.dataInBytes} bytes`)
    })

    test("aborts, and goes on", async () => {
      await assert.rejects(
        disk.readBlocks(0, new Uint8Array(disk.blockBytes), {
          signal: AbortSignal.abort(new Error("before")),
        }),
        /before/,
      )
      const abort = new AbortController()
      const options = { signal: abort.signal }
      const bytes = subject.abortedBytes ?? MiB
      const all = Array.from({ length: 64 }, (_, i) =>
        i % 2 || !can.abortsWrites
          ? disk.readBlocks(i * 16, new Uint8Array(bytes), options)
          : disk.writeBlocks(i * 16, pattern(bytes, i), options),
      )
      await disk.session.ping()
      abort.abort(new Error("enough"))
      const outcomes = await Promise.allSettled(all)
      const failed = outcomes.filter((outcome) => outcome.status === "rejected")
      for (const { reason } of failed) assert.match(String(reason), /enough/)
      const data = pattern(MiB, 99)
      await disk.writeBlocks(0, data)
      same(await readBack(disk, 0, MiB), data, "after the aborts")
    })

    test("survives a logical unit reset", async () => {
      const before = disk.session.tsih
      await disk.reset()
      const data = pattern(disk.blockBytes, 8)
      await disk.writeBlocks(9, data)
      same(await readBack(disk, 9, data.length), data, "after the reset")
      assert.equal(disk.session.tsih, before)
    })

    test("does what an array of bytes does, in any order", async () => {
      const random = new SeededRandom(baseSeed)
      try {
        await randomOperations(disk, can, random)
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        throw new Error(`seed ${baseSeed}: ${why}\nreproduce: ${reproduce(baseSeed, import.meta.url)}`, {
          cause: error,
        })
      }
    })
  })
}

/** Eight workers, each with a region of its own and an oracle of it. */
async function randomOperations(disk: Disk, can: DiskFeatures, random: SeededRandom): Promise<void> {
  const BLOCKS = 1024
  const { blockBytes } = disk
  const worker = async (region: number) => {
    const base = region * BLOCKS
    const oracle = new Uint8Array(BLOCKS * blockBytes)
    await disk.writeZeroes(base, BLOCKS)
    for (let step = 0; step < 60; step++) {
      const at = random.below(BLOCKS)
      const count = 1 + random.below(Math.min(BLOCKS - at, random.chance(0.2) ? BLOCKS : 16))
      const held = oracle.subarray(at * blockBytes, (at + count) * blockBytes)
      const choice = random.below(10)
      if (choice < 4) {
        held.set(pattern(held.length, random.uint32()))
        await disk.writeBlocks(base + at, held.slice(), { fua: random.chance(0.1) })
      } else if (choice < 8) {
        same(await readBack(disk, base + at, held.length), held, `region ${region}, step ${step}`)
      } else if (choice === 8 && can.compareAndWrite) {
        const one = oracle.subarray(at * blockBytes, (at + 1) * blockBytes)
        const next = pattern(blockBytes, random.uint32())
        const match = random.chance(0.5)
        const expected = one.slice()
        if (!match) expected[random.below(blockBytes)]! ^= 0x40
        assert.equal(await disk.compareAndWrite(base + at, expected, next), match)
        if (match) one.set(next)
      } else {
        held.fill(0)
        await disk.writeZeroes(base + at, count, { unmap: random.chance(0.5) })
      }
    }
    same(await readBack(disk, base, oracle.length), oracle, `region ${region} at the end`)
  }
  await Promise.all(Array.from({ length: 8 }, (_, region) => worker(region)))
}
