import { sleep } from "../base/clock.ts"
import { BUSY_DELAY_MS_MAX, BUSY_TOTAL_MS, COMMAND_RETRIES_MAX } from "../base/limits.ts"
import { type Sense, SenseKey } from "../scsi/spec/sense.ts"
import { Status } from "../scsi/spec/status.ts"
import type { Change, ChangeSet } from "./change-set.ts"
import { Command, type ScsiRequest, type ScsiResult } from "./command.ts"
import { scsiError } from "./scsi-error.ts"
import type { Session } from "./session.ts"

/** LOGICAL UNIT IS IN PROCESS OF BECOMING READY: with NOT READY, worth a wait. */
const BECOMING_READY = 0x0401

/** The additional sense codes 10h/xx: protection information that doesn't fit its block. */
const PROTECTION_CHECK_FAILED = 0x10

/**
 * Whether ABORTED COMMAND may be over by the next time: what a command failed on protection information for is in its data or on the
 * medium, and stays there. Linux doesn't repeat it either (scsi_check_sense).
 */
const mayPass = ({ key, asc }: Sense): boolean =>
  key === SenseKey.abortedCommand && asc >> 8 !== PROTECTION_CHECK_FAILED

/** Where a logical unit's operations go, and who is told of its unit attentions. */
export interface OperationHost {
  readonly session: Session
  readonly changes: ChangeSet
  attention(sense: Sense): void
}

/**
 * One command until it has succeeded or failed for good: repeated after unit attentions (the command wasn't carried
 * out then, SAM-5 §5.14), after BUSY and TASK SET FULL with growing pauses, and, if it may be replayed, when
 * somebody else has aborted it.
 */
export class Operation implements Change {
  readonly from: number
  readonly to: number
  changeIndex = -1
  readonly #host: OperationHost
  readonly #title: string
  readonly #request: ScsiRequest
  readonly #resolve: (result: ScsiResult) => void
  readonly #reject: (error: Error) => void
  #replay: boolean
  #command: Command | undefined
  #retries = 0
  #delayMs = 0
  #busyEndMs = 0

  /** `from` and `to` are the blocks it changes; none: from = to. */
  constructor(
    host: OperationHost,
    title: string,
    request: ScsiRequest,
    from: number,
    to: number,
    resolve: (result: ScsiResult) => void,
    reject: (error: Error) => void,
  ) {
    this.#host = host
    this.#title = title
    this.#request = request
    this.#replay = request.replay ?? false
    this.from = from
    this.to = to
    this.#resolve = resolve
    this.#reject = reject
  }

  start(): void {
    if (this.from < this.to) this.#host.changes.add(this)
    this.#send()
  }

  overlapped(): void {
    this.#replay = false
    if (this.#command) this.#command.replay = false
  }

  #send(): void {
    const command = new Command(this.#request, this.#ended)
    command.replay = this.#replay
    this.#command = command
    this.#host.session.submit(command)
  }

  readonly #ended = (command: Command): void => {
    if (command.error) return this.#fail(command.error)
    const result = command.result!
    switch (result.status) {
      case Status.good:
      case Status.conditionMet:
        return this.#succeed(result)
      case Status.busy:
      case Status.taskSetFull:
        return this.#later(result)
      case Status.taskAborted:
        return this.#again(result, this.#replay)
      default:
        return this.#sensed(result)
    }
  }

  #sensed(result: ScsiResult): void {
    const { sense } = result
    if (sense?.key === SenseKey.unitAttention) {
      this.#host.attention(sense)
      return this.#again(result, true)
    }
    if (sense !== undefined && mayPass(sense)) return this.#again(result, this.#replay)
    if (sense?.key === SenseKey.notReady && sense.asc === BECOMING_READY) return this.#later(result)
    this.#fail(scsiError(this.#title, result))
  }

  #again(result: ScsiResult, allowed: boolean): void {
    if (allowed && this.#retries++ < COMMAND_RETRIES_MAX) return this.#send()
    this.#fail(scsiError(this.#title, result))
  }

  #later(result: ScsiResult): void {
    const { clock } = this.#host.session.services
    const nowMs = clock.nowMs()
    if (this.#delayMs === 0) this.#busyEndMs = nowMs + BUSY_TOTAL_MS
    this.#delayMs = Math.min(this.#delayMs * 2 || 10, BUSY_DELAY_MS_MAX)
    if (nowMs + this.#delayMs > this.#busyEndMs) return this.#fail(scsiError(this.#title, result))
    const { signal } = this.#request
    sleep(clock, this.#delayMs, "busy target", signal).then(
      () => this.#send(),
      (error: Error) => this.#fail(error),
    )
  }

  #succeed(result: ScsiResult): void {
    if (this.from < this.to) this.#host.changes.delete(this)
    this.#resolve(result)
  }

  #fail(error: Error): void {
    if (this.from < this.to) this.#host.changes.delete(this)
    this.#reject(error)
  }
}

/** For the checks after a recovery: repeats after unit attentions only; what is busy is tried again with the next login. */
export function retryingRun(bare: (request: ScsiRequest) => Promise<ScsiResult>) {
  return async (request: ScsiRequest): Promise<ScsiResult> => {
    for (let retries = 0; ; retries++) {
      const result = await bare(request)
      if (result.status === Status.good) return result
      const attention = result.sense?.key === SenseKey.unitAttention
      if (!attention || retries === COMMAND_RETRIES_MAX) throw scsiError("setup", result)
    }
  }
}
