import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { type Bench, makeBench } from "../test-unit.ts"

const { illegalRequest, unitAttention } = SenseKey
const { current, changeable, default: defaults, saved } = cdb.PageControl
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))

const CONTROL = "0a0a" + "0210" + "0000" + "0000ffff" + "0000"
const EXCEPTIONS = "1c0a" + "0800" + "0000000000000000"
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
    assert.equal(hex(good(all)).slice(8), CONTROL + EXCEPTIONS + WIDGET)
    assert.equal(hex(good(await run(cdb.modeSense6(0x2a, 255, { subpage: 0x05 })))).slice(8), WIDGET)
    assert.equal(hex(good(await run(cdb.modeSense6(0x2a, 255, { subpage: 0xff })))).slice(8), WIDGET)
  })

  test("changeable, default and saved values", async () => {
    const { run, unit } = makeBench()
    unit.control.descriptorSense = true
    const page = async (control: cdb.PageControl) =>
      hex(good(await run(cdb.modeSense6(0x0a, 255, { control })))).slice(8)
    assert.equal(await page(current), CONTROL.replace("0210", "0610"))
    assert.equal(await page(changeable), "0a0a" + "3416" + "3840" + "000000000000")
    assert.equal(await page(defaults), CONTROL)
    const fixed = await run(cdb.modeSense6(0x1c, 255, { control: changeable }))
    assert.equal(hex(good(fixed)).slice(8), "1c0a" + "00".repeat(10))
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
        .tuple(fc.constantFrom(CONTROL, EXCEPTIONS, WIDGET), fc.uint8Array({ maxLength: 8 }))
        .map(([page, rest]) => Uint8Array.of(0, 0, 0, 0, ...bytesOf(page), ...rest)),
    )
    await fc.assert(
      fc.asyncProperty(list, fc.boolean(), async (bytes, long) => {
        const task = long ? await select10(bench, bytes) : await select6(bench, bytes)
        assert.ok(task.status === Status.good || task.sense?.key === illegalRequest)
        assert.equal(task.buffersOut, 0)
        const after = good(await bench.run(cdb.modeSense6(0x3f, 255, { subpage: 0xff })))
        assert.equal(after.length, 4 + 12 + 12 + 8)
      }),
    )
  })
})
