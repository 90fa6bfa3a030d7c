/** Copies between disks on real files, where the kernel may do the copying. */
import assert from "node:assert/strict"
import fs from "node:fs"
import os from "node:os"
import path from "node:path"
import { after, describe, it } from "node:test"
import { FileStore } from "../../../../../src/backstore/index.ts"
import { systemCalls } from "../../../../../src/backstore/system-calls.ts"
import { VirtualClock } from "../../../../../src/base/virtual-clock.ts"
import { ScsiTarget } from "../../../../../src/scsi/sam/scsi-target.ts"
import { DiskUnit } from "../../../../../src/scsi/sbc/disk-unit.ts"
import { ThirdPartyCopyOut } from "../../../../../src/scsi/spec/operation-code.ts"
import { good, TestTask, testNexus } from "../../../../suites/scsi-task.ts"
import { pattern } from "../disk.ts"
import { blockSegment, cscdOf, extendedCopyCdb, lid1List } from "./copy-bench.ts"

const MiB = 1024 * 1024
const SIZE = 8 * MiB
const BLOCKS = SIZE / 512
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "sanlet-copy-files-"))
after(() => fs.rmSync(directory, { recursive: true }))
const real = await systemCalls()

describe("EXTENDED COPY between disks on files", () => {
  for (const withLibc of [true, false]) {
    const skip = withLibc && !real.libc && "needs Linux and the koffi package"
    const how = withLibc ? "with the C library" : "without the C library"
    it(`copies them, and keeps what has no storage, ${how}`, { skip }, async () => {
      const system = withLibc ? real : { ...real, libc: undefined }
      const target = new ScsiTarget({ clock: new VirtualClock() })
      const nexus = testNexus()
      const stores = await Promise.all(
        ["source", "destination"].map((name) =>
          FileStore.open(path.join(directory, `${name}-${withLibc}.img`), {
            create: true,
            sizeBytes: SIZE,
            system,
          }),
        ),
      )
      const [source, destination] = stores as [FileStore, FileStore]
      const units = stores.map((store) => new DiskUnit(store))
      units.forEach((unit, lun) => target.addLogicalUnit(lun, unit))
      target.attachNexus(nexus)
      for (const unit of units) while (unit.takeUnitAttention(nexus) !== undefined);
      await source.write(2 * MiB + 512, pattern(3 * MiB), false)
      await destination.write(0, pattern(SIZE, 2), false)

      const segment = blockSegment({ blocks: BLOCKS, from: 0, to: 0 })
      const dataOut = lid1List(
        units.map((unit) => cscdOf(unit)),
        [segment],
      )
      const task = new TestTask(nexus, extendedCopyCdb(ThirdPartyCopyOut.extendedCopyLid1, dataOut.length), {
        dataOut,
      })
      target.commandReceived(task)
      good(await task.ended)
      const images = stores.map(({ name }) => fs.readFileSync(name)) as [Buffer, Buffer]
      assert.equal(Buffer.compare(...images), 0)
      if (withLibc) {
        const extents = await destination.extents(0, SIZE, 10)
        assert.deepEqual(
          extents.map(({ allocated }) => allocated),
          [false, true, false],
        )
      }
      await Promise.all(stores.map((store) => store.close()))
    })
  }
})
