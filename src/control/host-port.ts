import { isIP } from "node:net"
import { ISCSI_PORT } from "../discovery/index.ts"

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** "host", "host:port", "[ipv6]:port", "ipv6", ":port" (all addresses); undefined: none of them. */
export function parseHostPort(text: string): HostPort | undefined {
  if (isIP(text) === 6) return { host: text, port: ISCSI_PORT }
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text)
  if (!match || text === "") return undefined
  const [, bracketed, plain, digits] = match
  const port = digits === undefined ? ISCSI_PORT : Number(digits)
  if (port > 65535 || (bracketed !== undefined && isIP(bracketed) !== 6)) return undefined
  return { host: (bracketed ?? plain) || "::", port }
}
