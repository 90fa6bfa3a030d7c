import type { ByteStream, Endpoint, Listener } from "../base/byte-stream.ts"
import { LOGINS_PENDING_MAX } from "../base/limits.ts"
import type { Datamover, TargetDatamover } from "../iscsi/da.ts"
import { encodeSendTargets } from "../discovery/send-targets.ts"
import { parseIscsiName } from "../wire/text.ts"
import { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"
import { Arrival } from "./arrival.ts"
import type { IserAcceptor } from "./iser.ts"
import type { NetworkEntity } from "./network-entity.ts"
import { PortalLogin } from "./portal-login.ts"
import type { Target } from "./target.ts"

/** A connection that isn't in full feature phase yet. */
interface PendingLogin {
  /** Where it comes from. */
  readonly address: string
  /** Ends it from our side, so that another time or another portal may do better. */
  abandon(reason: string): void
}

/** A network portal (RFC 7143 §4.2.1): an address and port that initiators connect to, in a portal group. */
export class Portal {
  readonly portalGroupTag: number
  readonly #entity: NetworkEntity
  #listener: Listener | undefined
  #closed: () => void = () => {}
  readonly #iser: IserAcceptor | undefined
  /** Connections in login phase, the oldest first, and before them those that haven't said yet what they speak. */
  readonly #logins = new Set<PendingLogin>()

  /** `iser` absent: it serves TCP alone. */
  constructor(entity: NetworkEntity, portalGroupTag: number, iser?: IserAcceptor) {
    this.#entity = entity
    this.portalGroupTag = portalGroupTag
    this.#iser = iser
  }

  opened(listener: Listener, closed: () => void): void {
    this.#listener = listener
    this.#closed = closed
  }

  get endpoint(): Endpoint {
    return this.#listener!.local
  }

  /** "192.0.2.1:3260", "[2001:db8::1]:3260". */
  get address(): string {
    return addressText(this.endpoint)
  }

  /** What initiators may speak here. */
  get transports(): readonly Datamover["transport"][] {
    return this.#iser ? ["tcp", "iser"] : ["tcp"]
  }

  get loginsPending(): number {
    return this.#logins.size
  }

  /** Stops accepting, and refuses who is logging in; sessions live on. */
  async close(): Promise<void> {
    this.#closed()
    for (const login of [...this.#logins]) login.abandon("the portal is closing")
    await this.#listener?.close()
  }

  accept(stream: ByteStream): void {
    const entity = this.#entity
    if (this.#logins.size >= LOGINS_PENDING_MAX && !this.#makeRoom(stream.remote.address)) {
      const { address } = stream.remote
      entity.log.warn({ address, pending: this.#logins.size }, "too many logins at once")
      return stream.destroy()
    }
    const arrival: Arrival = new Arrival(stream, entity, this.#iser, {
      arrived: (datamover, deadlineMs) => {
        this.#logins.delete(arrival)
        this.#logIn(datamover, deadlineMs)
      },
      ended: () => this.#logins.delete(arrival),
    })
    this.#logins.add(arrival)
    arrival.begin()
  }

  #logIn(datamover: TargetDatamover, deadlineMs: number): void {
    const entity = this.#entity
    const { nopIntervalMs, nopDeadlineMs } = entity.options
    const connection = new TargetConnection(datamover, {
      clock: entity.clock,
      log: entity.log,
      ...(nopIntervalMs !== undefined && { nopIntervalMs }),
      ...(nopDeadlineMs !== undefined && { nopDeadlineMs }),
    })
    const over = () => this.#logins.delete(login)
    const login: PortalLogin = new PortalLogin(this, entity, connection, deadlineMs, over)
    this.#logins.add(login)
    connection.start(login)
  }

  /**
   * All places are taken: the oldest login of the address that has most of them gives up its own, so that nobody shuts
   * others out. False: that would be the newcomer's address.
   */
  #makeRoom(address: string): boolean {
    const counts = new Map<string, number>()
    for (const login of this.#logins) counts.set(login.address, (counts.get(login.address) ?? 0) + 1)
    const [greediest] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))
    if (counts.get(address) === counts.get(greediest)) return false
    for (const login of this.#logins) {
      if (login.address !== greediest) continue
      login.abandon("too many logins at once")
      break
    }
    return true
  }

  /**
   * The answer to SendTargets (RFC 7143 appendix C): the targets this initiator may use from where it is, each with the
   * portals it is reached through.
   */
  sendTargets(session: TargetSession, connection: TargetConnection, which: string): Uint8Array | undefined {
    const own = session.identity.targetName
    if (which === "All" ? own !== undefined : which === "" && own === undefined) return undefined
    const { local } = connection.datamover
    const listed = this.#visible(session, connection, which === "" ? own! : which).map((target) => ({
      name: target.name,
      addresses: this.#addresses(target, local),
    }))
    return encodeSendTargets(listed.filter((target) => target.addresses.length > 0))
  }

  /** In a normal session that is the target it is logged in to at most. */
  #visible(session: TargetSession, connection: TargetConnection, which: string): Target[] {
    const { initiatorName, targetName: own } = session.identity
    const name = which === "All" ? undefined : parseIscsiName(which)
    if (which !== "All" && name === undefined) return []
    return [...this.#entity.targets.values()].filter(
      (target) =>
        (name === undefined || target.name === name) &&
        (own === undefined || target.name === own) &&
        target.access.allows(initiatorName, connection.datamover.remote.address),
    )
  }

  /**
   * A portal on a wildcard address is named by the address the initiator has reached us at; one of the other family can't
   * be named at all.
   */
  #addresses(target: Target, local: Endpoint): { address: string; portalGroupTag: number }[] {
    const addresses = []
    for (const { endpoint, portalGroupTag } of this.#entity.portals) {
      if (!target.isIn(portalGroupTag) || target.isOffline(portalGroupTag)) continue
      const { port } = endpoint
      const address =
        endpoint.address === "0.0.0.0" || endpoint.address === "::" ? local.address : endpoint.address
      if (endpoint.address === "0.0.0.0" && address.includes(":")) continue
      addresses.push({ address: addressText({ address, port }), portalGroupTag })
    }
    return addresses
  }
}

const addressText = ({ address, port }: Endpoint): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
