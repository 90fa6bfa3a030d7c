import type { DiscoveredTarget } from "../discovery/send-targets.ts"
import { Disk } from "./disk.ts"
import { type DiskLocation, type InitiatorOptions, logInTo, type OpenOptions } from "./open.ts"
import type { Session } from "./session.ts"
import { type IscsiUrl, IscsiUrlError, parseIscsiUrl } from "./url.ts"
import { reportLuns } from "./unit-info.ts"
import { Operation } from "./operation.ts"
import { ChangeSet } from "./change-set.ts"

/** A portal, a target or a disk: as a URL, or what one says. */
export type Where = string | IscsiUrl

/**
 * An initiator: a name, and defaults for its sessions.
 *
 *     const initiator = new Initiator({ name: "iqn.2026-01.org.example:host1" })
 *     for (const target of await initiator.discover("iscsi://10.0.0.1")) console.log(target.name)
 */
export class Initiator {
  readonly options: InitiatorOptions

  constructor(options: InitiatorOptions = {}) {
    this.options = options
  }

  #url(where: Where): IscsiUrl {
    return typeof where === "string" ? parseIscsiUrl(where, this.options.environment ?? process.env) : where
  }

  /** The targets a portal tells of, by SendTargets in a session of its own. Rejects as `login` does, with SendTargetsError. */
  async discover(where: Where, signal?: AbortSignal): Promise<DiscoveredTarget[]> {
    const session = await logInTo(this.#url(where), undefined, { ...this.options, reconnect: false }, signal)
    try {
      return await session.sendTargets("All", signal)
    } finally {
      await session.close()
    }
  }

  /** A session with a target. Rejects with NetworkError, LoginError, DatamoverError, ConnectionError, IscsiUrlError. */
  async login(where: Where, signal?: AbortSignal): Promise<Session> {
    const url = this.#url(where)
    if (url.target === undefined) throw new IscsiUrlError("login: the URL names no target")
    return logInTo(url, url.target, this.options, signal)
  }

  /** The LUNs a session's target has for it. */
  async logicalUnits(session: Session, signal?: AbortSignal): Promise<number[]> {
    const host = { session, changes: new ChangeSet(), attention() {} }
    return reportLuns(
      (request) =>
        new Promise((resolve, reject) => {
          const signalled = signal ? { ...request, signal } : request
          new Operation(host, "REPORT LUNS", signalled, 0, 0, resolve, reject).start()
        }),
    )
  }

  /** A disk, with a session of its own. */
  open(where: string | DiskLocation, options: Omit<OpenOptions, keyof InitiatorOptions> = {}): Promise<Disk> {
    return Disk.open(where, { ...this.options, ...options })
  }
}
