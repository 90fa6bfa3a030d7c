import { LoginStage } from "./stage.ts"

/** What a key's value looks like, and how two sides' wishes become one value. */
export type KeyValues =
  /** Yes or No; the result is the AND or OR of both sides' wishes. */
  | { readonly type: "boolean"; readonly result: "and" | "or"; readonly default: boolean }
  /** A whole number of min to max; the result is the minimum or maximum of both sides' wishes. */
  | {
      readonly type: "number"
      readonly result: "minimum" | "maximum"
      readonly min: number
      readonly max: number
      readonly default: number
      /** A declaration may also be 0: no limit. */
      readonly zeroMeansNoLimit?: boolean
    }
  /** The originator's choices in order of preference; the responder picks the first it can. */
  | { readonly type: "list"; readonly known: readonly string[]; readonly default: string }
  /** An iSCSI name (RFC 7143 §4.2.7). */
  | { readonly type: "name" }
  /** Free text. */
  | { readonly type: "text" }
  /** Kept from RFC 3720 for one purpose: to be declined with this answer (RFC 7143 §13.25). */
  | { readonly type: "obsolete"; readonly answer: "No" | "Reject" }

export interface KeyDefinition {
  readonly key: string
  readonly spec: string
  readonly values: KeyValues
  /** A declarative key isn't answered. */
  readonly declarative: boolean
  /**
   * IO: only in login; LO: only in the login of a session's leading connection; FFPO: only in full feature phase;
   * ALL: in both.
   */
  readonly use: "IO" | "LO" | "FFPO" | "ALL"
  /** SW: holds for the session; CO: for the connection. */
  readonly scope: "SW" | "CO"
  readonly senders: "initiator" | "target" | "both"
  /** The login stages it may appear in. */
  readonly stages: "security" | "operational" | "any"
  /** Has no meaning in a discovery session, and is answered with Irrelevant there. */
  readonly normalOnly?: boolean
  /** Belongs to iSER (RFC 7145 §6): we send it only when the connection is, or may become, an RDMA one. */
  readonly iser?: boolean
  /** May be sent more than once in a negotiation. */
  readonly repeatable?: boolean
}

const declared = { declarative: true } as const
const negotiated = { declarative: false, senders: "both", stages: "operational" } as const
const leading = { ...negotiated, use: "LO", scope: "SW" } as const
const normal = { ...leading, normalOnly: true } as const
const security = { use: "IO", scope: "CO", senders: "both", stages: "security" } as const
const bool = (result: "and" | "or", value: boolean) => ({ type: "boolean", result, default: value }) as const
const minimum = (min: number, max: number, value: number) =>
  ({ type: "number", result: "minimum", min, max, default: value }) as const
const maximum = (min: number, max: number, value: number) =>
  ({ type: "number", result: "maximum", min, max, default: value }) as const

const SEGMENT_MAX = 2 ** 24 - 1
const digest = { type: "list", known: ["CRC32C", "None"], default: "None" } as const
const connectionWide = { ...negotiated, use: "IO", scope: "CO" } as const
const anyStage = { ...declared, stages: "any", scope: "SW" } as const
const iserDeclared = { ...declared, use: "LO", scope: "SW", stages: "operational", iser: true } as const
const unlimited = (min: number, value: number) =>
  ({ ...minimum(min, 2 ** 32 - 1, value), zeroMeansNoLimit: true }) as const

/** Every key of RFC 7143 §13, of CHAP (§12.1.3) and of iSER (RFC 7145 §6). */
export const keyDefinitions: readonly KeyDefinition[] = [
  // Who is who: declared in the leading PDU, before anything is negotiated.
  {
    key: "InitiatorName",
    spec: "RFC 7143 §13.5",
    values: { type: "name" },
    ...anyStage,
    use: "IO",
    senders: "initiator",
  },
  {
    key: "InitiatorAlias",
    spec: "RFC 7143 §13.7",
    values: { type: "text" },
    ...anyStage,
    use: "ALL",
    senders: "initiator",
  },
  {
    key: "TargetName",
    spec: "RFC 7143 §13.4",
    values: { type: "name" },
    ...anyStage,
    use: "IO",
    senders: "both",
  },
  {
    key: "TargetAlias",
    spec: "RFC 7143 §13.6",
    values: { type: "text" },
    ...anyStage,
    use: "ALL",
    senders: "target",
  },
  {
    key: "TargetAddress",
    spec: "RFC 7143 §13.8",
    values: { type: "text" },
    ...anyStage,
    use: "ALL",
    senders: "target",
    repeatable: true,
  },
  {
    key: "TargetPortalGroupTag",
    spec: "RFC 7143 §13.9",
    values: minimum(0, 65535, 0),
    ...anyStage,
    use: "IO",
    senders: "target",
  },
  {
    key: "SessionType",
    spec: "RFC 7143 §13.21",
    values: { type: "list", known: ["Normal", "Discovery"], default: "Normal" },
    ...anyStage,
    use: "LO",
    senders: "initiator",
  },

  // Authentication.
  {
    key: "AuthMethod",
    spec: "RFC 7143 §12.1",
    values: { type: "list", known: ["CHAP", "None"], default: "None" },
    declarative: false,
    ...security,
  },
  { key: "CHAP_A", spec: "RFC 7143 §12.1.3", values: { type: "text" }, ...declared, ...security },
  { key: "CHAP_I", spec: "RFC 7143 §12.1.3", values: { type: "text" }, ...declared, ...security },
  { key: "CHAP_C", spec: "RFC 7143 §12.1.3", values: { type: "text" }, ...declared, ...security },
  { key: "CHAP_N", spec: "RFC 7143 §12.1.3", values: { type: "text" }, ...declared, ...security },
  { key: "CHAP_R", spec: "RFC 7143 §12.1.3", values: { type: "text" }, ...declared, ...security },

  // Operational. In this order they are handled and proposed: a key comes after those its value depends on.
  { key: "RDMAExtensions", spec: "RFC 7145 §6.3", values: bool("and", false), ...normal, iser: true },
  { key: "HeaderDigest", spec: "RFC 7143 §13.1", values: digest, ...connectionWide },
  { key: "DataDigest", spec: "RFC 7143 §13.1", values: digest, ...connectionWide },
  { key: "InitialR2T", spec: "RFC 7143 §13.10", values: bool("or", true), ...normal },
  { key: "ImmediateData", spec: "RFC 7143 §13.11", values: bool("and", true), ...normal },
  {
    key: "MaxRecvDataSegmentLength",
    spec: "RFC 7143 §13.12",
    values: minimum(512, SEGMENT_MAX, 8192),
    ...declared,
    use: "ALL",
    scope: "CO",
    senders: "both",
    stages: "operational",
  },
  {
    key: "InitiatorRecvDataSegmentLength",
    spec: "RFC 7145 §6.5",
    values: minimum(512, SEGMENT_MAX, 8192),
    ...connectionWide,
    iser: true,
  },
  {
    key: "TargetRecvDataSegmentLength",
    spec: "RFC 7145 §6.4",
    values: minimum(512, SEGMENT_MAX, 8192),
    ...connectionWide,
    iser: true,
  },
  { key: "MaxBurstLength", spec: "RFC 7143 §13.13", values: minimum(512, SEGMENT_MAX, 262144), ...normal },
  { key: "FirstBurstLength", spec: "RFC 7143 §13.14", values: minimum(512, SEGMENT_MAX, 65536), ...normal },
  { key: "DefaultTime2Wait", spec: "RFC 7143 §13.15", values: maximum(0, 3600, 2), ...leading },
  { key: "DefaultTime2Retain", spec: "RFC 7143 §13.16", values: minimum(0, 3600, 20), ...leading },
  { key: "ErrorRecoveryLevel", spec: "RFC 7143 §13.20", values: minimum(0, 2, 0), ...leading },
  { key: "MaxConnections", spec: "RFC 7143 §13.2", values: minimum(1, 65535, 1), ...normal },
  { key: "DataPDUInOrder", spec: "RFC 7143 §13.18", values: bool("or", true), ...normal },
  { key: "DataSequenceInOrder", spec: "RFC 7143 §13.19", values: bool("or", true), ...normal },
  { key: "MaxOutstandingR2T", spec: "RFC 7143 §13.17", values: minimum(1, 65535, 1), ...normal },
  {
    key: "TaskReporting",
    spec: "RFC 7143 §13.23",
    values: { type: "list", known: ["RFC3720", "ResponseFence", "FastAbort"], default: "RFC3720" },
    ...normal,
  },
  { key: "iSCSIProtocolLevel", spec: "RFC 7143 §13.24", values: minimum(0, 31, 1), ...normal },
  {
    key: "MaxOutstandingUnexpectedPDUs",
    spec: "RFC 7145 §6.7",
    values: unlimited(2, 0),
    ...iserDeclared,
    senders: "both",
  },
  { key: "MaxAHSLength", spec: "RFC 7145 §6.8", values: unlimited(2, 256), ...iserDeclared, senders: "both" },
  {
    key: "TaggedBufferForSolicitedDataOnly",
    spec: "RFC 7145 §6.9",
    values: bool("and", false),
    ...iserDeclared,
    senders: "initiator",
  },
  {
    key: "iSERHelloRequired",
    spec: "RFC 7145 §6.10",
    values: bool("and", false),
    ...iserDeclared,
    senders: "initiator",
  },
  {
    key: "X#NodeArchitecture",
    spec: "RFC 7143 §13.26",
    values: { type: "text" },
    ...declared,
    use: "LO",
    scope: "SW",
    senders: "both",
    stages: "any",
  },
  { key: "IFMarker", spec: "RFC 7143 §13.25", values: { type: "obsolete", answer: "No" }, ...connectionWide },
  { key: "OFMarker", spec: "RFC 7143 §13.25", values: { type: "obsolete", answer: "No" }, ...connectionWide },
  {
    key: "IFMarkInt",
    spec: "RFC 7143 §13.25",
    values: { type: "obsolete", answer: "Reject" },
    ...connectionWide,
  },
  {
    key: "OFMarkInt",
    spec: "RFC 7143 §13.25",
    values: { type: "obsolete", answer: "Reject" },
    ...connectionWide,
  },

  // Full feature phase.
  {
    key: "SendTargets",
    spec: "RFC 7143 §13.3",
    values: { type: "text" },
    ...declared,
    use: "FFPO",
    scope: "SW",
    senders: "initiator",
    stages: "operational",
  },
]

const byKey = new Map(keyDefinitions.map((definition) => [definition.key, definition]))

/** The definition of a key, by its exact name (keys are case-sensitive); undefined: nobody knows it. */
export const findKey = (key: string): KeyDefinition | undefined => byKey.get(key)

/** Whether a key may appear in this stage (use "ALL" and "FFPO" keys may in full feature phase). */
export function allowedInStage(definition: KeyDefinition, stage: LoginStage): boolean {
  if (stage === LoginStage.fullFeaturePhase) return definition.use === "ALL" || definition.use === "FFPO"
  if (definition.use === "FFPO") return false
  if (definition.stages === "any") return true
  return (definition.stages === "security") === (stage === LoginStage.securityNegotiation)
}
