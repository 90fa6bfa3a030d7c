import * as z from "zod"
import { DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import type { KeyPreferences } from "../../iscsi/login/keys.ts"
import { section, size, yesNo } from "./fields.ts"

const digests = () =>
  z
    .array(z.enum(["CRC32C", "None"]))
    .min(1)
    .exactOptional()
const seconds = () => z.int().min(0).max(3600).exactOptional()
const burst = () => size(512, 2 ** 24 - 1).exactOptional()

/** What logins are negotiated with: the RFC's keys under the RFC's names (RFC 7143 §13). */
export const loginKeys = section({
  HeaderDigest: digests().describe("In order of preference; [CRC32C] insists on it"),
  DataDigest: digests().describe("In order of preference; [CRC32C] insists on it"),
  MaxRecvDataSegmentLength: size(512, DATA_SEGMENT_BYTES_MAX).exactOptional(),
  MaxBurstLength: burst(),
  FirstBurstLength: burst(),
  InitialR2T: yesNo().exactOptional(),
  ImmediateData: yesNo().exactOptional(),
  MaxOutstandingR2T: z.int().min(1).max(65535).exactOptional(),
  DataPDUInOrder: yesNo().exactOptional(),
  DataSequenceInOrder: yesNo().exactOptional(),
  DefaultTime2Wait: seconds().describe("In seconds"),
  DefaultTime2Retain: seconds().describe("In seconds"),
  MaxConnections: z.literal(1).exactOptional().describe("One connection per session"),
  ErrorRecoveryLevel: z.literal(0).exactOptional().describe("Recovery by session restart"),
}).transform((given, context) => {
  const { MaxBurstLength, FirstBurstLength } = given
  if (MaxBurstLength !== undefined && FirstBurstLength !== undefined && FirstBurstLength > MaxBurstLength) {
    const message = `expected at most MaxBurstLength (${MaxBurstLength}), found ${FirstBurstLength} (RFC 7143 §13.14)`
    context.addIssue({ code: "custom", message, path: ["FirstBurstLength"] })
    return z.NEVER
  }
  return preferences(given)
})

const fieldOf = {
  HeaderDigest: "headerDigest",
  DataDigest: "dataDigest",
  MaxRecvDataSegmentLength: "maxRecvDataSegmentLength",
  MaxBurstLength: "maxBurstLength",
  FirstBurstLength: "firstBurstLength",
  InitialR2T: "initialR2T",
  ImmediateData: "immediateData",
  MaxOutstandingR2T: "maxOutstandingR2T",
  DataPDUInOrder: "dataPduInOrder",
  DataSequenceInOrder: "dataSequenceInOrder",
  DefaultTime2Wait: "defaultTime2Wait",
  DefaultTime2Retain: "defaultTime2Retain",
  MaxConnections: "maxConnections",
  ErrorRecoveryLevel: "errorRecoveryLevel",
} as const satisfies Record<string, keyof KeyPreferences>

function preferences(given: object): Partial<KeyPreferences> {
  const entries = Object.entries(given).map(([key, value]) => [fieldOf[key as keyof typeof fieldOf], value])
  return Object.fromEntries(entries) as Partial<KeyPreferences>
}
