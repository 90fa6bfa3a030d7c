import { serialAdd, serialBefore, serialDistance } from "../../wire/serial.ts"

/**
 * The command window of a session (RFC 7143 §4.2.2.1): which CmdSN may come, and in which order commands go on.
 *
 *              expCmdSn                     maxCmdSn
 *     ... done | the window: may be sent           | not yet
 *              | delivered at once, or kept until  |
 *              | the gap before it is filled       |
 *
 * expCmdSn moves when a command is taken, maxCmdSn only when one is retired, so that the window also bounds how
 * many commands are outstanding.
 */
export class CommandWindow<Held> {
  expCmdSn: number
  maxCmdSn: number
  /** Commands ahead of their turn by CmdSN; undefined: a number that counts as taken. */
  readonly #ahead = new Map<number, Held | undefined>()
  /** Immediate requests that wait for every command numbered before theirs, by their CmdSN. */
  readonly #until = new Map<number, Held[]>()

  constructor(firstCmdSn: number, windowCommands: number) {
    this.expCmdSn = firstCmdSn
    this.maxCmdSn = serialAdd(firstCmdSn, windowCommands - 1)
  }

  /** Is `cmdSn` within [expCmdSn, maxCmdSn]? Outside of it a non-immediate command is ignored without a word. */
  contains(cmdSn: number): boolean {
    const distance = serialDistance(cmdSn, this.expCmdSn)
    return distance >= 0 && distance <= serialDistance(this.maxCmdSn, this.expCmdSn)
  }

  /** The command numbered expCmdSn is here. */
  advance(): void {
    this.expCmdSn = serialAdd(this.expCmdSn, 1)
  }

  /** Keeps a command that is ahead of its turn. False: that CmdSN is taken already, so this is a duplicate. */
  keep(cmdSn: number, command: Held): boolean {
    if (this.#ahead.has(cmdSn)) return false
    this.#ahead.set(cmdSn, command)
    return true
  }

  /** Keeps an immediate request, which has no number of its own, until all numbered before `cmdSn` have come. */
  keepUntil(cmdSn: number, request: Held): void {
    const waiting = this.#until.get(cmdSn)
    if (waiting) waiting.push(request)
    else this.#until.set(cmdSn, [request])
  }

  /** Whether commands numbered before `cmdSn` are still to come: it is ahead of expCmdSn, and within the window. */
  lacksBefore(cmdSn: number): boolean {
    return cmdSn !== this.expCmdSn && (this.contains(cmdSn) || cmdSn === serialAdd(this.maxCmdSn, 1))
  }

  /** Drops a command kept ahead, or one that never came, whose number then counts as taken (RFC 7143 §11.5.5). */
  skip(cmdSn: number): Held | undefined {
    const held = this.#ahead.get(cmdSn)
    this.#ahead.set(cmdSn, undefined)
    return held
  }

  /** Does so with every number before `cmdSn`: they are aborted anyhow ("plugged", RFC 7143 §4.2.3.4 a). */
  skipBefore(cmdSn: number): void {
    for (let n = this.expCmdSn; this.contains(n) && serialBefore(n, cmdSn); n = serialAdd(n, 1)) this.skip(n)
  }

  /** Forgets those kept, as if they had never come: their connection is gone (RFC 7143 §11.14). */
  forget(which: (held: Held) => boolean): void {
    for (const [cmdSn, held] of this.#ahead) {
      if (held !== undefined && which(held)) this.#ahead.delete(cmdSn)
    }
    for (const [cmdSn, waiting] of this.#until) {
      const left = waiting.filter((held) => !which(held))
      if (left.length > 0) this.#until.set(cmdSn, left)
      else this.#until.delete(cmdSn)
    }
  }

  /** What is due now that expCmdSn has moved, in its order; undefined stands for a number that was skipped. */
  *due(): Generator<Held | undefined> {
    while (this.keepsAny) {
      const waiting = this.#until.get(this.expCmdSn)
      if (waiting) {
        this.#until.delete(this.expCmdSn)
        yield* waiting
        continue
      }
      if (!this.#ahead.has(this.expCmdSn)) return
      const held = this.#ahead.get(this.expCmdSn)
      this.#ahead.delete(this.expCmdSn)
      this.advance()
      yield held
    }
  }

  get keepsAny(): boolean {
    return this.#ahead.size > 0 || this.#until.size > 0
  }

  /** All that is kept. */
  *kept(): Generator<Held> {
    for (const held of this.#ahead.values()) if (held !== undefined) yield held
    for (const waiting of this.#until.values()) yield* waiting
  }

  /** A command that took a place in the window has ended. */
  retire(): void {
    this.maxCmdSn = serialAdd(this.maxCmdSn, 1)
  }

  /** Whether `cmdSn` is one a peer could have sent before `before` and that we may still be waiting for. */
  awaits(cmdSn: number, before: number): boolean {
    return this.contains(cmdSn) && serialBefore(cmdSn, before)
  }
}
