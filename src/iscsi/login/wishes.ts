import { LOGIN_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import type { KeyPreferences } from "./keys.ts"

/** What one side brings to a key: its part of an AND, OR, minimum or maximum, or its choices in order of preference. */
export type Wish = boolean | number | readonly string[]

const wishes: Readonly<Record<string, (preferences: KeyPreferences) => Wish | undefined>> = {
  HeaderDigest: (p) => p.headerDigest,
  DataDigest: (p) => p.dataDigest,
  MaxConnections: (p) => p.maxConnections,
  InitialR2T: (p) => p.initialR2T,
  ImmediateData: (p) => p.immediateData,
  MaxRecvDataSegmentLength: (p) =>
    p.iser?.rdmaAlready
      ? Math.min(p.maxRecvDataSegmentLength, LOGIN_DATA_SEGMENT_BYTES_MAX)
      : p.maxRecvDataSegmentLength,
  MaxBurstLength: (p) => p.maxBurstLength,
  FirstBurstLength: (p) => p.firstBurstLength,
  DefaultTime2Wait: (p) => p.defaultTime2Wait,
  DefaultTime2Retain: (p) => p.defaultTime2Retain,
  MaxOutstandingR2T: (p) => p.maxOutstandingR2T,
  DataPDUInOrder: (p) => p.dataPduInOrder,
  DataSequenceInOrder: (p) => p.dataSequenceInOrder,
  ErrorRecoveryLevel: (p) => p.errorRecoveryLevel,
  TaskReporting: (p) => p.taskReporting,
  iSCSIProtocolLevel: (p) => p.iscsiProtocolLevel,
  // Without iSER we are asked for it all the same, and say No.
  RDMAExtensions: (p) => p.iser !== undefined,
  InitiatorRecvDataSegmentLength: (p) => p.iser?.initiatorRecvDataSegmentLength,
  TargetRecvDataSegmentLength: (p) => p.iser?.targetRecvDataSegmentLength,
  MaxOutstandingUnexpectedPDUs: (p) => p.iser?.maxOutstandingUnexpectedPdus,
  MaxAHSLength: (p) => p.iser?.maxAhsLength,
  // What all running code does, undeclared: the buffer a target reads from begins behind the unsolicited data.
  TaggedBufferForSolicitedDataOnly: (p) => (p.iser ? true : undefined),
}

/** Undefined: we have nothing to say on this key. */
export const wishOf = (key: string, preferences: KeyPreferences): Wish | undefined =>
  wishes[key]?.(preferences)
