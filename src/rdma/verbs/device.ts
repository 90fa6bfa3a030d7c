import type { Listener } from "../../base/byte-stream.ts"
import type { CompletionQueue } from "./completion-queue.ts"
import type { Connection, ConnectionRequest, ConnectOptions } from "./connection.ts"
import type { ProtectionDomain } from "./memory.ts"
import type { QueuePair, QueuePairOptions } from "./queue-pair.ts"
import type { SharedReceiveQueue, SharedReceiveQueueOptions } from "./srq.ts"

/** What a device has room for (ibv_device_attr). */
export interface DeviceLimits {
  readonly queuePairsMax: number
  /** Places of one work queue (max_qp_wr). */
  readonly workRequestsMax: number
  /** Entries of a scatter/gather list (max_sge). */
  readonly entriesMax: number
  readonly inlineBytesMax: number
  readonly completionQueuesMax: number
  /** Entries of one completion queue (max_cqe). */
  readonly completionsMax: number
  /** 0: it has none. */
  readonly sharedReceiveQueuesMax: number
  readonly protectionDomainsMax: number
  readonly regionsMax: number
  readonly regionBytesMax: number
  readonly messageBytesMax: number
  /** Most reads a connection serves (max_qp_rd_atom), and has under way (max_qp_init_rd_atom). */
  readonly responderResourcesMax: number
  readonly initiatorDepthMax: number
  /** Private data of a connection request or its answer. */
  readonly privateDataBytesMax: number
}

/** Where providers differ in what their standards promise. */
export interface DeviceCapabilities {
  /** A region's key can be invalidated by the peer: false with plain ibv_reg_mr keys. */
  readonly remoteInvalidate: boolean
  /** invalidate and reregister cost next to nothing, so memory may be registered for one transfer. */
  readonly fastRegistration: boolean
  /**
   * The success of a send or write means that the peer has it, and its refusal comes as that request's status
   * (IB). Else it means only that the memory is free, and a refusal ends the connection and flushes what
   * isn't complete (iWARP).
   */
  readonly acknowledged: boolean
  /** A send without a receive is tried again (IB's RNR NAK). Else it ends the connection (iWARP). */
  readonly receiverNotReady: boolean
  /** A write is checked whole before its first byte is placed. Else each segment by itself is (RFC 5041 §5). */
  readonly wholeMessageChecks: boolean
  /** Access a region needs to be the sink of a read of ours: iWARP hardware asks for RemoteWrite as well. */
  readonly readSinkAccess: number
}

/**
 * An RDMA device, with its communication manager: the seam between what uses RDMA and what provides it. Close
 * to ibverbs and librdmacm, so that their manuals explain it too.
 *
 * Calls down never call back up before they return. Errors thrown are VerbsErrors; connect and listen also
 * reject with NetworkErrors.
 */
export interface Device {
  readonly name: string
  readonly transport: "loopback" | "iwarp" | "rocev2" | "native"
  readonly limits: DeviceLimits
  readonly capabilities: DeviceCapabilities
  /** ibv_alloc_pd. */
  allocatePd(): ProtectionDomain
  /** ibv_create_cq; `notify` is called from the event loop, once each time it was armed. */
  createCq(entries: number, notify: () => void): CompletionQueue
  /** ibv_create_srq. Throws ERR_RDMA_LIMIT where there can't be one. */
  createSrq(options: SharedReceiveQueueOptions): SharedReceiveQueue
  /**
   * rdma_create_qp: of type RC, in INIT. Throws ERR_RDMA_LIMIT for more than the device or the completion
   * queues hold.
   */
  createQp(options: QueuePairOptions): QueuePair
  /** rdma_bind_addr and rdma_listen. Port 0 picks one. What was accepted outlives the listener. */
  listen(
    at: { host: string; port: number },
    requested: (request: ConnectionRequest) => void,
  ): Promise<Listener>
  /**
   * rdma_connect: resolves once established. Rejects with ConnectionRejectedError when the peer's program
   * said no, a NetworkError when nobody answered as it should, the signal's reason, or a VerbsError for
   * parameters that are no good.
   */
  connect(to: { host: string; port: number }, options: ConnectOptions): Promise<Connection>
  /** Ends listeners and connections, and destroys what was made from it. */
  close(): Promise<void>
}
