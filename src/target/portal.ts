import type { ByteStream, Endpoint, Listener } from "../base/byte-stream.ts"
import { LOGINS_PENDING_MAX } from "../base/limits.ts"
import { TcpTargetDatamover } from "../datamover/tcp/index.ts"
import { encodeSendTargets } from "../discovery/send-targets.ts"
import { TargetConnection } from "../iscsi/session/target-connection.ts"
import type { TargetSession } from "../iscsi/session/target-session.ts"
import type { NetworkEntity } from "./network-entity.ts"
import { PortalLogin } from "./portal-login.ts"
import type { Target } from "./target.ts"

/** A network portal (RFC 7143 §4.2.1): an address and port that initiators connect to, in a portal group. */
export class Portal {
  readonly portalGroupTag: number
  readonly #entity: NetworkEntity
  #listener: Listener | undefined
  #closed: () => void = () => {}
  #loginsPending = 0

  constructor(entity: NetworkEntity, portalGroupTag: number) {
    this.#entity = entity
    this.portalGroupTag = portalGroupTag
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

  /** Stops accepting; sessions live on. */
  async close(): Promise<void> {
    this.#closed()
    await this.#listener?.close()
  }

  accept(stream: ByteStream): void {
    const entity = this.#entity
    // Before anything is spent on it: an address that no target and no discovery is for.
    if (this.#loginsPending >= LOGINS_PENDING_MAX) {
      entity.log.warn(
        { address: stream.remote.address, pending: this.#loginsPending },
        "too many logins at once",
      )
      return stream.destroy()
    }
    this.#loginsPending++
    const { nopIntervalMs, nopDeadlineMs } = entity.options
    const connection = new TargetConnection(
      new TcpTargetDatamover(stream, { clock: entity.clock, budget: entity.budget }),
      {
        clock: entity.clock,
        log: entity.log,
        ...(nopIntervalMs !== undefined && { nopIntervalMs }),
        ...(nopDeadlineMs !== undefined && { nopDeadlineMs }),
      },
    )
    connection.start(new PortalLogin(this, entity, connection, () => this.#loginsPending--))
  }

  /**
   * The answer to SendTargets (RFC 7143 appendix C): the targets this initiator may use from where it is, each with the
   * portals it is reached through.
   */
  sendTargets(session: TargetSession, connection: TargetConnection, which: string): Uint8Array | undefined {
    const own = session.identity.targetName
    if (own !== undefined && which === "All") return undefined
    const name = which === "" ? own : which
    if (name === undefined) return undefined
    const { initiatorName } = session.identity
    const { remote, local } = connection.datamover
    const visible = [...this.#entity.targets.values()].filter(
      (target) =>
        (name === "All" || target.name === name.toLowerCase()) &&
        target.access.allows(initiatorName, remote.address),
    )
    const listed = visible.map((target) => ({ name: target.name, addresses: this.#addresses(target, local) }))
    return encodeSendTargets(listed.filter((target) => target.addresses.length > 0))
  }

  /** A portal on a wildcard address is named by the address the initiator has reached us at. */
  #addresses(target: Target, local: Endpoint): { address: string; portalGroupTag: number }[] {
    return [...this.#entity.portals]
      .filter((portal) => target.isIn(portal.portalGroupTag))
      .map((portal) => {
        const { address, port } = portal.endpoint
        const wildcard = address === "0.0.0.0" || address === "::"
        return {
          address: addressText({ address: wildcard ? local.address : address, port }),
          portalGroupTag: portal.portalGroupTag,
        }
      })
  }
}

const addressText = ({ address, port }: Endpoint): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
