import type { Aca } from "./aca.ts"
import type { CommandTimes } from "./command-times.ts"
import { type Task, TaskAttribute } from "./task.ts"

/**
 * Which tasks of a task set may run (SAM-5 §8.6).
 *
 *     SIMPLE          waits for HEAD OF QUEUE tasks and for ORDERED ones that came before it; where reordering is
 *                     restricted (QUEUE ALGORITHM MODIFIER 0), also for every older task of its nexus
 *     ORDERED         waits for everything that came before it and for HEAD OF QUEUE tasks
 *     HEAD OF QUEUE   never waits
 *     ACA             never waits; comes only while there is an ACA condition, which holds up all others (§5.9)
 *
 * While there is nothing but SIMPLE tasks, to be admitted is two comparisons.
 */
export class TaskSet {
  /** Admitted and not gone; aborted tasks count until their media operations have ended. */
  #executing = 0
  /** Its tasks are being set going: no need to begin with it again. */
  dispatching = false
  /** What a SIMPLE task has to look at: HEAD OF QUEUE and ORDERED tasks, and one for each of the three below. */
  #obstacles = 0
  /** What whoever leaves has to look at: tasks that wait, and one if it is watched. */
  concerns = 0
  #aca: Aca | undefined
  #restricted = false
  #times: CommandTimes | undefined
  #watched = false
  #headsOfQueue = 0
  /** Those that run, and those that wait too. */
  #ordered = 0
  #orderedExecuting = 0
  /** Those that wait, oldest first. */
  readonly #dormant: Task[] = []

  get size(): number {
    return this.#executing + this.#dormant.length
  }

  /** Whether tasks wait. */
  get waiting(): boolean {
    return this.#dormant.length > 0
  }

  /** Log parameters are compared with their thresholds whenever a task leaves. */
  get watched(): boolean {
    return this.#watched
  }

  set watched(watched: boolean) {
    if (watched !== this.#watched) this.concerns += watched ? 1 : -1
    this.#watched = watched
  }

  /** The ACA condition it is in. While there is one, nothing that waits gets to run. */
  get aca(): Aca | undefined {
    return this.#aca
  }

  set aca(aca: Aca | undefined) {
    if (this.#aca === undefined && aca !== undefined) this.#obstacles++
    if (this.#aca !== undefined && aca === undefined) this.#obstacles--
    this.#aca = aca
  }

  /** SIMPLE tasks of one nexus keep their order. Where it is lifted, `next` has more to give. */
  get restricted(): boolean {
    return this.#restricted
  }

  set restricted(restricted: boolean) {
    if (restricted !== this.#restricted) this.#obstacles += restricted ? 1 : -1
    this.#restricted = restricted
  }

  /** What measures how long its tasks are there; undefined, as nearly always: nobody wants to know. */
  set times(times: CommandTimes | undefined) {
    if (this.#times === undefined && times !== undefined) this.#obstacles++
    this.#times = times
  }

  /** Takes in a SIMPLE task that nothing stands in the way of. False: ask `admit`. */
  admitAtOnce(task: Task): boolean {
    if (this.#obstacles > 0 || task.attribute > TaskAttribute.simple) return false
    this.#executing++
    return true
  }

  /** Takes a task in. Returns whether it runs at once; if not, `next` will give it. `unordered`: it waits for nothing. */
  admit(task: Task, unordered = false): boolean {
    const { attribute } = task
    this.#times?.entered(task)
    if (attribute === TaskAttribute.headOfQueue) {
      this.#obstacles++
      this.#headsOfQueue++
    } else if (attribute === TaskAttribute.ordered) {
      this.#obstacles++
      this.#ordered++
      if (this.size > 0 && !unordered) return this.#wait(task)
      this.#orderedExecuting++
    } else if (attribute !== TaskAttribute.aca && !unordered) {
      if (this.#headsOfQueue > 0 || this.#ordered > 0) return this.#wait(task)
      if (this.#restricted && task.itl!.tasks.size > 0) return this.#wait(task)
    }
    this.#executing++
    return true
  }

  /** Takes the oldest task that waited and may run now. */
  next(): Task | undefined {
    if (this.#headsOfQueue > 0 || this.#aca !== undefined) return undefined
    for (let at = 0; at < this.#dormant.length; at++) {
      const task = this.#dormant[at]!
      if (task.attribute === TaskAttribute.ordered) {
        // What is behind it waits for it.
        if (at > 0 || this.#executing > 0) return undefined
        this.#orderedExecuting++
      } else {
        if (this.#orderedExecuting > 0) return undefined
        if (this.#restricted && !isOldest(task)) continue
      }
      this.#dormant.splice(at, 1)
      this.concerns--
      this.#executing++
      return task
    }
    return undefined
  }

  /** Lets a task that waits run at once, past all that stand before it. */
  advance(task: Task): void {
    this.#dormant.splice(this.#dormant.indexOf(task), 1)
    this.concerns--
    if (task.attribute === TaskAttribute.ordered) this.#orderedExecuting++
    this.#executing++
  }

  /** A task that ran is gone. */
  leave(task: Task): void {
    this.#executing--
    if (this.#obstacles > 0) this.#lift(task)
  }

  /** Takes out a task that waits. */
  remove(task: Task): void {
    this.#times?.left(task)
    this.#dormant.splice(this.#dormant.indexOf(task), 1)
    this.concerns--
    if (task.attribute !== TaskAttribute.ordered) return
    this.#ordered--
    this.#obstacles--
  }

  #wait(task: Task): false {
    task.state = "queued"
    this.#dormant.push(task)
    this.concerns++
    return false
  }

  #lift(task: Task): void {
    this.#times?.left(task)
    switch (task.attribute) {
      case TaskAttribute.headOfQueue:
        this.#headsOfQueue--
        this.#obstacles--
        return
      case TaskAttribute.ordered:
        this.#ordered--
        this.#orderedExecuting--
        this.#obstacles--
        return
      case TaskAttribute.aca:
        if (this.#aca?.task === task) this.#aca.task = undefined
        return
      default: // nothing looks out for SIMPLE tasks
    }
  }
}

/** Whether none of its nexus's tasks came before it. */
function isOldest(task: Task): boolean {
  for (const oldest of task.itl!.tasks.values()) return oldest === task
  return true
}
