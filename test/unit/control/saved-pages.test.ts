import assert from "node:assert/strict"
import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { MemoryStore } from "../../../src/backstore/index.ts"
import { silentLog } from "../../../src/base/log.ts"
import { SavedPagesFile } from "../../../src/control/saved-pages.ts"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import { DiskUnit } from "../../../src/scsi/sbc/disk-unit.ts"
import { good, TestTask, testNexus } from "../../suites/scsi-task.ts"

const NAA = "3000000000000001"
const { current, saved } = cdb.PageControl

function scratch(t: { after: (fn: () => void) => void }): string {
  const folder = fs.mkdtempSync(join(tmpdir(), "sanlet-pages-"))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  return folder
}

async function disk(folder: string): Promise<(bytes: Uint8Array, dataOut?: Uint8Array) => Promise<string>> {
  const savedPages = await SavedPagesFile.open(folder, NAA, silentLog)
  const unit = new DiskUnit(new MemoryStore({ sizeBytes: 1 << 20 }), { savedPages })
  const nexus = testNexus()
  unit.attachNexus(nexus)
  return async (bytes, dataOut = new Uint8Array(0)) => {
    const task = new TestTask(nexus, bytes, { dataOut })
    unit.commandReceived(task)
    return Buffer.from(good(await task.ended)).toString("hex")
  }
}

describe("saved mode pages", () => {
  test("what MODE SELECT saved is there after a restart; what it only set is not", async (t) => {
    const folder = scratch(t)
    const first = await disk(folder)
    const list = (page: string) => Uint8Array.from(Buffer.from(`00000000${page}`, "hex"))
    const tas = list("0a0a021000400000ffff0001")
    await first(cdb.modeSelect6(tas.length, true), tas)
    const both = list("0a0a061000400000ffff0001")
    await first(cdb.modeSelect6(both.length), both)
    const sense = (control: cdb.PageControl) =>
      cdb.modeSense6(0x0a, 255, { control, withoutBlockDescriptors: true })
    assert.equal((await first(sense(current))).slice(8, 20), "8a0a06100040")
    assert.equal((await first(sense(saved))).slice(8, 20), "8a0a02100040")
    const second = await disk(folder)
    assert.equal((await second(sense(current))).slice(8, 20), "8a0a02100040")
    assert.equal((await second(sense(saved))).slice(8, 20), "8a0a02100040")
    const names = fs.readdirSync(join(folder, "mode-pages"))
    assert.deepEqual(names, [`${NAA}.json`], "no draft is left")
  })

  test("a file nobody understands is passed over, and said so; one nobody can read isn't", async (t) => {
    const folder = scratch(t)
    fs.mkdirSync(join(folder, "mode-pages"))
    const path = join(folder, "mode-pages", `${NAA}.json`)
    for (const text of ["", "[1]", "null", '{"0a/00": 1}', '{"0a/00": "xyz"}']) {
      fs.writeFileSync(path, text)
      const warnings: string[] = []
      const log = { ...silentLog, warn: (_: object, message: string) => warnings.push(message) }
      const { values } = await SavedPagesFile.open(folder, NAA, log)
      assert.deepEqual([values.size, warnings.length], [0, 1], text)
    }
    fs.rmSync(path)
    fs.mkdirSync(path)
    await assert.rejects(SavedPagesFile.open(folder, NAA, silentLog), { code: "ERR_STATE_FOLDER" })
  })

  test("what can't be saved is not said to be", async (t) => {
    const folder = scratch(t)
    const pages = await SavedPagesFile.open(folder, NAA, silentLog)
    fs.writeFileSync(join(folder, "mode-pages"), "in the way")
    await assert.rejects(pages.save(new Map([["0a/00", Uint8Array.of(1)]])), { code: "EEXIST" })
    assert.equal(pages.values.size, 0)
    fs.rmSync(join(folder, "mode-pages"))
    await pages.save(new Map([["0a/00", Uint8Array.of(1)]]))
    assert.deepEqual([...pages.values], [["0a/00", Uint8Array.of(1)]])
  })
})
