/** Task sets of a logical unit, ACA conditions and all that ends them, against a model of SAM-5. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { TaskManagementFunction } from "../../../../src/scsi/sam/transport-services.ts"
import { Asc, SenseError, SenseKey } from "../../../../src/scsi/spec/sense.ts"
import type { TestTask } from "../../../suites/scsi-task.ts"
import { CHANGE, FAIL, HOLD, makeBench, own } from "../test-unit.ts"
import { attributes, type ModelTask, SamModel, type Settings } from "./sam-model.ts"

const HOSTS = 3
const { abortTask, abortTaskSet, clearAca, clearTaskSet, logicalUnitReset } = TaskManagementFunction
const opcodes = { ends: CHANGE, fails: FAIL, lasts: HOLD } as const
const NACA = 0x04

const settings: fc.Arbitrary<Settings> = fc.record({
  separate: fc.boolean(),
  restricted: fc.boolean(),
  qerr: fc.constantFrom(0 as const, 1 as const, 3 as const),
  tas: fc.boolean(),
  managementOnly: fc.nat(4).map((n) => n === 0),
})

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      host: fc.nat(HOSTS - 1),
      attribute: fc.constantFrom(...attributes),
      naca: fc.boolean(),
      kind: fc.constantFrom("ends" as const, "fails" as const, "lasts" as const, "lasts" as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("finish" as const),
      which: fc.nat(30),
      how: fc.constantFrom("well" as const, "well" as const, "badly" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("manage" as const),
      fn: fc.constantFrom(
        clearAca,
        clearAca,
        clearAca,
        abortTask,
        abortTaskSet,
        clearTaskSet,
        logicalUnitReset,
      ),
      host: fc.nat(HOSTS - 1),
      which: fc.nat(30),
    }),
  },
)

class Subject {
  readonly bench = makeBench()
  readonly nexuses = [this.bench.nexus, this.bench.another("b"), this.bench.another("c")]
  readonly tasks: TestTask[] = []
  readonly responses: Promise<number>[] = []
  readonly model: SamModel

  constructor(set: Settings) {
    this.model = new SamModel(HOSTS, set)
    const { control } = this.bench.unit
    control.separateTaskSets = set.separate
    control.restrictedReordering = set.restricted
    control.queueErrorManagement = set.qerr
    control.taskAbortedStatus = set.tas
    control.managementOnly = set.managementOnly
    this.bench.unit.arrangeTaskSets()
  }

  async do(it: typeof step extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    if (it.do === "send") {
      this.model.receive(it.host, it.attribute, it.naca, it.kind)
      const cdb = own(opcodes[it.kind], 0, 0, 0, 0, 0, 0, 0, 0, it.naca ? NACA : 0)
      const { nexuses, tasks } = this
      tasks.push(
        this.bench.send(cdb, { nexus: nexuses[it.host]!, tag: tasks.length, attribute: it.attribute }),
      )
    } else if (it.do === "finish") {
      this.finish(it.which, it.how)
    } else {
      this.manage(it.fn, it.host, it.which)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }

  finish(which: number, how: "well" | "badly"): void {
    const { held } = this.bench.unit
    const one = held[which % Math.max(1, held.length)]
    if (one === undefined) return
    this.model.finish(this.model.all[one.task.tag]!, how)
    if (how === "well") one.finish()
    else one.fail(new SenseError(SenseKey.mediumError, Asc.unrecoveredReadError, "as told"))
  }

  manage(fn: number, host: number, which: number): void {
    const { model } = this
    const taskTag = which % Math.max(1, model.all.length)
    const response = this.bench.target.taskManagementRequestReceived(this.nexuses[host]!, {
      function: fn,
      lunHigh: 0,
      lunLow: 0,
      taskTag,
    })
    let rejected = false
    if (fn === clearAca) rejected = !model.clearAca(host)
    else if (fn === abortTaskSet) model.abort(model.present({ host }))
    else if (fn === clearTaskSet) model.clearTaskSet(host)
    else if (fn === logicalUnitReset) model.reset(host)
    else model.abort(model.present({ host }).filter((task) => task === model.all[taskTag]))
    const ended = response.then((code) => {
      assert.equal(code === 255, rejected, `function ${fn}`)
      return code
    })
    ended.catch(() => {})
    this.responses.push(ended)
  }

  check(): void {
    const picture = (task: ModelTask | TestTask): string => `${task.state} ${task.status ?? "-"}`
    assert.deepEqual(this.tasks.map(picture), this.model.all.map(picture))
    assert.equal(this.bench.unit.hasAca, this.model.hasAca)
    assert.equal(this.bench.unit.allTasks().length, this.model.present().length)
  }
}

describe("task sets of a logical unit", () => {
  test("whatever TST, QERR, TAS and the order of things: as SAM-5 has it", async () => {
    await fc.assert(
      fc.asyncProperty(settings, fc.array(step, { maxLength: 40, size: "max" }), async (set, steps) => {
        const subject = new Subject(set)
        for (const it of steps) {
          await subject.do(it)
          subject.check()
        }
        for (let turn = 0; subject.bench.unit.allTasks().length > 0 && turn < 200; turn++) {
          for (let host = 0; host < HOSTS; host++) {
            await subject.do({ do: "manage", fn: clearAca, host, which: 0 })
          }
          await subject.do({ do: "finish", which: 0, how: "well" })
          subject.check()
        }
        assert.equal(subject.bench.unit.allTasks().length, 0)
        await Promise.all(subject.responses)
        assert.ok(subject.tasks.every((task) => task.over))
      }),
      { numRuns: 1000 },
    )
  })
})
