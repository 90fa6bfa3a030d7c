import type { Network } from "../base/byte-stream.ts"
import type { Clock } from "../base/clock.ts"
import type { Random } from "../base/random.ts"
import type { DataBufferBudget } from "../datamover/shared/index.ts"
import type { InitiatorDatamover } from "../iscsi/da.ts"
import type { PortalAddress } from "./login.ts"

/** What a session's way to its target may be: either RDMA or TCP alone, or whichever is better there. */
export type Transport = "auto" | "tcp" | "iser"

export interface IserConnectOptions {
  readonly clock: Clock
  readonly budget: DataBufferBudget
  readonly signal: AbortSignal
  /** For the RDMA connection alone, in ms; the login comes behind it. */
  readonly deadlineMs: number
}

/** iSER, as an initiator is given it: a value, so that nothing here knows where RDMA comes from. */
export interface IserConnector {
  /** Whether iSER is the better choice where both are served: with RDMA in hardware it is, with RDMA in software not. */
  readonly fasterThanTcp: boolean
  /**
   * An RDMA connection with a portal, ready to log in. Rejects with a NetworkError when nobody is there, a VerbsError or
   * NetworkError when whoever is there doesn't speak RDMA, or the signal's reason.
   */
  connect(portal: PortalAddress, options: IserConnectOptions): Promise<InitiatorDatamover>
}

/** Makes iSER of a network, a clock and randomness. */
export type IserConnectorMaker = (of: { network: Network; clock: Clock; random: Random }) => IserConnector

let byDefault: IserConnectorMaker | undefined

/** From now on initiators that aren't told otherwise have the iSER made by `make`: for the package's doors. */
export function connectIserByDefault(make: IserConnectorMaker): void {
  byDefault = make
}

export const defaultIserConnector = (...of: Parameters<IserConnectorMaker>): IserConnector | undefined =>
  byDefault?.(...of)
