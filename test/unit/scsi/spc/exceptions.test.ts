import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { type Bench, makeBench } from "../test-unit.ts"

const { noSense, mediumError, unitAttention } = SenseKey
const FAILED = Asc.warningBackgroundSelfTestFailed
const FALSE = Asc.failurePredictionThresholdExceededFalse
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Of log page 2Fh. */
async function pending({ run }: Bench): Promise<number> {
  const data = good(await run(cdb.logSense(0x2f, 64)))
  return (data[8]! << 8) | data[9]!
}

/** As REQUEST SENSE has it: sense key and additional sense code. */
async function told({ run }: Bench): Promise<[key: number, asc: number]> {
  const data = good(await run(cdb.requestSense(18)))
  return [data[2]!, (data[12]! << 8) | data[13]!]
}

async function select({ run }: Bench, flags: number, method: number): Promise<void> {
  const dataOut = new Uint8Array(16)
  dataOut.set([0x1c, 0x0a, flags, method], 4)
  good(await run(cdb.modeSelect6(16), { dataOut }))
}

async function failSelfTest({ run, unit }: Bench): Promise<void> {
  unit.selfTest = () => {
    throw new SenseError(mediumError, Asc.unrecoveredReadError, "as told")
  }
  good(await run(cdb.backgroundSelfTest(1)))
  await turn()
}

describe("informational exceptions", () => {
  test("a self-test that failed in the background is one until another passes", async () => {
    const bench = makeBench()
    assert.deepEqual([await pending(bench), await told(bench)], [0, [noSense, 0]])
    await failSelfTest(bench)
    assert.deepEqual([await pending(bench), await told(bench)], [FAILED, [noSense, FAILED]])
    good(await bench.run(cdb.testUnitReady()))
    bench.unit.selfTest = () => {}
    good(await bench.run(cdb.selfTest())) // not in the background
    assert.equal(await pending(bench), FAILED)
    good(await bench.run(cdb.backgroundSelfTest(1)))
    await turn()
    assert.deepEqual([await pending(bench), await told(bench)], [0, [noSense, 0]])
  })

  test("EBACKERR 0 keeps it quiet, DEXCPT doesn't: it is no prediction", async () => {
    const bench = makeBench()
    await failSelfTest(bench)
    for (const [flags, asc] of [
      [0x00, 0],
      [0x08, 0],
      [0x0a, FAILED],
      [0x02, FAILED],
    ] as const) {
      await select(bench, flags, 6)
      assert.deepEqual([await pending(bench), await told(bench)], [asc, [noSense, asc]])
    }
  })

  test("LOG SELECT with PCR makes it forgotten, not the next one", async () => {
    const bench = makeBench()
    await failSelfTest(bench)
    good(await bench.run(cdb.logSelect(0, { page: 0x2f, reset: true })))
    assert.deepEqual([await pending(bench), await told(bench)], [0, [noSense, 0]])
    await failSelfTest(bench)
    assert.equal(await pending(bench), FAILED)
  })

  test("MRIE 2h: a unit attention for everyone", async () => {
    const bench = makeBench()
    const other = bench.another("other")
    await select(bench, 0x02, 2)
    bench.unit.takeUnitAttention(other) // MODE PARAMETERS CHANGED
    await failSelfTest(bench)
    for (const nexus of [bench.nexus, other]) {
      checkCondition(await bench.run(cdb.testUnitReady(), { nexus }), unitAttention, FAILED)
      good(await bench.run(cdb.testUnitReady(), { nexus }))
    }
    assert.deepEqual([await pending(bench), await told(bench)], [FAILED, [noSense, 0]])
  })

  test("MRIE 0h: in the log only", async () => {
    const bench = makeBench()
    await select(bench, 0x02, 0)
    await failSelfTest(bench)
    assert.deepEqual([await pending(bench), await told(bench)], [FAILED, [noSense, 0]])
  })

  test("TEST makes a false one, as long as it is set", async () => {
    const bench = makeBench()
    await select(bench, 0x06, 2)
    checkCondition(await bench.run(cdb.testUnitReady()), unitAttention, FALSE)
    assert.equal(await pending(bench), FALSE)
    await select(bench, 0x06, 6)
    assert.deepEqual(await told(bench), [noSense, FALSE])
    await select(bench, 0x02, 6)
    assert.deepEqual(await told(bench), [noSense, 0])
  })

  test("a reset brings back the defaults", async () => {
    const bench = makeBench()
    await select(bench, 0x06, 2)
    await bench.unit.reset(Asc.busDeviceResetFunction)
    bench.unit.takeUnitAttention(bench.nexus)
    bench.unit.takeUnitAttention(bench.nexus)
    const page = good(await bench.run(cdb.modeSense6(0x1c, 255)))
    assert.deepEqual([...page.subarray(4, 8)], [0x1c, 0x0a, 0x02, 0x06])
  })
})
