import { BlockList, isIP } from "node:net"
import { SanletError } from "../base/errors.ts"

export interface AccessOptions {
  /** Initiator names that may log in: exact, or with `*` (any run of characters) and `?` (any one). Absent: all. */
  readonly initiators?: readonly string[]
  /** Addresses or networks (CIDR) that may connect, IPv4 and IPv6. Absent: all. */
  readonly allow?: readonly string[]
  /** Addresses or networks that may not; stronger than `allow`. */
  readonly deny?: readonly string[]
}

/** Who may use a target. What one may not use, one doesn't see in discovery either. */
export class AccessList {
  readonly #initiators: readonly RegExp[] | undefined
  readonly #allow: BlockList | undefined
  readonly #deny: BlockList | undefined

  /** Throws SanletError ERR_ACCESS_ADDRESS for what is no address. */
  constructor(options: AccessOptions = {}) {
    this.#initiators = options.initiators?.map(namePattern)
    this.#allow = options.allow && addressList(options.allow)
    this.#deny = options.deny && addressList(options.deny)
  }

  allowsAddress(address: string): boolean {
    const plain = address.replace(/%.*$/, "").replace(/^::ffff:(?=\d+\.)/, "")
    const version = isIP(plain)
    // A connection that is gone already has no address; it gets in nowhere there is a list.
    if (version === 0) return this.#deny === undefined && this.#allow === undefined
    const family = version === 6 ? "ipv6" : "ipv4"
    if (this.#deny?.check(plain, family)) return false
    return this.#allow === undefined || this.#allow.check(plain, family)
  }

  allowsInitiator(name: string): boolean {
    if (this.#initiators === undefined) return true
    const folded = name.toLowerCase()
    return this.#initiators.some((pattern) => pattern.test(folded))
  }

  allows(initiatorName: string, address: string): boolean {
    return this.allowsAddress(address) && this.allowsInitiator(initiatorName)
  }
}

/** iSCSI names compare without regard to case (RFC 7143 §4.2.7.2: they are stringprep'ed). */
function namePattern(pattern: string): RegExp {
  const quoted = pattern.toLowerCase().replace(/[.+^${}()|[\]\\]/g, "\\$&")
  return new RegExp(`^${quoted.replaceAll("*", ".*").replaceAll("?", ".")}$`)
}

function addressList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = "", prefix, ...rest] = entry.split("/")
    const version = isIP(address)
    const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix)
    const valid = version !== 0 && rest.length === 0 && prefix !== ""
    if (!valid || !Number.isInteger(bits) || bits < 0 || bits > (version === 6 ? 128 : 32)) {
      throw new SanletError(
        "ERR_ACCESS_ADDRESS",
        `"${entry}" is no address or network such as 192.0.2.0/24 or 2001:db8::/32`,
      )
    }
    list.addSubnet(address, bits, version === 6 ? "ipv6" : "ipv4")
  }
  return list
}
