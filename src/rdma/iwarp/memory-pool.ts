/** A run of memory that is used again and again, with its one view. */
export class Memory {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Bytes from its start on that are in use; its holder's business. */
  filled = 0
  /** Up to which position of an outbox it is in use; its holder's business. */
  end = 0

  constructor(length: number) {
    this.bytes = new Uint8Array(length)
    this.view = new DataView(this.bytes.buffer)
  }
}

/** Runs of memory of one length; so many that aren't in use are kept. */
export class MemoryPool {
  readonly #bytes: number
  readonly #keep: number
  readonly #free: Memory[] = []

  constructor(bytes: number, keep: number) {
    this.#bytes = bytes
    this.#keep = keep
  }

  take(): Memory {
    const memory = this.#free.pop() ?? new Memory(this.#bytes)
    memory.filled = 0
    return memory
  }

  give(memory: Memory): void {
    if (this.#free.length < this.#keep) this.#free.push(memory)
  }
}
