import type { DataBuffer } from "../../base/buffers.ts"
import { SanletError } from "../../base/errors.ts"
import type { ReceivedPdu } from "../../iscsi/da.ts"

/** Where PDUs arrive: bytes that stay as they are while somebody holds them. */
export interface ReceiveMemory {
  readonly bytes: Uint8Array
  readonly view: DataView
  hold(): void
  release(): void
}

/** A PDU in receive memory. One object serves all PDUs of a connection, one after the other. */
export class ArrivedPdu implements ReceivedPdu {
  memory: ReceiveMemory
  view: DataView
  bytes: Uint8Array
  at = 0
  ahsAt = 0
  ahsBytes = 0
  dataAt = 0
  dataBytes = 0

  constructor(memory: ReceiveMemory) {
    this.memory = memory
    this.view = memory.view
    this.bytes = memory.bytes
  }

  moveTo(memory: ReceiveMemory, at: number): void {
    if (memory !== this.memory) {
      this.memory = memory
      this.view = memory.view
      this.bytes = memory.bytes
    }
    this.at = at
  }

  hold(): DataBuffer {
    return new HeldData(this.memory, this.dataAt, this.dataBytes)
  }
}

/** A data segment that outlives its PDU's turn: it keeps the memory it came in. */
class HeldData implements DataBuffer {
  readonly bytes: Uint8Array
  readonly #memory: ReceiveMemory
  #released = false

  constructor(memory: ReceiveMemory, at: number, bytes: number) {
    memory.hold()
    this.#memory = memory
    this.bytes = memory.bytes.subarray(at, at + bytes)
  }

  release(): void {
    if (this.#released) throw new SanletError("ERR_BUFFER_RELEASED", "a data buffer was released twice")
    this.#released = true
    this.#memory.release()
  }
}
