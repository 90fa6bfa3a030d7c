import type { Clock } from "../../../base/clock.ts"
import { ROD_TOKENS_MAX } from "../../../base/limits.ts"
import type { Random } from "../../../base/random.ts"
import { Asc, SenseError, SenseKey } from "../../spec/sense.ts"
import type { Medium } from "../medium.ts"
import { identifierOf } from "./rod-token-format.ts"
import { type ByteRange, overlap } from "./ranges.ts"

type End = "cancelled" | "deleted" | "expired"

const ends: Readonly<Record<End, [Asc, string]>> = {
  cancelled: [Asc.invalidTokenCancelled, "what the token stands for has changed"],
  deleted: [Asc.invalidTokenDeleted, "the token was deleted"],
  expired: [Asc.invalidTokenExpired, "the token was not used for too long"],
}

/** A ROD token, for as long as anybody may ask for it. */
export class RodToken {
  readonly bytes: Uint8Array
  /** What it stands for, in order. */
  readonly ranges: readonly ByteRange[]
  readonly inactivityMs: number
  /** When it was made or used last. */
  usedMs: number
  /** Operations that use it: it doesn't expire under them. */
  users = 0
  end: End | undefined
  /** All ranges lie between these. */
  readonly #startBytes: number
  readonly #endBytes: number

  constructor(bytes: Uint8Array, ranges: readonly ByteRange[], inactivityMs: number, nowMs: number) {
    this.bytes = bytes
    this.ranges = ranges
    this.inactivityMs = inactivityMs
    this.usedMs = nowMs
    this.#startBytes = Math.min(...ranges.map((range) => range.offsetBytes))
    this.#endBytes = Math.max(...ranges.map((range) => range.offsetBytes + range.lengthBytes))
  }

  meets(run: ByteRange): boolean {
    if (run.offsetBytes >= this.#endBytes || run.offsetBytes + run.lengthBytes <= this.#startBytes)
      return false
    return this.ranges.some((range) => overlap(range, run))
  }

  /** Throws SenseError once it isn't valid any more. */
  check(): void {
    if (this.end === undefined) return
    const [asc, message] = ends[this.end]
    throw new SenseError(SenseKey.illegalRequest, asc, message)
  }
}

/**
 * The ROD tokens of a disk (SPC-4 §5.17.6). They stand for the data as it was (point in time copy - change vulnerable): nothing is
 * copied when one is made, and the first change of what it stands for cancels it. Time is looked at when somebody asks.
 */
export class RodTokens {
  readonly #medium: Medium
  readonly #clock: Clock
  readonly #random: Random
  /** By COPY MANAGER ROD TOKEN IDENTIFIER, the oldest first. */
  readonly #tokens = new Map<bigint, RodToken>()
  #identifier = 0n

  constructor(medium: Medium, clock: Clock, random: Random) {
    this.#medium = medium
    this.#clock = clock
    this.#random = random
  }

  /** Valid or remembered. */
  get size(): number {
    return this.#tokens.size
  }

  /**
   * Makes a token out of `build`'s bytes for the identifier and 32 bytes and more of randomness. It is cancelled by
   * changes from now on. Throws SenseError when there are too many.
   */
  create(
    ranges: readonly ByteRange[],
    inactivityMs: number,
    build: (identifier: bigint, random: Random) => Uint8Array,
  ): RodToken {
    this.#makeRoom()
    this.#identifier ||= BigInt(this.#random.uint32()) << 32n
    const identifier = ++this.#identifier
    const bytes = build(identifier, this.#random)
    const token = new RodToken(bytes, ranges, inactivityMs, this.#clock.nowMs())
    this.#tokens.set(identifier, token)
    this.#medium.onChange = this.#changed
    return token
  }

  /** The token whose bytes are given, if it is ours and valid. Throws SenseError if it isn't valid any more. */
  find(bytes: Uint8Array): RodToken | undefined {
    this.#expire()
    const token = this.#tokens.get(identifierOf(bytes))
    if (token === undefined || !equalInConstantTime(token.bytes, bytes)) return undefined
    token.check()
    return token
  }

  /** Keeps the token from expiring while `work` uses it. */
  async using(token: RodToken, work: () => Promise<void>): Promise<void> {
    token.users++
    try {
      await work()
    } finally {
      token.users--
      token.usedMs = this.#clock.nowMs()
    }
  }

  delete(token: RodToken): void {
    token.end ??= "deleted"
    this.#watch()
  }

  /** The device ends here now. */
  cancelBeyond(sizeBytes: number): void {
    this.#changed(sizeBytes, Number.MAX_SAFE_INTEGER)
  }

  readonly #changed = (offsetBytes: number, lengthBytes: number): void => {
    let cancelled = false
    for (const token of this.#tokens.values()) {
      if (token.end !== undefined || !token.meets({ offsetBytes, lengthBytes })) continue
      token.end = "cancelled"
      cancelled = true
    }
    if (cancelled) this.#watch()
  }

  /** Changes matter while there is a valid token. */
  #watch(): void {
    const valid = [...this.#tokens.values()].some(({ end }) => end === undefined)
    this.#medium.onChange = valid ? this.#changed : undefined
  }

  /** What isn't valid is remembered for as long again as it could be idle (SPC-4 §5.17.6.7 would have it longer, unbounded). */
  #expire(): void {
    const nowMs = this.#clock.nowMs()
    for (const [identifier, token] of this.#tokens) {
      if (token.users > 0 || nowMs - token.usedMs <= token.inactivityMs) continue
      token.end ??= "expired"
      if (nowMs - token.usedMs > 2 * token.inactivityMs) this.#tokens.delete(identifier)
    }
    this.#watch()
  }

  #makeRoom(): void {
    this.#expire()
    if (this.#tokens.size < ROD_TOKENS_MAX) return
    const [past] = [...this.#tokens].filter(([, { end, users }]) => end !== undefined && users === 0)
    if (past !== undefined) {
      this.#tokens.delete(past[0])
      return
    }
    throw new SenseError(
      SenseKey.illegalRequest,
      Asc.insufficientResourcesToCreateRod,
      `there are ${ROD_TOKENS_MAX} tokens already`,
    )
  }
}

/** How long it takes tells nothing of where they differ. */
function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
