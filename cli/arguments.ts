import { InvalidArgumentError } from "commander"
import { parseHostPort } from "../src/control/host-port.ts"
import { parseSize, SIZE_EXPECTED } from "../src/control/sizes.ts"

/** Parsers of arguments; commander puts their messages behind "argument '...' is invalid.". */

export function sizeArgument(text: string): number {
  const bytes = parseSize(text)
  if (bytes === undefined || bytes === 0) throw new InvalidArgumentError(`Expected ${SIZE_EXPECTED}.`)
  return bytes
}

/** "4k,256k,1M". */
export const sizesArgument = (text: string): number[] => text.split(",").map(sizeArgument)

/** "tcp,iser": two to four of them; one may come twice, which shows the noise. */
export function transportsArgument(text: string): ("tcp" | "iser")[] {
  const transports = text.split(",").filter((name) => name === "tcp" || name === "iser")
  if (transports.length === text.split(",").length && transports.length >= 2 && transports.length <= 4) {
    return transports
  }
  throw new InvalidArgumentError("Expected two to four of tcp and iser, such as tcp,iser.")
}

export function countArgument(min: number, max: number): (text: string) => number {
  return (text) => {
    const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (count >= min && count <= max) return count
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`)
  }
}

/** "10", "10s", "2m", "500ms": in milliseconds. */
export function durationArgument(text: string): number {
  const [, digits, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const factors: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  const ms = Number(digits) * (factors[unit] ?? Number.NaN)
  if (ms > 0 && ms <= 24 * 3_600_000) return ms
  throw new InvalidArgumentError("Expected a duration such as 10s, 500ms or 2m, of at most a day.")
}

/** Several may be given. */
export function listenArgument(
  text: string,
  before: readonly { host: string; port: number }[] = [],
): { host: string; port: number }[] {
  const parsed = parseHostPort(text)
  if (!parsed) throw new InvalidArgumentError("Expected HOST:PORT, such as 0.0.0.0:3260 or [::]:3260.")
  return [...before, parsed]
}

/** A portal's URL may be written as host[:port]. */
export const portalUrl = (text: string): string => (text.includes("://") ? text : `iscsi://${text}`)
