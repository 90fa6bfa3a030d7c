import { BlockError } from "../../backstore/block-device.ts"
import { type Clock, sleep } from "../../base/clock.ts"
import type { Command } from "../sam/command.ts"
import type { CommandRestriction } from "../sam/command-restriction.ts"
import { SelfTestResult } from "../sam/self-tests.ts"
import type { Task } from "../sam/task.ts"
import type { UnitRecords } from "../sam/unit-records.ts"
import { OperationCode } from "../spec/operation-code.ts"
import { Asc, type Sense, SenseError, SenseKey } from "../spec/sense.ts"
import { allowedDuringFormat, allowedDuringSanitize, allowedWhileFormatCorrupt } from "./allowed-commands.ts"
import type { DiskUnit } from "./disk-unit.ts"
import { decodeMark, encodeMark, type OperationMark } from "./operation-mark.ts"
import { type Pass, passesOf } from "./treatment.ts"

const RECORD = "medium-operation"
const PROGRESS_WHOLE = 0x1_0000

/**
 * Sanitize and format operations (SBC-4 §4.11, §4.33): what is done to the whole medium, with nobody else there.
 *
 *             start                     good end
 *     none -----------> in progress ---------------> none
 *      ^ ^                |    ^                      what was remembered is forgotten, then the command gets GOOD
 *      | | exit failure   |    | start
 *      | | mode (AUSE)    v    |
 *      | +------------ failed -+                      remembered as failed
 *
 * A mark is stable before the first byte changes, and removed after the last one is stable. So a restart in between finds
 * it: a sanitize operation begins anew, since it must come to its end; a format operation leaves the medium format
 * corrupt. Neither task management nor a reset has an effect on either, only on the command that waits.
 */
export class MediumOperations implements CommandRestriction {
  readonly #unit: DiskUnit
  readonly #records: UnitRecords
  readonly #clock: Clock
  #mark: OperationMark | undefined
  #running = false
  #doneBytes = 0
  #passes: readonly Pass[] = []
  #stopped = false
  /** Commands that wait for the end of the operation, and how to let them go. */
  readonly #waiting = new Map<Task, () => void>()

  constructor(unit: DiskUnit, records: UnitRecords, clock: Clock) {
    this.#unit = unit
    this.#records = records
    this.#clock = clock
  }

  /** Takes up what was begun before a restart. */
  resume(): void {
    const record = this.#records.get(RECORD)
    if (record === undefined) return
    const mark = decodeMark(record)
    if (mark.operation === "sanitize" && !mark.failed) {
      this.#enter(mark)
      void this.#run(mark)
      return
    }
    this.#mark = { ...mark, failed: true }
    this.#unit.restriction = this
  }

  /** The unit is no longer served: what is in progress stops after its next step, and goes on after a restart. */
  stop(): void {
    this.#stopped = true
  }

  /** What ended with an error. */
  get failure(): OperationMark | undefined {
    return this.#running ? undefined : this.#mark
  }

  /**
   * Begins an operation and, unless `immediate`, waits for its end. All other commands are terminated, and so is a self-test
   * (SPC-4 table 105). Rejects with SenseError: one is in progress already, it can't be remembered, or it failed.
   */
  async start(task: Task, mark: OperationMark, immediate: boolean): Promise<void> {
    if (this.#running) throw inProgress(this.#mark ?? mark, this.#progress)
    const before = this.#mark
    this.#enter(mark)
    try {
      await this.#records.put(RECORD, encodeMark(mark))
    } catch (error) {
      this.#leave(before)
      throw notRemembered(error)
    }
    const allowed = mark.operation === "sanitize" ? allowedDuringSanitize : allowedDuringFormat
    this.#unit.selfTests.abort(SelfTestResult.abortedOtherwise)
    void this.#unit.terminateTasks(inProgress(mark, 0), (other) => other === task || allowed(other.cdb))
    const ended = this.#run(mark)
    if (immediate || task.state === "aborted") return
    const forsaken = new Promise<undefined>((resolve) => this.#waiting.set(task, () => resolve(undefined)))
    const failure = await Promise.race([ended, forsaken])
    this.#waiting.delete(task)
    if (failure !== undefined) throw failure
  }

  /** EXIT FAILURE MODE (SBC-4 §5.30.2.5): a failed sanitize operation counts as one that ended well. */
  async exitFailureMode(): Promise<void> {
    if (this.failure === undefined) return
    try {
      await this.#records.put(RECORD, undefined)
    } catch (error) {
      throw notRemembered(error)
    }
    this.#leave(undefined)
  }

  /** The command was aborted; the operation isn't. */
  forsake(task: Task): void {
    this.#waiting.get(task)?.()
  }

  // ---------------------------------------------------------------------------------- CommandRestriction

  get sense(): Sense | undefined {
    return this.#running && this.#mark !== undefined ? inProgress(this.#mark, this.#progress) : undefined
  }

  check({ cdb }: Task, command: Command): void {
    const mark = this.#mark
    if (mark === undefined) return
    if (this.#running) {
      const allowed = mark.operation === "sanitize" ? allowedDuringSanitize : allowedDuringFormat
      if (!allowed(cdb)) throw inProgress(mark, this.#progress)
    } else if (mark.operation === "sanitize") {
      if (!allowedDuringSanitize(cdb) && command.opcode !== OperationCode.sanitize) throw sanitizeFailed()
    } else if (!allowedWhileFormatCorrupt(command)) {
      throw new SenseError(
        SenseKey.mediumError,
        Asc.mediumFormatCorrupted,
        "a format operation did not end well",
      )
    }
  }

  // ------------------------------------------------------------------------------------------- the operation

  #enter(mark: OperationMark): void {
    this.#mark = mark
    this.#running = true
    this.#doneBytes = 0
    this.#passes = passesOf(mark.treatment, this.#unit.blockBytes)
    this.#unit.restriction = this
  }

  #leave(mark: OperationMark | undefined): void {
    this.#mark = mark
    this.#running = false
    this.#passes = []
    this.#unit.restriction = mark === undefined ? undefined : this
  }

  /** In 65536ths. */
  get #progress(): number {
    const all = this.#unit.device.sizeBytes * this.#passes.length
    if (all === 0) return PROGRESS_WHOLE - 1
    return Math.min(PROGRESS_WHOLE - 1, Math.floor((this.#doneBytes / all) * PROGRESS_WHOLE))
  }

  /** Never rejects: resolves with what the waiting command ends with, undefined for GOOD. */
  async #run(mark: OperationMark): Promise<SenseError | undefined> {
    try {
      const { medium, device } = this.#unit
      await medium.exclusively(() => this.#treat(mark))
      if (mark.operation === "sanitize") await medium.wipeUndoLog()
      await this.#records.put(RECORD, undefined)
      this.#leave(undefined)
      this.#unit.log.info({ device: device.name }, `the ${mark.operation} operation has ended well`)
      return undefined
    } catch (error) {
      // The device is being closed: the mark stays as it is, and whoever opens the medium again goes on.
      if (this.#stopped || (error instanceof BlockError && error.reason === "closed"))
        return inProgress(mark, this.#progress)
      return await this.#fail(mark, error)
    }
  }

  async #fail(mark: OperationMark, error: unknown): Promise<SenseError> {
    const failed = { ...mark, failed: true }
    this.#unit.log.warn(
      { operation: mark.operation },
      `the ${mark.operation} operation failed: ${String(error)}`,
    )
    // Should this fail too, the mark still says that it is in progress, and it is begun anew after a restart.
    await this.#records.put(RECORD, encodeMark(failed)).catch(() => {})
    this.#leave(failed)
    if (mark.operation === "sanitize") return sanitizeFailed()
    return new SenseError(SenseKey.mediumError, Asc.mediumFormatCorrupted, "the format operation failed")
  }

  /** The whole device, to its last byte: also what is left over beyond the last logical block. */
  async #treat({ operation, treatment }: OperationMark): Promise<void> {
    const { device, log } = this.#unit
    log.info({ device: device.name, method: treatment.method }, `a ${operation} operation begins`)
    for (const pass of this.#passes) {
      for (let at = 0; at < device.sizeBytes; at += pass.stepBytes) {
        if (this.#stopped) throw new BlockError("closed", `${device.name} is being closed`)
        const length = Math.min(pass.stepBytes, device.sizeBytes - at)
        await pass.step(device, at, length)
        this.#doneBytes += length
        // Others are served in between, also where the device ends at once.
        await sleep(this.#clock, 0, "medium operation")
      }
      await device.flush()
    }
  }
}

function inProgress({ operation }: OperationMark, progress: number): SenseError {
  const asc =
    operation === "sanitize"
      ? Asc.logicalUnitNotReadySanitizeInProgress
      : Asc.logicalUnitNotReadyFormatInProgress
  return new SenseError(SenseKey.notReady, asc, `a ${operation} operation is in progress`, { progress })
}

const sanitizeFailed = (): SenseError =>
  new SenseError(SenseKey.mediumError, Asc.sanitizeCommandFailed, "the sanitize operation failed")

const notRemembered = (error: unknown): SenseError =>
  new SenseError(
    SenseKey.hardwareError,
    Asc.internalTargetFailure,
    `the operation can't be remembered over a restart: ${error instanceof Error ? error.message : String(error)}`,
  )
