import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { damagedPages } from "../../../../src/scsi/sam/saved-pages.ts"
import { type UnitRecordName, VolatileRecords } from "../../../../src/scsi/sam/unit-records.ts"
import { type Bench, FAIL, makeBench, own } from "../test-unit.ts"

const { illegalRequest, unitAttention } = SenseKey
const { current, changeable, default: defaults, saved } = cdb.PageControl
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))

const CONTROL = "0a0a" + "0210" + "0000" + "0000ffff" + "0000"
const EXTENSION = "4a01001c" + "0100" + "00" + "00".repeat(25)
const EXCEPTIONS = "1c0a" + "0206" + "0000000000000000"
const WIDGET = "6a050004" + "11220000"

describe("MODE SENSE", () => {
  test("(6) and (10) with one page", async () => {
    const { run } = makeBench()
    assert.equal(hex(good(await run(cdb.modeSense6(0x0a, 255)))), `0f000000${CONTROL}`)
    assert.equal(hex(good(await run(cdb.modeSense10(0x0a, 255)))), `0012000000000000${CONTROL}`)
  })

  test("all pages, with and without subpages", async () => {
    const { run } = makeBench()
    assert.equal(hex(good(await run(cdb.modeSense6(0x3f, 255)))).slice(8), CONTROL + EXCEPTIONS)
    const all = await run(cdb.modeSense6(0x3f, 255, { subpage: 0xff }))
    assert.equal(hex(good(all)).slice(8), CONTROL + EXTENSION + EXCEPTIONS + WIDGET)
    assert.equal(hex(good(await run(cdb.modeSense6(0x2a, 255, { subpage: 0x05 })))).slice(8), WIDGET)
    assert.equal(hex(good(await run(cdb.modeSense6(0x2a, 255, { subpage: 0xff })))).slice(8), WIDGET)
  })

  test("changeable, default and saved values", async () => {
    const { run, unit } = makeBench()
    unit.control.descriptorSense = true
    const page = async (control: cdb.PageControl) =>
      hex(good(await run(cdb.modeSense6(0x0a, 255, { control })))).slice(8)
    assert.equal(await page(current), CONTROL.replace("0210", "0610"))
    assert.equal(await page(changeable), "0a0a" + "3516" + "3840" + "000000000000")
    assert.equal(await page(defaults), CONTROL)
    const exceptions = await run(cdb.modeSense6(0x1c, 255, { control: changeable }))
    assert.equal(hex(good(exceptions)).slice(8), "1c0a" + "0e06" + "00".repeat(8))
    checkCondition(
      await run(cdb.modeSense6(0x0a, 255, { control: saved })),
      illegalRequest,
      Asc.savingParametersNotSupported,
    )
  })

  test("the block descriptor and the device-specific parameter are the device type's", async () => {
    const { run, unit } = makeBench()
    unit.deviceSpecificParameter = () => 0x90
    unit.modeBlockDescriptor = (long) => new Uint8Array(long ? 16 : 8).fill(0xbd)
    assert.equal(hex(good(await run(cdb.modeSense6(0x0a, 12)))), "17009008" + "bd".repeat(8))
    const without = cdb.modeSense6(0x0a, 4, { withoutBlockDescriptors: true })
    assert.equal(hex(good(await run(without))), "0f009000")
    assert.equal(hex(good(await run(cdb.modeSense10(0x0a, 8)))), "001a009000000008")
    assert.equal(hex(good(await run(cdb.modeSense10(0x0a, 9, { longLba: true })))), "0022009001000010" + "bd")
  })

  test("pages and subpages that aren't there are pointed at", async () => {
    const { run } = makeBench()
    const field = async (page: number, subpage: number) => {
      const task = await run(cdb.modeSense6(page, 255, { subpage }))
      return checkCondition(task, illegalRequest, Asc.invalidFieldInCdb).detail.field
    }
    assert.deepEqual(await field(0x11, 0), { in: "cdb", byte: 2, bit: 5 })
    assert.deepEqual(await field(0x0a, 7), { in: "cdb", byte: 3 })
    assert.deepEqual(await field(0x3f, 7), { in: "cdb", byte: 3 })
  })

  test("MODE SENSE (6) that can't hold the answer is refused", async () => {
    const { run, unit } = makeBench()
    unit.modeBlockDescriptor = () => new Uint8Array(248)
    checkCondition(await run(cdb.modeSense6(0x0a, 255)), illegalRequest, Asc.invalidFieldInCdb)
    good(await run(cdb.modeSense10(0x0a, 255)))
  })
})

const select6 = (bench: Bench, list: Uint8Array, length = list.length) =>
  bench.run(cdb.modeSelect6(length), { dataOut: list })
const select10 = (bench: Bench, list: Uint8Array) =>
  bench.run(cdb.modeSelect10(list.length), { dataOut: list })

/** Records in memory. */
class Records extends VolatileRecords {
  fails = false

  override async put(name: UnitRecordName, value: Uint8Array | undefined): Promise<void> {
    if (this.fails) throw new Error("no room")
    await super.put(name, value)
  }

  /** As a former release may have left them, or a fault of the store. */
  async leave(pages: unknown): Promise<void> {
    await this.put("mode-pages", new TextEncoder().encode(JSON.stringify(pages)))
  }
}

describe("the Control Extension mode page", () => {
  const selectBytes = (bench: Bench, limit: number) =>
    select6(
      bench,
      bytesOf("00000000" + EXTENSION.replace("010000", `0100${limit.toString(16).padStart(2, "0")}`)),
    )
  const fail = (bench: Bench) => bench.run(own(FAIL))

  test("limits the sense data that comes with a status, in both formats", async () => {
    const bench = makeBench()
    assert.equal((await fail(bench)).senseData!.length, 18)
    good(await selectBytes(bench, 18))
    assert.equal((await fail(bench)).senseData!.length, 18)
    bench.unit.control.descriptorSense = true
    const cut = (await fail(bench)).senseData!
    assert.equal(hex(cut), "7203110080000000", "INFORMATION had no room, and SDAT_OVFL says so")
    good(await selectBytes(bench, 20))
    assert.equal((await fail(bench)).senseData!.length, 20)
    good(await selectBytes(bench, 0))
    assert.equal((await fail(bench)).senseData!.length, 20)
  })

  test("leaves REQUEST SENSE alone, and is reset", async () => {
    const bench = makeBench()
    good(await selectBytes(bench, 18))
    bench.unit.establishUnitAttentionFor(bench.nexus, Asc.busDeviceResetFunction)
    assert.equal(good(await bench.run(cdb.requestSense(252))).length, 18)
    await bench.unit.reset(Asc.busDeviceResetFunction)
    assert.equal(bench.unit.control.senseBytesMax, 0)
  })

  test("refuses limits below a sense key and its code, and what there is none of", async () => {
    const bench = makeBench()
    for (const limit of [1, 8, 17]) {
      const task = await selectBytes(bench, limit)
      const { detail } = checkCondition(task, illegalRequest, Asc.invalidFieldInParameterList)
      assert.deepEqual(detail.field, { in: "parameters", byte: 10 })
    }
    for (const [from, to] of [
      ["0100", "0000"],
      ["0100", "0300"],
      ["0100", "0500"],
      ["0100", "0107"],
    ] as const) {
      const list = bytesOf("00000000" + EXTENSION.replace(from, to))
      checkCondition(await select6(bench, list), illegalRequest, Asc.invalidFieldInParameterList)
    }
  })
})

describe("saved mode pages", () => {
  const make = (): {
    bench: Bench
    records: Records
    page: (control: cdb.PageControl) => Promise<string>
  } => {
    const records = new Records()
    const bench = makeBench()
    Object.defineProperty(bench.unit, "records", { value: records })
    const page = async (control: cdb.PageControl) =>
      hex(good(await bench.run(cdb.modeSense6(0x3f, 255, { control, subpage: 0xff })))).slice(8)
    return { bench, records, page }
  }
  const save = (bench: Bench, list: Uint8Array) =>
    bench.run(cdb.modeSelect6(list.length, true), { dataOut: list })

  test("PS stands on the pages that can be saved, and SP saves them all", async () => {
    const { bench, page } = make()
    const pages = [CONTROL, EXTENSION, EXCEPTIONS, WIDGET]
    const before = pages.map((row) => hex(bytesOf(row).map((byte, i) => byte | (i ? 0 : 0x80)))).join("")
    assert.equal(await page(current), before)
    assert.equal(await page(saved), before, "none saved: the defaults")
    good(await select6(bench, bytesOf("00000000" + CONTROL.replace("0210", "0610"))))
    good(await save(bench, bytesOf("00000000" + "6a050004" + "11770000")))
    const after = before.replace("0210", "0610").replace("1122", "1177")
    assert.equal(await page(saved), after)
    assert.equal(await page(current), after)
  })

  test("a reset brings back the saved values, not the defaults", async () => {
    const { bench, page } = make()
    good(await save(bench, bytesOf("00000000" + CONTROL.replace("0210", "2210"))))
    good(await select6(bench, bytesOf("00000000" + CONTROL.replace("0210", "0610"))))
    await bench.unit.reset(Asc.busDeviceResetFunction)
    bench.unit.takeUnitAttention(bench.nexus)
    assert.equal((await page(current)).slice(0, 8), "8a0a2210")
    assert.equal((await page(defaults)).slice(0, 8), "8a0a0210")
    assert.equal(bench.unit.control.separateTaskSets, true)
  })

  test("without a list SP saves what is current; what wasn't saved isn't said to be", async () => {
    const { bench, records, page } = make()
    bench.unit.control.descriptorSense = true
    records.fails = true
    checkCondition(await save(bench, new Uint8Array(0)), SenseKey.hardwareError, Asc.internalTargetFailure)
    assert.equal((await page(saved)).slice(0, 8), "8a0a0210")
    records.fails = false
    good(await save(bench, new Uint8Array(0)))
    assert.equal((await page(saved)).slice(0, 8), "8a0a0610")
  })

  test("bits another release could change count for nothing", async () => {
    const { records, page } = make()
    await records.leave({ "0a/00": "ffff0840ffffffffffff", "2a/05": "1122" })
    assert.equal((await page(saved)).slice(0, 24), "8a0a371608400000ffff0000")
  })

  test("what was saved but can't be read is write protection, by software, until something else is saved", async () => {
    const protectedPage = "8a0a" + "0210" + "0800" + "0000ffff0000"
    const { bench, records, page } = make()
    const damaged: unknown[] = ["", [1], null, { "0a/00": 1 }, { "0a/00": "xyz" }, { "0a/00": null }]
    damaged.push({ "0a/00": "021410000000ffff0000" }) // QERR 10b is reserved
    for (const left of damaged) {
      await records.leave(left)
      assert.equal((await page(saved)).slice(0, 24), protectedPage, JSON.stringify(left))
      await bench.unit.reset(Asc.busDeviceResetFunction)
      bench.unit.takeUnitAttention(bench.nexus)
      assert.equal((await page(current)).slice(0, 24), protectedPage)
      assert.equal(damagedPages(bench.unit).includes("0a/00"), true)
    }
    await records.put("mode-pages", Uint8Array.of(0x7b, 0xff))
    assert.equal((await page(saved)).slice(0, 24), protectedPage)
    assert.deepEqual(damagedPages(bench.unit), ["0a/00", "0a/01", "1c/00", "2a/05"])
    good(await save(bench, bytesOf("00000000" + CONTROL)))
    assert.equal((await page(saved)).slice(0, 24), "8a" + CONTROL.slice(2))
    assert.deepEqual(damagedPages(bench.unit), [])
  })

  test("a page that was never saved isn't damaged", async () => {
    const { bench, records, page } = make()
    await records.leave({ "2a/05": "11770000" })
    assert.equal((await page(saved)).slice(0, 24), "8a" + CONTROL.slice(2))
    assert.deepEqual(damagedPages(bench.unit), [])
  })
})

describe("MODE SELECT", () => {
  test("what MODE SENSE gave can be given back", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    const list = good(await bench.run(cdb.modeSense6(0x3f, 255, { subpage: 0xff })))
    good(await select6(bench, list))
    const long = good(await bench.run(cdb.modeSense10(0x3f, 255, { subpage: 0xff })))
    good(await select10(bench, long))
    good(await bench.run(cdb.testUnitReady(), { nexus: other })) // nothing has changed
  })

  test("D_SENSE, SWP and TAS take effect; other nexuses are told", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    const list = bytesOf("00000000" + "0a0a 0610 0840 0000ffff 0000".replaceAll(" ", ""))
    good(await select6(bench, list))
    const { control } = bench.unit
    assert.equal(control.descriptorSense && control.softwareWriteProtect && control.taskAbortedStatus, true)
    assert.equal(bench.send([0xff]).senseData?.[0], 0x72)
    const told = await bench.run(cdb.testUnitReady(), { nexus: other })
    checkCondition(told, unitAttention, Asc.modeParametersChanged)
    good(await bench.run(cdb.testUnitReady()))
  })

  test("a subpage, long header", async () => {
    const bench = makeBench()
    good(await select10(bench, bytesOf("0000000000000000" + "6a050004" + "11770000")))
    assert.equal(bench.unit.widget, 0x77)
  })

  test("a bit that can't be changed spoils the whole list", async () => {
    const bench = makeBench()
    const list = bytesOf("00000000" + CONTROL.replace("0210", "0610") + "6a050004" + "13770000")
    const sense = checkCondition(await select6(bench, list), illegalRequest, Asc.invalidFieldInParameterList)
    assert.deepEqual(sense.detail.field, { in: "parameters", byte: 4 + 12 + 4, bit: 1 })
    assert.equal(bench.unit.control.descriptorSense, false)
  })

  test("lists that don't add up", async () => {
    const bench = makeBench()
    const cases: readonly (readonly [list: string, asc: number])[] = [
      ["000000", Asc.parameterListLengthError], // within the header
      ["00000008 00000000", Asc.parameterListLengthError], // within the block descriptor
      ["00000007 00000000000000", Asc.invalidFieldInParameterList], // no length of a block descriptor
      [`00000000 ${CONTROL.slice(0, 20)}`, Asc.parameterListLengthError], // within a page
      ["00000000 0a", Asc.parameterListLengthError], // within a page's header
      ["00000000 0a0b 0210000000 00ffff0000 00", Asc.invalidFieldInParameterList], // another length
      ["00000000 110a 00000000000000000000", Asc.invalidFieldInParameterList], // no such page
      ["00000000 2a04 11220000", Asc.invalidFieldInParameterList], // a subpage without its format
    ]
    for (const [list, asc] of cases) checkCondition(await select6(bench, bytesOf(list)), illegalRequest, asc)
    const short = await select6(bench, bytesOf("00000000"), 40)
    checkCondition(short, illegalRequest, Asc.parameterListLengthError)
    const huge = await bench.run(cdb.modeSelect10(0xffff), { dataOut: new Uint8Array(0xffff) })
    checkCondition(huge, illegalRequest, Asc.parameterListLengthError)
  })

  test("nothing to select is no error; SP and a list without PF are", async () => {
    const bench = makeBench()
    good(await select6(bench, new Uint8Array(0)))
    const saving = await bench.run(cdb.modeSelect6(4, true), { dataOut: new Uint8Array(4) })
    const sense = checkCondition(saving, illegalRequest, Asc.invalidFieldInCdb)
    assert.deepEqual(sense.detail.field, { in: "cdb", byte: 1, bit: 0 })
    checkCondition(await bench.run([0x15, 0, 0, 0, 0, 0]), illegalRequest, Asc.invalidFieldInCdb)
  })

  test("reserved values of QERR and UA_INTLCK_CTRL are pointed at", async () => {
    const bench = makeBench()
    for (const [page, byte, bit] of [
      ["0a0a 0214 0000 0000ffff 0000", 7, 2],
      ["0a0a 0210 1000 0000ffff 0000", 8, 5],
      ["0a0a 4210 0000 0000ffff 0000", 6, 6], // TST 010b
      ["1c0a 0204 0000 00000000 0000", 7, 3], // MRIE 4h
      ["1c0a 0e06 0000 00000000 0000", 6, 2], // TEST with DEXCPT
      ["0a0a 0220 0000 0000ffff 0000", 7, 5], // QUEUE ALGORITHM MODIFIER 2h
    ] as const) {
      const task = await select6(bench, bytesOf(`00000000${page}`))
      const sense = checkCondition(task, illegalRequest, Asc.invalidFieldInParameterList)
      assert.deepEqual(sense.detail.field, { in: "parameters", byte, bit })
    }
  })

  test("the block descriptor goes to the device type", async () => {
    const bench = makeBench()
    const seen: [string, boolean][] = []
    bench.unit.selectBlockDescriptor = (descriptor, long) => {
      seen.push([hex(descriptor), long])
    }
    good(await select6(bench, bytesOf("00000008 0000000000000200")))
    good(await select10(bench, bytesOf("0000000001000010 00000000000000000000000000000200")))
    assert.deepEqual(seen, [
      ["0000000000000200", false],
      ["00000000000000000000000000000200", true],
    ])
  })

  test("no list does anything but change changeable bits or fail with sense", async () => {
    const bench = makeBench()
    const list = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc
        .tuple(fc.constantFrom(CONTROL, EXTENSION, EXCEPTIONS, WIDGET), fc.uint8Array({ maxLength: 8 }))
        .map(([page, rest]) => Uint8Array.of(0, 0, 0, 0, ...bytesOf(page), ...rest)),
    )
    await fc.assert(
      fc.asyncProperty(list, fc.boolean(), async (bytes, long) => {
        const task = long ? await select10(bench, bytes) : await select6(bench, bytes)
        assert.ok(task.status === Status.good || task.sense?.key === illegalRequest)
        assert.equal(task.buffersOut, 0)
        const after = good(await bench.run(cdb.modeSense6(0x3f, 255, { subpage: 0xff })))
        assert.equal(after.length, 4 + 12 + 32 + 12 + 8)
      }),
    )
  })
})
