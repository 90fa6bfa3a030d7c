import type { Memory, MemoryPool } from "./memory.ts"

/** Data bytes of one piece of the arena's memory, unless it's told otherwise. */
const PIECE_BYTES = 256 * 1024

/**
 * Memory for what is about to be sent, handed out one run after the other by all connections of a process: what a
 * connection makes in one turn lies side by side, and leaves as one run. An idle connection needs none.
 */
export class Arena {
  readonly #pool: MemoryPool
  readonly #pieceBytes: number
  #memory: Memory | undefined
  #at = 0

  constructor(pool: MemoryPool, pieceBytes: number = PIECE_BYTES) {
    this.#pool = pool
    this.#pieceBytes = pieceBytes
  }

  /** What the last `take` was from. */
  get memory(): Memory {
    return this.#memory!
  }

  /** `bytes` of `memory`, from the result on. The caller has a hold on it, to be released once. */
  take(bytes: number): number {
    let memory = this.#memory
    if (memory === undefined || this.#at + bytes > memory.bytes.length) memory = this.#next(bytes)
    else if (memory.holds === 1) this.#at = 0
    memory.holds++
    const at = this.#at
    this.#at = at + bytes
    return at
  }

  #next(bytes: number): Memory {
    this.#memory?.release()
    this.#at = 0
    this.#memory = this.#pool.take(Math.max(this.#pieceBytes, bytes))
    return this.#memory
  }
}
