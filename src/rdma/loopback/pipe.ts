import type { Clock } from "../../base/clock.ts"
import type { SeededRandom } from "../../base/random.ts"

/** How the loopback fabric behaves; what it does is a function of these, the clock and the seed. */
export interface LoopbackTiming {
  /** How long one thing is under way, in ms: least and most. */
  readonly latencyMs: readonly [min: number, max: number]
  /** Bytes of a message that arrive together: least and most. */
  readonly segmentBytes: readonly [min: number, max: number]
  /** How long a request may stay without an answer before it counts as tried again, in ms. */
  readonly ackTimeoutMs: number
  /** How long a sender waits after it was told that the receiver is not ready, in ms. */
  readonly rnrDelayMs: number
}

/** What the parts of a fabric share. */
export interface FabricContext {
  readonly clock: Clock
  readonly random: SeededRandom
  readonly timing: LoopbackTiming
}

export function latencyOf({ random, timing }: FabricContext): number {
  const [min, max] = timing.latencyMs
  return max > min ? min + ((max - min) * random.uint32()) / 2 ** 32 : min
}

/** The length of the next segment of a message of which `left` bytes are still to go. */
export function segmentLength({ random, timing }: FabricContext, left: number): number {
  const [min, max] = timing.segmentBytes
  return Math.min(left, min + random.below(max - min + 1))
}

/** One direction of something: what goes in comes out in order, later. */
export class Pipe {
  readonly #context: FabricContext
  readonly #underWay: (() => void)[] = []
  /** Times of arrival that passed while the pipe was held. */
  #late = 0
  #held = false
  #lastMs = 0

  constructor(context: FabricContext) {
    this.#context = context
  }

  send(arrive: () => void): void {
    const { clock } = this.#context
    const now = clock.nowMs()
    // Whatever the timers do, the head arrives first; but times that don't fall keep the picture true as well.
    this.#lastMs = Math.max(this.#lastMs, now + latencyOf(this.#context))
    this.#underWay.push(arrive)
    clock.after(this.#lastMs - now, "loopback: under way", () => {
      if (this.#held) this.#late++
      else this.#underWay.shift()?.()
    })
  }

  /** While held nothing arrives; what should have comes all at once after. */
  hold(held: boolean): void {
    this.#held = held
    while (!this.#held && this.#late > 0) {
      this.#late--
      this.#underWay.shift()?.()
    }
  }
}
