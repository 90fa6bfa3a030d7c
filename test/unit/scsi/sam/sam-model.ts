/**
 * SAM-5's task sets by the letter, slow and obvious: all tasks in the order they came, and every question asked of all
 * of them anew. Commands are those of the test unit: they end at once, well or not, or last until they are told to end.
 */
import { TaskAttribute, type TaskState } from "../../../../src/scsi/sam/task.ts"
import { Asc } from "../../../../src/scsi/spec/sense.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"

export interface Settings {
  readonly separate: boolean
  readonly restricted: boolean
  readonly qerr: 0 | 1 | 3
  readonly tas: boolean
  readonly managementOnly: boolean
}

const afterReset: Settings = {
  separate: false,
  restricted: false,
  qerr: 0,
  tas: false,
  managementOnly: false,
}

export interface ModelTask {
  readonly host: number
  readonly attribute: TaskAttribute
  readonly naca: boolean
  readonly kind: "ends" | "fails" | "lasts"
  set: ModelSet
  state: TaskState
  status: number | undefined
  /** Of one that is blocked, or was aborted, and lasts: it still does. */
  running: boolean
  ended: "well" | "badly" | undefined
  /** Of one that was aborted: TASK ABORTED is to come. */
  answer: boolean
}

interface ModelSet {
  aca: { readonly host: number; task: ModelTask | undefined } | undefined
}

const { simple, ordered, headOfQueue, aca: acaAttribute } = TaskAttribute

export class SamModel {
  settings: Settings
  /** Every task there was. */
  readonly all: ModelTask[] = []
  readonly attentions: number[][]
  readonly #shared: ModelSet = { aca: undefined }
  readonly #own: ModelSet[]
  /** Blocked tasks whose execution has ended, in that order. */
  #held: ModelTask[] = []

  constructor(hosts: number, settings: Settings) {
    this.settings = settings
    this.attentions = Array.from({ length: hosts }, () => [])
    this.#own = Array.from({ length: hosts }, () => ({ aca: undefined }))
  }

  get hasAca(): boolean {
    return [this.#shared, ...this.#own].some((set) => set.aca !== undefined)
  }

  receive(host: number, attribute: TaskAttribute, naca: boolean, kind: ModelTask["kind"]): ModelTask {
    const set = this.#setOf(host)
    const blank = { status: undefined, running: false, ended: undefined, answer: false }
    const task: ModelTask = { host, attribute, naca, kind, set, state: "received", ...blank }
    const { aca } = set
    if (aca === undefined && attribute === acaAttribute) {
      this.#conclude(task, Status.checkCondition)
    } else if (aca?.host === host) {
      const { managementOnly } = this.settings
      if (attribute !== acaAttribute || managementOnly || aca.task) this.#conclude(task, Status.acaActive)
    } else if (aca) {
      this.#conclude(task, naca ? Status.acaActive : Status.busy)
    }
    this.all.push(task)
    if (task.state === "complete") return task
    if (attribute === acaAttribute) {
      aca!.task = task
      this.#run(task)
    } else {
      task.state = "queued"
      this.#settle()
    }
    return task
  }

  /** What lasted has ended. */
  finish(task: ModelTask, how: "well" | "badly"): void {
    task.running = false
    if (task.state === "aborted") {
      if (task.answer) task.status = Status.taskAborted
      this.#left(task)
    } else if (task.state === "blocked") {
      task.ended = how
      this.#held.push(task)
    } else {
      this.#complete(task, how)
    }
  }

  abort(tasks: readonly ModelTask[], by?: number): void {
    for (const task of tasks) {
      const answer = this.settings.tas && by !== undefined && task.host !== by
      if (task.state === "aborted") {
        if (!answer) task.answer = false
        continue
      }
      if (task.state === "complete") continue
      task.state = "aborted"
      task.answer = answer
      if (answer && !task.running) task.status = Status.taskAborted
      this.#held = this.#held.filter((other) => other !== task)
      if (!task.running) forgetAcaTask(task)
    }
    this.#settle()
  }

  /** The same on behalf of one nexus: the others hear of it. */
  clear(tasks: readonly ModelTask[], by: number): void {
    if (!this.settings.tas) {
      for (const { host } of tasks) if (host !== by) this.#attend(host, Asc.commandsClearedByAnotherInitiator)
    }
    this.abort(tasks, by)
  }

  clearTaskSet(by: number): void {
    this.clear(this.settings.separate ? this.present({ host: by }) : this.present(), by)
  }

  /** False: rejected. */
  clearAca(by: number): boolean {
    const sets = [this.#shared, ...this.#own].filter((set) => set.aca?.host === by)
    if (sets.length === 0 && this.#setOf(by).aca) return false
    this.abort(sets.flatMap((set) => set.aca!.task ?? []))
    for (const set of sets) this.#endAca(set)
    return true
  }

  reset(by: number): void {
    this.abort(this.present(), by)
    for (const set of [this.#shared, ...this.#own]) if (set.aca) this.#endAca(set)
    this.settings = afterReset
    for (const host of this.attentions.keys()) this.#attend(host, Asc.busDeviceResetFunction)
  }

  /** Those in a task set, oldest first; aborted ones as long as they run. */
  present(of: { host?: number; set?: ModelSet } = {}): ModelTask[] {
    return this.all.filter(
      (task) =>
        (task.running || !["complete", "aborted"].includes(task.state)) &&
        (of.host === undefined || task.host === of.host) &&
        (of.set === undefined || task.set === of.set),
    )
  }

  #setOf(host: number): ModelSet {
    return this.settings.separate ? this.#own[host]! : this.#shared
  }

  #attend(host: number, asc: number): void {
    const pending = this.attentions[host]!
    if (pending.includes(asc)) return
    if (asc === Asc.busDeviceResetFunction) pending.unshift(asc)
    else pending.push(asc)
  }

  #settle(): void {
    for (;;) {
      const next = this.all.find((task) => task.state === "queued" && this.#mayRun(task))
      if (next === undefined) return
      this.#run(next)
    }
  }

  #mayRun(task: ModelTask): boolean {
    const { set } = task
    if (task.attribute === headOfQueue) return true
    if (set.aca) return false
    const others = this.present({ set }).filter((other) => other !== task)
    if (others.some((other) => other.attribute === headOfQueue)) return false
    const older = others.filter((other) => this.all.indexOf(other) < this.all.indexOf(task))
    if (task.attribute === ordered) {
      // A task with the ACA attribute that was aborted may be there still, and is younger.
      return older.length === 0 && !others.some((other) => other.running)
    }
    if (older.some((other) => other.attribute === ordered)) return false
    return !(this.settings.restricted && older.some((other) => other.host === task.host))
  }

  #run(task: ModelTask): void {
    task.state = "executing"
    const attention = this.attentions[task.host]!.shift()
    if (attention !== undefined || task.kind === "fails") this.#complete(task, "badly")
    else if (task.kind === "ends") this.#complete(task, "well")
    else task.running = true
  }

  #complete(task: ModelTask, how: "well" | "badly"): void {
    this.#conclude(task, how === "well" ? Status.good : Status.checkCondition)
    if (how === "badly") this.#checkCondition(task)
    this.#left(task)
  }

  #conclude(task: ModelTask, status: number): void {
    task.state = "complete"
    task.status = status
  }

  #checkCondition(task: ModelTask): void {
    const { set } = task
    const others = this.present({ set }).filter((other) => other !== task && other.state !== "aborted")
    const ends = set.aca?.task === task && !task.naca
    if (task.naca) {
      set.aca = { host: task.host, task: undefined }
      for (const other of others) if (other.state === "executing") other.state = "blocked"
    }
    const { qerr } = this.settings
    if (qerr === 1) this.clear(others, task.host)
    if (qerr === 3)
      this.clear(
        others.filter((other) => other.host === task.host),
        task.host,
      )
    if (ends) this.#endAca(set)
  }

  #endAca(set: ModelSet): void {
    set.aca = undefined
    for (const task of this.all) if (task.set === set && task.state === "blocked") task.state = "executing"
    for (const task of [...this.#held]) {
      if (task.set !== set || task.state !== "executing") continue
      this.#held = this.#held.filter((other) => other !== task)
      this.#complete(task, task.ended!)
    }
    this.#settle()
  }

  #left(task: ModelTask): void {
    forgetAcaTask(task)
    this.#settle()
  }
}

function forgetAcaTask(task: ModelTask): void {
  const { aca } = task.set
  if (aca?.task === task) aca.task = undefined
}

export const attributes: readonly TaskAttribute[] = [
  simple,
  simple,
  simple,
  ordered,
  headOfQueue,
  acaAttribute,
]
