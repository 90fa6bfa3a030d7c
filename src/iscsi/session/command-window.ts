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
  readonly #ahead = new Map<number, Held | undefined>()

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

  /** Drops a command kept ahead, or one that never came, whose number then counts as taken (RFC 7143 §11.5.5). */
  skip(cmdSn: number): Held | undefined {
    const held = this.#ahead.get(cmdSn)
    this.#ahead.set(cmdSn, undefined)
    return held
  }

  /** The commands whose turn has come now that expCmdSn has moved; undefined stands for a skipped one. */
  *due(): Generator<Held | undefined> {
    while (this.#ahead.size > 0 && this.#ahead.has(this.expCmdSn)) {
      const held = this.#ahead.get(this.expCmdSn)
      this.#ahead.delete(this.expCmdSn)
      this.advance()
      yield held
    }
  }

  get keepsAny(): boolean {
    return this.#ahead.size > 0
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
