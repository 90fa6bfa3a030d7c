import { randomFillSync } from "node:crypto"

/** Where randomness comes from: the machine in production, a seed in a simulation. */
export interface Random {
  /** Fills and returns `into`. */
  fill(into: Uint8Array): Uint8Array
  /** 0 ≤ result < 2^32. */
  uint32(): number
}

/** Asking the system costs microseconds however little one asks for: words are fetched ahead, each used once. */
const WORDS_AHEAD = 1024
const words = new Uint32Array(WORDS_AHEAD)
let wordsUsed = WORDS_AHEAD

export const systemRandom: Random = {
  fill: (into) => randomFillSync(into),
  uint32: () => {
    if (wordsUsed === WORDS_AHEAD) {
      randomFillSync(words)
      wordsUsed = 0
    }
    const word = words[wordsUsed]!
    words[wordsUsed++] = 0
    return word
  },
}

/** A reproducible stream from a seed (sfc32): good enough to drive tests, never for secrets. */
export class SeededRandom implements Random {
  #a: number
  #b = 0x9e3779b9
  #c = 0x243f6a88
  #d = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    for (let i = 0; i < 12; i++) this.uint32()
  }

  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0
    return t >>> 0
  }

  /** A whole number, 0 ≤ result < bound. */
  below(bound: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * bound)
  }

  /** True with the given probability (0 to 1). */
  chance(probability: number): boolean {
    return this.uint32() / 2 ** 32 < probability
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
  }

  fill(into: Uint8Array): Uint8Array {
    for (let i = 0; i < into.length; i++) into[i] = this.uint32() >>> 11
    return into
  }
}
