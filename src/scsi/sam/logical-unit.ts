import { type Completion, isPromise } from "../../base/completion.ts"
import { SanletError } from "../../base/errors.ts"
import { TASK_SET_MAX } from "../../base/limits.ts"
import { type Log, silentLog } from "../../base/log.ts"
import { Asc, encodeSense, type Sense, type SenseDetail, SenseError, SenseKey } from "../spec/sense.ts"
import { Status } from "../spec/status.ts"
import type { Command } from "./command.ts"
import { type CommandTable, checkUsage, commandTable } from "./command-table.ts"
import { Control } from "./control.ts"
import type { Guest } from "./guest.ts"
import type { LogicalUnitIdentity } from "./identity.ts"
import type { CommandRestriction } from "./command-restriction.ts"
import { ItlNexus } from "./itl-nexus.ts"
import type { ModePage } from "./mode-page.ts"
import type { Nexus } from "./nexus.ts"
import { Reservation } from "./reservation.ts"
import { type Task, TaskAttribute } from "./task.ts"
import { TaskSet } from "./task-set.ts"
import type { UnitRecords } from "./unit-records.ts"
import type { VpdPage } from "./vpd-page.ts"

/**
 * A logical unit: task router, task set and what it keeps per nexus. It may be part of several ScsiTargets; its tasks,
 * reservation and mode parameters are one for all of them.
 *
 *     received --> queued --> executing --> complete
 *         |          |            |
 *         +----------+------------+--> aborted
 *
 * A device type is a subclass: its tables say what it knows, its hooks what it does.
 */
export abstract class LogicalUnit {
  readonly identity: LogicalUnitIdentity
  /** PERIPHERAL DEVICE TYPE (SPC-4 §6.4.2). */
  abstract readonly peripheralDeviceType: number
  /** One array for all units of a kind: it is compiled once. */
  abstract readonly commands: readonly Command[]
  /** By rising page code. */
  abstract readonly vpdPages: readonly VpdPage[]
  /** By rising page code and subpage code. */
  abstract readonly modePages: readonly ModePage[]
  /** VERSION DESCRIPTORs of the standards it follows, at most eight (SPC-4 §6.4.2). */
  readonly versionDescriptors: readonly number[] = []
  /** 3PC: there is a copy manager (SPC-4 §6.6.2). */
  readonly thirdPartyCopy: boolean = false
  /** RMB: the medium can be taken out. */
  readonly removable: boolean = false
  readonly control = new Control()
  readonly reservation = new Reservation()
  /** Nexuses that have asked for the medium to stay in (PREVENT ALLOW MEDIUM REMOVAL). */
  readonly preventingRemoval = new Set<Nexus>()
  /** What it must not forget over a restart; undefined: there is no place to keep it. */
  readonly records: UnitRecords | undefined
  /** While something about the unit allows some commands only. */
  restriction: CommandRestriction | undefined
  /** Where failures that are no answer to the initiator's doing go. Set by the ScsiTarget it is added to. */
  log: Log = silentLog
  readonly #set = new TaskSet()
  readonly #itls = new Map<Nexus, ItlNexus>()
  /** Aborted tasks whose execution goes on, and who waits for its end. */
  readonly #aborting = new Map<Task, (() => void)[]>()
  /** Those of them that get TASK ABORTED in the end (TAS). */
  readonly #toAnswer = new Map<Task, Answer>()
  readonly #guests = new Set<Guest>()
  #table: CommandTable | undefined
  #dispatching = false

  constructor(identity: LogicalUnitIdentity, records?: UnitRecords) {
    this.identity = identity
    this.records = records
  }

  // ------------------------------------------------------------------------------------ hooks of a device type

  /** TEST UNIT READY: throws SenseError NOT READY and the like. */
  checkReady(): void {}

  /** DEVICE-SPECIFIC PARAMETER of the mode parameter header (SBC-3 §6.5.1: WP, DPOFUA). */
  deviceSpecificParameter(): number {
    return 0
  }

  /** The block descriptor of MODE SENSE (long: LLBAA), empty where there is none. */
  modeBlockDescriptor(_long: boolean): Uint8Array {
    return new Uint8Array(0)
  }

  /** The block descriptor of a MODE SELECT; by default it must say what MODE SENSE says. Throws SenseError. */
  selectBlockDescriptor(_descriptor: Uint8Array, _long: boolean): Completion {}

  /** What sense data says of a unit attention besides its code. */
  unitAttentionDetail(_asc: number): SenseDetail {
    return {}
  }

  /** There is a volatile cache: V_SUP of VPD page 86h. */
  get volatileCache(): boolean {
    return false
  }

  /** The default self-test of SEND DIAGNOSTIC. Throws SenseError (HARDWARE ERROR). */
  selfTest(_task: Task): Completion {}

  /** Ends what waits on the medium on behalf of the task; called when it is aborted. */
  cancelMedia(_task: Task): void {}

  /** Brings mode parameters and the like back to their defaults: a logical unit reset (SAM-5 §6.3.3). */
  protected onReset(): void {}

  /** A command that isn't in the table. */
  protected unknownCommand(task: Task): SenseError {
    return this.commandTable.unknown(task.cdb)
  }

  // -------------------------------------------------------------------------------------------------- nexuses

  get commandTable(): CommandTable {
    this.#table ??= commandTable(this.commands)
    return this.#table
  }

  /** Tasks in the set, aborted ones included until their media operations have ended. */
  get taskCount(): number {
    return this.#set.size
  }

  /** Those attached. */
  get nexuses(): Iterable<Nexus> {
    return this.#itls.keys()
  }

  /** Guests there are. */
  get guestCount(): number {
    return this.#guests.size
  }

  /** `attention`: the unit attention the nexus begins with. */
  attachNexus(nexus: Nexus, attention?: number): void {
    const itl = new ItlNexus(nexus)
    if (attention !== undefined) itl.attentions.establish(attention)
    this.#itls.set(nexus, itl)
  }

  /** I_T nexus loss (SAM-5 §6.3.4). Resolves when no media operation of its tasks runs any more. */
  detachNexus(nexus: Nexus): Promise<void> {
    return this.#detach(nexus, undefined)
  }

  /**
   * The nexus finds this unit no longer, as it is being removed. Its tasks end with what the next command there would get:
   * silence would have the initiator wait for them until it loses patience.
   */
  withdrawFrom(nexus: Nexus): Promise<void> {
    return this.#detach(nexus, (task) => this.#checkCondition(task, notSupported))
  }

  #detach(nexus: Nexus, answer: Answer | undefined): Promise<void> {
    const ended = this.#abortAll(this.tasksOf(nexus), () => answer)
    this.#itls.delete(nexus)
    this.reservation.lose(nexus)
    this.preventingRemoval.delete(nexus)
    return this.#withGuests(ended, nexus)
  }

  /** Until the guest is taken out again it is evicted with its nexus, and by a reset. */
  admitGuest(guest: Guest): void {
    this.#guests.add(guest)
  }

  dismissGuest(guest: Guest): void {
    this.#guests.delete(guest)
  }

  /** Ends what guests do here for a nexus, or for all; resolves when nothing of it runs any more. */
  evictGuests(nexus?: Nexus): Promise<void> {
    const leaving = [...this.#guests].filter((guest) => nexus === undefined || guest.nexus === nexus)
    return Promise.all(leaving.map((guest) => guest.evict())).then(() => {})
  }

  #withGuests(ended: Promise<void>, nexus?: Nexus): Promise<void> {
    if (this.#guests.size === 0) return ended
    return Promise.all([ended, this.evictGuests(nexus)]).then(() => {})
  }

  /** A unit attention condition for every nexus but `except`. */
  establishUnitAttention(asc: number, options: { except?: Nexus } = {}): void {
    for (const itl of this.#itls.values()) {
      if (itl.nexus !== options.except) itl.attentions.establish(asc)
    }
  }

  /** A unit attention condition for one nexus. */
  establishUnitAttentionFor(nexus: Nexus, asc: number): void {
    this.#itls.get(nexus)?.attentions.establish(asc)
  }

  clearUnitAttention(nexus: Nexus, asc: number): void {
    this.#itls.get(nexus)?.attentions.clear(asc)
  }

  /**
   * Takes the next unit attention of a nexus, to be reported. REPORTED LUNS DATA HAS CHANGED is then over on the other
   * units too: it is said once per nexus (LUICLR of VPD page 86h).
   */
  takeUnitAttention(nexus: Nexus): number | undefined {
    const asc = this.#itls.get(nexus)?.attentions.take()
    if (asc === Asc.reportedLunsDataHasChanged) nexus.inventory?.clearUnitAttention(nexus, asc)
    return asc
  }

  // ---------------------------------------------------------------------------------------------------- tasks

  commandReceived(task: Task): void {
    const itl = this.#itls.get(task.nexus)
    if (itl === undefined) {
      task.state = "aborted"
      return task.abort()
    }
    task.itl = itl
    if (itl.tasks.size > 0 && itl.tasks.has(task.tag)) return this.#overlapped(itl, task)
    if (this.#set.size >= TASK_SET_MAX) return this.#refuse(task, Status.taskSetFull)
    if (task.attribute === TaskAttribute.aca) return this.#checkCondition(task, acaWithoutAca)
    if (this.#set.admit(task) || this.#goesAhead(task)) this.#run(task)
    else itl.tasks.set(task.tag, task)
  }

  /** Whether a task that would wait is of a command that never does. */
  #goesAhead(task: Task): boolean {
    if (this.commandTable.find(task.cdb)?.headOfQueue !== true) return false
    this.#set.advance(task)
    return true
  }

  #run(task: Task): void {
    task.state = "executing"
    let execution: Completion
    try {
      execution = this.#process(task)
    } catch (error) {
      return this.#failed(task, error)
    }
    if (!isPromise(execution)) return this.#succeeded(task)
    task.itl!.tasks.set(task.tag, task)
    execution.then(
      () => this.#succeeded(task),
      (error: unknown) => this.#failed(task, error),
    )
  }

  /** The task router's questions, in the order in which their answers count, then the command itself. */
  #process(task: Task): Completion {
    const command = (this.#table ?? this.commandTable).find(task.cdb)
    const { attentions } = task.itl!
    if (attentions.size > 0 && command?.passesUnitAttention !== true) {
      const asc = this.takeUnitAttention(task.nexus)!
      throw unitAttention(asc, this.unitAttentionDetail(asc))
    }
    if (command === undefined) throw this.unknownCommand(task)
    if (this.restriction !== undefined) this.restriction.check(task, command)
    if (this.reservation.restricts && this.reservation.conflicts(task.nexus, command, task.cdb)) {
      return task.sendCommandComplete(Status.reservationConflict)
    }
    checkUsage(command, task.cdb)
    return command.execute(task, this)
  }

  #succeeded(task: Task): void {
    if (task.state === "aborted") return this.#abortedEnded(task)
    task.state = "complete"
    task.sendCommandComplete(Status.good)
    this.#left(task)
  }

  #failed(task: Task, error: unknown): void {
    if (task.state === "aborted") return this.#abortedEnded(task)
    this.#checkCondition(task, this.#senseOf(task, error))
    this.#left(task)
  }

  /** The task is gone from the set: others may run now. */
  #left(task: Task): void {
    const { tasks } = task.itl!
    if (tasks.size > 0 && tasks.get(task.tag) === task) tasks.delete(task.tag)
    this.#set.leave(task)
    if (this.#set.waiting) this.#dispatch()
  }

  #dispatch(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    for (let task = this.#set.next(); task !== undefined; task = this.#set.next()) this.#run(task)
    this.#dispatching = false
  }

  #refuse(task: Task, status: Status): void {
    task.state = "complete"
    task.sendCommandComplete(status)
  }

  #checkCondition(task: Task, sense: Sense): void {
    task.state = "complete"
    task.sendCommandComplete(Status.checkCondition, encodeSense(sense, this.control.senseFormat))
  }

  #senseOf(task: Task, error: unknown): Sense {
    if (error instanceof SenseError) return error
    // The transport has lost the task's data, and most likely the way to answer with it.
    if (error instanceof SanletError && error.code === "ERR_TASK_ABORTED") return dataLost
    const { message } = error instanceof Error ? error : { message: String(error) }
    this.log.error(
      { initiator: task.nexus.identity.initiatorName, operationCode: task.cdb[0] },
      `a command failed for no reason of the initiator's: ${message}`,
    )
    return internalFailure
  }

  // ------------------------------------------------------------------------------------------------- aborting

  taskOf(nexus: Nexus, tag: number): Task | undefined {
    return this.#itls.get(nexus)?.tasks.get(tag)
  }

  tasksOf(nexus: Nexus): Task[] {
    return [...(this.#itls.get(nexus)?.tasks.values() ?? [])]
  }

  /** All there are, with those of nexuses that are gone. */
  allTasks(): Task[] {
    const tasks = new Set(this.#aborting.keys())
    for (const itl of this.#itls.values()) for (const task of itl.tasks.values()) tasks.add(task)
    return [...tasks]
  }

  /**
   * Aborts tasks. With TAS, those of nexuses other than `requester` get TASK ABORTED. Resolves when the media operations
   * of all have ended.
   */
  abortTasks(tasks: readonly Task[], requester?: Nexus): Promise<void> {
    const { taskAbortedStatus } = this.control
    return this.#abortAll(tasks, ({ nexus }) =>
      taskAbortedStatus && requester !== undefined && nexus !== requester ? taskAborted : undefined,
    )
  }

  /** The same; nexuses that lose tasks to another are told so, unless the tasks' own status does (SAM-5 §7.5, §5.6). */
  clearTasks(tasks: readonly Task[], requester: Nexus): Promise<void> {
    if (!this.control.taskAbortedStatus) {
      for (const nexus of new Set(tasks.map((task) => task.nexus))) {
        if (nexus !== requester) this.establishUnitAttentionFor(nexus, Asc.commandsClearedByAnotherInitiator)
      }
    }
    return this.abortTasks(tasks, requester)
  }

  #abortAll(tasks: readonly Task[], answerTo: (task: Task) => Answer | undefined): Promise<void> {
    const ends: Promise<void>[] = []
    for (const task of tasks) {
      const end = this.#abort(task, answerTo(task))
      if (end) ends.push(end)
    }
    if (this.#set.waiting) this.#dispatch()
    return Promise.all(ends).then(() => {})
  }

  /**
   * Ends all tasks but those spared with CHECK CONDITION; their media operations may go on for a while, but nothing new
   * is begun for them. Resolves when the media operations of all have ended, of those aborted before, too.
   */
  terminateTasks(sense: Sense, spared: (task: Task) => boolean): Promise<void> {
    const tasks = this.allTasks().filter((task) => !spared(task))
    return this.#abortAll(tasks, () => (task) => this.#checkCondition(task, sense))
  }

  /** Those still on their way to an answer are dropped: their data isn't waited for any longer. */
  dropUnanswered(): void {
    for (const task of this.#toAnswer.keys()) task.abort()
    this.#toAnswer.clear()
  }

  #abort(task: Task, answer: Answer | undefined): Promise<void> | undefined {
    if (task.state === "queued") {
      this.#set.remove(task)
      task.itl!.tasks.delete(task.tag)
      task.state = "aborted"
      if (answer) answer(task)
      else task.abort()
      return undefined
    }
    if (task.state === "executing") {
      task.state = "aborted"
      this.#aborting.set(task, [])
      if (answer) this.#toAnswer.set(task, answer)
      else task.abort()
      this.cancelMedia(task)
    } else if (!answer && this.#toAnswer.delete(task)) {
      task.abort()
    }
    const waiting = this.#aborting.get(task)
    return waiting && new Promise((resolve) => waiting.push(resolve))
  }

  #abortedEnded(task: Task): void {
    const answer = this.#toAnswer.get(task)
    this.#toAnswer.delete(task)
    answer?.(task)
    const waiting = this.#aborting.get(task) ?? []
    this.#aborting.delete(task)
    this.#left(task)
    for (const ended of waiting) ended()
  }

  /** SAM-5 §5.10: the tag of a task that is under way came again. All the nexus's tasks are lost, and the new one. */
  #overlapped(itl: ItlNexus, task: Task): void {
    void this.abortTasks([...itl.tasks.values()])
    this.#checkCondition(task, overlappedCommands)
  }

  // ---------------------------------------------------------------------------------------------------- reset

  /**
   * A logical unit reset condition (SAM-5 §6.3.3), with `asc` as the unit attention for every nexus. Resolves when the
   * media operations of all tasks have ended.
   */
  reset(asc: number, requester?: Nexus): Promise<void> {
    const ended = this.abortTasks(this.allTasks(), requester)
    this.reservation.clear()
    this.preventingRemoval.clear()
    this.control.reset()
    this.onReset()
    this.establishUnitAttention(asc)
    return this.#withGuests(ended)
  }
}

/** How an aborted task ends; without one its initiator hears nothing of it. */
type Answer = (task: Task) => void

const taskAborted: Answer = (task) => task.sendCommandComplete(Status.taskAborted)

const unitAttention = (asc: number, detail: SenseDetail): SenseError =>
  new SenseError(SenseKey.unitAttention, asc, "a unit attention condition is pending", detail)

const acaWithoutAca: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.invalidMessageError,
  detail: {},
}
const notSupported: Sense = {
  key: SenseKey.illegalRequest,
  asc: Asc.logicalUnitNotSupported,
  detail: {},
}
const overlappedCommands: Sense = {
  key: SenseKey.abortedCommand,
  asc: Asc.overlappedCommandsAttempted,
  detail: {},
}
const dataLost: Sense = { key: SenseKey.abortedCommand, asc: Asc.noAdditionalSense, detail: {} }
const internalFailure: Sense = { key: SenseKey.hardwareError, asc: Asc.internalTargetFailure, detail: {} }
