import type { Listener, Network } from "../base/byte-stream.ts"
import { type Clock, systemClock } from "../base/clock.ts"
import { SanletError } from "../base/errors.ts"
import { DATA_BUFFER_BYTES_MAX, LOGOUT_GRACE_MS } from "../base/limits.ts"
import { type Log, silentLog } from "../base/log.ts"
import { nodeNetwork } from "../base/node-network.ts"
import { type Random, systemRandom } from "../base/random.ts"
import { DataBufferBudget } from "../datamover/shared/index.ts"
import type { ChapAcceptance } from "../iscsi/login/chap.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"
import { defaultIserAcceptor, type IserAcceptor } from "./iser.ts"
import { Portal } from "./portal.ts"
import { SessionRegistry } from "./session-registry.ts"
import type { Target } from "./target.ts"

export interface NetworkEntityOptions {
  readonly network?: Network
  readonly clock?: Clock
  readonly random?: Random
  readonly log?: Log
  /** Who may discover. Absent: anyone, without CHAP. */
  readonly discoveryAuth?: ChapAcceptance
  /** Data buffers of all sessions together, in bytes. */
  readonly dataBufferBytesMax?: number
  /** How often a silent initiator is pinged, and how long it may take to answer, in ms; 0: never. */
  readonly nopIntervalMs?: number
  readonly nopDeadlineMs?: number
  readonly loginDeadlineMs?: number
  /** How portals serve iSER besides TCP; false: they don't. Default: over software iWARP. */
  readonly iser?: IserAcceptor | false
}

/** Where a portal listens. */
export interface PortalOptions {
  readonly host: string
  /** 0 picks one. */
  readonly port: number
  /** Default: 1. */
  readonly portalGroupTag?: number
  /** False: it serves TCP alone. Default: iSER at the same port as well. */
  readonly iser?: boolean
}

/**
 * A network entity (RFC 7143 §4.2.1): the portals of this process, and the targets reached through them. All targets are
 * reached through every portal whose group they are in.
 */
export class NetworkEntity {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly budget: DataBufferBudget
  readonly sessions: SessionRegistry
  readonly options: NetworkEntityOptions
  readonly #iser: IserAcceptor | undefined
  readonly #targets = new Map<string, Target>()
  readonly #portals = new Set<Portal>()
  /** Nobody is let in any more. */
  closing = false

  constructor(options: NetworkEntityOptions = {}) {
    this.options = options
    this.network = options.network ?? nodeNetwork
    this.clock = options.clock ?? systemClock
    this.random = options.random ?? systemRandom
    this.log = options.log ?? silentLog
    this.budget = new DataBufferBudget(options.dataBufferBytesMax ?? DATA_BUFFER_BYTES_MAX)
    this.sessions = new SessionRegistry(this.random)
    const iser = options.iser ?? defaultIserAcceptor(this)
    this.#iser = iser === false ? undefined : iser
  }

  /** By lower-case name. */
  get targets(): ReadonlyMap<string, Target> {
    return this.#targets
  }

  get portals(): ReadonlySet<Portal> {
    return this.#portals
  }

  /** Throws SanletError ERR_TARGET_EXISTS. */
  addTarget(target: Target): void {
    const name = target.name.toLowerCase()
    if (this.#targets.has(name))
      throw new SanletError("ERR_TARGET_EXISTS", `a target ${target.name} exists already`)
    this.#targets.set(name, target)
    target.joined(this)
  }

  /** Asks its initiators to log out, ends their sessions, and forgets the target. */
  async removeTarget(name: string): Promise<void> {
    const target = this.#targets.get(name.toLowerCase())
    if (!target) return
    this.#targets.delete(name.toLowerCase())
    await this.#logOut((session) => session.identity.targetName === target.name)
  }

  /** Rejects with a NetworkError when the address can't be had. */
  async listen(at: PortalOptions): Promise<Portal> {
    const iser = at.iser === false ? undefined : this.#iser
    const portal: Portal = new Portal(this, at.portalGroupTag ?? 1, iser)
    const listener: Listener = await this.network.listen(at, (stream) => portal.accept(stream))
    portal.opened(listener, () => this.#portals.delete(portal))
    this.#portals.add(portal)
    this.closing = false
    return portal
  }

  /** Closes the portals, asks every initiator to log out, and ends the sessions that don't in time. */
  async close(): Promise<void> {
    this.closing = true
    const closed = [...this.#portals].map((portal) => portal.close())
    await this.#logOut(() => true)
    await Promise.all(closed)
  }

  async #logOut(which: (session: TargetSession) => boolean): Promise<void> {
    const leaving = [...this.sessions.all].filter(which)
    for (const session of leaving) {
      for (const connection of session.connections.values()) connection.requestLogout(LOGOUT_GRACE_MS)
    }
    await Promise.all(leaving.map((session) => session.ended))
  }
}
