import { type Completion, isPromise } from "../../base/completion.ts"
import { TASK_SET_MAX } from "../../base/limits.ts"
import { type Log, silentLog } from "../../base/log.ts"
import { Asc, encodeSense, type Sense, type SenseError } from "../spec/sense.ts"
import { limitSense } from "../spec/sense-limit.ts"
import { Status } from "../spec/status.ts"
import { AbortedTasks, type Answer } from "./aborted-tasks.ts"
import { hasNaca, type Outcome, statusDuringAca } from "./aca.ts"
import type { CommandRestriction } from "./command-restriction.ts"
import { type CommandTable, checkUsage, commandTable } from "./command-table.ts"
import { Control, UnitAttentionInterlock } from "./control.ts"
import { Counters } from "./counters.ts"
import { DeviceType } from "./device-type.ts"
import { Guests } from "./guest.ts"
import type { LogicalUnitIdentity } from "./identity.ts"
import { InformationalExceptions, ReportingMethod } from "./informational-exceptions.ts"
import { ItlNexus } from "./itl-nexus.ts"
import { LogParameters } from "./log-parameters.ts"
import type { LogicalUnitInventory, Nexus } from "./nexus.ts"
import { Reservation } from "./reservation.ts"
import { restorePages } from "./saved-pages.ts"
import { SelfTestResult, SelfTests } from "./self-tests.ts"
import { type Task, TaskAttribute } from "./task.ts"
import {
  acaWithoutAca,
  notSupported,
  overlappedCommands,
  previousStatus,
  senseOf,
  unitAttention,
} from "./task-failures.ts"
import type { TaskSet } from "./task-set.ts"
import { TaskSets } from "./task-sets.ts"
import type { UnitRecords } from "./unit-records.ts"
import { UnitAttentions } from "./unit-attention.ts"

/**
 * A logical unit: task router, task set and what it keeps per nexus. It may be part of several ScsiTargets; its tasks,
 * reservation and mode parameters are one for all of them.
 *
 *     received --> queued --> executing --> complete
 *         |          |            |
 *         +----------+------------+--> aborted
 *
 * A device type is a subclass.
 */
export abstract class LogicalUnit extends DeviceType {
  readonly identity: LogicalUnitIdentity
  readonly control = new Control()
  readonly counters = new Counters()
  readonly logParameters = new LogParameters(this)
  readonly exceptions = new InformationalExceptions()
  readonly selfTests = new SelfTests(() => this.exceptionArose())
  readonly reservation = new Reservation()
  /** Nexuses that have asked for the medium to stay in (PREVENT ALLOW MEDIUM REMOVAL). */
  readonly preventingRemoval = new Set<Nexus>()
  readonly guests = new Guests((nexus) => this.#itl(nexus))
  /**
   * What it must not forget over a restart; undefined: there is no place to keep it. With saved mode pages there, a device
   * type calls restorePages once it is made.
   */
  readonly records: UnitRecords | undefined
  /** While something about the unit allows some commands only. */
  restriction: CommandRestriction | undefined
  /** Where failures that are no answer to the initiator's doing go. Set by the ScsiTarget it is added to. */
  log: Log = silentLog
  readonly #sets: TaskSets
  readonly #itls = new Map<Nexus, ItlNexus>()
  /** The target devices it is part of. */
  readonly #inventories: LogicalUnitInventory[] = []
  readonly #aborted: AbortedTasks
  #table: CommandTable | undefined

  constructor(identity: LogicalUnitIdentity, records?: UnitRecords) {
    super()
    this.identity = identity
    this.records = records
    this.#sets = new TaskSets({
      control: this.control,
      logParameters: this.logParameters,
      itls: () => this.#itls.values(),
      run: (task) => this.#run(task),
      finish: (task, outcome) => (outcome ? this.#failed(task, outcome.error) : this.#succeeded(task)),
      clearTasks: (tasks, requester) => this.clearTasks(tasks, requester),
    })
    this.#aborted = new AbortedTasks({
      sets: this.#sets,
      cancelMedia: (task) => this.#cancel(task),
      left: (task) => this.#left(task),
    })
  }

  // -------------------------------------------------------------------------------------------------- nexuses

  get commandTable(): CommandTable {
    this.#table ??= commandTable(this.commands)
    return this.#table
  }

  /** A command that isn't in the table. */
  protected unknownCommand(task: Task): SenseError {
    return this.commandTable.unknown(task.cdb, task.nexus)
  }

  /** Tasks in the set, aborted ones included until their media operations have ended. */
  get taskCount(): number {
    return this.allTasks().length
  }

  /** All there are, with those that haven't come to the unit yet. */
  get nexuses(): Iterable<Nexus> {
    return new Set([
      ...this.#inventories.flatMap((inventory) => [...inventory.nexuses]),
      ...this.#itls.keys(),
    ])
  }

  /** It has become part of a target device: its nexuses are this unit's. */
  joinInventory(inventory: LogicalUnitInventory): void {
    this.#inventories.push(inventory)
  }

  leaveInventory(inventory: LogicalUnitInventory): void {
    this.#inventories.splice(this.#inventories.indexOf(inventory), 1)
  }

  /** `attention`: the unit attention the nexus begins with, whatever it has pending elsewhere. */
  attachNexus(nexus: Nexus, attention?: number): void {
    const attentions = new UnitAttentions()
    if (attention !== undefined) attentions.establish(attention)
    this.#keep(new ItlNexus(nexus, attentions, this.#sets.forNexus()))
  }

  #keep(itl: ItlNexus): ItlNexus {
    this.#itls.set(itl.nexus, itl)
    itl.nexus.units.add(this)
    return itl
  }

  /**
   * What is kept for a nexus; undefined: it isn't a nexus of this unit. It is made when it's first wanted, so that a
   * login to a target of thousands of units doesn't cost thousands of them. Until then the nexus has here what
   * happened to all units alike: `nexus.attentions`.
   */
  #itl(nexus: Nexus): ItlNexus | undefined {
    const itl = this.#itls.get(nexus)
    if (itl !== undefined || nexus.inventory === undefined) return itl
    if (!this.#inventories.includes(nexus.inventory)) return undefined
    return this.#keep(new ItlNexus(nexus, nexus.attentions.copy(), this.#sets.forNexus()))
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
    const ended = this.#aborted.abort(this.tasksOf(nexus), () => answer)
    for (const set of this.#sets.withAcaOf(nexus)) this.#sets.endAca(set)
    this.#itls.delete(nexus)
    nexus.units.delete(this)
    this.reservation.lose(nexus)
    this.preventingRemoval.delete(nexus)
    return this.guests.evict(nexus, ended)
  }

  /**
   * A unit attention condition for every nexus but `except`. `besides`: a target device that sees itself to those of its
   * nexuses for which nothing is kept here yet.
   */
  establishUnitAttention(
    asc: number,
    options: { except?: Nexus | undefined; besides?: LogicalUnitInventory | undefined } = {},
  ): void {
    for (const inventory of this.#inventories) {
      if (inventory !== options.besides) for (const nexus of inventory.nexuses) this.#itl(nexus)
    }
    for (const itl of this.#itls.values()) {
      if (itl.nexus !== options.except) itl.attentions.establish(asc)
    }
  }

  /** A unit attention condition for one nexus. */
  establishUnitAttentionFor(nexus: Nexus, asc: number): void {
    this.#itl(nexus)?.attentions.establish(asc)
  }

  clearUnitAttention(nexus: Nexus, asc: number): void {
    this.#itl(nexus)?.attentions.clear(asc)
  }

  /**
   * Takes the next unit attention of a nexus, to be reported. REPORTED LUNS DATA HAS CHANGED is then over on the other
   * units too: it is said once per nexus (LUICLR of VPD page 86h).
   */
  takeUnitAttention(nexus: Nexus): number | undefined {
    const asc = this.#itl(nexus)?.attentions.take()
    if (asc === Asc.reportedLunsDataHasChanged) nexus.inventory?.clearUnitAttention(nexus, asc)
    return asc
  }

  // ---------------------------------------------------------------------------------------------------- tasks

  commandReceived(task: Task): void {
    const itl = this.#itls.get(task.nexus) ?? this.#itl(task.nexus)
    if (itl === undefined) {
      task.state = "aborted"
      return task.abort()
    }
    task.itl = itl
    if (itl.tasks.size > 0 && itl.tasks.has(task.tag)) return this.#overlapped(itl, task)
    const { set } = itl
    task.set = set
    if (set.size >= TASK_SET_MAX) return this.refuse(task, Status.taskSetFull)
    if (set.admitAtOnce(task)) this.#run(task)
    else this.#admit(task, itl, set)
  }

  /** What isn't a SIMPLE task in a set that has nothing but those. */
  #admit(task: Task, itl: ItlNexus, set: TaskSet): void {
    const { aca } = set
    if (aca !== undefined) {
      const status = statusDuringAca(task, aca, this.#hasNaca(task), this.control.managementOnly)
      if (status !== undefined) return this.refuse(task, status)
      if (task.attribute === TaskAttribute.aca) aca.task = task
    } else if (task.attribute === TaskAttribute.aca) {
      return this.#checkCondition(task, acaWithoutAca)
    }
    if (set.admit(task, aca !== undefined) || this.#goesAhead(task, set)) this.#run(task)
    else itl.tasks.set(task.tag, task)
  }

  /** Whether a task that would wait is of a command that never does. */
  #goesAhead(task: Task, set: TaskSet): boolean {
    if (this.commandTable.find(task.cdb)?.headOfQueue !== true) return false
    set.advance(task)
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
    const { nexus } = task
    const { attentions } = task.itl!
    if (attentions.size > 0 && command?.passesUnitAttention !== true) {
      throw this.#reportedAttention(task)
    }
    if (command === undefined) throw this.unknownCommand(task)
    if (nexus.restriction !== undefined) this.checkAccess(nexus.restriction, command)
    if (this.restriction !== undefined) this.restriction.check(task, command)
    if (this.reservation.restricts && this.reservation.conflicts(nexus, command, task.cdb)) {
      return this.refuse(task, Status.reservationConflict)
    }
    checkUsage(command, task.cdb, this)
    return command.execute(task, this)
  }

  #succeeded(task: Task): void {
    if (task.state !== "executing") return this.#endedMeanwhile(task, undefined)
    task.state = "complete"
    task.sendCommandComplete(Status.good)
    this.#left(task)
  }

  #failed(task: Task, error: unknown): void {
    if (task.state !== "executing") return this.#endedMeanwhile(task, { error })
    const sense = senseOf(task, error, this.log)
    this.counters.failed(sense.key, this.commandTable.find(task.cdb))
    this.#checkCondition(task, sense)
    this.#sets.checkConditionSent(task, this.#hasNaca(task))
    this.#left(task)
  }

  /** Its execution has ended, but it was aborted since, or is blocked. */
  #endedMeanwhile(task: Task, outcome: Outcome): void {
    if (task.state === "aborted") return this.#aborted.ended(task)
    this.#sets.hold(task, outcome)
  }

  /** The task is gone from the set: others may run now. */
  #left(task: Task): void {
    const { tasks } = task.itl!
    if (tasks.size > 0 && tasks.get(task.tag) === task) tasks.delete(task.tag)
    const set = task.set!
    set.leave(task)
    if (set.concerns > 0) this.#leftBehind(set)
  }

  #leftBehind(set: TaskSet): void {
    if (set.watched) this.#compareThresholds()
    this.#sets.dispatch(set)
  }

  #reportedAttention({ nexus, itl }: Task): SenseError {
    const over = this.control.unitAttentionInterlock === UnitAttentionInterlock.reported
    const asc = (over ? this.takeUnitAttention(nexus) : itl!.attentions.first)!
    return unitAttention(asc, this.unitAttentionDetail(asc))
  }

  /** RLEC of the control mode page: everyone hears of a log parameter that meets its threshold. */
  #compareThresholds(): void {
    if (!this.logParameters.exceeded() || !this.control.reportLogExceptions) return
    this.establishUnitAttention(Asc.thresholdConditionMet)
  }

  /**
   * Ends a task with BUSY, TASK SET FULL, ACA ACTIVE or RESERVATION CONFLICT; with UA_INTLCK_CTRL 11b its nexus is to ask
   * why before it goes on (SPC-4 §7.5.8).
   */
  refuse(task: Task, status: Status): void {
    if (task.state === "received") task.state = "complete"
    task.sendCommandComplete(status)
    const asc = previousStatus[status]
    if (asc === undefined) return
    if (this.control.unitAttentionInterlock !== UnitAttentionInterlock.requestedWithStatus) return
    this.establishUnitAttentionFor(task.nexus, asc)
  }

  #checkCondition(task: Task, sense: Sense): void {
    task.state = "complete"
    const { senseFormat, senseBytesMax } = this.control
    task.sendCommandComplete(
      Status.checkCondition,
      limitSense(encodeSense(sense, senseFormat), senseBytesMax),
    )
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
    const tasks = new Set(this.#aborted.executing)
    for (const itl of this.#itls.values()) for (const task of itl.tasks.values()) tasks.add(task)
    return [...tasks]
  }

  /** Those CLEAR TASK SET is about: all, or with TST 001b those of the nexus. */
  tasksInSetOf(nexus: Nexus): Task[] {
    return this.control.separateTaskSets ? this.tasksOf(nexus) : this.allTasks()
  }

  /**
   * Aborts tasks. With TAS, those of nexuses other than `requester` get TASK ABORTED. Resolves when the media operations
   * of all have ended.
   */
  abortTasks(tasks: readonly Task[], requester?: Nexus): Promise<void> {
    const { taskAbortedStatus } = this.control
    return this.#aborted.abort(tasks, ({ nexus }) =>
      taskAbortedStatus && requester !== undefined && nexus !== requester ? taskAborted : undefined,
    )
  }

  /**
   * Aborts tasks on behalf of one nexus. The others that lose tasks by it are told so, unless the tasks' own status does
   * (SAM-5 §5.6, §7.5).
   */
  clearTasks(tasks: readonly Task[], requester: Nexus): Promise<void> {
    if (!this.control.taskAbortedStatus) {
      for (const nexus of new Set(tasks.map((task) => task.nexus))) {
        if (nexus !== requester) this.establishUnitAttentionFor(nexus, Asc.commandsClearedByAnotherInitiator)
      }
    }
    return this.abortTasks(tasks, requester)
  }

  /**
   * Ends all tasks but those spared with CHECK CONDITION; their media operations may go on for a while, but nothing new
   * is begun for them. Resolves when the media operations of all have ended, of those aborted before, too.
   */
  terminateTasks(sense: Sense, spared: (task: Task) => boolean): Promise<void> {
    const tasks = this.allTasks().filter((task) => !spared(task))
    return this.#aborted.abort(tasks, () => (task) => this.#checkCondition(task, sense))
  }

  /** Those still on their way to an answer are dropped: their data isn't waited for any longer. */
  dropUnanswered(): void {
    this.#aborted.dropUnanswered()
  }

  /** SAM-5 §5.10: the tag of a task that is under way came again. All the nexus's tasks are lost, and the new one. */
  #overlapped(itl: ItlNexus, task: Task): void {
    void this.abortTasks([...itl.tasks.values()])
    this.#checkCondition(task, overlappedCommands)
  }

  // ------------------------------------------------------------------------------ task sets and ACA conditions

  /** Has the task sets follow the control mode page, and the thresholds of log parameters. */
  arrangeTaskSets(): void {
    this.#sets.arrange()
  }

  /** Some task set has an ACA condition. */
  get hasAca(): boolean {
    return this.#sets.hasAca
  }

  /**
   * CLEAR ACA (SAM-5 §7.4): tasks with the ACA attribute are aborted, what was held up goes on. Resolves when their media
   * operations have ended. Undefined: the ACA condition is another nexus's.
   */
  clearAca(nexus: Nexus): Promise<void> | undefined {
    const sets = this.#sets.withAcaOf(nexus)
    if (sets.length === 0 && this.#itl(nexus)?.set.aca !== undefined) return undefined
    const ended = this.abortTasks(sets.flatMap((set) => set.aca!.task ?? []))
    for (const set of sets) this.#sets.endAca(set)
    return ended
  }

  #hasNaca(task: Task): boolean {
    return this.normalAca && hasNaca(task.cdb, this.commandTable.find(task.cdb))
  }

  /** An informational exception may be pending that wasn't: those who want to hear of it do (MRIE 2h). */
  exceptionArose(): void {
    if (this.exceptions.method !== ReportingMethod.unitAttention) return
    const asc = this.exceptions.pending(this.selfTests)
    if (asc !== undefined) this.establishUnitAttention(asc)
  }

  /** An aborted task: what waits on the medium on its behalf ends, and so does the self-test it waits for. */
  #cancel(task: Task): void {
    this.cancelMedia(task)
    const run = this.selfTests.abortOf(task)
    if (run) this.cancelSelfTest(run)
  }

  /** Ends the self-test in the background. False: there is none. */
  abortSelfTest(result: SelfTestResult): boolean {
    const run = this.selfTests.abort(result)
    if (run) this.cancelSelfTest(run)
    return run !== undefined
  }

  // ---------------------------------------------------------------------------------------------------- reset

  /**
   * A logical unit reset condition (SAM-5 §6.3.3), with `asc` as the unit attention for every nexus; `besides` as above.
   * Resolves when the media operations of all tasks have ended.
   */
  reset(asc: number, requester?: Nexus, besides?: LogicalUnitInventory): Promise<void> {
    const ended = this.abortTasks(this.allTasks(), requester)
    for (const set of this.#sets.withAcaOf()) this.#sets.endAca(set)
    this.reservation.clear()
    this.preventingRemoval.clear()
    this.abortSelfTest(SelfTestResult.abortedOtherwise)
    this.logParameters.resetAll(this.logPages)
    this.control.reset()
    this.exceptions.reset()
    this.onReset()
    restorePages(this)
    this.arrangeTaskSets()
    this.establishUnitAttention(asc, { besides })
    return this.guests.evict(undefined, ended)
  }
}

const taskAborted: Answer = (task) => task.sendCommandComplete(Status.taskAborted)
