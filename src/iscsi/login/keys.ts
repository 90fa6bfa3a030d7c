import { IMMEDIATE_COMMANDS_MAX, ISER_AHS_BYTES, ISER_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"

export type Digest = "None" | "CRC32C"
export type TaskReporting = "RFC3720" | "ResponseFence" | "FastAbort"

/**
 * What one side wants of each key: the bound it brings to a minimum or maximum, its part of an AND or OR, the
 * choices it allows in order of preference, the value it declares. Lengths are in bytes, times in seconds.
 */
export interface KeyPreferences {
  readonly headerDigest: readonly Digest[]
  readonly dataDigest: readonly Digest[]
  /** Declared: the largest data segment we take. */
  readonly maxRecvDataSegmentLength: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxConnections: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxOutstandingR2T: number
  readonly dataPduInOrder: boolean
  readonly dataSequenceInOrder: boolean
  readonly errorRecoveryLevel: number
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  readonly taskReporting: readonly TaskReporting[]
  readonly iscsiProtocolLevel: number
  /** iSER, when the connection has or could have an RDMA transport (RFC 7145); absent: RDMAExtensions=No. */
  readonly iser?: IserPreferences
}

export interface IserPreferences {
  readonly initiatorRecvDataSegmentLength: number
  readonly targetRecvDataSegmentLength: number
  /** 0: no limit. */
  readonly maxOutstandingUnexpectedPdus: number
  /** 0: no limit. */
  readonly maxAhsLength: number
  /**
   * The login goes over an RDMA connection already, as all running code has it, not over TCP that is to be turned into
   * one afterwards (RFC 7145 §5.1): RDMAExtensions is no question any more, in discovery sessions neither are digests.
   */
  readonly rdmaAlready?: boolean
}

/**
 * What a login has agreed on. It has all that a DatamoverKeys asks for (da.ts), and can be passed as one. What
 * wasn't negotiated has the RFC's default.
 */
export interface NegotiatedKeys {
  readonly headerDigest: Digest
  readonly dataDigest: Digest
  /** The largest data segment the peer takes. */
  readonly maxSendDataSegmentLength: number
  /** The largest data segment we have declared to take. */
  readonly maxRecvDataSegmentLength: number
  readonly maxBurstLength: number
  /** Never larger than maxBurstLength. */
  readonly firstBurstLength: number
  readonly maxConnections: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly maxOutstandingR2T: number
  readonly dataPduInOrder: boolean
  readonly dataSequenceInOrder: boolean
  readonly errorRecoveryLevel: number
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  readonly taskReporting: TaskReporting
  readonly iscsiProtocolLevel: number
  readonly rdmaExtensions: boolean
  /** What the peer has declared for iSER; what it hasn't declared is undefined. */
  readonly peerMaxOutstandingUnexpectedPdus: number | undefined
  readonly peerMaxAhsLength: number | undefined
  readonly taggedBufferForSolicitedDataOnly: boolean | undefined
}

/**
 * What our target brings along. Bursts as long as open-iscsi asks for, unsolicited data at once, many R2Ts: the
 * defaults of the older targets cost a round trip per 256 KiB. Time2Retain is 0 because at ErrorRecoveryLevel 0
 * nothing is retained.
 */
export const targetKeyPreferences: KeyPreferences = {
  headerDigest: ["None", "CRC32C"],
  dataDigest: ["None", "CRC32C"],
  maxRecvDataSegmentLength: 256 * 1024,
  maxBurstLength: 16 * 1024 * 1024 - 1024,
  firstBurstLength: 256 * 1024,
  maxConnections: 1,
  initialR2T: false,
  immediateData: true,
  maxOutstandingR2T: 32,
  dataPduInOrder: false,
  dataSequenceInOrder: false,
  errorRecoveryLevel: 0,
  defaultTime2Wait: 0,
  defaultTime2Retain: 0,
  taskReporting: ["RFC3720"],
  iscsiProtocolLevel: 1,
}

/**
 * The largest data segment of a target's PDU in full feature phase that initiators are known to have room for, in
 * bytes: ib_iser and libiscsi post receives for no more, whatever InitiatorRecvDataSegmentLength they name.
 */
export const ISER_INITIATOR_SEGMENT_BYTES = 128

/**
 * The largest data segment, in bytes, that targets are known to have room for which don't know RFC 7145's other keys: LIO
 * agrees to any more without having it.
 */
export const ISER_TARGET_SEGMENT_BYTES = 8192

/** What our target brings along where iSER is possible. */
export const targetIserPreferences: IserPreferences = {
  initiatorRecvDataSegmentLength: 2 ** 24 - 1,
  targetRecvDataSegmentLength: ISER_DATA_SEGMENT_BYTES_MAX,
  maxOutstandingUnexpectedPdus: 2 * IMMEDIATE_COMMANDS_MAX,
  maxAhsLength: ISER_AHS_BYTES,
}

/**
 * What our initiator asks for over iSER. Its own room is for sense data and text; data of reads has its own way. Data that fits
 * the command's message goes with it: that takes a round trip less than having it fetched.
 */
export const initiatorIserPreferences: IserPreferences = {
  initiatorRecvDataSegmentLength: 1024,
  targetRecvDataSegmentLength: ISER_DATA_SEGMENT_BYTES_MAX,
  maxOutstandingUnexpectedPdus: 16,
  maxAhsLength: 256, // RFC 7145's default; no PDU of a target has any
}

/** What our initiator asks for. */
export const initiatorKeyPreferences: KeyPreferences = {
  ...targetKeyPreferences,
  dataPduInOrder: true,
  dataSequenceInOrder: true,
}
