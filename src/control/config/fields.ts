import { isIP } from "node:net"
import * as z from "zod"
import { parseHostPort } from "../host-port.ts"
import { parseSize, SIZE_EXPECTED, SIZE_PATTERN } from "../sizes.ts"
import { parseIscsiName } from "../../wire/text.ts"
import { suggest } from "../suggest.ts"

/**
 * An object with these keys and no others. Its message for unknown keys has one line per key, in the order of the
 * issue's `keys`: each has a place of its own in the file.
 */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys") return undefined
      return (issue.keys as string[]).map((key) => unknownKey(key, known)).join("\n")
    },
  })
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = suggest(key, known)
  if (meant) return `unknown key "${key}"; did you mean "${meant}"?`
  return `unknown key "${key}"; here may stand: ${known.join(", ")}`
}

/** A number of bytes, at least `min`, written as a number or with a unit. */
export function size(min = 0, max = Number.MAX_SAFE_INTEGER) {
  const range = describeRange(min, max)
  const error = `expected ${SIZE_EXPECTED}${range}`
  return z
    .union(
      [z.int({ error }).min(min, { error }).max(max, { error }), z.string().regex(SIZE_PATTERN, { error })],
      {
        error,
      },
    )
    .transform((value, context) => {
      const bytes = typeof value === "number" ? value : parseSize(value)
      if (bytes !== undefined && bytes >= min && bytes <= max) return bytes
      context.addIssue({ code: "custom", message: `${error}, found ${value}` })
      return z.NEVER
    })
}

function describeRange(min: number, max: number): string {
  if (max < Number.MAX_SAFE_INTEGER) return ` (${min} to ${max} bytes)`
  return min > 0 ? ` (at least ${min} bytes)` : ""
}

/** Yes and No as the RFC writes them, or true and false. */
export const yesNo = () =>
  z
    .union([z.boolean(), z.literal(["Yes", "No", "yes", "no"])], { error: "expected Yes or No" })
    .transform((value) => value === true || value === "Yes" || value === "yes")

/** on and off, or true and false. */
export const onOff = () =>
  z
    .union([z.boolean(), z.literal(["on", "off"])], { error: "expected on or off" })
    .transform((value) => value === true || value === "on")

const NAME_EXPECTED =
  "expected an iSCSI name such as iqn.2026-01.org.example:disks, eui.<16 hex digits> or naa.<16 or 32>"

/** In its normal form (RFC 7143 §4.2.7). */
export const iscsiName = () =>
  z.string({ error: NAME_EXPECTED }).transform((text, context) => {
    const name = parseIscsiName(text)
    if (name !== undefined) return name
    context.addIssue({ code: "custom", message: `${NAME_EXPECTED}, found ${JSON.stringify(text)}` })
    return z.NEVER
  })

const LISTEN_EXPECTED = "expected an address such as 127.0.0.1:3260, 0.0.0.0:3260 or [::]:3260"

export const hostPort = () =>
  z.string({ error: LISTEN_EXPECTED }).transform((text, context) => {
    const parsed = parseHostPort(text)
    if (parsed) return parsed
    context.addIssue({ code: "custom", message: `${LISTEN_EXPECTED}, found ${JSON.stringify(text)}` })
    return z.NEVER
  })

/** An address or a network in CIDR notation, IPv4 or IPv6. */
export const network = () =>
  z.string().superRefine((text, context) => {
    if (isNetwork(text)) return
    const expected = "expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32"
    context.addIssue({ code: "custom", message: `${expected}, found ${JSON.stringify(text)}` })
  })

function isNetwork(text: string): boolean {
  const [address = "", prefix, ...rest] = text.split("/")
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 6 ? 128 : 32))
}
