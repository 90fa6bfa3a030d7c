import type { Clock } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import { ABORT_DEADLINE_MS, INITIATOR_PORTS_REMEMBERED_MAX } from "../../base/limits.ts"
import { type Log, silentLog } from "../../base/log.ts"
import { Asc } from "../spec/sense.ts"
import { IncorrectUnit } from "./incorrect-unit.ts"
import type { LogicalUnit } from "./logical-unit.ts"
import { decodeLun, isLun } from "./lun.ts"
import type { LogicalUnitInventory, Nexus, TargetPort } from "./nexus.ts"
import { TargetPortGroups, type TargetPortGroupsOptions } from "./target-port-groups.ts"
import type { Task } from "./task.ts"
import {
  TaskManagementFunction,
  type TaskManagementRequest,
  TaskManagementServiceResponse,
} from "./transport-services.ts"

export interface ScsiTargetOptions {
  readonly clock: Clock
  readonly log?: Log
  /** Absent: one group of all ports. */
  readonly portGroups?: TargetPortGroupsOptions
  /** The ports of the device (with `portGroups`: those in them), as far as they are known without a nexus to them. */
  readonly targetPorts?: () => Iterable<TargetPort>
}

/**
 * The unit attention a nexus begins with: POWER ON, RESET, OR BUS DEVICE RESET OCCURRED. POWER ON OCCURRED would say it
 * more precisely, but libiscsi's tools take only this one for the usual beginning.
 */
const BEGINNING = Asc.powerOnResetOrBusDeviceReset

/** What answers where there is no logical unit, and as the well-known one. */
const targetIdentity = { vendor: "SANLET", product: "TARGET", revision: "0001", serial: "", designators: [] }

/**
 * A SCSI target device (SAM-5 §4.6): its logical units by number, the I_T nexuses to it, and the services a transport
 * calls. Tasks of one nexus come in the order in which they are to be accepted.
 */
export class ScsiTarget implements LogicalUnitInventory {
  readonly #clock: Clock
  readonly #log: Log
  readonly #units: (LogicalUnit | undefined)[] = []
  readonly #byLun = new Map<number, LogicalUnit>()
  readonly #lunOf = new Map<LogicalUnit, number>()
  /** Rising, until one comes or goes. */
  #luns: number[] | undefined
  readonly portGroups: TargetPortGroups
  readonly #nowhere = new IncorrectUnit(targetIdentity)
  readonly #nexuses = new Set<Nexus>()
  /** Names of initiator ports there was a nexus with since power on, the latest last. */
  readonly #knownPorts = new Set<string>()
  /** Units on their way out: media operations of a nexus may still run there. */
  readonly #removals = new Set<Promise<unknown>>()
  readonly #inventoryListeners = new Set<() => void>()
  readonly #ownPorts: () => Iterable<TargetPort>

  /** Throws SanletError ERR_TARGET_PORT_GROUP. */
  constructor({ clock, log = silentLog, portGroups, targetPorts = () => [] }: ScsiTargetOptions) {
    this.#clock = clock
    this.#ownPorts = targetPorts
    this.#log = log
    this.#nowhere.log = log
    this.portGroups = new TargetPortGroups(portGroups, () =>
      this.targetPorts().map(({ relativeTargetPort }) => relativeTargetPort),
    )
    this.portGroups.onChange((attention, except) => this.#accessChanged(attention, except))
  }

  // -------------------------------------------------------------------------------------------- logical units

  get logicalUnits(): ReadonlyMap<number, LogicalUnit> {
    return this.#byLun
  }

  luns(): readonly number[] {
    this.#luns ??= [...this.#byLun.keys()].sort((a, b) => a - b)
    return this.#luns
  }

  /**
   * Makes `unit` logical unit `lun`, 0 to LUNS_MAX - 1. Initiators are told: REPORTED LUNS DATA HAS CHANGED on the other
   * units, BEGINNING on the new one. Throws SanletError ERR_LUN, ERR_LUN_IN_USE, ERR_COMMAND_TABLE.
   */
  addLogicalUnit(lun: number, unit: LogicalUnit): void {
    if (!isLun(lun)) throw new SanletError("ERR_LUN", `${lun} is no logical unit number`)
    if (this.#byLun.has(lun)) throw new SanletError("ERR_LUN_IN_USE", `there is a LUN ${lun} already`)
    const other = this.#lunOf.get(unit)
    if (other !== undefined)
      throw new SanletError("ERR_LUN_IN_USE", `the unit is LUN ${other} of this target already`)
    void unit.commandTable // compiled now, so that a faulty one isn't found by the first command
    if (unit.log === silentLog) unit.log = this.#log
    unit.startClock(this.#clock)
    for (const nexus of this.#nexuses) {
      this.#establish(nexus, Asc.reportedLunsDataHasChanged)
      unit.attachNexus(nexus, BEGINNING)
    }
    unit.joinInventory(this)
    this.#byLun.set(lun, unit)
    this.#lunOf.set(unit, lun)
    this.#units[lun] = unit
    this.#luns = undefined
    for (const listener of this.#inventoryListeners) listener()
  }

  /**
   * Takes a logical unit away: its tasks of this target's nexuses are aborted silently. Resolves when none of their media
   * operations runs any more. Throws SanletError ERR_LUN when there is none.
   */
  async removeLogicalUnit(lun: number): Promise<void> {
    const unit = this.#byLun.get(lun)
    if (unit === undefined) throw new SanletError("ERR_LUN", `there is no LUN ${lun}`)
    this.#byLun.delete(lun)
    this.#lunOf.delete(unit)
    this.#units[lun] = undefined
    this.#luns = undefined
    unit.leaveInventory(this)
    const removal = Promise.all([...this.#nexuses].map((nexus) => unit.withdrawFrom(nexus)))
    this.#removals.add(removal)
    for (const nexus of this.#nexuses) this.#establish(nexus, Asc.reportedLunsDataHasChanged)
    for (const listener of this.#inventoryListeners) listener()
    await this.tasksEnded(unit, removal)
    this.#removals.delete(removal)
  }

  async tasksEnded(unit: LogicalUnit, ended: Promise<unknown>): Promise<void> {
    // An initiator that owes a task its data doesn't hold up anybody for ever.
    const deadline = this.#clock.after(ABORT_DEADLINE_MS, "aborted tasks", () => unit.dropUnanswered())
    await ended
    deadline.cancel()
  }

  /** Called after each change of the set of logical units. Returns how to stop listening. */
  onInventoryChange(listener: () => void): () => void {
    this.#inventoryListeners.add(listener)
    return () => this.#inventoryListeners.delete(listener)
  }

  /** A unit attention condition for a nexus on every logical unit. */
  #establish(nexus: Nexus, asc: number): void {
    nexus.attentions.establish(asc)
    for (const unit of nexus.units) {
      if (unit !== this.#nowhere) unit.establishUnitAttentionFor(nexus, asc)
    }
  }

  // -------------------------------------------------------------------------------------------------- nexuses

  get nexuses(): ReadonlySet<Nexus> {
    return this.#nexuses
  }

  /** A new I_T nexus. Its first command to each unit gets BEGINNING, or I_T NEXUS LOSS OCCURRED if it had one before. */
  attachNexus(nexus: Nexus): void {
    const { initiatorPortName } = nexus.identity
    const known = this.#knownPorts.delete(initiatorPortName)
    this.#knownPorts.add(initiatorPortName)
    if (this.#knownPorts.size > INITIATOR_PORTS_REMEMBERED_MAX) {
      const [oldest] = this.#knownPorts
      this.#knownPorts.delete(oldest!)
    }
    nexus.inventory = this
    nexus.restriction = this.portGroups.restrictionOf(nexus.identity.relativeTargetPort)
    nexus.attentions.establish(known ? Asc.itNexusLoss : BEGINNING)
    this.#nexuses.add(nexus)
    this.#nowhere.attachNexus(nexus)
  }

  /**
   * I_T nexus loss: its tasks are aborted silently, its reservations dropped. Resolves when no media operation of it runs
   * any more, however long that takes.
   */
  async detachNexus(nexus: Nexus): Promise<void> {
    if (!this.#nexuses.delete(nexus)) return
    nexus.inventory = undefined // no unit keeps anything for it from here on
    const detached = [...nexus.units].map((unit) => unit.detachNexus(nexus))
    await Promise.all([...detached, ...this.#removals])
  }

  targetPorts(): TargetPort[] {
    const ports = new Map<number, TargetPort>()
    for (const port of this.#ownPorts()) ports.set(port.relativeTargetPort, port)
    for (const { identity } of this.#nexuses) {
      const { targetPortName, relativeTargetPort } = identity
      ports.set(relativeTargetPort, { targetPortName, relativeTargetPort })
    }
    return [...ports.values()].toSorted((a, b) => a.relativeTargetPort - b.relativeTargetPort)
  }

  clearUnitAttention(nexus: Nexus, asc: number): void {
    nexus.attentions.clear(asc)
    for (const unit of nexus.units) unit.clearUnitAttention(nexus, asc)
  }

  /** The asymmetric access state of a target port group is another one (SPC-4 §5.16.2.5). */
  #accessChanged(attention: number | undefined, except: Nexus | undefined): void {
    for (const nexus of this.#nexuses) {
      nexus.restriction = this.portGroups.restrictionOf(nexus.identity.relativeTargetPort)
      if (attention !== undefined && nexus !== except) this.#establish(nexus, attention)
    }
  }

  // ------------------------------------------------------------------------------- transport protocol services

  /** SCSI Command Received (SAM-5 §5.4.2). */
  commandReceived(task: Task): void {
    const lun = decodeLun(task.lunHigh, task.lunLow)
    const unit = lun < 0 ? undefined : this.#units[lun]
    if (unit !== undefined) unit.commandReceived(task)
    else this.#nowhere.commandReceived(task)
  }

  /**
   * Task Management Request Received (SAM-5 §7.12). What it aborts is aborted when the call returns; the response comes
   * when the media operations of all that have ended. After ABORT_DEADLINE_MS it is "function rejected", since what was
   * aborted may still reach the medium.
   */
  async taskManagementRequestReceived(
    nexus: Nexus,
    request: TaskManagementRequest,
  ): Promise<TaskManagementServiceResponse> {
    const started = this.#nexuses.has(nexus)
      ? this.#perform(nexus, request)
      : TaskManagementServiceResponse.functionRejected
    const response = typeof started === "number" ? started : await this.#ended(started)
    this.#report(nexus, request, response)
    return response
  }

  #perform(nexus: Nexus, request: TaskManagementRequest): Aborting | TaskManagementServiceResponse {
    const { targetWarmReset, targetColdReset } = TaskManagementFunction
    switch (request.function) {
      case targetWarmReset:
        return this.#resetTarget(Asc.busDeviceResetFunction, nexus)
      case targetColdReset:
        return this.#resetTarget(Asc.powerOn, nexus)
      default:
        return this.#performOnUnit(nexus, request)
    }
  }

  #performOnUnit(nexus: Nexus, request: TaskManagementRequest): Aborting | TaskManagementServiceResponse {
    const { abortTask, abortTaskSet, clearAca, clearTaskSet, logicalUnitReset } = TaskManagementFunction
    const lun = decodeLun(request.lunHigh, request.lunLow)
    const unit = lun < 0 ? undefined : this.#units[lun]
    switch (request.function) {
      case abortTask: {
        const task = (unit ?? this.#nowhere).taskOf(nexus, request.taskTag)
        if (task) return this.#abort(unit ?? this.#nowhere, [task])
        return unit
          ? TaskManagementServiceResponse.taskDoesNotExist
          : TaskManagementServiceResponse.lunDoesNotExist
      }
      case abortTaskSet:
        return unit ? this.#abort(unit, unit.tasksOf(nexus)) : TaskManagementServiceResponse.lunDoesNotExist
      case clearAca:
        return unit ? this.#clearAca(unit, nexus) : TaskManagementServiceResponse.lunDoesNotExist
      case clearTaskSet:
        return unit ? this.#clearTaskSet(unit, nexus) : TaskManagementServiceResponse.lunDoesNotExist
      case logicalUnitReset:
        return unit
          ? this.#resetUnit(unit, Asc.busDeviceResetFunction, nexus)
          : TaskManagementServiceResponse.lunDoesNotExist
      default:
        return TaskManagementServiceResponse.functionNotSupported
    }
  }

  #abort(unit: LogicalUnit, tasks: readonly Task[]): Aborting {
    return { units: [unit], ended: unit.abortTasks(tasks) }
  }

  #clearTaskSet(unit: LogicalUnit, requester: Nexus): Aborting {
    return { units: [unit], ended: unit.clearTasks(unit.tasksInSetOf(requester), requester) }
  }

  /** Of another nexus's ACA condition nobody is rid by asking: SAM-5 §5.9.5 leaves it to the faulted nexus. */
  #clearAca(unit: LogicalUnit, nexus: Nexus): Aborting | TaskManagementServiceResponse {
    const ended = unit.clearAca(nexus)
    return ended ? { units: [unit], ended } : TaskManagementServiceResponse.functionRejected
  }

  #resetUnit(unit: LogicalUnit, asc: number, requester: Nexus): Aborting {
    return { units: [unit], ended: unit.reset(asc, requester) }
  }

  #resetTarget(asc: number, requester: Nexus): Aborting {
    const units = [...this.#byLun.values()]
    const ended = Promise.all(units.map((unit) => unit.reset(asc, requester, this)))
    for (const nexus of this.#nexuses) this.#establish(nexus, asc)
    const elsewhere = this.#nowhere.abortTasks(this.#nowhere.allTasks())
    return { units, ended: Promise.all([ended, elsewhere]).then(() => {}) }
  }

  async #ended({ units, ended }: Aborting): Promise<TaskManagementServiceResponse> {
    let late: (() => void) | undefined
    const deadline = new Promise<boolean>((resolve) => {
      late = () => resolve(false)
    })
    const timer = this.#clock.after(ABORT_DEADLINE_MS, "abort deadline", late!)
    const inTime = await Promise.race([ended.then(() => true), deadline])
    timer.cancel()
    if (inTime) return TaskManagementServiceResponse.functionComplete
    for (const unit of units) unit.dropUnanswered()
    return TaskManagementServiceResponse.functionRejected
  }

  #report(nexus: Nexus, request: TaskManagementRequest, response: TaskManagementServiceResponse): void {
    const rejected = response === TaskManagementServiceResponse.functionRejected
    const fields = {
      function: nameIn(TaskManagementFunction, request.function),
      response: nameIn(TaskManagementServiceResponse, response),
      initiator: nexus.identity.initiatorName,
      targetPort: nexus.identity.targetPortName,
      lun: decodeLun(request.lunHigh, request.lunLow),
      ...(request.function === TaskManagementFunction.abortTask && { tag: request.taskTag }),
    }
    if (rejected)
      this.#log.warn(fields, "aborted tasks did not end in time: their data may still reach the medium")
    else this.#log.debug(fields, "task management function carried out")
  }
}

interface Aborting {
  readonly units: readonly LogicalUnit[]
  readonly ended: Promise<void>
}

const nameIn = (table: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(table).find((name) => table[name] === value) ?? `function ${value}`
