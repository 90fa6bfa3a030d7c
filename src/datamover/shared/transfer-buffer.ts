import type { DataBuffer } from "../../base/buffers.ts"
import { SanletError } from "../../base/errors.ts"
import type { Memory } from "./memory.ts"

/** Who lent a TransferBuffer, and wants to know when it is back. */
export interface TransferBufferOwner {
  bufferReleased(buffer: TransferBuffer): void
}

/** Memory for the data of a task; before and after it in the same memory is room for what surrounds data in a PDU. */
export class TransferBuffer implements DataBuffer {
  readonly bytes: Uint8Array
  readonly memory: Memory
  /** Where `bytes` begins in `memory`. */
  readonly at: number
  /** Whose memory it is: Data-In (allocateDataIn) or Data-Out. */
  direction: "in" | "out" = "out"
  /** It has been handed to putData. */
  queued = false
  readonly #owner: TransferBufferOwner
  #released = false

  constructor(owner: TransferBufferOwner, memory: Memory, at: number, bytes: number) {
    this.#owner = owner
    this.memory = memory
    this.at = at
    this.bytes = memory.bytes.subarray(at, at + bytes)
  }

  release(): void {
    if (this.#released) throw new SanletError("ERR_BUFFER_RELEASED", "a data buffer was released twice")
    this.#released = true
    this.memory.poison(this.at, this.at + this.bytes.length)
    this.memory.release()
    this.#owner.bufferReleased(this)
  }
}
