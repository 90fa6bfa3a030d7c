import type { ByteStream, Network } from "../base/byte-stream.ts"
import type { Clock } from "../base/clock.ts"
import type { Random } from "../base/random.ts"
import type { DataBufferBudget } from "../datamover/shared/index.ts"
import type { TargetDatamover } from "../iscsi/da.ts"

/** What an iSER connection shares with the others of its network entity. */
export interface IserSurroundings {
  readonly clock: Clock
  readonly budget: DataBufferBudget
}

/** Who hears what has become of a stream that was to turn into an iSER connection. One call comes, once. */
export interface IserAcceptUser {
  /** The RDMA connection is there, and the datamover waits to be started: the initiator may send its first Login Request. */
  accepted(datamover: TargetDatamover): void
  /** Nothing came of it; the stream is gone. */
  failed(error: Error): void
}

/** iSER, as a network entity is given it: a value, so that nothing here knows where RDMA comes from. */
export interface IserAcceptor {
  /**
   * Takes over a stream whose first bytes are an MPA Request's; `head`: those that are read already. Until one of the
   * user's calls has come, `stream.destroy` ends the attempt.
   */
  accept(stream: ByteStream, head: Uint8Array, around: IserSurroundings, user: IserAcceptUser): void
  /**
   * The datamover of a stream whose first bytes are a Login Request's, so that the login goes over TCP; when it agrees on
   * RDMAExtensions, the connection turns to RDMA behind it (RFC 7145 §5.1). Absent: that isn't agreed on over TCP.
   */
  logIn?(stream: ByteStream, head: Uint8Array, around: IserSurroundings): TargetDatamover
}

/** Makes iSER of a network, a clock and randomness. */
export type IserAcceptorMaker = (of: { network: Network; clock: Clock; random: Random }) => IserAcceptor

let byDefault: IserAcceptorMaker | undefined

/** From now on network entities that aren't told otherwise serve iSER made by `make`: for the package's doors. */
export function acceptIserByDefault(make: IserAcceptorMaker): void {
  byDefault = make
}

export const defaultIserAcceptor = (...of: Parameters<IserAcceptorMaker>): IserAcceptor | undefined =>
  byDefault?.(...of)
