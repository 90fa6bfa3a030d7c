import assert from "node:assert/strict"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { DelayStore } from "../../../../src/backstore/delay.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { FileRecords } from "../../../../src/control/identity/unit-folder.ts"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { DiskUnit } from "../../../../src/scsi/sbc/disk-unit.ts"
import { good, TestTask, testNexus } from "../../../suites/scsi-task.ts"

const { current, saved } = cdb.PageControl
const CONTROL = 0x0a
const PROVISIONING = 0x1c

function scratch(t: { after: (fn: () => void) => void }): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-records-"))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  return folder
}

async function makeDisk(folder: string) {
  const records = await FileRecords.open(folder)
  const clock = new VirtualClock()
  const device = new DelayStore(new MemoryStore({ sizeBytes: 1 << 22 }), {}, { clock })
  const unit = new DiskUnit(device, { records, clock })
  const nexus = testNexus()
  unit.attachNexus(nexus)
  const run = async (bytes: Uint8Array, dataOut = new Uint8Array(0)) => {
    const task = new TestTask(nexus, bytes, { dataOut })
    unit.commandReceived(task)
    return good(await task.ended)
  }
  const select = (page: string, save: boolean) => {
    const list = Uint8Array.from(Buffer.from(`00000000${page}`, "hex"))
    return run(cdb.modeSelect6(list.length, save), list)
  }
  /** A whole mode page, in hexadecimal digits. */
  const page = async (code: number, control: cdb.PageControl, subpage = 0) => {
    const sense = cdb.modeSense6(code, 255, { control, subpage, withoutBlockDescriptors: true })
    return Buffer.from(await run(sense))
      .toString("hex")
      .slice(8)
  }
  return { select, page, unit }
}

describe("mode pages in a unit's folder", () => {
  test("what MODE SELECT saved is there after a restart; what it only set is not", async (t) => {
    const folder = scratch(t)
    const first = await makeDisk(folder)
    await first.select("0a0a021000400000ffff0001", true)
    await first.select("0a0a061000400000ffff0001", false)
    assert.equal((await first.page(CONTROL, current)).slice(0, 12), "8a0a06100040")
    assert.equal((await first.page(CONTROL, saved)).slice(0, 12), "8a0a02100040")
    const second = await makeDisk(folder)
    assert.equal((await second.page(CONTROL, current)).slice(0, 12), "8a0a02100040")
    assert.equal((await second.page(CONTROL, saved)).slice(0, 12), "8a0a02100040")
    assert.deepEqual(fs.readdirSync(folder), ["mode-pages.record"], "no draft is left")
  })

  test("a disk's own are saved with the others: a provisioning threshold outlives a restart and a reset", async (t) => {
    const folder = scratch(t)
    const first = await makeDisk(folder)
    const threshold = `5c020014${"00".repeat(12)}81020000${"00000007"}`
    await first.select(`010a${"00".repeat(5)}80${"00".repeat(4)}${threshold}`, true)
    const second = await makeDisk(folder)
    const told = async () => [
      await second.page(PROVISIONING, current, 2),
      await second.page(0x01, current),
      second.unit.threshold?.reporting,
    ]
    const expected = [`dc${threshold.slice(2)}`, `810a${"00".repeat(5)}80${"00".repeat(4)}`, true]
    assert.deepEqual(await told(), expected)
    await second.unit.reset(0x2900)
    second.unit.takeUnitAttention([...second.unit.nexuses][0]!)
    assert.deepEqual(await told(), expected)
    second.unit.release()
    first.unit.release()
  })
})
