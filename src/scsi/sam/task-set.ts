import { type Task, TaskAttribute } from "./task.ts"

/**
 * Which tasks of a logical unit may run (SAM-5 §8.6). There is one task set for all nexuses (TST 000b), and SIMPLE
 * tasks run side by side in any order (QUEUE ALGORITHM MODIFIER 1).
 *
 *     SIMPLE          waits for HEAD OF QUEUE tasks and for ORDERED ones that came before it
 *     ORDERED         waits for everything that came before it and for HEAD OF QUEUE tasks
 *     HEAD OF QUEUE   never waits
 *
 * While there is nothing but SIMPLE tasks, to be admitted is two comparisons.
 */
export class TaskSet {
  /** Admitted and not gone; aborted tasks count until their media operations have ended. */
  #executing = 0
  /** HEAD OF QUEUE and ORDERED tasks in the set, whether they run or wait: what SIMPLE tasks look at. */
  #barriers = 0
  #headsOfQueue = 0
  #orderedExecuting = 0
  /** Those that wait, oldest first: the first of them is ORDERED, or SIMPLE behind a HEAD OF QUEUE or ORDERED task. */
  readonly #dormant: Task[] = []

  get size(): number {
    return this.#executing + this.#dormant.length
  }

  /** Whether tasks wait. */
  get waiting(): boolean {
    return this.#dormant.length > 0
  }

  /** Takes a task in. Returns whether it runs at once; if not, `next` will give it. */
  admit(task: Task): boolean {
    const { attribute } = task
    if (attribute === TaskAttribute.headOfQueue) {
      this.#barriers++
      this.#headsOfQueue++
    } else if (attribute === TaskAttribute.ordered) {
      this.#barriers++
      if (this.size > 0) return this.#wait(task)
      this.#orderedExecuting++
    } else if (this.#barriers > 0) {
      return this.#wait(task)
    }
    this.#executing++
    return true
  }

  /** Takes the oldest task that waited and may run now. */
  next(): Task | undefined {
    const task = this.#dormant[0]
    if (task === undefined || this.#headsOfQueue > 0) return undefined
    if (task.attribute === TaskAttribute.ordered) {
      if (this.#executing > 0) return undefined
      this.#orderedExecuting++
    } else if (this.#orderedExecuting > 0) {
      return undefined
    }
    this.#dormant.shift()
    this.#executing++
    return task
  }

  /** Lets a task that waits run at once, past all that stand before it. */
  advance(task: Task): void {
    this.#dormant.splice(this.#dormant.indexOf(task), 1)
    if (task.attribute === TaskAttribute.ordered) this.#orderedExecuting++
    this.#executing++
  }

  /** A task that ran is gone. */
  leave(task: Task): void {
    this.#executing--
    if (this.#barriers > 0) this.#lift(task.attribute)
  }

  /** Takes out a task that waits. */
  remove(task: Task): void {
    this.#dormant.splice(this.#dormant.indexOf(task), 1)
    if (task.attribute === TaskAttribute.ordered) this.#barriers--
  }

  #wait(task: Task): false {
    task.state = "queued"
    this.#dormant.push(task)
    return false
  }

  #lift(attribute: TaskAttribute): void {
    if (attribute === TaskAttribute.headOfQueue) this.#headsOfQueue--
    else if (attribute === TaskAttribute.ordered) this.#orderedExecuting--
    else return
    this.#barriers--
  }
}
