import { FPDU_BYTES_MAX } from "./wire.ts"
import { InboxMemory } from "./inbox.ts"
import { MemoryPool } from "./memory-pool.ts"

/** Memory in which FPDUs are made, and how many runs of it are kept. */
const SLAB_BYTES = 256 * 1024
const SLABS_KEPT = 16

/** What the connections of one device share. */
export class IwarpMemory {
  readonly inbox = new InboxMemory()
  readonly slabs = new MemoryPool(Math.max(SLAB_BYTES, FPDU_BYTES_MAX), SLABS_KEPT)
}
