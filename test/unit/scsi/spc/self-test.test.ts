import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../../src/scsi/cdb/index.ts"
import type { SelfTestRun } from "../../../../src/scsi/sam/self-tests.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import { checkCondition, good } from "../../../suites/scsi-task.ts"
import { type Bench, makeBench } from "../test-unit.ts"

const { illegalRequest, notReady, hardwareError, mediumError } = SenseKey
const HOUR_MS = 3_600_000
const UNUSED = "00".repeat(16)
const NO_ADDRESS = "ff".repeat(8)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** The values of the first results of log page 10h; of the others it checks that they are as they must be. */
async function results({ run }: Bench, count: number): Promise<string[]> {
  const page = good(await run(cdb.logSense(0x10, 1024)))
  assert.equal(hex(page.subarray(0, 4)), "90000190")
  const values = Array.from({ length: 20 }, (_, i) => {
    const parameter = hex(page.subarray(4 + 20 * i, 24 + 20 * i))
    assert.equal(parameter.slice(0, 8), `00${(i + 1).toString(16).padStart(2, "0")}2310`)
    return parameter.slice(8)
  })
  assert.deepEqual(values.slice(count), new Array(20 - count).fill(UNUSED))
  return values.slice(0, count)
}

/** A test that lasts until it is told to end. */
class Test {
  run: SelfTestRun | undefined
  end!: (error?: Error) => void
  readonly cancelled: SelfTestRun[] = []

  constructor({ unit }: Bench) {
    unit.selfTest = (run?: SelfTestRun) => {
      this.run = run
      return new Promise((resolve, reject) => {
        this.end = (error) => (error ? reject(error) : resolve())
      })
    }
    Object.defineProperty(unit, "cancelSelfTest", { value: (run: SelfTestRun) => this.cancelled.push(run) })
  }

  async ended(error?: Error): Promise<void> {
    this.end(error)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe("SEND DIAGNOSTIC", () => {
  test("the default self-test is waited for, and its result remembered", async () => {
    const bench = makeBench()
    assert.deepEqual(await results(bench, 0), [])
    good(await bench.run(cdb.selfTest()))
    assert.equal(bench.unit.testsRun, 1)
    assert.deepEqual(await results(bench, 1), [`00000001${NO_ADDRESS}00000000`])
  })

  test("a default self-test that fails is HARDWARE ERROR; what failed is in the log", async () => {
    const bench = makeBench()
    const why = new SenseError(mediumError, Asc.unrecoveredReadError, "a bad block", { information: 0x1234 })
    bench.unit.selfTest = () => {
      throw why
    }
    checkCondition(await bench.run(cdb.selfTest()), hardwareError, Asc.logicalUnitFailedSelfTest)
    assert.deepEqual(await results(bench, 1), ["04000001" + "0000000000001234" + "03110000"])
  })

  test("nothing is tested when nothing is asked for", async () => {
    const bench = makeBench()
    good(await bench.run([0x1d, 0, 0, 0, 0, 0]))
    good(await bench.run([0x1d, 0x10, 0, 0, 0, 0]))
    assert.deepEqual(await results(bench, 0), [])
  })

  test("what isn't known is refused", async () => {
    const { run } = makeBench()
    for (const byte of [0x60, 0xe0, 0x24, 0xa4]) {
      const sense = checkCondition(await run([0x1d, byte, 0, 0, 0, 0]), illegalRequest, Asc.invalidFieldInCdb)
      assert.deepEqual(sense.detail.field, { in: "cdb", byte: 1, bit: 7 })
    }
    checkCondition(await run([0x1d, 0x10, 0, 0, 4, 0]), illegalRequest, Asc.invalidFieldInCdb)
  })
})

describe("a self-test in the foreground", () => {
  test("is waited for, and its result is in the log when the command ends", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    for (const [code, extended] of [
      [5, false],
      [6, true],
    ] as const) {
      const task = bench.send(cdb.foregroundSelfTest(code))
      assert.equal(subject.run!.extended, extended)
      assert.equal(task.state, "executing")
      await subject.ended()
      good(await task.ended)
    }
    assert.deepEqual(await results(bench, 2), [
      `c0000001${NO_ADDRESS}00000000`,
      `a0000001${NO_ADDRESS}00000000`,
    ])
  })

  test("one that fails is HARDWARE ERROR, and no informational exception", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    const task = bench.send(cdb.foregroundSelfTest(6))
    await subject.ended(new SenseError(mediumError, Asc.unrecoveredReadError, "bad", { information: 9 }))
    checkCondition(await task.ended, hardwareError, Asc.logicalUnitFailedSelfTest)
    assert.deepEqual(await results(bench, 1), ["c4000001" + "0000000000000009" + "03110000"])
    assert.equal(good(await bench.run(cdb.requestSense(18)))[2], SenseKey.noSense)
  })

  test("commands meanwhile are NOT READY, but for INQUIRY, REPORT LUNS and REQUEST SENSE", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    const task = bench.send(cdb.foregroundSelfTest(6))
    subject.run!.progress = 0.25
    for (const other of [
      cdb.testUnitReady(),
      cdb.logSense(0x10, 64),
      cdb.selfTest(),
      cdb.foregroundSelfTest(5),
      cdb.backgroundSelfTest(1),
      cdb.backgroundSelfTest(4),
    ]) {
      const sense = checkCondition(await bench.run(other), notReady, Asc.selfTestInProgress)
      assert.equal(sense.detail.progress, 0x4000)
    }
    good(await bench.run(cdb.inquiry(36)))
    good(await bench.run(cdb.reportLuns(64)))
    assert.equal(hex(good(await bench.run(cdb.requestSense(18)))).slice(24, 28), "0409")
    await subject.ended()
    good(await task.ended)
    good(await bench.run(cdb.testUnitReady()))
    assert.equal(good(await bench.run(cdb.requestSense(18)))[2], SenseKey.noSense)
  })

  test("ends with its command: ABORT TASK, a reset, the loss of the nexus", async () => {
    const bench = makeBench()
    const { target, unit, nexus, another } = bench
    const gone = another("gone")
    const ends: [() => unknown, typeof nexus][] = [
      [() => unit.abortTasks(unit.tasksOf(nexus)), nexus],
      [() => unit.reset(Asc.busDeviceResetFunction), nexus],
      [() => target.detachNexus(gone), gone],
    ]
    const subject = new Test(bench)
    for (const [end, from] of ends) {
      unit.takeUnitAttention(from)
      bench.send(cdb.foregroundSelfTest(6), { nexus: from })
      const run = subject.run!
      const ended = end()
      assert.deepEqual(subject.cancelled.splice(0), [run])
      assert.equal(run.aborted, true)
      await subject.ended(new Error("cancelled"))
      await ended
      unit.takeUnitAttention(nexus)
      good(await bench.run(cdb.testUnitReady()))
    }
    assert.deepEqual(await results(bench, 3), new Array(3).fill(`c2000001${NO_ADDRESS}00000000`))
  })

  test("goes with what restricts commands already", async () => {
    const bench = makeBench()
    const before = { sense: undefined, check: () => {} }
    bench.unit.restriction = before
    const subject = new Test(bench)
    const task = bench.send(cdb.foregroundSelfTest(5))
    checkCondition(await bench.run(cdb.testUnitReady()), notReady, Asc.selfTestInProgress)
    await subject.ended()
    good(await task.ended)
    assert.equal(bench.unit.restriction, before)
  })
})

describe("a self-test in the background", () => {
  test("goes on after its command has ended; REQUEST SENSE tells how far it is", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    good(await bench.run(cdb.backgroundSelfTest(2)))
    assert.equal(subject.run!.extended, true)
    assert.deepEqual(await results(bench, 1), [`4f000000${NO_ADDRESS}00000000`])
    subject.run!.progress = 0.5
    const sense = hex(good(await bench.run(cdb.requestSense(18))))
    assert.equal(sense, "700002000000000a00000000" + "0409" + "00" + "808000")
    good(await bench.run(cdb.testUnitReady()))
    await bench.clock.advance(2 * HOUR_MS)
    await subject.ended()
    assert.deepEqual(await results(bench, 1), [`40000003${NO_ADDRESS}00000000`])
    assert.equal(good(await bench.run(cdb.requestSense(18)))[2], SenseKey.noSense)
  })

  test("is alone: another is refused", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    good(await bench.run(cdb.backgroundSelfTest(1)))
    assert.equal(subject.run!.extended, false)
    for (const again of [cdb.backgroundSelfTest(1), cdb.backgroundSelfTest(2), cdb.selfTest()]) {
      const sense = checkCondition(await bench.run(again), notReady, Asc.selfTestInProgress)
      assert.equal(sense.detail.progress, 0)
    }
    await subject.ended()
    good(await bench.run(cdb.backgroundSelfTest(1)))
    await subject.ended()
  })

  test("is aborted by SEND DIAGNOSTIC, and by a reset", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    checkCondition(await bench.run(cdb.backgroundSelfTest(4)), illegalRequest, Asc.invalidFieldInCdb)
    good(await bench.run(cdb.backgroundSelfTest(1)))
    const first = subject.run!
    good(await bench.run(cdb.backgroundSelfTest(4)))
    assert.deepEqual(subject.cancelled, [first])
    assert.equal(first.aborted, true)
    good(await bench.run(cdb.backgroundSelfTest(2)))
    await bench.unit.reset(Asc.busDeviceResetFunction)
    bench.unit.takeUnitAttention(bench.nexus)
    await subject.ended(new Error("cancelled"))
    assert.deepEqual(await results(bench, 2), [
      `42000001${NO_ADDRESS}00000000`,
      `21000001${NO_ADDRESS}00000000`,
    ])
  })

  test("what it finds, and what keeps it from finding anything, is in the log only", async () => {
    const bench = makeBench()
    const subject = new Test(bench)
    good(await bench.run(cdb.backgroundSelfTest(1)))
    await subject.ended(new SenseError(mediumError, Asc.unrecoveredReadError, "bad", { information: 9 }))
    good(await bench.run(cdb.backgroundSelfTest(1)))
    await subject.ended(new TypeError("a bug"))
    assert.deepEqual(await results(bench, 2), [
      `23000001${NO_ADDRESS}00000000`,
      "24000001" + "0000000000000009" + "03110000",
    ])
  })

  test("LOG SELECT with PCR forgets results, but not the test that runs", async () => {
    const bench = makeBench()
    good(await bench.run(cdb.selfTest()))
    const subject = new Test(bench)
    good(await bench.run(cdb.backgroundSelfTest(1)))
    good(await bench.run(cdb.logSelect(0, { reset: true })))
    assert.deepEqual(await results(bench, 1), [`2f000000${NO_ADDRESS}00000000`])
    await subject.ended()
    assert.deepEqual(await results(bench, 1), [`20000001${NO_ADDRESS}00000000`])
  })

  test("twenty results are remembered, the newest first", async () => {
    const bench = makeBench()
    for (let i = 0; i < 25; i++) {
      await bench.clock.advance(HOUR_MS)
      good(await bench.run(cdb.selfTest()))
    }
    const hours = (await results(bench, 20)).map((value) => Number.parseInt(value.slice(4, 8), 16))
    assert.deepEqual(
      hours,
      Array.from({ length: 20 }, (_, i) => 26 - i),
    )
  })
})
