import { isPromise } from "../../base/completion.ts"
import { HELD_BYTES_MAX, IMMEDIATE_COMMANDS_MAX } from "../../base/limits.ts"
import { commandWindow, type ReceivedPdu } from "../da.ts"
import type { NegotiatedKeys } from "../login/keys.ts"
import { CommandWindow } from "./command-window.ts"
import { HeldPdu } from "./held-pdu.ts"
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
  | "no answer to NOP-In"
  | "reinstated"
  | "target cold reset"
  | "closed by the target"
  | "portal group offline"
  | "protocol error"

/**
 * A session at the target: the command window, the tasks and the connections (RFC 7143 §4.4). Numbers that are
 * per session live here, those that are per connection in TargetConnection; the code assumes nowhere that there is
 * one connection.
 */
export class TargetSession {
  readonly identity: TargetSessionIdentity
  /** What the leading login has agreed on; of a later one only what belongs to its connection counts. */
  readonly keys: NegotiatedKeys
  readonly window: CommandWindow<HeldPdu>
  readonly tasks = new Map<number, SessionTask>()
  /** Initiator Task Tags of task management functions under way. */
  readonly functions = new Set<number>()
  /** By CID; those that are logging in are among them. */
  readonly connections = new Map<number, TargetConnection>()
  /** Resolves when the session has ended and none of its tasks touches a medium any more. */
  readonly ended: Promise<void>
  endedBy: SessionEnd | undefined
  user!: SessionUser
  #immediateCommands = 0
  #resolveEnded: () => void = () => {}
  readonly #onEnd: (session: TargetSession) => void

  constructor(
    identity: TargetSessionIdentity,
    keys: NegotiatedKeys,
    firstCmdSn: number,
    onEnd: (session: TargetSession) => void,
  ) {
    this.identity = identity
    this.keys = keys
    this.window = new CommandWindow(firstCmdSn, commandWindow(keys))
    this.#onEnd = onEnd
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
  }

  /** The values for a connection that joins: its own ones are its login's, the session's stay (RFC 7143 §13: "SW", "CO"). */
  keysOf(login: NegotiatedKeys): NegotiatedKeys {
    const { headerDigest, dataDigest, maxSendDataSegmentLength, maxRecvDataSegmentLength } = login
    return { ...this.keys, headerDigest, dataDigest, maxSendDataSegmentLength, maxRecvDataSegmentLength }
  }

  /** Takes one of the places for immediate SCSI commands. */
  takeImmediate(): boolean {
    if (this.#immediateCommands >= IMMEDIATE_COMMANDS_MAX) return false
    this.#immediateCommands++
    return true
  }

  /** A SCSI command has ended. It frees its place in the window, an immediate one that among the immediate ones. */
  commandRetired(immediate: boolean): void {
    if (immediate) this.#immediateCommands--
    else this.window.retire()
  }

  /** A copy of a PDU to be kept until its turn; undefined: so much is kept already that there's no room for it. */
  hold(pdu: ReceivedPdu, connection: TargetConnection): HeldPdu | undefined {
    let bytes = pdu.dataBytes
    for (const held of this.window.kept()) bytes += held.heldBytes
    return bytes > HELD_BYTES_MAX ? undefined : new HeldPdu(pdu, connection)
  }

  /** Delivers what was kept and is due, each as on the connection it came over. */
  deliverDue(): void {
    for (const held of this.window.due()) {
      if (held) held.connection.deliverHeld(held)
      else this.window.retire()
    }
  }

  /** A connection of the session has ended and is cleaned up; without connections the session has ended too. */
  async connectionFree(connection: TargetConnection, why: SessionEnd): Promise<void> {
    if (this.connections.get(connection.cid) === connection) this.connections.delete(connection.cid)
    this.window.forget((held) => held.connection === connection)
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
