/**
 * Where the bytes of PDUs lie: memory in a few sizes, kept for reuse, each with the one DataView all headers in it
 * are read and written through, and a count of those who need it.
 */

/** Room beside the data for a header with all its segments, both digests and padding, in bytes. */
const OVERHEAD_BYTES = 2048
const SMALLEST_LOG2 = 14
/** Larger pieces are made when asked for and not kept. */
const LARGEST_LOG2 = 20
/** Memory kept for reuse, in bytes. */
const FREE_BYTES_MAX = 16 * 1024 * 1024
const POISON = 0xa5

/**
 * Whether memory is overwritten with 0xA5 when it is given back, so that whoever still looks at it fails loudly.
 * On in every test: it costs a pass over the bytes.
 */
export const poisonByDefault = process.env["NODE_TEST_CONTEXT"] !== undefined

export class Memory {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #pool: MemoryPool
  /** Those who need it; at 0 it returns to the pool. */
  holds = 1

  constructor(pool: MemoryPool, bytes: Uint8Array) {
    this.#pool = pool
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  hold(): void {
    this.holds++
  }

  release(): void {
    if (--this.holds === 0) this.#pool.give(this)
  }

  /** These bytes have been given back. */
  poison(start: number, end: number): void {
    if (this.#pool.poisons) this.bytes.fill(POISON, start, end)
  }
}

/** Makes the pieces of a pool, where they are more than bytes: registered with an RDMA device, for one. */
export interface MemoryMaker {
  make(pool: MemoryPool, bytes: Uint8Array): Memory
  /** The pool keeps it no longer, and nobody else has it. */
  dropped(memory: Memory): void
}

export class MemoryPool {
  readonly poisons: boolean
  readonly #maker: MemoryMaker | undefined
  readonly #free: Memory[][] = []
  #freeBytes = 0
  /** Pieces taken and not given back: 0 when all is quiet. */
  taken = 0

  constructor(poisons: boolean, maker?: MemoryMaker) {
    this.poisons = poisons
    this.#maker = maker
    for (let i = 0; i <= LARGEST_LOG2 - SMALLEST_LOG2; i++) this.#free.push([])
  }

  /** A piece with room for at least `dataBytes` of data and the overhead of a PDU. Its content is anything. */
  take(dataBytes: number): Memory {
    this.taken++
    const index = sizeIndex(dataBytes)
    const kept = this.#free[index]?.pop()
    if (kept) {
      this.#freeBytes -= kept.bytes.length
      kept.holds = 1
      return kept
    }
    const bytes = (index < this.#free.length ? 1 << (index + SMALLEST_LOG2) : dataBytes) + OVERHEAD_BYTES
    // Not the Buffer itself: its slice() is no copy.
    const fresh = new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
    return this.#maker === undefined ? new Memory(this, fresh) : this.#maker.make(this, fresh)
  }

  /** Only Memory calls this. */
  give(memory: Memory): void {
    this.taken--
    const bytes = memory.bytes.length
    if (this.poisons) memory.bytes.fill(POISON)
    const free = this.#free[sizeIndex(bytes - OVERHEAD_BYTES)]
    if (!free || this.#freeBytes + bytes > FREE_BYTES_MAX) return this.#maker?.dropped(memory)
    this.#freeBytes += bytes
    free.push(memory)
  }
}

/** Memory of its own, never given back. */
export const standaloneMemory = (bytes: number): Memory =>
  new Memory(new MemoryPool(false), new Uint8Array(bytes))

const sizeIndex = (dataBytes: number): number =>
  dataBytes <= 1 << SMALLEST_LOG2 ? 0 : 32 - Math.clz32(dataBytes - 1) - SMALLEST_LOG2
