import type { DataBuffer } from "../../base/buffers.ts"
import type { Eventually } from "../../base/completion.ts"
import type { ItlNexus } from "./itl-nexus.ts"
import type { Nexus } from "./nexus.ts"
import type { TaskSet } from "./task-set.ts"

/** Task attributes (SAM-5 §8.6), numbered as iSCSI does (RFC 7143 §11.3.1.1). */
export const TaskAttribute = { untagged: 0, simple: 1, ordered: 2, headOfQueue: 3, aca: 4 } as const
export type TaskAttribute = (typeof TaskAttribute)[keyof typeof TaskAttribute]

/** Where a task is: the row of the house's table of steps it waits in. A blocked one's end waits for an ACA condition's. */
export type TaskState = "received" | "queued" | "executing" | "blocked" | "aborted" | "complete"

/**
 * A command of an initiator on its way through a logical unit, and the seam to whatever transport it came by:
 * the abstract methods are SAM-5's transport protocol services (§5.4), which the transport's subclass provides.
 *
 *     transport                      engine
 *     new Task(...)  ------------->  ScsiTarget.commandReceived(task)      SCSI Command Received
 *                    <-------------  task.receiveDataOut(...)              Receive Data-Out
 *                    <-------------  task.allocateDataIn / sendDataIn      Send Data-In
 *                    <-------------  task.sendCommandComplete(...)         Send Command Complete
 *
 * Once `abort` was called the services do nothing: promises of theirs reject with a SanletError of
 * code ERR_TASK_ABORTED, no Command Complete leaves.
 */
export abstract class Task {
  readonly nexus: Nexus
  /** The LUN field as it came, as two big-endian words (SAM-5 §4.7). */
  readonly lunHigh: number
  readonly lunLow: number
  /** Identifies the task within its nexus (SAM-5: command identifier; iSCSI: Initiator Task Tag). */
  readonly tag: number
  readonly attribute: TaskAttribute
  /** The whole CDB, of at least 16 bytes (shorter ones are padded by the transport); the task's own copy. */
  readonly cdb: Uint8Array
  /** Bytes the initiator is willing to send and to take; 0 where the command has no such phase. */
  readonly dataOutBytesMax: number
  readonly dataInBytesMax: number
  state: TaskState = "received"
  /**
   * Bytes the command moves by what its CDB says, set by the device server before it moves any; the transport
   * makes the residual counts of it (SPC-4 §4.3.5.6, RFC 7143 §11.4.5).
   */
  dataOutBytes = 0
  dataInBytes = 0
  /** The engine's own: the I_T_L nexus whose task it is, from the time a logical unit has accepted it. */
  itl: ItlNexus | undefined
  /** The engine's own: the task set it was accepted into. */
  set: TaskSet | undefined

  constructor(
    nexus: Nexus,
    lunHigh: number,
    lunLow: number,
    tag: number,
    attribute: TaskAttribute,
    cdb: Uint8Array,
    dataOutBytesMax: number,
    dataInBytesMax: number,
  ) {
    this.nexus = nexus
    this.lunHigh = lunHigh
    this.lunLow = lunLow
    this.tag = tag
    this.attribute = attribute
    this.cdb = cdb
    this.dataOutBytesMax = dataOutBytesMax
    this.dataInBytesMax = dataInBytesMax
  }

  /**
   * Memory of `bytes` (1 to TRANSFER_STEP_BYTES) that sendDataIn can send without a copy. Not zeroed. Waits when
   * the connection's or the process's share of memory is used up.
   */
  abstract allocateDataIn(bytes: number): Eventually<DataBuffer>

  /**
   * Sends buffer.bytes[0, bytes) as the Data-In at `offsetBytes`; the buffer goes to the transport, which
   * releases it. Calls come in rising order without gaps; what lies beyond dataInBytesMax is not sent.
   * `last`: no more will follow.
   */
  abstract sendDataIn(offsetBytes: number, buffer: DataBuffer, bytes: number, last: boolean): void

  /**
   * Fetches the Data-Out of [offset, offset + bytes), 1 to TRANSFER_STEP_BYTES, within dataOutBytesMax. The
   * caller releases the buffer, and may change its bytes. Calls come in rising order; one at a time.
   */
  abstract receiveDataOut(offsetBytes: number, bytes: number): Eventually<DataBuffer>

  /**
   * Ends the task. `sense` is sense data as in §4.5 of SPC-4, already in the format the nexus gets. The first call
   * counts; later ones do nothing.
   */
  abstract sendCommandComplete(status: number, sense?: Uint8Array): void

  /** Drops what the transport holds or awaits for the task. Called by the engine, exactly once, when it aborts. */
  abstract abort(): void
}
