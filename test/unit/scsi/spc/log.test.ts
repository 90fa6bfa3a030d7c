import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { checkCondition, good, type TestTask } from "../../../suites/scsi-task.ts"
import { type Bench, BREAK, FAIL, HOLD, makeBench, own } from "../test-unit.ts"

const { illegalRequest, unitAttention } = SenseKey
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"))
const THRESHOLD = 0
const CUMULATIVE = 1
const DEFAULT_THRESHOLD = 2
const DEFAULT_CUMULATIVE = 3

const sense = async ({ run }: Bench, page: number, options: Parameters<typeof cdb.logSense>[2] = {}) =>
  hex(good(await run(cdb.logSense(page, 0xffff, options))))
const select = ({ run }: Bench, list: string, control = CUMULATIVE): Promise<TestTask> => {
  const dataOut = bytesOf(list)
  return run(cdb.logSelect(dataOut.length, { control }), { dataOut })
}
const u64 = (value: number): string => value.toString(16).padStart(16, "0")
/** A page of two bounded counters of eight bytes, as the error counter pages are. */
const errors = (page: number, processed: number, uncorrected: number, control = "20"): string =>
  `${(0x80 | page).toString(16)}000018` +
  `0005${control}08${u64(processed)}` +
  `0006${control}08${u64(uncorrected)}`

describe("LOG SENSE", () => {
  test("lists the pages there are, and their subpages", async () => {
    const bench = makeBench()
    assert.equal(await sense(bench, 0x00), "00000008" + "0002030506" + "0d102f")
    const pairs = "0000" + "00ff" + "02000300050006000d0010002f00"
    assert.equal(await sense(bench, 0x00, { subpage: 0xff }), `40ff0012${pairs}`)
  })

  test("counters begin at 0; their thresholds at the largest value", async () => {
    const bench = makeBench()
    assert.equal(await sense(bench, 0x02), errors(2, 0, 0))
    assert.equal(await sense(bench, 0x02, { control: DEFAULT_CUMULATIVE }), errors(2, 0, 0))
    const largest = `8200001800052008${"ff".repeat(8)}00062008${"ff".repeat(8)}`
    assert.equal(await sense(bench, 0x02, { control: THRESHOLD }), largest)
    assert.equal(await sense(bench, 0x02, { control: DEFAULT_THRESHOLD }), largest)
  })

  test("errors are counted by what failed", async () => {
    const bench = makeBench()
    const { unit, send } = bench
    const quiet = () => {}
    unit.log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
    send(own(FAIL)) // access "write", MEDIUM ERROR
    send(own(BREAK)) // HARDWARE ERROR
    send([0xff]) // the initiator's own fault
    assert.equal(await sense(bench, 0x02), errors(2, 0, 1))
    assert.equal(await sense(bench, 0x03), errors(3, 0, 0))
    assert.equal(await sense(bench, 0x06), `8600000c00002008${u64(1)}`)
  })

  test("no temperature, and no informational exception", async () => {
    const bench = makeBench()
    for (const control of [THRESHOLD, CUMULATIVE, DEFAULT_CUMULATIVE]) {
      assert.equal(await sense(bench, 0x0d, { control }), "8d000006" + "00002302" + "00ff")
      assert.equal(await sense(bench, 0x2f, { control }), "af000008" + "00002304" + "0000ffff")
    }
  })

  test("from a parameter on, and no further than the allocation length", async () => {
    const bench = makeBench()
    bench.unit.counters.readErrors = 7
    assert.equal(await sense(bench, 0x03, { pointer: 6 }), `8300000c00062008${u64(7)}`)
    const short = await bench.run(cdb.logSense(0x03, 6))
    assert.equal(hex(good(short)), "830000180005")
    assert.equal(short.dataInBytes, 6)
    for (const [page, pointer] of [
      [3, 7],
      [0, 1],
      [0x10, 21],
    ] as const) {
      const task = await bench.run(cdb.logSense(page, 64, { pointer }))
      const { detail } = checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(detail.field, { in: "cdb", byte: 5 })
    }
  })

  test("what isn't there is pointed at", async () => {
    const { run } = makeBench()
    const field = async (bytes: Uint8Array | number[]) =>
      checkCondition(await run(bytes), illegalRequest, Asc.invalidFieldInCdb).detail.field
    assert.deepEqual(await field(cdb.logSense(0x3e, 64)), { in: "cdb", byte: 2, bit: 5 })
    assert.deepEqual(await field(cdb.logSense(0x02, 64, { subpage: 1 })), { in: "cdb", byte: 3 })
    assert.deepEqual(await field([0x4d, 1, 0x42, 0, 0, 0, 0, 0, 64, 0]), { in: "cdb", byte: 1, bit: 0 })
  })
})

describe("LOG SELECT without a list", () => {
  async function counted(): Promise<Bench> {
    const bench = makeBench()
    Object.assign(bench.unit.counters, { readErrors: 3, writeErrors: 4, readBytes: 2 ** 40 })
    good(await select(bench, `8200000c00062008${u64(9)}`, THRESHOLD))
    return bench
  }

  test("PCR resets the pages named, and other nexuses are told", async () => {
    const bench = await counted()
    const other = bench.another("other")
    good(await bench.run(cdb.logSelect(0, { page: 2, reset: true })))
    assert.equal(await sense(bench, 0x02), errors(2, 0, 0))
    assert.equal((await sense(bench, 0x02, { control: THRESHOLD })).slice(-16), "ff".repeat(8))
    assert.equal(await sense(bench, 0x03), errors(3, 2 ** 40, 3))
    checkCondition(
      await bench.run(cdb.testUnitReady(), { nexus: other }),
      unitAttention,
      Asc.logParametersChanged,
    )
    good(await bench.run(cdb.testUnitReady()))
    bench.unit.counters.writeErrors++
    assert.equal(await sense(bench, 0x02), errors(2, 0, 1), "it goes on from there")
  })

  test("page 00h is all pages; FFh all subpages", async () => {
    for (const options of [{ page: 0 }, { page: 3, subpage: 0xff }]) {
      const bench = await counted()
      good(await bench.run(cdb.logSelect(0, { ...options, reset: true })))
      assert.equal(await sense(bench, 0x03), errors(3, 0, 0))
    }
  })

  test("PC 10b and 11b bring back default thresholds or cumulative values; 00b and 01b nothing", async () => {
    const bench = await counted()
    for (const control of [THRESHOLD, CUMULATIVE]) good(await bench.run(cdb.logSelect(0, { control })))
    assert.equal(await sense(bench, 0x02), errors(2, 0, 4))
    assert.equal((await sense(bench, 0x02, { control: THRESHOLD })).slice(-16), u64(9))
    good(await bench.run(cdb.logSelect(0, { control: DEFAULT_THRESHOLD })))
    assert.equal((await sense(bench, 0x02, { control: THRESHOLD })).slice(-16), "ff".repeat(8))
    assert.equal(await sense(bench, 0x02), errors(2, 0, 4))
    good(await bench.run(cdb.logSelect(0, { control: DEFAULT_CUMULATIVE })))
    assert.equal(await sense(bench, 0x02), errors(2, 0, 0))
  })

  test("pages that aren't there, and SP, are refused", async () => {
    const { run } = makeBench()
    const refused = async (bytes: Uint8Array | number[]) =>
      checkCondition(await run(bytes), illegalRequest, Asc.invalidFieldInCdb)
    await refused(cdb.logSelect(0, { page: 0x3e, reset: true }))
    await refused(cdb.logSelect(0, { page: 2, subpage: 4 }))
    for (const control of [THRESHOLD, CUMULATIVE]) {
      const { detail } = await refused([0x4c, 1, control << 6, 0, 0, 0, 0, 0, 0, 0])
      assert.deepEqual(detail.field, { in: "cdb", byte: 1, bit: 0 })
    }
    for (const control of [DEFAULT_THRESHOLD, DEFAULT_CUMULATIVE]) {
      good(await run([0x4c, 3, control << 6, 0, 0, 0, 0, 0, 0, 0])) // nothing would be saved anyhow
    }
  })

  test("a logical unit reset brings back all defaults", async () => {
    const bench = await counted()
    good(await select(bench, `8300000c0006a008${u64(3)}`))
    await bench.unit.reset(Asc.busDeviceResetFunction)
    bench.unit.takeUnitAttention(bench.nexus)
    assert.equal(await sense(bench, 0x03), errors(3, 0, 0))
    assert.equal((await sense(bench, 0x02, { control: THRESHOLD })).slice(-16), "ff".repeat(8))
    bench.unit.counters.readErrors++
    assert.equal(await sense(bench, 0x03), errors(3, 0, 1))
  })
})

describe("LOG SELECT with a list", () => {
  test("what LOG SENSE gave can be given back, whatever PC", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    Object.assign(bench.unit.counters, { readErrors: 3, verifiedBytes: 77 })
    for (const control of [0, 1, 2, 3]) {
      let list = ""
      for (const page of [2, 3, 5, 6, 0x0d, 0x10, 0x2f]) list += await sense(bench, page, { control })
      good(await select(bench, list, control))
    }
    good(await bench.run(cdb.testUnitReady(), { nexus: other })) // nothing has changed
    assert.equal(await sense(bench, 0x05), errors(5, 77, 0))
  })

  test("DU stops a counter where it is, and lets it go on from there", async () => {
    const bench = makeBench()
    const { counters } = bench.unit
    counters.readErrors = 3
    good(await select(bench, `8300000c0006a008${u64(3)}`))
    counters.readErrors = 10
    const page = `83000018` + `00052008${u64(0)}` + `0006a008${u64(3)}`
    assert.equal(await sense(bench, 0x03), page)
    const other = await sense(bench, 0x03, { control: THRESHOLD })
    assert.equal(other.slice(32, 40), "00062008", "DU is 0 where thresholds are asked for")
    good(await select(bench, `8300000c00062008${u64(3)}`))
    counters.readErrors = 12
    assert.equal(await sense(bench, 0x03), errors(3, 0, 5))
  })

  test("a counter that stands still can be reset", async () => {
    const bench = makeBench()
    bench.unit.counters.readErrors = 3
    good(await select(bench, `8300000c0006a008${u64(0)}`))
    bench.unit.counters.readErrors = 4
    assert.equal((await sense(bench, 0x03)).slice(-24), `0006a008${u64(0)}`)
  })

  test("bits that mean nothing are passed over: DS of old, TMC of a list", async () => {
    const bench = makeBench()
    good(await select(bench, `8200000c00066008${u64(0)}` + "af00000800006f04" + "0000ffff"))
  })

  test("a whole list is checked before anything is changed", async () => {
    const bench = makeBench()
    bench.unit.counters.writeErrors = 3
    const list = `8200000c00062008${u64(0)}` + `8300000c00062008${u64(1)}`
    const { detail } = checkCondition(
      await select(bench, list),
      illegalRequest,
      Asc.invalidFieldInParameterList,
    )
    assert.deepEqual(detail.field, { in: "parameters", byte: 24 })
    assert.equal(await sense(bench, 0x02), errors(2, 0, 3))
  })

  test("what can't be is pointed at", async () => {
    const bench = makeBench()
    const zero = u64(0)
    const cases: readonly (readonly [list: string, byte: number, bit?: number])[] = [
      [`be00000c00062008${zero}`, 0, 5], // no such page
      [`c203000c00062008${zero}`, 0, 5], // no such subpage
      [`8200000c00072008${zero}`, 4], // no such parameter
      [`8200000c00060008${zero}`, 6, 5], // TSD
      [`8200000c00062108${zero}`, 6, 0], // FORMAT AND LINKING
      ["af00000800001304" + "0000ffff", 6, 5], // TSD and ETC of a list
      ["8200000800062004" + "00000000", 7], // another length
      [`8200000b00062008${zero.slice(2)}`, 2], // PAGE LENGTH cuts it short
      ["8200000200062008" + "82000000", 2],
      [`8200001800062008${zero}00052008${zero}`, 16], // falling parameters
      [`8300000c00062008${zero}8200000c00062008${zero}`, 16, 5], // falling pages
      ["8d00000600002302" + "0010", 8], // a list parameter
      ["af00000800002304" + "5d00ffff", 8],
    ]
    for (const [list, byte, bit] of cases) {
      const task = await select(bench, list)
      const { detail } = checkCondition(task, illegalRequest, Asc.invalidFieldInParameterList)
      const field = { in: "parameters", byte, ...(bit !== undefined && { bit }) }
      assert.deepEqual(detail.field, field, list)
    }
    const nonDefault = await select(bench, `8200000c00062008${u64(1)}`, DEFAULT_CUMULATIVE)
    checkCondition(nonDefault, illegalRequest, Asc.invalidFieldInParameterList)
  })

  test("lists that end too soon", async () => {
    const bench = makeBench()
    for (const list of ["8200", "82000018", `8200001800062008${u64(0)}`]) {
      checkCondition(await select(bench, list), illegalRequest, Asc.parameterListLengthError)
    }
    const huge = await bench.run(cdb.logSelect(0xffff), { dataOut: new Uint8Array(0xffff) })
    checkCondition(huge, illegalRequest, Asc.parameterListLengthError)
  })

  test("PCR and pages in the CDB go with no list", async () => {
    const bench = makeBench()
    const dataOut = new Uint8Array(4)
    for (const options of [{ reset: true }, { page: 2 }, { subpage: 1 }]) {
      const task = await bench.run(cdb.logSelect(4, options), { dataOut })
      checkCondition(task, illegalRequest, Asc.invalidFieldInCdb)
    }
  })

  test("no list does anything but what it may, or fails with sense", async () => {
    const bench = makeBench()
    const list = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map(hex),
      fc
        .record({
          page: fc.constantFrom(2, 3, 5, 6),
          code: fc.constantFrom(0, 5, 6),
          control: fc.constantFrom("20", "a0", "00"),
          value: fc.constantFrom(0, 0, 1, 2 ** 40),
        })
        .map((it) => `8${it.page}00000c000${it.code}${it.control}08${u64(it.value)}`),
    )
    await fc.assert(
      fc.asyncProperty(list, fc.nat(3), async (text, control) => {
        const task = await select(bench, text, control)
        assert.ok(task.status === Status.good || task.sense?.key === illegalRequest)
        assert.equal(task.buffersOut, 0)
        for (const page of [2, 3, 5]) {
          assert.equal((await sense(bench, page, { control: DEFAULT_CUMULATIVE })).length, 56)
        }
      }),
    )
  })

  test("a reservation of another nexus keeps LOG SELECT off, not LOG SENSE", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    good(await bench.run(cdb.reserve6(), { nexus: other }))
    assert.equal((await bench.run(cdb.logSelect(0, { reset: true }))).status, Status.reservationConflict)
    await sense(bench, 0x02)
  })
})

describe("thresholds", () => {
  /** ETC and TMC in the parameter control byte. */
  const compared = (criterion: number): string => (0x30 | (criterion << 2)).toString(16)
  const arm = (bench: Bench, criterion: number, threshold: number): Promise<TestTask> =>
    select(bench, `8300000c0006${compared(criterion)}08${u64(threshold)}`, THRESHOLD)
  const attention = async (bench: Bench): Promise<number | undefined> =>
    (await bench.run(cdb.testUnitReady())).sense?.asc

  async function watched(): Promise<Bench> {
    const bench = makeBench()
    bench.unit.control.reportLogExceptions = true
    return bench
  }

  test("each criterion is met by an update, and by nothing else", async () => {
    for (const [criterion, met] of [
      [0, [1, 2, 3, 4]],
      [1, [2]],
      [2, [1, 3, 4]],
      [3, [3, 4]],
    ] as const) {
      const bench = await watched()
      good(await arm(bench, criterion, 2))
      assert.equal(await attention(bench), undefined)
      for (let value = 1; value <= 4; value++) {
        bench.unit.counters.readErrors = value
        assert.equal(await attention(bench), undefined, "this command notices")
        const told = (met as readonly number[]).includes(value)
        assert.equal(
          await attention(bench),
          told ? Asc.thresholdConditionMet : undefined,
          `${criterion} ${value}`,
        )
        assert.equal(await attention(bench), undefined)
      }
    }
  })

  test("everyone is told, if RLEC says so", async () => {
    const bench = await watched()
    const other = bench.another("other")
    good(await arm(bench, 3, 0))
    bench.unit.takeUnitAttention(other) // LOG PARAMETERS CHANGED
    bench.unit.counters.readErrors++
    good(await bench.run(cdb.testUnitReady()))
    const told = await bench.run(cdb.testUnitReady(), { nexus: other })
    checkCondition(told, unitAttention, Asc.thresholdConditionMet)
    bench.unit.takeUnitAttention(bench.nexus)
    bench.unit.control.reportLogExceptions = false
    bench.unit.counters.readErrors++
    good(await bench.run(cdb.testUnitReady()))
    assert.equal(await attention(bench), undefined)
  })

  test("ETC and TMC are shown with cumulative values and thresholds, and end by a reset", async () => {
    const bench = await watched()
    good(await arm(bench, 2, 9))
    for (const [control, byte] of [
      [CUMULATIVE, "38"],
      [THRESHOLD, "38"],
      [DEFAULT_CUMULATIVE, "20"],
      [DEFAULT_THRESHOLD, "20"],
    ] as const) {
      assert.equal((await sense(bench, 0x03, { control })).slice(36, 38), byte)
    }
    assert.equal(bench.unit.logParameters.comparing, 1)
    good(await select(bench, `8300000c00062008${u64(9)}`, THRESHOLD))
    assert.equal(bench.unit.logParameters.comparing, 0)
    good(await arm(bench, 0, 9))
    await bench.unit.reset(Asc.busDeviceResetFunction)
    assert.equal(bench.unit.logParameters.comparing, 0)
  })

  test("a counter that stands still isn't compared", async () => {
    const bench = await watched()
    good(await select(bench, `8300000c0006b008${u64(0)}`))
    bench.unit.counters.readErrors = 5
    for (let i = 0; i < 2; i++) assert.equal(await attention(bench), undefined)
  })

  test("an unbounded counter, or a list, can't be compared", async () => {
    const bench = await watched()
    const list = await select(bench, "af00000800003304" + "0000ffff")
    checkCondition(list, illegalRequest, Asc.invalidFieldInParameterList)
  })
})

describe("the counters of errors", () => {
  test("an aborted command counts where it was neither the initiator's doing nor the medium's", async () => {
    const bench = makeBench()
    const task = bench.send(own(HOLD))
    bench.unit.held[0]!.fail(new SenseError(SenseKey.abortedCommand, Asc.protocolServiceCrcError, "as told"))
    await task.ended
    assert.equal((await sense(bench, 0x06)).slice(-16), u64(1))
  })
})
