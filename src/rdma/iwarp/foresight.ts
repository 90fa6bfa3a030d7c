import type { InboxUser } from "./inbox.ts"
import { FPDU_LENGTH_BYTES, trailerBytes } from "./wire.ts"

/** From so many missing bytes of payload on they are received straight to where they belong. */
export const STRAIGHT_BYTES_MIN = 8192
/** What is read behind what is foreseen: a header, or some short FPDUs. */
export const AHEAD_BYTES = 1024
/** Segments behind the one under way that are received with it where it is known, or likely, what they are. */
const FORESEEN_MAX = 8
/** So many segments go by before a message is foreseen again that went on otherwise than foreseen. */
const MISJUDGED_FOR = 64

/**
 * What is likely to come behind a segment that is received straight, and where each part of it goes, so that one call
 * receives it all: payloads to their places, what lies between them to the receive memory, which is empty.
 */
export class Foresight {
  /** The rest of the segment under way; for each that is foreseen, what comes in front of its payload, and that; what follows. */
  readonly pieces: Uint8Array[] = []
  /** Segments that are foreseen. */
  count = 0
  readonly #user: Pick<InboxUser, "foreseen">
  /** Of these, the ones of the message under way. */
  #sure = 0
  readonly #runs: Uint8Array[] = []
  /** Bytes of the receive memory, as they were last listed. */
  readonly #fronts: Uint8Array[] = []
  /** Payload of the last long segment and of the one before: the last of a message may be shorter. */
  #longBytes = 0
  #formerBytes = 0
  /** Segments to go by before one is foreseen again. */
  #doubt = 0

  constructor(user: Pick<InboxUser, "foreseen">) {
    this.#user = user
  }

  /** A long segment has come, or begins to, with so many bytes of payload. */
  seen(payloadBytes: number): void {
    this.#formerBytes = this.#longBytes
    this.#longBytes = payloadBytes
  }

  /** A segment begins to be received straight. */
  begun(payloadBytes: number): void {
    if (this.#doubt > 0) this.#doubt--
    this.seen(payloadBytes)
  }

  /** The n-th of those foreseen has turned out to be something else. */
  misjudged(n: number): void {
    if (n < this.#sure) this.#doubt = MISJUDGED_FOR
  }

  /**
   * Lists where what comes goes: `rest` is missing of the segment under way, which has so many bytes of header and payload;
   * those foreseen are as long as those before, their message's last maybe shorter.
   */
  look(
    rest: Uint8Array,
    headerBytes: number,
    payloadBytes: number,
    memory: Uint8Array,
  ): readonly Uint8Array[] {
    const { pieces } = this
    pieces.length = 0
    pieces.push(rest)
    this.count = 0
    this.#sure = 0
    const between = this.#doubt > 0 ? 0 : this.#list(headerBytes, payloadBytes, memory)
    pieces.push(this.#front(memory, between, AHEAD_BYTES))
    return pieces
  }

  /** Returns how many bytes of the receive memory lie between the payloads. */
  #list(headerBytes: number, payloadBytes: number, memory: Uint8Array): number {
    const runs = this.#runs
    runs.length = 0
    const isSure = this.#user.foreseen(runs)
    const longBytes = Math.max(payloadBytes, this.#formerBytes)
    let former = payloadBytes
    let between = 0
    for (let i = 0; i < runs.length; i++) {
      const run = runs[i]!
      for (let from = 0; from < run.length; ) {
        const to = Math.min(from + longBytes, run.length)
        // One as short as that is gathered first.
        if (this.count === FORESEEN_MAX || to - from < STRAIGHT_BYTES_MIN) return between
        const frontBytes = trailerBytes(headerBytes + former) + FPDU_LENGTH_BYTES + headerBytes
        this.pieces.push(this.#front(memory, between, frontBytes), run.subarray(from, to))
        between += frontBytes
        former = to - from
        from = to
        this.count++
        if (i === 0 && isSure) this.#sure++
      }
    }
    return between
  }

  /** Bytes of the receive memory in front of what is foreseen next. Mostly the same ones as the last time. */
  #front(memory: Uint8Array, at: number, bytes: number): Uint8Array {
    const kept = this.#fronts[this.count]
    const isIt = kept?.buffer === memory.buffer && kept.byteOffset === memory.byteOffset + at
    if (isIt && kept.length === bytes) return kept
    return (this.#fronts[this.count] = memory.subarray(at, at + bytes))
  }
}
