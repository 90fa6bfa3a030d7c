import type { Endpoint } from "../../base/byte-stream.ts"
import type { QueuePair } from "./queue-pair.ts"

/** Why a connection has ended. */
export type DisconnectReason =
  /** We asked for it. */
  | "local"
  /** The peer asked for it. */
  | "peer"
  /** A request of ours failed on this side, or the peer refused it: a completion says which. */
  | "request-failed"
  /**
   * The peer did what it may not: a bad key, a message too long, one without a receive. Nothing of ours was
   * harmed.
   */
  | "peer-violation"
  /** The way to the peer is gone, or it has not answered. */
  | "lost"

export interface Disconnection {
  readonly reason: DisconnectReason
  /** One line for people. */
  readonly detail: string
}

/**
 * What both sides say of a connection (rdma_conn_param; IB spec §12.7, RFC 6581 §4). Depths are seen from this
 * side: an offer of the one is a bound on the other at the peer, and the lower value holds.
 */
export interface ConnectionParameters {
  /**
   * In INIT and never connected before. It ends in ERROR, its receives flushed, when no connection comes
   * about.
   */
  readonly qp: QueuePair
  /** For the peer's program; up to the device's privateDataBytesMax. */
  readonly privateData?: Uint8Array
  /** RDMA Reads of the peer we serve at a time (iWARP's IRD). Default: the device's most. */
  readonly responderResources?: number
  /**
   * RDMA Reads we want under way at a time (iWARP's ORD); more wait in the send queue. Default: the device's
   * most.
   */
  readonly initiatorDepth?: number
  /**
   * How often the peer may try again a send for which we had no receive; 7: for ever. Without a meaning where
   * capabilities.receiverNotReady is false. Default: 7.
   */
  readonly rnrRetryCount?: number
  /**
   * The connection has ended; comes exactly once if it was established, from the event loop. The queue pair
   * is in ERROR; flushed completions may come before it or after.
   */
  readonly disconnected: (event: Disconnection) => void
}

export interface ConnectOptions extends ConnectionParameters {
  /** How often we try again what the peer doesn't answer, 0 to 7. Default: 7. */
  readonly retryCount?: number
  /** For the whole of it, in ms. Default: RDMA_CONNECT_DEADLINE_MS. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** A connection that is established: its queue pair is in RTS. */
export interface Connection {
  readonly qp: QueuePair
  readonly local: Endpoint
  readonly remote: Endpoint
  /**
   * What the peer said: in its request or its answer. May be padded with zeroes (InfiniBand) or missing
   * (empty).
   */
  readonly privateData: Uint8Array
  /** Reads of the peer under way at a time, as agreed. */
  readonly responderResources: number
  /** Reads of ours under way at a time, as agreed. With 0 a read ends with a local QP operation error. */
  readonly initiatorDepth: number
  /**
   * Ends it (rdma_disconnect): the queue pair is in ERROR when this returns, and nothing the peer sends
   * touches our memory any more. Requests not complete are flushed. Calling it again does nothing.
   */
  disconnect(): void
}

/**
 * Somebody wants to connect. Answer with accept or reject, within RDMA_ACCEPT_DEADLINE_MS; only the first
 * call counts.
 */
export interface ConnectionRequest {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly privateData: Uint8Array
  /** Reads the peer would like to have under way: what responderResources need be at most. */
  readonly responderResources: number
  /** Reads the peer would serve: what initiatorDepth may be at most. */
  readonly initiatorDepth: number
  /**
   * Takes it. Post receives before: the peer may send at once, and completions may come before the promise's
   * handlers run. Depths beyond the offer are cut down to it. Rejects with a NetworkError when the peer has
   * gone, a VerbsError when the parameters are no good.
   */
  accept(parameters: ConnectionParameters): Promise<Connection>
  reject(privateData?: Uint8Array): void
}
