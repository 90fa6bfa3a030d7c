/** Commands whose effect is to last, at every step of what they make stable: never GOOD where something failed. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { BlockError } from "../../../src/backstore/block-device.ts"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import {
  PersistentReserveIn,
  PersistentReserveOut,
  SanitizeAction,
} from "../../../src/scsi/spec/operation-code.ts"
import { Asc, SenseKey } from "../../../src/scsi/spec/sense.ts"
import { Status } from "../../../src/scsi/spec/status.ts"
import { type CrashCount, crashPoints } from "../../suites/crash/points.ts"
import { pattern } from "../scsi/sbc/disk.ts"
import { BLOCK_BYTES, BLOCKS, type CrashDisk, serveDisk, whichOf } from "./crash-disk.ts"

const [OLD, NEW] = [0x11, 0x22]
const LBA = 3
const WRITTEN = 16

const filled = (byte: number, blocks: number) => new Uint8Array(blocks * BLOCK_BYTES).fill(byte)
const fill = async ({ good }: CrashDisk, byte: number) => {
  await good(cdb.write16(0, BLOCKS, cdb.BlockFlag.fua), filled(byte, BLOCKS))
}
const read = ({ good }: CrashDisk, lba = LBA, blocks = WRITTEN) => good(cdb.read16(lba, blocks))

function writeAtomic(lba: number, blocks: number): Uint8Array {
  const bytes = new Uint8Array(16)
  bytes.set([0x9c, 0, 0, 0, 0, 0, 0, 0, 0, lba, 0, 0, 0, blocks])
  return bytes
}

const hasSteps = ({ steps }: CrashCount, least: number) => assert.ok(steps >= least, `${steps} steps`)

describe("at every step of", () => {
  test("WRITE ATOMIC: all blocks are old or all are new, also after an error, and a start that undoes it may crash too", async () => {
    const count = await crashPoints({
      start: serveDisk,
      before: (disk) => fill(disk, OLD),
      write: async ({ good }) => void (await good(writeAtomic(LBA, WRITTEN), filled(NEW, WRITTEN))),
      find: async (disk) => whichOf(await read(disk), [OLD, NEW]),
      old: "old",
      fresh: "new",
    })
    hasSteps(count, 6)
  })

  test("the start that undoes an atomic write", async () => {
    const count = await crashPoints({
      start: async () => {},
      before: async () => {
        const { unit, run, good, close } = await serveDisk()
        await good(cdb.write16(0, BLOCKS, cdb.BlockFlag.fua), filled(OLD, BLOCKS))
        // The medium takes half of it, then nothing any more: what it was is in the log.
        const write = unit.device.write.bind(unit.device)
        unit.device.write = async (at, from) => {
          await write(at, from.subarray(0, from.length / 2), true)
          unit.device.write = () => Promise.reject(new BlockError("io", "as told"))
          throw new BlockError("io", "as told")
        }
        const { status } = await run(writeAtomic(LBA, WRITTEN), filled(NEW, WRITTEN))
        assert.equal(status, Status.checkCondition)
        await close()
      },
      write: async () => await (await serveDisk()).close(),
      find: async () => {
        const disk = await serveDisk()
        const found = whichOf(await read(disk), [OLD, NEW])
        await disk.close()
        return found
      },
      old: "old",
      fresh: "old",
    })
    hasSteps(count, 6)
  })

  for (const [what, write] of [
    [
      "WRITE with FUA",
      async ({ good }: CrashDisk) => {
        await good(cdb.write16(LBA, WRITTEN, cdb.BlockFlag.fua), filled(NEW, WRITTEN))
      },
    ],
    [
      "WRITE and SYNCHRONIZE CACHE",
      async ({ good }: CrashDisk) => {
        await good(cdb.write16(LBA, WRITTEN), filled(NEW, WRITTEN))
        await good(cdb.synchronizeCache10())
      },
    ],
  ] as const) {
    test(`${what}: GOOD means that it is there`, async () => {
      await crashPoints({
        start: serveDisk,
        before: (disk) => fill(disk, OLD),
        write,
        find: async (disk) => whichOf(await read(disk), [OLD, NEW]),
        old: "old",
        fresh: "new",
        otherwise: ["both"],
        drawn: 2,
      })
    })
  }

  test("MODE SELECT with SP: the pages are the saved ones of before or of after", async () => {
    const select = async ({ good }: CrashDisk, tst: number) => {
      const page = good(cdb.modeSense6(0x0a, 255, { withoutBlockDescriptors: true }))
      const bytes = Uint8Array.from(await page)
      bytes[0] = 0
      bytes[4]! &= 0x3f
      bytes[6] = (bytes[6]! & ~0x04) | (tst << 2)
      await good(cdb.modeSelect6(bytes.length, true), bytes)
    }
    await crashPoints({
      start: serveDisk,
      before: (disk) => select(disk, 0),
      write: (disk) => select(disk, 1),
      find: async ({ good }) => {
        const control = cdb.PageControl.saved
        const page = await good(cdb.modeSense6(0x0a, 255, { control, withoutBlockDescriptors: true }))
        return (page[6]! & 0x04) !== 0
      },
      old: false,
      fresh: true,
      drawn: 3,
    })
  })

  test("SET IDENTIFYING INFORMATION: what is reported is what was or what is to be", async () => {
    const set = async ({ good }: CrashDisk, value: Uint8Array) => {
      await good(
        Uint8Array.of(0xa4, 0x06, 0, 0, 0, 0, 0, 0, value.length >> 8, value.length & 0xff, 0, 0),
        value,
      )
    }
    await crashPoints({
      start: serveDisk,
      before: (disk) => set(disk, pattern(300, 1)),
      write: (disk) => set(disk, pattern(400, 2)),
      find: async ({ good }) =>
        (await good(Uint8Array.of(0xa3, 0x05, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0))).slice(4),
      old: pattern(300, 1),
      fresh: pattern(400, 2),
      drawn: 3,
    })
  })

  test("PERSISTENT RESERVE OUT with APTPL: who is registered is who was or who is to be", async () => {
    const register = async ({ good }: CrashDisk, actionKey: bigint) => {
      const list = cdb.persistentReserveList({ actionKey, throughPowerLoss: true })
      const { registerAndIgnoreExistingKey } = PersistentReserveOut
      await good(cdb.persistentReserveOut(registerAndIgnoreExistingKey, list.length), list)
    }
    await crashPoints({
      start: serveDisk,
      before: (disk) => register(disk, 1n),
      write: (disk) => register(disk, 2n),
      find: async ({ good }) => {
        const keys = Buffer.from(await good(cdb.persistentReserveIn(PersistentReserveIn.readKeys, 64)))
        return keys.length === 8 ? undefined : keys.readBigUInt64BE(8)
      },
      old: 1n,
      fresh: 2n,
      drawn: 3,
    })
  })

  /** Waits for an operation that goes on, and tells how the medium is then. */
  const outcome = async (disk: CrashDisk): Promise<string> => {
    for (;;) {
      const { status, sense, dataIn } = await disk.run(cdb.read16(0, BLOCKS))
      if (status === Status.good) return whichOf(dataIn, [OLD, NEW])
      if (sense?.key === SenseKey.notReady) await new Promise((resolve) => setImmediate(resolve))
      else if (sense?.asc === Asc.sanitizeCommandFailed || sense?.asc === Asc.mediumFormatCorrupted)
        return "failed"
      else throw new Error(`status ${status}, ${sense?.key}/${sense?.asc}`)
    }
  }

  test("SANITIZE: nothing was begun, or it comes to its end after a restart", async () => {
    const dataOut = Uint8Array.of(1, 0, 0, 1, NEW)
    const sanitize = Uint8Array.of(0x48, 0x20 | SanitizeAction.overwrite, 0, 0, 0, 0, 0, 0, dataOut.length, 0)
    const count = await crashPoints({
      start: serveDisk,
      before: (disk) => fill(disk, OLD),
      write: async ({ good }) => void (await good(sanitize, dataOut)),
      find: outcome,
      old: "old",
      fresh: "new",
      otherwise: ["failed"],
      drawn: 0,
    })
    hasSteps(count, 10)
  })

  test("FORMAT UNIT: the medium is as before, formatted, or known to be neither", async () => {
    const list = Uint8Array.of(0, 0x88, 0, 0, 0, 1, 0, 1, NEW)
    await crashPoints({
      start: serveDisk,
      before: (disk) => fill(disk, OLD),
      write: async ({ good }) => void (await good(Uint8Array.of(0x04, 0x10, 0, 0, 0, 0), list)),
      find: outcome,
      old: "old",
      fresh: "new",
      otherwise: ["failed"],
      drawn: 1,
    })
  })
})
