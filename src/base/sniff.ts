import type { ByteReceiver, ByteStream } from "./byte-stream.ts"

/** Says what a stream's first bytes are the beginning of; undefined: too few to tell, though fewer than asked for. */
export type Recognize<T> = (head: Uint8Array) => T | undefined

/** Who is told what the first bytes of a stream are. Either call comes once, from the event loop, and is the last. */
export interface SniffUser<T> {
  /**
   * `head` is all that was read, and stays as it is. The stream is to be handed over, or destroyed, before this
   * returns. With `what` undefined it's nothing that `recognize` knows.
   */
  sniffed(what: T | undefined, head: Uint8Array): void
  /** The stream has ended before that. */
  lost(error: Error | undefined): void
}

const NOWHERE = new Uint8Array(1)

/**
 * Starts `stream` and reads its first bytes, up to `bytesMax`, until `recognize` knows what they are. No byte more is
 * read than is given on: whoever takes the stream over goes on behind `head`, with no wrapper in between.
 */
export function sniff<T>(
  stream: ByteStream,
  bytesMax: number,
  recognize: Recognize<T>,
  user: SniffUser<T>,
): void {
  const head = new Uint8Array(bytesMax)
  let filled = 0
  let told = false
  const receiver: ByteReceiver = {
    // Behind the last byte wanted is nothing to be read: by then the stream is somebody else's, or gone.
    buffer: () => (filled < bytesMax ? head.subarray(filled) : NOWHERE),
    received(bytes) {
      filled += bytes
      const what = recognize(head.subarray(0, filled))
      if (what === undefined && filled < bytesMax) return
      told = true
      user.sniffed(what, head.subarray(0, filled))
    },
    ended() {
      // A peer that only says goodbye wants nothing; `closed` follows.
      stream.destroy()
    },
    closed(error) {
      if (!told) user.lost(error)
    },
  }
  stream.start(receiver)
}
