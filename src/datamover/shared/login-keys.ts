import { LOGIN_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import type { DatamoverKeys } from "../../iscsi/da.ts"

/** What holds before anything is negotiated (the defaults of RFC 7143 §13). */
export const LOGIN_KEYS: DatamoverKeys = {
  headerDigest: "None",
  dataDigest: "None",
  maxSendDataSegmentLength: LOGIN_DATA_SEGMENT_BYTES_MAX,
  maxRecvDataSegmentLength: LOGIN_DATA_SEGMENT_BYTES_MAX,
  maxBurstLength: 262144,
  firstBurstLength: 65536,
  maxOutstandingR2T: 1,
  initialR2T: true,
  immediateData: true,
  dataPduInOrder: true,
  dataSequenceInOrder: true,
  errorRecoveryLevel: 0,
}
