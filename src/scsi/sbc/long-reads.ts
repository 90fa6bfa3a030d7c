import { Asc, SenseError, SenseKey } from "../spec/sense.ts"

/** A read of several steps on its way from `start` to `end`, in bytes. */
export class LongRead {
  readonly start: number
  /** Behind the last byte. */
  readonly end: number
  #frontier: number
  #overtaken = false

  constructor(start: number, end: number) {
    this.start = start
    this.end = end
    this.#frontier = start
  }

  /** A step was read, and ends here. Throws ABORTED COMMAND when half an atomic write would be among what is sent. */
  advance(frontier: number): void {
    if (this.#overtaken) {
      const message = "an atomic write changed blocks of which some had been sent"
      throw new SenseError(SenseKey.abortedCommand, Asc.overlappingAtomicCommandInProgress, message)
    }
    this.#frontier = frontier
  }

  /** An atomic write of the run begins. It does harm where some of the run was sent, and some is still to be sent. */
  overtake(start: number, end: number): void {
    const within = start < this.end && end > this.start
    if (within && Math.max(start, this.start) < this.#frontier && this.#frontier < Math.min(end, this.end))
      this.#overtaken = true
  }
}

/**
 * Reads that take several steps, in between of which they wait for their initiator. An atomic write doesn't wait for them,
 * or one slow initiator would keep others waiting; a read of which it changes both what was sent and what wasn't ends with
 * OVERLAPPING ATOMIC COMMAND IN PROGRESS, one of the two ways SBC-4 §4.29.3.2 allows, and is sent again.
 */
export class LongReads {
  readonly #reads = new Set<LongRead>()

  begin(start: number, end: number): LongRead {
    const read = new LongRead(start, end)
    this.#reads.add(read)
    return read
  }

  end(read: LongRead): void {
    this.#reads.delete(read)
  }

  overtake(start: number, end: number): void {
    for (const read of this.#reads) read.overtake(start, end)
  }
}
