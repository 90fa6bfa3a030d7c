import type { BlockRange } from "./cdb.ts"
import type { SessionEvent } from "./session-event.ts"

/** What every operation takes. */
export interface OperationOptions {
  /** Aborts it; the promise rejects with the signal's reason once the buffers are free again. */
  readonly signal?: AbortSignal
  /** From submission to the answer, for each command of the operation. Default: the disk's. */
  readonly timeoutMs?: number
}

export interface WriteOptions extends OperationOptions {
  /** Acknowledged only when on stable storage. */
  readonly fua?: boolean
}

export interface ExecuteOptions extends OperationOptions {
  readonly dataOut?: Uint8Array
  readonly dataIn?: Uint8Array
  /** It may be carried out twice without harm: then it is sent again after a lost connection. */
  readonly replay?: boolean
  /** Task attribute (SAM-5 §8.6): 1 simple, 2 ordered, 3 head of queue. */
  readonly attribute?: number
}

export interface DiskOptions {
  /** For each command that names no other. Infinity: none. Default: some time behind COMMAND_DEADLINE_MS. */
  readonly timeoutMs?: number
  /** Longest transfer of one command, in bytes; the logical unit's own limit holds besides. */
  readonly transferBytesMax?: number
  /** The unit serial number it must have. */
  readonly unitSerialNumber?: string
  readonly onEvent?: (event: SessionEvent) => void
}

/** Whether blocks hold data (GET LBA STATUS, SBC-3 §5.6). */
export interface BlockStatus extends BlockRange {
  readonly provisioning: "mapped" | "deallocated" | "anchored" | "unknown"
}
