import {
  ISER_CONNECT_DEADLINE_MS,
  ISER_TRY_DEADLINE_MS,
  TRANSPORTS_REMEMBERED_MAX,
  TRANSPORTS_REMEMBERED_MS,
} from "../base/limits.ts"
import type { Clock } from "../base/clock.ts"
import { SanletError } from "../base/errors.ts"
import { hostAndPort, NetworkError } from "../base/network-error.ts"
import { TcpInitiatorDatamover } from "../datamover/tcp/index.ts"
import type { Datamover, InitiatorDatamover } from "../iscsi/da.ts"
import { LoginError } from "../iscsi/login/index.ts"
import { LoginStatus } from "../iscsi/spec/index.ts"
import type { IserConnector, Transport } from "./iser.ts"
import type { PortalAddress } from "./login.ts"
import type { InitiatorServices } from "./services.ts"

/** The way a connection takes. */
export type UsedTransport = Datamover["transport"]

/** iSER was demanded and can't be had. Codes: ERR_ISER_NOT_THERE (the portal hasn't it), ERR_ISER_NOT_HERE (we haven't). */
export class TransportError extends SanletError {}

/** Which transport a portal turned out to need, where it isn't the one that would be tried first. */
export class TransportMemory {
  readonly #clock: Clock
  readonly #known = new Map<string, { readonly transport: UsedTransport; readonly untilMs: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get({ host, port }: PortalAddress): UsedTransport | undefined {
    const known = this.#known.get(hostAndPort(host, port))
    return known && this.#clock.nowMs() < known.untilMs ? known.transport : undefined
  }

  /** The oldest is forgotten where there are too many. */
  remember({ host, port }: PortalAddress, transport: UsedTransport): void {
    const key = hostAndPort(host, port)
    this.#known.delete(key)
    this.#known.set(key, { transport, untilMs: this.#clock.nowMs() + TRANSPORTS_REMEMBERED_MS })
    if (this.#known.size > TRANSPORTS_REMEMBERED_MAX) this.#known.delete(this.#known.keys().next().value!)
  }
}

/**
 * The transports to try at a portal, in this order. `before`: what the session used last.
 *
 * "auto" takes the faster one first, and the other one where that isn't served. RDMA made of software is never the faster:
 * it does all that TCP does, and more on top, so it comes second, for portals that speak nothing else. RDMA of hardware comes
 * first: portals that don't know it close the connection or keep silent, for which there is a short deadline and a memory.
 */
export function transportsFor(
  wanted: Transport,
  portal: PortalAddress,
  { iser, transports }: Pick<InitiatorServices, "iser" | "transports">,
  before?: UsedTransport,
): readonly UsedTransport[] {
  if (wanted !== "auto") return [wanted]
  if (!iser) return ["tcp"]
  const first = before ?? transports.get(portal) ?? (iser.fasterThanTcp ? "iser" : "tcp")
  return first === "iser" ? ["iser", "tcp"] : ["tcp", "iser"]
}

/** How far an attempt to log in has come. */
export interface Progress {
  /** Somebody is there. */
  connected: boolean
  /** A Login Response has come. */
  answered: boolean
}

/** Whether another transport may do better where this one has failed so. */
export function mayTryOther(transport: UsedTransport, error: unknown, progress: Progress): boolean {
  // Nobody there: the RDMA that runs over TCP knows no other door. It closed, without a word: it speaks something else.
  if (transport === "tcp") return progress.connected && !progress.answered
  if (!progress.answered) return true
  // It has no room for RDMA, or won't have RDMAExtensions.
  const declined = error instanceof LoginError && error.code === "ERR_LOGIN_PROTOCOL"
  return declined || (error instanceof LoginError && error.status === LoginStatus.outOfResources)
}

/** Connects: rejects with NetworkError, TransportError, or the signal's reason. `only`: there is no other transport to try. */
export async function connectOver(
  transport: UsedTransport,
  portal: PortalAddress,
  only: boolean,
  { network, clock, budget, iser }: InitiatorServices,
  signal: AbortSignal,
): Promise<InitiatorDatamover> {
  if (transport === "tcp") {
    return new TcpInitiatorDatamover(await network.connect(portal, { signal }), { clock, budget })
  }
  if (!iser) throw new TransportError("ERR_ISER_NOT_HERE", "there is no RDMA device here to use iSER over")
  return connectIser(iser, portal, only, { clock, budget, signal })
}

async function connectIser(
  iser: IserConnector,
  portal: PortalAddress,
  only: boolean,
  options: Pick<InitiatorServices, "clock" | "budget"> & { signal: AbortSignal },
): Promise<InitiatorDatamover> {
  try {
    const deadlineMs = only ? ISER_CONNECT_DEADLINE_MS : ISER_TRY_DEADLINE_MS
    return await iser.connect(portal, { ...options, deadlineMs })
  } catch (error) {
    options.signal.throwIfAborted()
    if (error instanceof NetworkError && UNREACHED.has(error.code)) throw error
    const where = hostAndPort(portal.host, portal.port)
    const why = error instanceof Error ? error.message : String(error)
    throw new TransportError("ERR_ISER_NOT_THERE", `no iSER at ${where}: ${why}`, { cause: error })
  }
}

/** Nothing was heard of the portal at all: that says it all, whatever the transport. */
const UNREACHED: ReadonlySet<string> = new Set([
  "ERR_CONNECTION_REFUSED",
  "ERR_HOST_NOT_FOUND",
  "ERR_HOST_UNREACHABLE",
  "ERR_NETWORK_PERMISSION",
])
