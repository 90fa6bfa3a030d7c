import { isIPv6 } from "node:net"
import { SanletError } from "../base/errors.ts"
import { SEND_TARGETS_BYTES_MAX } from "../base/limits.ts"
import { decodeText, encodeText, parseIscsiName, parseNumber, type TextPair } from "../wire/text.ts"

/** A SendTargets response that isn't one. Code: ERR_SEND_TARGETS. */
export class SendTargetsError extends SanletError {
  constructor(message: string) {
    super("ERR_SEND_TARGETS", message)
  }
}

export interface TargetPortal {
  /** domainname[:port], an IPv6 address in brackets (RFC 7143 §13.8). */
  readonly address: string
  /** 0 to 65535. */
  readonly portalGroupTag: number
}

/** A target as discovery tells of it. */
export interface DiscoveredTarget {
  readonly name: string
  /** Empty: reached where the question was asked (RFC 7143 appendix C). */
  readonly addresses: readonly TargetPortal[]
}

/** The port of a TargetAddress that names none (RFC 7143 §13.8). */
export const ISCSI_PORT = 3260

const encoder = new TextEncoder()

/** The text of a SendTargets request: "All", a target's name, or "" for the target one is logged in to. */
export const encodeSendTargetsRequest = (which: string): Uint8Array =>
  encodeText([{ key: "SendTargets", value: which }])

/**
 * The text of a SendTargets response (RFC 7143 appendix C): per target its name, then its addresses. Empty for no
 * targets.
 */
export function encodeSendTargets(targets: readonly DiscoveredTarget[]): Uint8Array {
  // Not encodeText: a thousand targets must not cost a thousand joins of an ever longer string.
  const lines: string[] = []
  for (const { name, addresses } of targets) {
    lines.push(`TargetName=${name}\0`)
    for (const { address, portalGroupTag } of addresses) {
      lines.push(`TargetAddress=${address},${portalGroupTag}\0`)
    }
  }
  return encoder.encode(lines.join(""))
}

/**
 * What a SendTargets response (whole, gathered over its PDUs) says. Keys other than the two are passed over, as are
 * addresses without a target before them. Throws SendTargetsError, TextError.
 */
export function parseSendTargets(text: Uint8Array): DiscoveredTarget[] {
  const targets = new Map<string, TargetPortal[]>()
  let addresses: TargetPortal[] | undefined
  for (const pair of pairsOf(text)) {
    if (pair.key === "TargetName") addresses = recordOf(targets, pair)
    else if (pair.key === "TargetAddress") addresses?.push(parseTargetAddress(pair.value))
    else if (pair.key === "SendTargets") {
      throw new SendTargetsError(`the target answers SendTargets with ${pair.value}`)
    }
  }
  return [...targets].map(([name, portals]) => ({ name, addresses: portals }))
}

/** As decodeText, but without its bound on the number of pairs: a portal may have thousands of targets. */
function* pairsOf(text: Uint8Array): Generator<TextPair> {
  if (text.length > SEND_TARGETS_BYTES_MAX) {
    throw new SendTargetsError(`a SendTargets response of ${text.length} bytes`)
  }
  for (let start = 0; start < text.length; ) {
    const nul = text.indexOf(0, start)
    const end = nul < 0 ? text.length : nul
    yield* decodeText(text.subarray(start, end))
    start = end + 1
  }
}

/** A target may be told of in several records; they count as one. */
function recordOf(targets: Map<string, TargetPortal[]>, { value }: TextPair): TargetPortal[] {
  const name = parseIscsiName(value)
  if (name === undefined) throw new SendTargetsError(`"${value}" in a SendTargets response is no iSCSI name`)
  const known = targets.get(name) ?? []
  targets.set(name, known)
  return known
}

/** domainname[:port][,portal-group-tag], as in the TargetAddress key; without a tag it is 1. Throws SendTargetsError. */
export function parseTargetAddress(value: string): TargetPortal {
  const comma = value.lastIndexOf(",")
  const address = comma < 0 ? value : value.slice(0, comma)
  const tag = comma < 0 ? 1 : parseNumber(value.slice(comma + 1))
  if (tag === undefined || tag > 0xffff || parseHostPort(address) === undefined) {
    throw new SendTargetsError(`"${value}" is no TargetAddress`)
  }
  return { address, portalGroupTag: tag }
}

/**
 * Host and port of host[:port], [IPv6][:port] or a bare IPv6 address, which some targets send; the brackets go.
 * Port 3260 where none is named. Undefined: not such an address.
 */
export function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[^\]\s]+)?)\]|([^:[\]\s/,]+))(?::(\d{1,5}))?$/.exec(text)
  if (!match) return isIPv6(text) ? { host: text, port: ISCSI_PORT } : undefined
  const port = match[3] === undefined ? ISCSI_PORT : Number(match[3])
  const host = match[1] ?? match[2]
  if (host === undefined || port < 1 || port > 65535) return undefined
  return { host, port }
}

/** The reverse: host:port, an IPv6 address in brackets. */
export const formatHostPort = ({ host, port }: { host: string; port: number }): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
