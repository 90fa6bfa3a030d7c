import type { DataBuffer } from "../base/buffers.ts"
import type { Timer } from "../base/clock.ts"
import { SanletError } from "../base/errors.ts"
import type { AbortListener } from "./abort-listener.ts"
import type { Sense } from "../scsi/spec/sense.ts"

/** What a SCSI command is made of. Its buffers are lent to the session until it has ended. */
export interface ScsiRequest {
  readonly lun: number
  /** 6 to 260 bytes. */
  readonly cdb: Uint8Array
  /** What is written; with dataIn: a bidirectional command. */
  readonly dataOut?: Uint8Array | undefined
  /** Where what is read goes. */
  readonly dataIn?: Uint8Array | undefined
  /** TaskAttribute of SAM-5, numbered as iSCSI does; default: simple. */
  readonly attribute?: number
  /** Aborts it: ABORT TASK goes to the target, and the promise rejects with the signal's reason once the buffers are free. */
  readonly signal?: AbortSignal | undefined
  /** From submission to the response; then it is aborted. Infinity: never. Default: some time behind COMMAND_DEADLINE_MS. */
  readonly timeoutMs?: number | undefined
  /**
   * Whether it may be sent again when the connection is lost before its response: only what has the same result
   * when carried out twice. Default: no; it then fails with OutcomeUnknownError.
   */
  readonly replay?: boolean | undefined
}

/** How a SCSI command has ended. */
export interface ScsiResult {
  /** SAM-5 status. */
  readonly status: number
  /** What went wrong, with CHECK CONDITION. */
  readonly sense?: Sense
  /** The same as it came. */
  readonly senseData?: Uint8Array
  /** Bytes moved into dataIn, and taken of dataOut, by the target's word. */
  readonly dataInBytes: number
  readonly dataOutBytes: number
  /** How much the target had more to move than it was allowed to (0: none). */
  readonly overflowBytes: number
}

/** A status other than GOOD. Code: ERR_SCSI_CHECK_CONDITION, ERR_SCSI_RESERVATION_CONFLICT and so on. */
export class ScsiError extends SanletError {
  readonly status: number
  readonly sense: Sense | undefined

  constructor(code: string, message: string, result: ScsiResult) {
    super(code, message)
    this.status = result.status
    this.sense = result.sense
  }
}

/**
 * Where a command is:
 *
 *     waiting --> sent --> ended
 *        |          |        ^
 *        |          v        |
 *        |       aborting ---+
 *        +-------------------+
 */
export type CommandState = "waiting" | "sent" | "aborting" | "ended"

/** A SCSI command under way in a session. */
export class Command {
  readonly request: ScsiRequest
  /** May change while it is under way: see ChangeSet. */
  replay: boolean
  /** Belongs to the recovery of the session: passes the queue, and is never sent again. */
  readonly recovery: boolean
  state: CommandState = "waiting"
  /** Of its last sending. */
  tag = 0
  cmdSn = 0
  /** Buffers of it that the datamover still sends from. */
  lentBuffers = 0
  result: ScsiResult | undefined
  error: Error | undefined
  /** Why it is being aborted: that becomes its end, whatever the target makes of it. */
  abortReason: Error | undefined
  timer: Timer | undefined
  /** How often it was seen under way, by Overdue. */
  looks = 0
  /** Who is told when it has ended, so that its signal is heard no longer. */
  listener: AbortListener | undefined
  readonly #ended: (command: Command) => void

  constructor(request: ScsiRequest, ended: (command: Command) => void, recovery = false) {
    this.request = request
    this.replay = request.replay ?? false
    this.recovery = recovery
    this.#ended = ended
  }

  get settled(): boolean {
    return this.result !== undefined || this.error !== undefined
  }

  /** What people call it: its operation code. */
  get title(): string {
    return `SCSI command 0x${(this.request.cdb[0] ?? 0).toString(16).padStart(2, "0")} to LUN ${this.request.lun}`
  }

  /** Decides how it ends, the first time it is called; the end comes when no buffer is lent any more. */
  settle(result: ScsiResult | undefined, error?: Error): void {
    if (this.settled) return
    if (this.abortReason) this.error = this.abortReason
    else {
      this.result = result
      this.error = error
    }
    if (this.lentBuffers === 0) this.#end()
  }

  /** A buffer lent to the datamover under `tag` is back. One that went down with its connection counts no more. */
  bufferReturned(tag: number): void {
    if (tag !== this.tag) return
    this.lentBuffers--
    if (this.lentBuffers === 0 && this.settled) this.#end()
  }

  /** Its connection is gone, and all that was lent to it. */
  disconnected(): void {
    this.tag = 0
    this.lentBuffers = 0
    if (this.settled) this.#end()
  }

  #end(): void {
    if (this.state === "ended") return
    this.state = "ended"
    this.timer?.cancel()
    this.listener?.delete(this)
    this.#ended(this)
  }
}

/** A part of a command's dataOut, lent to the datamover. */
export class LentBytes implements DataBuffer {
  readonly bytes: Uint8Array
  readonly #command: Command
  readonly #tag: number

  constructor(bytes: Uint8Array, command: Command) {
    this.bytes = bytes
    this.#command = command
    this.#tag = command.tag
    command.lentBuffers++
  }

  release(): void {
    this.#command.bufferReturned(this.#tag)
  }
}
