import type { Task } from "./task.ts"
import type { TaskSets } from "./task-sets.ts"

/** How an aborted task ends; without one its initiator hears nothing of it. */
export type Answer = (task: Task) => void

/** What aborting needs of the logical unit. */
export interface AbortedTasksUser {
  readonly sets: TaskSets
  /** Ends what waits on the medium on behalf of the task. */
  cancelMedia(task: Task): void
  /** The task is gone from its set. */
  left(task: Task): void
}

/** Aborts a logical unit's tasks, and keeps those whose execution goes on until it has ended. */
export class AbortedTasks {
  readonly #user: AbortedTasksUser
  /** With those who wait for the end. */
  readonly #executing = new Map<Task, (() => void)[]>()
  /** Those of them that are answered in the end. */
  readonly #toAnswer = new Map<Task, Answer>()

  constructor(user: AbortedTasksUser) {
    this.#user = user
  }

  /** Those whose execution goes on. */
  get executing(): Iterable<Task> {
    return this.#executing.keys()
  }

  /** Resolves when the media operations of all have ended. A task that was aborted before loses its answer by one without. */
  abort(tasks: readonly Task[], answerTo: (task: Task) => Answer | undefined): Promise<void> {
    const ends: Promise<void>[] = []
    for (const task of tasks) {
      const end = this.#abort(task, answerTo(task))
      if (end) ends.push(end)
    }
    for (const { set } of tasks) if (set!.waiting) this.#user.sets.dispatch(set!)
    return Promise.all(ends).then(() => {})
  }

  /** Those still on their way to an answer are dropped: their data isn't waited for any longer. */
  dropUnanswered(): void {
    for (const task of this.#toAnswer.keys()) task.abort()
    this.#toAnswer.clear()
  }

  #abort(task: Task, answer: Answer | undefined): Promise<void> | undefined {
    if (task.state === "queued") {
      task.set!.remove(task)
      task.itl!.tasks.delete(task.tag)
      end(task, answer)
      return undefined
    }
    if (task.state === "blocked" && this.#user.sets.dropHeld(task)) {
      end(task, answer)
      this.#user.left(task)
      return undefined
    }
    if (task.state === "executing" || task.state === "blocked") {
      task.state = "aborted"
      this.#executing.set(task, [])
      if (answer) this.#toAnswer.set(task, answer)
      else task.abort()
      this.#user.cancelMedia(task)
    } else if (!answer && this.#toAnswer.delete(task)) {
      task.abort()
    }
    const waiting = this.#executing.get(task)
    return waiting && new Promise((resolve) => waiting.push(resolve))
  }

  /** The execution of an aborted task has ended. */
  ended(task: Task): void {
    const answer = this.#toAnswer.get(task)
    this.#toAnswer.delete(task)
    answer?.(task)
    const waiting = this.#executing.get(task) ?? []
    this.#executing.delete(task)
    this.#user.left(task)
    for (const resolve of waiting) resolve()
  }
}

function end(task: Task, answer: Answer | undefined): void {
  task.state = "aborted"
  if (answer) answer(task)
  else task.abort()
}
