import type { Clock } from "../../base/clock.ts"
import type { Outcome } from "./aca.ts"
import { CommandTimes } from "./command-times.ts"
import { type Control, QueueErrorManagement } from "./control.ts"
import type { ItlNexus } from "./itl-nexus.ts"
import type { Nexus } from "./nexus.ts"
import type { Task } from "./task.ts"
import { TaskSet } from "./task-set.ts"

/** What the task sets need of their logical unit. */
export interface TaskSetsUser {
  readonly control: Control
  readonly logParameters: { readonly comparing: number }
  itls(): Iterable<ItlNexus>
  run(task: Task): void
  /** Ends a task whose execution has ended. */
  finish(task: Task, outcome: Outcome): void
  /** Aborts tasks on behalf of a nexus, and tells the others. */
  clearTasks(tasks: readonly Task[], requester: Nexus): Promise<void>
}

/** The task sets of a logical unit: one for all nexuses, or one for each (TST), and their ACA conditions (SAM-5 §5.9). */
export class TaskSets {
  readonly #user: TaskSetsUser
  /** That of all nexuses; not used while each has its own. */
  readonly #shared = new TaskSet()
  #times: CommandTimes | undefined
  readonly #withAca = new Set<TaskSet>()
  /** Blocked tasks whose execution has ended, in that order: how. */
  readonly #held = new Map<Task, Outcome>()

  constructor(user: TaskSetsUser) {
    this.#user = user
  }

  /** Some task set has an ACA condition. */
  get hasAca(): boolean {
    return this.#withAca.size > 0
  }

  /** For the tasks of a new nexus. */
  forNexus(): TaskSet {
    return this.#user.control.separateTaskSets ? this.#arranged(new TaskSet()) : this.#shared
  }

  /** Has the task sets follow the control mode page, and the thresholds of log parameters. Tasks stay in the set they are in. */
  arrange(): void {
    const { separateTaskSets } = this.#user.control
    this.#arranged(this.#shared)
    for (const itl of this.#user.itls()) {
      if (!separateTaskSets) itl.set = this.#shared
      else if (itl.set === this.#shared) itl.set = new TaskSet()
      this.#arranged(itl.set)
    }
    for (const { set } of this.#user.itls()) if (set.waiting) this.dispatch(set)
  }

  #arranged(set: TaskSet): TaskSet {
    set.restricted = this.#user.control.restrictedReordering
    set.watched = this.#user.logParameters.comparing > 0
    set.times = this.#times
    return set
  }

  /** Undefined: they aren't measured. */
  get times(): CommandTimes | undefined {
    return this.#times
  }

  /** From now on. */
  measureBy(clock: Clock): void {
    if (this.#times !== undefined) return
    const sets = new Set([this.#shared])
    for (const { set } of this.#user.itls()) sets.add(set)
    let present = 0
    for (const set of sets) present += set.size
    this.#times = new CommandTimes(clock, present)
    this.arrange()
  }

  /** Has those that waited run, as far as they may. */
  dispatch(set: TaskSet): void {
    if (set.dispatching) return
    set.dispatching = true
    for (let task = set.next(); task !== undefined; task = set.next()) this.#user.run(task)
    set.dispatching = false
  }

  /** What CHECK CONDITION of one task means to the others of its set (SAM-5 §5.8.2, §5.9.2; QERR of SPC-4 §7.5.8). */
  checkConditionSent(task: Task, naca: boolean): void {
    const { queueErrorManagement } = this.#user.control
    const set = task.set!
    if (!naca && queueErrorManagement === QueueErrorManagement.goOn && set.aca === undefined) return
    const ends = set.aca?.task === task
    const others = this.#othersOf(task)
    if (naca) {
      set.aca = { nexus: task.nexus, task: undefined }
      this.#withAca.add(set)
      for (const other of others) if (other.state === "executing") other.state = "blocked"
    }
    if (queueErrorManagement !== QueueErrorManagement.goOn) {
      const all = queueErrorManagement === QueueErrorManagement.abortAll
      const lost = others.filter((other) => all || other.nexus === task.nexus)
      void this.#user.clearTasks(lost, task.nexus)
    }
    if (ends && !naca) this.endAca(set)
  }

  #othersOf(task: Task): Task[] {
    const others: Task[] = []
    for (const { tasks } of this.#user.itls()) {
      for (const other of tasks.values()) {
        if (other.set === task.set && other !== task && other.state !== "aborted") others.push(other)
      }
    }
    return others
  }

  /** The execution of a blocked task has ended: it is finished when it is blocked no longer. */
  hold(task: Task, outcome: Outcome): void {
    this.#held.set(task, outcome)
  }

  /** Whether the execution of a blocked task had ended; it is forgotten. */
  dropHeld(task: Task): boolean {
    return this.#held.delete(task)
  }

  /** Those whose ACA condition is of this nexus, or of any. */
  withAcaOf(nexus?: Nexus): TaskSet[] {
    return [...this.#withAca].filter(({ aca }) => nexus === undefined || aca!.nexus === nexus)
  }

  /** What was blocked goes on, or ends; what waited may run. */
  endAca(set: TaskSet): void {
    set.aca = undefined
    this.#withAca.delete(set)
    for (const { tasks } of this.#user.itls()) {
      for (const task of tasks.values()) {
        if (task.set === set && task.state === "blocked") task.state = "executing"
      }
    }
    for (const [task, outcome] of this.#held) {
      // Blocked again: the end of the one before has led to another ACA condition.
      if (task.set !== set || task.state === "blocked") continue
      this.#held.delete(task)
      this.#user.finish(task, outcome)
    }
    if (set.waiting) this.dispatch(set)
  }
}
