import type { MemoryRegion } from "./memory.ts"
import type { WorkStatus } from "./status.ts"

/**
 * One piece of a scatter/gather list: bytes [offset, offset + length) of a region. ibv_sge has an address and
 * an lkey instead; the region object stands for both, with the lkey it has when the request is posted.
 */
export interface ScatterGatherEntry {
  mr: MemoryRegion
  offset: number
  length: number
}

/** What a send request does (IB spec §10.7.2; the numbers are ibv_wr_opcode's). */
export const SendOpcode = {
  rdmaWrite: 0,
  send: 2,
  rdmaRead: 4,
  /** A send that also takes `invalidateRkey` out of use at the peer, before its receive completes. */
  sendWithInvalidate: 9,
} as const

export type SendOpcode = (typeof SendOpcode)[keyof typeof SendOpcode]

/**
 * A request for the send queue. Everything in it is copied when it is posted, so one object may be posted
 * again and again; the memory it names is lent until the completion has been polled. Fields an opcode has no
 * use for are not looked at.
 */
export class SendRequest {
  opcode: SendOpcode = SendOpcode.send
  /** Comes back in the completion: a whole number, 0 ≤ wrId < 2^32. */
  wrId = 0
  /**
   * Sends and writes gather from it, a read scatters to it. Together 0 to the device's messageBytesMax bytes.
   */
  sgl: ScatterGatherEntry[] = []
  /**
   * Whether success gives a completion; failure always does. An unsignaled request keeps its place in the
   * queue until a signaled one behind it has been polled, so every queueful needs one.
   */
  signaled = true
  /**
   * Starts only when all RDMA Reads before it are complete (IBV_SEND_FENCE; IB spec §10.8.3, RFC 5040 §5.5).
   */
  fence = false
  /** Sends: wakes a peer that has armed its completion queue for solicited events only. */
  solicited = false
  /**
   * Sends and writes: copies the data at once, up to the queue pair's inlineBytes; the memory is free when
   * the call returns.
   */
  inline = false
  /** RDMA Write and Read: where at the peer. With length 0 neither key nor address is looked at. */
  rkey = 0
  remoteHigh = 0
  remoteLow = 0
  /** Send with invalidate: a key of the peer. */
  invalidateRkey = 0
}

/** A request for the receive queue; copied when posted, as SendRequest is. */
export class ReceiveRequest {
  wrId = 0
  /**
   * Where the message goes, in order. Every entry needs LocalWrite. From being posted to its completion the device may write
   * all of it; what then lies behind the message may be anything.
   */
  sgl: ScatterGatherEntry[] = []
}

/**
 * Which request a completion is of (the numbers are ibv_wc_opcode's). A send with invalidate completes as
 * `send`.
 */
export const CompletionOpcode = { send: 0, rdmaWrite: 1, rdmaRead: 2, receive: 128 } as const

export type CompletionOpcode = (typeof CompletionOpcode)[keyof typeof CompletionOpcode]

/**
 * The end of a work request (ibv_wc; IB spec §11.4.2.1). Poll fills objects of the caller's, again and again.
 * When `status` is not success, only wrId, status, opcode and qpNumber mean anything (ibverbs even leaves out
 * the opcode).
 */
export class WorkCompletion {
  wrId = 0
  status: WorkStatus = 0
  opcode: CompletionOpcode = CompletionOpcode.send
  qpNumber = 0
  /** Receive: length of the message. RDMA Read: bytes read. */
  byteLength = 0
  /** Receive of a send with invalidate: the key of ours that no longer is one; else 0. */
  invalidatedRkey = 0
}
