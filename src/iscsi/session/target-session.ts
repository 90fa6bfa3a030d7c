import { isPromise } from "../../base/completion.ts"
import { COMMAND_WINDOW } from "../../base/limits.ts"
import { CommandWindow } from "./command-window.ts"
import type { HeldPdu } from "./held-pdu.ts"
import type { SessionTask, SessionUser } from "./session-user.ts"
import type { TargetConnection } from "./target-connection.ts"

export interface TargetSessionIdentity {
  readonly type: "Normal" | "Discovery"
  readonly initiatorName: string
  readonly initiatorAlias: string | undefined
  /** Absent in a discovery session. */
  readonly targetName: string | undefined
  /** 48 bits. */
  readonly isid: number
  /** Not 0. */
  readonly tsih: number
  readonly portalGroupTag: number
  /** Who CHAP says it is. */
  readonly user: string | undefined
}

/** Why a session has ended, for the log. */
export type SessionEnd =
  | "logout"
  | "connection lost"
  | "reinstated"
  | "closed by the target"
  | "protocol error"

/**
 * A session at the target: the command window, the tasks and the connections (RFC 7143 §4.4). Numbers that are
 * per session live here, those that are per connection in TargetConnection; the code assumes nowhere that there is
 * one connection.
 */
export class TargetSession {
  readonly identity: TargetSessionIdentity
  readonly window: CommandWindow<HeldPdu>
  readonly tasks = new Map<number, SessionTask>()
  readonly connections = new Map<number, TargetConnection>()
  /** Resolves when the session has ended and none of its tasks touches a medium any more. */
  readonly ended: Promise<void>
  endedBy: SessionEnd | undefined
  user!: SessionUser
  #immediateCommands = 0
  #resolveEnded: () => void = () => {}
  readonly #onEnd: (session: TargetSession) => void

  constructor(identity: TargetSessionIdentity, firstCmdSn: number, onEnd: (session: TargetSession) => void) {
    this.identity = identity
    this.window = new CommandWindow(firstCmdSn, COMMAND_WINDOW)
    this.#onEnd = onEnd
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
  }

  /** Non-immediate commands free their place in the window, immediate ones their share of the spare places. */
  commandRetired(immediate: boolean): void {
    if (immediate) this.#immediateCommands--
    else this.window.retire()
  }

  /** Takes one of `max` places for immediate commands. */
  takeImmediate(max: number): boolean {
    if (this.#immediateCommands >= max) return false
    this.#immediateCommands++
    return true
  }

  /** A connection of the session has ended and is cleaned up; without connections the session has ended too. */
  async connectionFree(connection: TargetConnection, why: SessionEnd): Promise<void> {
    if (this.connections.get(connection.cid) === connection) this.connections.delete(connection.cid)
    if (this.connections.size === 0) await this.#end(why)
  }

  /** Drops every connection: the session is replaced, or the target goes away. Resolves when it has ended. */
  async drop(why: SessionEnd): Promise<void> {
    for (const connection of [...this.connections.values()]) connection.drop(why)
    if (this.connections.size === 0) await this.#end(why)
    await this.ended
  }

  async #end(why: SessionEnd): Promise<void> {
    if (this.endedBy) return
    this.endedBy = why
    const ended = this.user.sessionEnded()
    if (isPromise(ended)) await ended
    this.#onEnd(this)
    this.#resolveEnded()
  }
}
