import type { Clock } from "../../../base/clock.ts"
import type { Completion } from "../../../base/completion.ts"
import { COPIES_MAX, COPY_RESULTS_MAX } from "../../../base/limits.ts"
import type { Random } from "../../../base/random.ts"
import type { LogicalUnit } from "../../sam/logical-unit.ts"
import type { Nexus } from "../../sam/nexus.ts"
import type { Task } from "../../sam/task.ts"
import { StatusError } from "../../sam/task-failures.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import { Status } from "../../spec/status.ts"
import type { DiskUnit } from "../disk-unit.ts"
import { throwIfAborted } from "../medium.ts"
import { CopyOperation, type CopyRequest } from "./operation.ts"
import { RodTokens } from "./rod-tokens.ts"

const managers = new WeakMap<LogicalUnit, CopyManager>()

/** The copy manager of a unit; undefined for one that can't be copied from or to. */
export const copyManagerOf = (unit: LogicalUnit): CopyManager | undefined =>
  unit.thirdPartyCopy ? managers.get(unit) : undefined

/** The copy manager of a disk (SPC-4 §5.17.2): its copy operations, and the ROD tokens it has given out. */
export class CopyManager {
  readonly unit: DiskUnit
  readonly tokens: RodTokens
  readonly #running = new Map<CopyOperation, Task>()
  /** What each nexus may ask about, by list identifier, the latest last; it goes with the nexus. */
  #known = new WeakMap<Nexus, Map<number, CopyOperation>>()

  constructor(unit: DiskUnit, clock: Clock, random: Random) {
    this.unit = unit
    this.tokens = new RodTokens(unit.medium, clock, random)
    managers.set(unit, this)
  }

  /**
   * Originates a copy operation. The command ends with it, or, with IMMED, before it: then what becomes of it is told by
   * RECEIVE COPY STATUS alone (SPC-4 §5.17.4.3). Throws SenseError.
   */
  originate(task: Task, request: CopyRequest, work: (operation: CopyOperation) => Completion): Completion {
    throwIfAborted(task) // while its parameter list was on its way
    const known = this.#knownTo(task.nexus)
    const { listId } = request
    const earlier = listId === undefined ? undefined : known.get(listId)
    if (earlier !== undefined && earlier.outcome === undefined) {
      throw new SenseError(
        SenseKey.illegalRequest,
        Asc.operationInProgress,
        `a copy operation with list identifier ${listId} is under way`,
      )
    }
    if (this.#running.size >= COPIES_MAX)
      throw new StatusError(Status.busy, `${COPIES_MAX} copies are under way`)
    const operation = new CopyOperation(task.nexus, request)
    if (listId !== undefined) remember(known, listId, operation)
    this.#running.set(operation, task)
    operation.visit(this.unit)
    const done = operation.run(work).finally(() => this.#running.delete(operation))
    if (!request.immediate) return done
    done.catch(() => {})
  }

  find(nexus: Nexus, listId: number): CopyOperation | undefined {
    return this.#known.get(nexus)?.get(listId)
  }

  forget(nexus: Nexus, listId: number): void {
    this.#known.get(nexus)?.delete(listId)
  }

  /** The task was aborted: its operation ends, wherever it reads or writes. */
  cancel(task: Task): void {
    for (const [operation, originator] of this.#running) {
      if (originator === task) void operation.abort(clearedByDeviceServer())
    }
  }

  /** Nobody can ask any more about what was before a reset (SPC-4 §6.24). */
  reset(): void {
    this.#known = new WeakMap()
  }

  #knownTo(nexus: Nexus): Map<number, CopyOperation> {
    let known = this.#known.get(nexus)
    if (known === undefined) {
      known = new Map()
      this.#known.set(nexus, known)
    }
    return known
  }
}

/** What an operation that is aborted ends with, and its command, if it waits for it (SPC-4 §5.17.4.7). */
export const clearedByDeviceServer = (): SenseError =>
  new SenseError(SenseKey.copyAborted, Asc.commandsClearedByDeviceServer, "the copy operation was aborted")

function remember(known: Map<number, CopyOperation>, listId: number, operation: CopyOperation): void {
  known.delete(listId)
  if (known.size >= COPY_RESULTS_MAX) {
    const [oldest] = [...known].filter(([, { outcome }]) => outcome !== undefined)
    if (oldest !== undefined) known.delete(oldest[0])
  }
  known.set(listId, operation)
}
