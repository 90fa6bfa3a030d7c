import { allocateSummable } from "../../wire/crc32c.ts"

/** A run of memory that is used again and again, with its one view. */
export class Memory {
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Bytes from its start on that are in use; its holder's business. */
  filled = 0
  /** Up to which position of an outbox it is in use; its holder's business. */
  end = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Of the memory whose CRCs cost no copy, while there is some: for memory that is kept for good. */
  static toKeep(length: number): Memory {
    return new Memory(allocateSummable(length) ?? new Uint8Array(length))
  }
}

/** Runs of memory of one length; so many that aren't in use are kept. */
export class MemoryPool {
  readonly #bytes: number
  readonly #keep: number
  readonly #free: Memory[] = []
  /** Made to be kept. */
  readonly #kept = new Set<Memory>()

  constructor(bytes: number, keep: number) {
    this.#bytes = bytes
    this.#keep = keep
  }

  take(): Memory {
    const memory = this.#free.pop() ?? this.#make()
    memory.filled = 0
    return memory
  }

  give(memory: Memory): void {
    if (this.#kept.has(memory)) this.#free.push(memory)
  }

  #make(): Memory {
    if (this.#kept.size >= this.#keep) return new Memory(new Uint8Array(this.#bytes))
    const memory = Memory.toKeep(this.#bytes)
    this.#kept.add(memory)
    return memory
  }
}
