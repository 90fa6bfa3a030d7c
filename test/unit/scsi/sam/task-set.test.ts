import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { type Task, TaskAttribute } from "../../../../src/scsi/sam/task.ts"
import { TaskSet } from "../../../../src/scsi/sam/task-set.ts"
import { TestTask, testNexus } from "../../../suites/scsi-task.ts"

const { simple, ordered, headOfQueue, untagged } = TaskAttribute
const nexus = testNexus()
const cdb = new Uint8Array(6)

const isSimple = (task: Task): boolean => task.attribute <= simple
const isHead = (task: Task): boolean => task.attribute === headOfQueue

/** SAM-5 §8.6 by the letter: all tasks in the order they came, and which of them run. */
class Oracle {
  readonly tasks: Task[] = []
  readonly running = new Set<Task>()

  enter(task: Task): void {
    this.tasks.push(task)
    this.settle()
  }

  leave(task: Task): void {
    this.tasks.splice(this.tasks.indexOf(task), 1)
    this.running.delete(task)
    this.settle()
  }

  settle(): void {
    for (const task of this.tasks) if (this.#mayRun(task)) this.running.add(task)
  }

  #mayRun(task: Task): boolean {
    if (isHead(task)) return true
    if (this.tasks.some(isHead)) return false
    const older = this.tasks.slice(0, this.tasks.indexOf(task))
    return isSimple(task) ? older.every(isSimple) : older.length === 0
  }
}

class Subject {
  readonly set = new TaskSet()
  readonly running = new Set<Task>()

  enter(task: Task): void {
    if (this.set.admit(task)) this.running.add(task)
    this.dispatch()
  }

  leave(task: Task): void {
    if (this.running.delete(task)) this.set.leave(task)
    else this.set.remove(task)
    this.dispatch()
  }

  dispatch(): void {
    for (let next = this.set.next(); next !== undefined; next = this.set.next()) this.running.add(next)
  }
}

describe("task set", () => {
  test("SIMPLE tasks run side by side", () => {
    const set = new TaskSet()
    for (const attribute of [simple, untagged, simple]) {
      assert.equal(set.admit(new TestTask(nexus, cdb, { attribute })), true)
    }
    assert.equal(set.size, 3)
    assert.equal(set.waiting, false)
  })

  test("an ORDERED task waits for older ones and holds up younger ones", () => {
    const subject = new Subject()
    const enter = (attribute: TaskAttribute): Task => {
      const task = new TestTask(nexus, cdb, { attribute })
      subject.enter(task)
      return task
    }
    const first = enter(simple)
    const barrier = enter(ordered)
    const second = enter(simple)
    assert.deepEqual([...subject.running], [first])
    assert.equal(barrier.state, "queued")
    subject.leave(first)
    assert.deepEqual([...subject.running], [barrier])
    subject.leave(barrier)
    assert.deepEqual([...subject.running], [second])
  })

  test("whatever comes and goes, the rules of SAM-5 hold and nothing waits without need", () => {
    const step = fc.record({
      attribute: fc.constantFrom(simple, simple, ordered, headOfQueue, untagged),
      leaves: fc.option(fc.nat(1000)),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const oracle = new Oracle()
        const subject = new Subject()
        for (const { attribute, leaves } of steps) {
          if (leaves !== null && oracle.tasks.length > 0) {
            const task = oracle.tasks[leaves % oracle.tasks.length]!
            oracle.leave(task)
            subject.leave(task)
          } else {
            const task = new TestTask(nexus, cdb, { attribute })
            oracle.enter(task)
            subject.enter(task)
          }
          assert.deepEqual(subject.running, oracle.running)
          assert.equal(subject.set.size, oracle.tasks.length)
        }
      }),
    )
  })

  test("what goes ahead of others waits no more, and keeps them waiting no longer than it runs", () => {
    const set = new TaskSet()
    const [first, second, third] = [simple, ordered, ordered].map(
      (attribute) => new TestTask(nexus, cdb, { attribute }),
    )
    assert.deepEqual([set.admit(first!), set.admit(second!), set.admit(third!)], [true, false, false])
    set.advance(third!)
    assert.equal(set.concerns, 1)
    set.leave(first!)
    assert.equal(set.next(), undefined)
    set.leave(third!)
    assert.equal(set.next(), second)
    set.leave(second!)
    assert.deepEqual([set.size, set.concerns, set.waiting], [0, 0, false])
    assert.equal(set.admitAtOnce(first!), true)
  })
})
