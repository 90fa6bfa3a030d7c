import { isPromise } from "../../../base/completion.ts"
import type { Guest } from "../../sam/guest.ts"
import type { Nexus } from "../../sam/nexus.ts"
import type { TaskState } from "../../sam/task.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import type { DiskUnit } from "../disk-unit.ts"

export interface CopyRequest {
  /** SERVICE ACTION of the command that originates it. */
  readonly serviceAction: number
  /** Absent: nobody can ask for it (LIST ID USAGE 11b). */
  readonly listId: number | undefined
  /** IMMED: the command ends before it. */
  readonly immediate: boolean
}

export type CopyOutcome =
  | { readonly kind: "completed"; readonly partial: boolean }
  | { readonly kind: "failed"; readonly sense: SenseError }
  | { readonly kind: "terminated" }

/**
 * A copy operation (SPC-4 §5.17.4.3): what a third-party copy command originates, under way or ended. It is a guest of every unit it
 * touches, and what their media see of it.
 */
export class CopyOperation implements Guest {
  readonly nexus: Nexus
  readonly request: CopyRequest
  /** At a medium it is who reads and writes. */
  state: TaskState = "executing"
  /** Written to the destination, without a gap from the beginning; in bytes. */
  bytes = 0
  /** Segment descriptors begun. */
  segments = 0
  /** Reads and writes that have ended well. */
  transfers = 0
  /** There was less in the ROD than was asked for. */
  partial = false
  /** The ROD token it has made, until it was handed over. */
  token: Uint8Array | undefined
  /** Undefined: it goes on. */
  outcome: CopyOutcome | undefined
  /** Resolves when it has ended, whichever way. */
  ended: Promise<void> = Promise.resolve()
  #aborted: SenseError | undefined
  readonly #hosts = new Set<DiskUnit>()

  constructor(nexus: Nexus, request: CopyRequest) {
    this.nexus = nexus
    this.request = request
  }

  /** Carries it out. Rejects with what its command is to end with. */
  run(work: (operation: CopyOperation) => Promise<void> | void): Promise<void> {
    const done = this.#carryOut(work)
    this.ended = done.then(
      () => {},
      () => {},
    )
    return done
  }

  async #carryOut(work: (operation: CopyOperation) => Promise<void> | void): Promise<void> {
    try {
      const working = work(this)
      if (isPromise(working)) await working
      this.throwIfAborted()
      this.outcome = { kind: "completed", partial: this.partial }
      this.state = "complete"
    } catch (error) {
      const told = this.#aborted ?? error
      const sense = told instanceof SenseError ? told : internalFailure(told)
      this.outcome = this.#aborted ? { kind: "terminated" } : { kind: "failed", sense }
      throw told
    } finally {
      for (const unit of this.#hosts) unit.guests.dismiss(this)
    }
  }

  /** From now on it works at the unit, and ends when it may not any longer. */
  visit(unit: DiskUnit): void {
    if (this.#hosts.has(unit)) return
    this.#hosts.add(unit)
    unit.guests.admit(this)
  }

  /** Ends it with `reason`; resolves when it reads and writes nothing any more. */
  abort(reason: SenseError): Promise<void> {
    if (this.outcome === undefined && this.#aborted === undefined) {
      this.#aborted = reason
      this.state = "aborted"
      for (const unit of this.#hosts) unit.device.cancel(this)
    }
    return this.ended
  }

  /** A unit it works at was reset or is taken away, or the nexus is gone. */
  evict(): Promise<void> {
    return this.abort(
      new SenseError(
        SenseKey.copyAborted,
        Asc.copyTargetDeviceNotReachable,
        "a logical unit was reset or removed under the copy",
      ),
    )
  }

  throwIfAborted(): void {
    if (this.#aborted !== undefined) throw this.#aborted
  }
}

const internalFailure = (error: unknown): SenseError =>
  new SenseError(SenseKey.hardwareError, Asc.internalTargetFailure, String(error))
