import type { Clock } from "../../base/clock.ts"
import { type Completion, isPromise } from "../../base/completion.ts"
import { TASK_SET_MAX } from "../../base/limits.ts"
import { type Log, silentLog } from "../../base/log.ts"
import { Asc, encodeSense, type Sense, type SenseError } from "../spec/sense.ts"
import { limitSense } from "../spec/sense-limit.ts"
import { Status } from "../spec/status.ts"
import { AbortedTasks, type Answer } from "./aborted-tasks.ts"
import { hasNaca, type Outcome, statusDuringAca } from "./aca.ts"
import type { CommandRestriction } from "./command-restriction.ts"
import { checkUsage } from "./command-table.ts"
import type { CommandTimes } from "./command-times.ts"
import { Control, UnitAttentionInterlock } from "./control.ts"
import { Counters } from "./counters.ts"
import { Guests } from "./guest.ts"
import type { LogicalUnitIdentity } from "./identity.ts"
import { InformationalExceptions, ReportingMethod } from "./informational-exceptions.ts"
import type { ItlNexus } from "./itl-nexus.ts"
import { LogParameters } from "./log-parameters.ts"
import type { LogicalUnitInventory, Nexus } from "./nexus.ts"
import { NexusKeeper } from "./nexus-keeper.ts"
import { Reservation } from "./reservation.ts"
import { restorePages } from "./saved-pages.ts"
import { SelfTestResult, SelfTests } from "./self-tests.ts"
import { type Task, TaskAttribute } from "./task.ts"
import {
  acaWithoutAca,
  notSupported,
  overlappedCommands,
  previousStatus,
  StatusError,
  senseOf,
  unitAttention,
} from "./task-failures.ts"
import type { TaskSet } from "./task-set.ts"
import { TaskSets } from "./task-sets.ts"
import type { UnitRecords } from "./unit-records.ts"

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
export abstract class LogicalUnit extends NexusKeeper {
  readonly identity: LogicalUnitIdentity
  readonly control = new Control()
  readonly counters = new Counters()
  readonly logParameters = new LogParameters(this)
  readonly exceptions = new InformationalExceptions()
  readonly selfTests = new SelfTests({
    failed: () => this.exceptionArose(),
    cancel: (run) => this.cancelSelfTest(run),
  })
  readonly reservation = new Reservation()
  /** Nexuses that have asked for the medium to stay in (PREVENT ALLOW MEDIUM REMOVAL). */
  readonly preventingRemoval = new Set<Nexus>()
  readonly guests = new Guests((nexus) => this.itlOf(nexus))
  /**
   * What it must not forget over a restart; undefined: there is no place to keep it. With saved mode pages there, a device
   * type calls restorePages once it is made.
   */
  readonly records: UnitRecords | undefined
  /** While something about the unit allows some commands only. */
  restriction: CommandRestriction | undefined
  /** Where failures that are no answer to the initiator's doing go. Set by the ScsiTarget it is added to. */
  log: Log = silentLog
  /** By which its times are measured. Set by the ScsiTarget it is added to first. */
  #clock: Clock | undefined
  readonly #sets: TaskSets
  readonly #aborted: AbortedTasks

  constructor(identity: LogicalUnitIdentity, records?: UnitRecords) {
    super()
    this.identity = identity
    this.records = records
    this.#sets = new TaskSets({
      control: this.control,
      logParameters: this.logParameters,
      itls: () => this.itls.values(),
      run: (task) => this.#run(task),
      finish: (task, outcome) => (outcome ? this.#failed(task, outcome.error) : this.#succeeded(task)),
      clearTasks: (tasks, requester) => this.clearTasks(tasks, requester),
    })
    this.#aborted = new AbortedTasks({
      sets: this.#sets,
      cancelMedia: (task) => {
        this.cancelMedia(task)
        this.selfTests.abortOf(task)
      },
      left: (task) => this.#left(task),
    })
  }

  // -------------------------------------------------------------------------------------------------- nexuses

  protected override taskSetForNexus(): TaskSet {
    return this.#sets.forNexus()
  }

  override detachNexus(nexus: Nexus): Promise<void> {
    return this.#detach(nexus)
  }

  /**
   * The nexus finds this unit no longer, as it is being removed. Its tasks end with what the next command there would get:
   * silence would have the initiator wait for them until it loses patience.
   */
  withdrawFrom(nexus: Nexus): Promise<void> {
    return this.#detach(nexus, (task) => this.#checkCondition(task, notSupported))
  }

  #detach(nexus: Nexus, answer?: Answer): Promise<void> {
    const ended = this.#aborted.abort(this.tasksOf(nexus), () => answer)
    for (const set of this.#sets.withAcaOf(nexus)) this.#sets.endAca(set)
    this.itls.delete(nexus)
    nexus.units.delete(this)
    this.reservation.lose(nexus)
    this.preventingRemoval.delete(nexus)
    return this.guests.evict(nexus, ended)
  }

  // ---------------------------------------------------------------------------------------------------- tasks

  commandReceived(task: Task): void {
    const itl = this.itls.get(task.nexus) ?? this.itlOf(task.nexus)
    if (itl === undefined) {
      task.state = "aborted"
      return task.abort()
    }
    task.itl = itl
    if (itl.tasks.size > 0 && itl.tasks.has(task.tag)) return this.#overlapped(itl, task)
    const { set } = itl
    task.set = set
    if (set.size >= TASK_SET_MAX) return this.#refuse(task, Status.taskSetFull)
    if (set.admitAtOnce(task)) this.#run(task)
    else this.#admit(task, itl, set)
  }

  /** What isn't a SIMPLE task in a set that has nothing but those. */
  #admit(task: Task, itl: ItlNexus, set: TaskSet): void {
    const { aca } = set
    if (aca !== undefined) {
      const status = statusDuringAca(task, aca, this.#hasNaca(task), this.control.managementOnly)
      if (status !== undefined) return this.#refuse(task, status)
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
    const command = (this.table ?? this.commandTable).find(task.cdb)
    const { nexus } = task
    const { attentions } = task.itl!
    if (attentions.size > 0 && command?.passesUnitAttention !== true) {
      throw this.#reportedAttention(task)
    }
    if (command === undefined) throw this.unknownCommand(task)
    if (nexus.restriction !== undefined) this.checkAccess(nexus.restriction, command)
    if (this.restriction !== undefined) this.restriction.check(task, command)
    if (this.reservation.restricts && this.reservation.conflicts(nexus, command, task.cdb)) {
      throw new StatusError(Status.reservationConflict, "another nexus holds a reservation")
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
    if (error instanceof StatusError) {
      this.#refuse(task, error.status)
      return this.#left(task)
    }
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
    // RLEC of the control mode page: everyone hears of a log parameter that meets its threshold.
    const met = set.watched && this.logParameters.exceeded()
    if (met && this.control.reportLogExceptions) this.establishUnitAttention(Asc.thresholdConditionMet)
    this.#sets.dispatch(set)
  }

  #reportedAttention({ nexus, itl }: Task): SenseError {
    const over = this.control.unitAttentionInterlock === UnitAttentionInterlock.reported
    const asc = (over ? this.takeUnitAttention(nexus) : itl!.attentions.first)!
    return unitAttention(asc, this.unitAttentionDetail(asc))
  }

  /**
   * Ends a task with BUSY, TASK SET FULL, ACA ACTIVE or RESERVATION CONFLICT; with UA_INTLCK_CTRL 11b its nexus is to ask
   * why before it goes on (SPC-4 §7.5.8).
   */
  #refuse(task: Task, status: Status): void {
    task.state = "complete"
    task.sendCommandComplete(status)
    const asc = previousStatus[status]
    const told = this.control.unitAttentionInterlock === UnitAttentionInterlock.requestedWithStatus
    if (told && asc !== undefined) this.establishUnitAttentionFor(task.nexus, asc)
  }

  #checkCondition(task: Task, sense: Sense): void {
    task.state = "complete"
    const { senseFormat, senseBytesMax } = this.control
    task.sendCommandComplete(
      Status.checkCondition,
      limitSense(encodeSense(sense, senseFormat), senseBytesMax),
    )
  }

  get times(): CommandTimes | undefined {
    return this.#sets.times
  }

  /** From now on; a unit that is part of no target has no time. */
  measureTimes(): void {
    if (this.#clock) this.#sets.measureBy(this.#clock)
  }

  startClock(clock: Clock): void {
    this.#clock ??= clock
    this.selfTests.startClock(clock)
  }

  // ------------------------------------------------------------------------------------------------- aborting

  /** All there are, with those of nexuses that are gone. */
  allTasks(): Task[] {
    const tasks = new Set(this.#aborted.executing)
    for (const itl of this.itls.values()) for (const task of itl.tasks.values()) tasks.add(task)
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
   * Ends all tasks but those spared with CHECK CONDITION: the medium is gone, or is being sanitized or formatted. Their media
   * operations may go on for a while, but nothing new is begun for them. QERR has nothing left to say, since only those are
   * spared that must go on (the command itself, or what is allowed during it), and no ACA condition may hold it up. Resolves
   * when the media operations of all have ended, of those aborted before, too.
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

  get hasAca(): boolean {
    return this.#sets.hasAca
  }

  /**
   * CLEAR ACA (SAM-5 §7.4): tasks with the ACA attribute are aborted, what was held up goes on. Resolves when their media
   * operations have ended. Undefined: the ACA condition is another nexus's.
   */
  clearAca(nexus: Nexus): Promise<void> | undefined {
    const sets = this.#sets.withAcaOf(nexus)
    if (sets.length === 0 && this.itlOf(nexus)?.set.aca !== undefined) return undefined
    const ended = this.abortTasks(sets.flatMap((set) => set.aca!.task ?? []))
    for (const set of sets) this.#sets.endAca(set)
    return ended
  }

  #hasNaca(task: Task): boolean {
    return this.normalAca && hasNaca(task.cdb, this.commandTable.find(task.cdb))
  }

  /** An informational exception may be pending that wasn't: those who want to hear of it do (MRIE 2h). */
  exceptionArose(): void {
    const told = this.exceptions.method === ReportingMethod.unitAttention
    const asc = this.exceptions.pending(this.selfTests)
    if (told && asc !== undefined) this.establishUnitAttention(asc)
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
    this.selfTests.abort(SelfTestResult.abortedOtherwise)
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
