import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { BlockError } from "../../../../src/backstore/block-device.ts"
import { ATOMIC_WRITE_BYTES_MAX } from "../../../../src/base/limits.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { VolatileUndoLog } from "../../../../src/scsi/sbc/undo-log.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good, TestTask } from "../../../suites/scsi-task.ts"
import { blockCdb, compareAndWriteCdb, Disk, makeDisk as makeAnyDisk, nexus, pattern } from "./disk.ts"
import { TestDevice } from "./test-device.ts"

const { illegalRequest, mediumError, dataProtect, abortedCommand } = SenseKey
const MiB = 1024 * 1024

function writeAtomic(lba: number | bigint, blocks: number, flags = 0): Uint8Array {
  const cdb = blockCdb(0x9c, lba, 0, flags)
  cdb[12] = blocks >> 8
  cdb[13] = blocks & 0xff
  return cdb
}

const makeDisk = (options: { blocks?: number; device?: TestDevice } = {}): Disk =>
  makeAnyDisk({ undoLog: new VolatileUndoLog(), ...options })

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe("WRITE ATOMIC (16)", () => {
  it("writes to the medium, and remembers before what was there", async () => {
    const disk = makeDisk()
    await disk.good(writeAtomic(3, 2), { dataOut: pattern(1024) })
    assert.deepEqual(disk.device.calls, ["read 1536+1024", "write 1536+1024 fua"])
    assert.deepEqual(disk.device.bytes.slice(1536, 2560), pattern(1024))
    await disk.good(writeAtomic(0, 1, 0x18), { dataOut: pattern(512) })
    await disk.good(writeAtomic(64, 0))
  })

  it("takes as many blocks as it advertises, and no more", async () => {
    const blocks = ATOMIC_WRITE_BYTES_MAX / 512
    const disk = makeDisk({ blocks: blocks + 8 })
    await disk.good(writeAtomic(5, blocks), { dataOut: pattern(ATOMIC_WRITE_BYTES_MAX) })
    const dataOut = new Uint8Array(ATOMIC_WRITE_BYTES_MAX + 512)
    const sense = await disk.fails(writeAtomic(0, blocks + 1), illegalRequest, Asc.invalidFieldInCdb, {
      dataOut,
    })
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 12 })
  })

  it("counts as a write", async () => {
    const disk = makeDisk()
    await disk.good(writeAtomic(3, 2), { dataOut: pattern(1024) })
    const { writeCommands, writtenBytes, readBytes } = disk.unit.counters
    assert.deepEqual([writeCommands, writtenBytes, readBytes], [1, 1024, 0])
  })

  it("refuses what it can't do: boundaries, protection, parts, places that aren't there", async () => {
    const disk = makeDisk()
    const dataOut = new Uint8Array(1024)
    const bounded = writeAtomic(0, 2)
    bounded[11] = 1
    const sense = await disk.fails(bounded, illegalRequest, Asc.invalidFieldInCdb, { dataOut })
    assert.equal(sense.detail.field?.byte, 11)
    for (let protect = 1; protect < 8; protect++) {
      await disk.fails(writeAtomic(0, 2, protect << 5), illegalRequest, Asc.invalidFieldInCdb, { dataOut })
    }
    await disk.fails(writeAtomic(0, 3), illegalRequest, Asc.invalidFieldInCommandInformationUnit, { dataOut })
    for (const lba of [63, 65, 2n ** 63n, 2n ** 64n - 1n]) {
      await disk.fails(writeAtomic(lba, 2), illegalRequest, Asc.lbaOutOfRange, { dataOut })
    }
    disk.unit.control.softwareWriteProtect = true
    await disk.fails(writeAtomic(0, 2), dataProtect, Asc.logicalUnitSoftwareWriteProtected, { dataOut })
    assert.deepEqual(disk.device.calls, [])
  })

  it("isn't offered where a crash could tear it", async () => {
    const durable = makeAnyDisk()
    await durable.fails(writeAtomic(0, 1), illegalRequest, Asc.invalidCommandOperationCode, {
      dataOut: pattern(512),
    })
    const device = new TestDevice(64 * 512, { volatile: true })
    await new Disk(new DiskUnit(device), device).good(writeAtomic(0, 1), { dataOut: pattern(512) })
  })

  it("that fails half-way has changed nothing", async () => {
    const disk = makeDisk()
    disk.device.bytes.set(pattern(64 * 512, 3))
    const before = disk.device.bytes.slice()
    const write = disk.device.write.bind(disk.device)
    let torn = false
    disk.device.write = (offset, from, fua) => {
      if (torn) return write(offset, from, fua)
      torn = true
      disk.device.bytes.set(from.subarray(0, 5000), offset)
      throw new BlockError("io", "EIO")
    }
    await disk.fails(writeAtomic(1, 20), mediumError, Asc.writeError, { dataOut: pattern(20 * 512, 4) })
    assert.deepEqual(disk.device.bytes, before)
    disk.device.write = write
    await disk.good(writeAtomic(1, 20), { dataOut: pattern(20 * 512, 4) })
  })

  it("that can be neither ended nor undone lets nobody write any more, since the next start will undo it", async () => {
    const undoLog = new VolatileUndoLog()
    const disk = makeAnyDisk({ undoLog })
    const write = disk.device.write.bind(disk.device)
    disk.device.write = (offset, from) => {
      disk.device.bytes.set(from.subarray(0, 100), offset)
      disk.device.allocated.fill(1)
      throw new BlockError("io", "EIO")
    }
    await disk.fails(writeAtomic(1, 2), mediumError, Asc.writeError, { dataOut: pattern(1024) })
    disk.device.write = write
    assert.deepEqual(undoLog.pending, { offsetBytes: 512, lengthBytes: 1024 })
    const dataOut = pattern(1024)
    for (const cdb of [
      blockCdb(0x8a, 1, 2),
      blockCdb(0x8a, 60, 2),
      writeAtomic(1, 2),
      blockCdb(0x93, 0, 4, 1),
    ]) {
      await disk.fails(cdb, SenseKey.hardwareError, Asc.internalTargetFailure, { dataOut })
    }
    await disk.good(blockCdb(0x88, 0, 4))
  })

  it("isn't waited for by reads of other blocks, and is by those of its own", async () => {
    const { unit, device } = makeDisk()
    const send = (cdb: Uint8Array, dataOut?: Uint8Array) => {
      const task = new TestTask(nexus, cdb, dataOut ? { dataOut } : {})
      unit.commandReceived(task)
      return task
    }
    device.slow = true
    const writing = send(writeAtomic(0, 8), new Uint8Array(4096).fill(1))
    await turn()
    device.finishNext() // the old content
    await turn()
    assert.deepEqual(
      device.waiting.map(({ call }) => call),
      ["write 0+4096 fua"],
    )
    device.slow = false
    const elsewhere = send(blockCdb(0x88, 8, 8))
    const here = send(blockCdb(0x88, 7, 8))
    await turn()
    good(elsewhere)
    assert.equal(here.over, false)
    device.finishNext()
    await turn()
    good(writing)
    assert.equal(good(here)[0], 1)
  })
})

describe("a read that was under way when an atomic write began", () => {
  it("of one step is done again, as it may have found half of it", async () => {
    const { unit, device } = makeDisk()
    device.slow = true
    const reading = new TestTask(nexus, blockCdb(0x88, 0, 16))
    unit.commandReceived(reading)
    const torn = device.waiting.shift()!
    device.slow = false
    const writing = new TestTask(nexus, writeAtomic(4, 8), { dataOut: new Uint8Array(4096).fill(1) })
    unit.commandReceived(writing)
    await turn()
    good(writing)
    torn.finish()
    await turn()
    const read = good(reading)
    assert.equal(device.calls.filter((call) => call === "read 0+8192").length, 2)
    assert.ok(read.subarray(4 * 512, 12 * 512).every((byte) => byte === 1))
  })

  it("of several steps ends with OVERLAPPING ATOMIC COMMAND IN PROGRESS when half of it was sent", async () => {
    const blocks = (4 * MiB) / 512
    for (const [lba, harmed] of [
      [MiB / 512 - 4, true], // around the end of what was sent
      [0, false], // among what was sent
      [(2 * MiB) / 512, false], // among what will be
      [MiB / 512, false], // begins where what was sent ends
    ] as const) {
      const { unit } = makeDisk({ blocks })
      const reading = new TestTask(nexus, blockCdb(0x88, 0, blocks))
      // The first step is sent, then the initiator makes us wait.
      const allocate = reading.allocateDataIn.bind(reading)
      let goOn = () => {}
      let steps = 0
      reading.allocateDataIn = (bytes) => {
        if (++steps !== 2) return allocate(bytes)
        return new Promise((resolve) => {
          goOn = () => resolve(allocate(bytes))
        })
      }
      unit.commandReceived(reading)
      await turn()
      assert.equal(steps, 2)
      const writing = new TestTask(nexus, writeAtomic(lba, 8), { dataOut: new Uint8Array(4096).fill(1) })
      unit.commandReceived(writing)
      await turn()
      good(writing)
      goOn()
      await turn()
      if (harmed) checkCondition(reading, abortedCommand, Asc.overlappingAtomicCommandInProgress)
      else assert.equal(good(reading).length, 4 * MiB)
    }
  })
})

/** A slow device that does everything in two halves, so that whoever comes in between finds one of them. */
class TornDevice extends TestDevice {
  override read(offset: number, into: Uint8Array): Promise<void> {
    return this.#halves(into.length, (from, to) => super.read(offset + from, into.subarray(from, to)))
  }

  override write(offset: number, from: Uint8Array, fua: boolean): Promise<void> {
    return this.#halves(from.length, (start, end) =>
      super.write(offset + start, from.subarray(start, end), fua),
    )
  }

  async #halves(bytes: number, half: (from: number, to: number) => void | Promise<void>): Promise<void> {
    const middle = Math.floor(bytes / 1024) * 512
    await half(0, middle)
    await half(middle, bytes)
  }
}

const BLOCKS = 24
/** What the medium holds before: no command writes it. */
const BEFORE = 200
const kinds = ["read", "verify", "atomic", "write", "unmap", "swap"] as const
const step = fc.record({
  kind: fc.constantFrom(...kinds),
  lba: fc.integer({ min: 0, max: 12 }),
  blocks: fc.integer({ min: 1, max: 12 }),
})
type Step = typeof step extends fc.Arbitrary<infer V> ? V : never

/** Runs all at once, on a device that ends what it does in an order of its own. Returns what was seen, the medium last. */
async function atOnce(
  steps: readonly Step[],
  order: Iterator<number>,
): Promise<{ lba: number; data: Uint8Array }[]> {
  const device = new TornDevice(BLOCKS * 512)
  device.bytes.fill(BEFORE)
  const disk = makeDisk({ device })
  device.slow = true
  const seen: { lba: number; data: Uint8Array }[] = []
  const runs = steps.map(async ({ kind, lba, blocks }, i) => {
    const dataOut = new Uint8Array(blocks * 512).fill(i + 1)
    switch (kind) {
      case "read":
        return void seen.push({ lba, data: await disk.good(blockCdb(0x88, lba, blocks)) })
      case "verify":
        return await disk.run(blockCdb(0x8f, lba, blocks, 0x02), { dataOut })
      case "atomic":
        return await disk.good(writeAtomic(lba, blocks), { dataOut })
      case "write":
        return await disk.good(blockCdb(0x8a, lba, blocks), { dataOut })
      case "unmap":
        return await disk.good(blockCdb(0x93, lba, blocks, 0x09))
      case "swap": {
        const both = Buffer.concat([new Uint8Array(blocks * 512).fill(BEFORE), dataOut])
        return await disk.run(compareAndWriteCdb(lba, blocks), { dataOut: both })
      }
    }
  })
  let ended = false
  const all = Promise.all(runs).finally(() => {
    ended = true
  })
  while (!ended) {
    await turn()
    const { waiting } = device
    if (waiting.length > 0) waiting.splice(order.next().value % waiting.length, 1)[0]!.finish()
  }
  await all
  return [...seen, { lba: 0, data: device.bytes }]
}

const ownersOf = ({ lba, data }: { lba: number; data: Uint8Array }): { block: number; owner: number }[] =>
  Array.from({ length: data.length / 512 }, (_, i) => {
    const run = data.subarray(i * 512, (i + 1) * 512)
    assert.ok(
      run.every((byte) => byte === run[0]),
      "a block is whole",
    )
    return { block: lba + i, owner: run[0]! }
  })

describe("commands at the same time", () => {
  it("see all of an atomic write or nothing, when all that write are atomic and write the same blocks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 2, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        async (drawn, order) => {
          const steps = drawn.map((one) =>
            one.kind === "read" ? one : ({ kind: "atomic", lba: 4, blocks: 8 } as const),
          )
          for (const image of await atOnce(steps, order)) {
            const owners = ownersOf(image).filter(({ block }) => block >= 4 && block < 12)
            assert.ok(new Set(owners.map(({ owner }) => owner)).size <= 1, JSON.stringify(owners))
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  it("see no block of an atomic write beside one that none of them wrote, whatever else they do", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 2, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        async (steps, order) => {
          for (const image of await atOnce(steps, order)) {
            const owners = ownersOf(image)
            for (const { owner } of owners) {
              const writer = steps[owner - 1]
              if (writer?.kind !== "atomic") continue
              const own = owners.filter(
                ({ block }) => block >= writer.lba && block < writer.lba + writer.blocks,
              )
              assert.ok(
                own.every((other) => other.owner !== BEFORE),
                JSON.stringify({ writer, own }),
              )
            }
          }
        },
      ),
      { numRuns: 150 },
    )
  })
})
