import type { ByteStream } from "../../base/byte-stream.ts"
import type { Memory } from "../shared/memory.ts"

/** Given back when what lies in it has been sent. */
interface Lent {
  release(): void
}

/**
 * What a connection has to send. Runs that lie side by side in one memory become one piece, and all that gathers
 * during a turn becomes one write.
 */
export class SendQueue {
  /** Bytes not flushed yet. */
  unflushedBytes = 0
  /** Bytes flushed that the stream has not taken yet. */
  pendingBytes = 0
  readonly #stream: ByteStream
  readonly #onSent: () => void
  #pieces: Uint8Array[] = []
  #lent: Lent[] = []
  /** The run that may still grow: [start, end) of this memory. */
  #memory: Memory | undefined
  #start = 0
  #end = 0

  /** `onSent` is called from the event loop whenever a write has been taken. */
  constructor(stream: ByteStream, onSent: () => void) {
    this.#stream = stream
    this.#onSent = onSent
  }

  /** Appends memory[start, end); who holds the memory says so with `lend`. */
  append(memory: Memory, start: number, end: number): void {
    this.unflushedBytes += end - start
    if (memory === this.#memory && start === this.#end) {
      this.#end = end
      return
    }
    this.#closeRun()
    this.#memory = memory
    this.#start = start
    this.#end = end
  }

  /** Appends bytes of any memory. */
  appendBytes(bytes: Uint8Array): void {
    this.#closeRun()
    this.unflushedBytes += bytes.length
    this.#pieces.push(bytes)
  }

  /** Releases `lent` once everything appended so far has been sent. */
  lend(lent: Lent): void {
    this.#lent.push(lent)
  }

  #closeRun(): void {
    if (this.#memory === undefined) return
    this.#pieces.push(this.#memory.bytes.subarray(this.#start, this.#end))
    this.#memory = undefined
  }

  flush(): void {
    const bytes = this.unflushedBytes
    if (bytes === 0) return
    this.#closeRun()
    const pieces = this.#pieces
    const lent = this.#lent
    this.#pieces = []
    this.#lent = []
    this.unflushedBytes = 0
    this.pendingBytes += bytes
    let taken = false
    const take = () => {
      if (taken) return
      taken = true
      this.pendingBytes -= bytes
      for (const one of lent) one.release()
    }
    const now = this.#stream.write(pieces, () => {
      take()
      this.#onSent()
    })
    if (now === true) take()
  }

  /** Forgets what hasn't been flushed: the connection is gone. */
  drop(): void {
    const lent = this.#lent
    this.#lent = []
    this.#pieces = []
    this.#memory = undefined
    this.unflushedBytes = 0
    for (const one of lent) one.release()
  }

  /** Bytes waiting on this side of the peer. */
  get queuedBytes(): number {
    return this.unflushedBytes + this.pendingBytes
  }
}
