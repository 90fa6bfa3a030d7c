import type { BlockDevice } from "../../backstore/block-device.ts"
import { noMedium } from "../../backstore/no-medium.ts"
import type { Clock } from "../../base/clock.ts"
import { SanletError } from "../../base/errors.ts"
import { ABORT_DEADLINE_MS } from "../../base/limits.ts"
import type { Nexus } from "../sam/nexus.ts"
import { SelfTestResult } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, SenseError, SenseKey } from "../spec/sense.ts"
import type { DiskUnit } from "./disk-unit.ts"

/** What happened to the medium, as the media class of GET EVENT STATUS NOTIFICATION tells it (MMC-6). */
export type TrayEvent = "ejectRequest" | "newMedia" | "mediaRemoval"

export interface RemovalOptions {
  /** The medium comes out although initiators have asked for it to stay in, and their prevention ends. */
  readonly force?: boolean
}

/**
 * Where the medium of a removable unit lies.
 *
 *     loaded  <-- load, change --  closed, empty      MEDIUM NOT PRESENT - TRAY CLOSED
 *        |                            ^
 *      eject                       load (nothing lies in it), change(undefined)
 *        v                            |
 *      open, with the medium or without                MEDIUM NOT PRESENT - TRAY OPEN
 *
 * `eject`, `load` and `change` are for the operator; initiators use START STOP UNIT. Whoever loads a medium
 * knows of it; the other nexuses get NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED.
 */
export class Tray {
  readonly #unit: DiskUnit
  readonly #clock: Clock
  readonly #listeners = new Set<(event: TrayEvent) => void>()
  /** What lies in it, loaded or not. */
  #medium: BlockDevice | undefined
  #open = false
  /** Movements come one after the other, each as a whole: this is the end of the last. */
  #moved: Promise<unknown> = Promise.resolve()

  constructor(unit: DiskUnit, medium: BlockDevice | undefined, clock: Clock) {
    this.#unit = unit
    this.#medium = medium
    this.#clock = clock
  }

  get open(): boolean {
    return this.#open
  }

  /** The medium can be used. */
  get loaded(): boolean {
    return !this.#open && this.#medium !== undefined
  }

  /** Initiators have asked for the medium to stay in (PREVENT ALLOW MEDIUM REMOVAL). */
  get locked(): boolean {
    return this.#unit.preventingRemoval.size > 0
  }

  /** Returns how to stop listening. */
  onEvent(listener: (event: TrayEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // --------------------------------------------------------------------------------------------- the operator's

  /**
   * Opens the tray; resolves when the medium is stable and no longer used. Rejects with SanletError ERR_MEDIUM_LOCKED as
   * long as an initiator prevents it: initiators that listen for that (CD-ROM drives) are told of the wish, and may
   * eject it by themselves. No unit attention tells others: Linux takes any of a removable disk for a change of its
   * medium, and fails what it had mounted.
   */
  eject(options: RemovalOptions = {}): Promise<void> {
    return this.#inTurn(() => {
      this.#checkUnlocked(options)
      return this.#empty()
    })
  }

  /** Closes the tray. */
  load(): Promise<void> {
    return this.#inTurn(async () => this.#close())
  }

  /**
   * Puts `medium` in the place of the one there is, closes the tray and resolves with the old one, which is stable, no
   * longer used, and the caller's to close. Rejects as `eject` does, and with ERR_DISK_OPTION for one that doesn't fit
   * the unit; all is as it was then.
   */
  change(medium: BlockDevice | undefined, options: RemovalOptions = {}): Promise<BlockDevice | undefined> {
    return this.#inTurn(async () => {
      if (medium !== undefined) this.#unit.checkMedium(medium)
      this.#checkUnlocked(options)
      await this.#empty()
      const old = this.#medium
      this.#unit.mount(medium ?? noMedium)
      this.#medium = medium
      this.#close()
      return old
    })
  }

  #checkUnlocked({ force = false }: RemovalOptions): void {
    if (!this.locked) return
    if (!force) {
      this.#tell("ejectRequest")
      const who = [...this.#unit.preventingRemoval].map(({ identity }) => identity.initiatorName)
      const message = `the medium is kept in by ${[...new Set(who)].join(", ")} (PREVENT ALLOW MEDIUM REMOVAL)`
      throw new SanletError("ERR_MEDIUM_LOCKED", message)
    }
    this.#unit.preventingRemoval.clear()
  }

  // ------------------------------------------------------------------------------------------- START STOP UNIT's

  /** LOEJ with START 0. Rejects with SenseError MEDIUM REMOVAL PREVENTED. */
  unload(): Promise<void> {
    return this.#inTurn(() => {
      this.#checkAllowed()
      return this.#empty()
    })
  }

  /** LOEJ with START 1. Closing is refused as opening is: that's how targets and libiscsi's suite read PREVENT. */
  loadFor(nexus: Nexus): Promise<void> {
    return this.#inTurn(async () => {
      this.#checkAllowed()
      this.#close(nexus)
    })
  }

  #checkAllowed(): void {
    if (!this.locked) return
    throw new SenseError(SenseKey.illegalRequest, Asc.mediumRemovalPrevented, "a nexus prevents it")
  }

  /** Why media commands can't be done while it isn't loaded. */
  notPresent(): SenseError {
    const [asc, where] = this.#open
      ? [Asc.mediumNotPresentTrayOpen, "open"]
      : [Asc.mediumNotPresentTrayClosed, "closed"]
    return new SenseError(SenseKey.notReady, asc, `there is no medium, and the tray is ${where}`)
  }

  // ------------------------------------------------------------------------------------------------ both

  #inTurn<T>(move: () => Promise<T>): Promise<T> {
    const moved = this.#moved.then(move)
    this.#moved = moved.catch(() => {})
    return moved
  }

  /** A cache that can't be written back keeps the medium in. */
  async #empty(): Promise<void> {
    if (!this.loaded) {
      this.#open = true
      return
    }
    const { medium } = this.#unit
    await medium.flush()
    this.#open = true
    this.#unit.stopped = true
    await this.#endTasks()
    await medium.flush()
    this.#tell("mediaRemoval")
  }

  /** What is under way ends as what comes later does. START STOP UNIT goes on: it is this movement, or waits for it. */
  async #endTasks(): Promise<void> {
    const unit = this.#unit
    unit.selfTests.abort(SelfTestResult.abortedOtherwise)
    const moves = ({ cdb }: Task): boolean => cdb[0] === OperationCode.startStopUnit
    const ended = unit.guests.evict(undefined, unit.terminateTasks(this.notPresent(), moves))
    // An initiator that owes a task its data doesn't hold up the tray for ever.
    const deadline = this.#clock.after(ABORT_DEADLINE_MS, "tray", () => unit.dropUnanswered())
    await ended
    deadline.cancel()
  }

  #close(by?: Nexus): void {
    if (this.loaded) return
    const unit = this.#unit
    this.#open = false
    if (this.#medium === undefined) return
    unit.stopped = false
    unit.establishUnitAttention(Asc.notReadyToReadyChange, by === undefined ? {} : { except: by })
    this.#tell("newMedia")
  }

  #tell(event: TrayEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
