import { SanletError } from "../base/errors.ts"
import { TEXT_BYTES_MAX, TEXT_PAIRS_MAX, TEXT_VALUE_BYTES_MAX } from "../base/limits.ts"

/**
 * The text format of login and text negotiation (RFC 7143 §6.1): key=value pairs, each ended by a NUL.
 * Codes: ERR_TEXT_FORMAT (not such a text), ERR_TEXT_TOO_LONG (a limit is exceeded).
 */
export class TextError extends SanletError {}

export interface TextPair {
  readonly key: string
  readonly value: string
}

/** Longest key name (RFC 7143 §6.1), in bytes. */
export const KEY_BYTES_MAX = 63

const KEY_NAME = /^[\x21-\x3c\x3e-\x7e]{1,63}$/
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/**
 * The pairs of a complete text, in order. Running code pads with extra NULs and forgets the last one; both are
 * taken. Throws TextError for everything else that isn't a text.
 */
export function decodeText(bytes: Uint8Array): TextPair[] {
  if (bytes.length > TEXT_BYTES_MAX) throw tooLong(`text of ${bytes.length} bytes`)
  const pairs: TextPair[] = []
  for (let start = 0; start < bytes.length; ) {
    const nul = bytes.indexOf(0, start)
    const end = nul < 0 ? bytes.length : nul
    if (end > start) pairs.push(decodePair(bytes.subarray(start, end)))
    if (pairs.length > TEXT_PAIRS_MAX) throw tooLong(`more than ${TEXT_PAIRS_MAX} keys`)
    start = end + 1
  }
  return pairs
}

function decodePair(bytes: Uint8Array): TextPair {
  const equals = bytes.indexOf(0x3d)
  if (equals < 0) throw new TextError("ERR_TEXT_FORMAT", "text without an equals sign")
  if (equals > KEY_BYTES_MAX) throw tooLong(`key of ${equals} bytes`)
  if (bytes.length - equals - 1 > TEXT_VALUE_BYTES_MAX) throw tooLong("value")
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw new TextError("ERR_TEXT_FORMAT", "text that isn't UTF-8")
  }
  const key = text.slice(0, equals)
  if (!KEY_NAME.test(key)) throw new TextError("ERR_TEXT_FORMAT", "illegal key name")
  return { key, value: text.slice(equals + 1) }
}

const tooLong = (what: string) => new TextError("ERR_TEXT_TOO_LONG", `${what}: longer than allowed`)

export function encodeText(pairs: readonly TextPair[]): Uint8Array {
  let text = ""
  for (const { key, value } of pairs) {
    if (!KEY_NAME.test(key) || value.includes("\0")) {
      throw new TextError("ERR_TEXT_FORMAT", `can't encode the key ${JSON.stringify(key)}`)
    }
    text += `${key}=${value}\0`
  }
  return encoder.encode(text)
}

/** Collects a text that comes in several PDUs (the C bit), up to TEXT_BYTES_MAX. */
export class TextGatherer {
  #parts: Uint8Array[] = []
  #bytes = 0

  /** Copies `part`. Throws TextError when the text grows too long. */
  add(part: Uint8Array): void {
    if (this.#bytes + part.length > TEXT_BYTES_MAX) throw tooLong("text over several PDUs")
    // Empty parts must not pile up either: a peer could send them for ever.
    if (part.length > 0) this.#parts.push(part.slice())
    this.#bytes += part.length
  }

  get empty(): boolean {
    return this.#bytes === 0
  }

  /** The whole text; begins anew. */
  take(): Uint8Array {
    const whole = new Uint8Array(this.#bytes)
    let at = 0
    for (const part of this.#parts) {
      whole.set(part, at)
      at += part.length
    }
    this.#parts = []
    this.#bytes = 0
    return whole
  }
}

/** Cuts a text into data segments of at most `bytesMax`; an empty text is one empty segment. Pairs may span them. */
export function splitText(text: Uint8Array, bytesMax: number): Uint8Array[] {
  const segments: Uint8Array[] = []
  for (let at = 0; at < text.length; at += bytesMax) segments.push(text.subarray(at, at + bytesMax))
  return segments.length > 0 ? segments : [text]
}

/** Yes or No; undefined: neither. */
export const parseBoolean = (value: string): boolean | undefined =>
  value === "Yes" ? true : value === "No" ? false : undefined

export const formatBoolean = (value: boolean): string => (value ? "Yes" : "No")

/** A decimal or 0x constant of at most 2^53 - 1; undefined: not one. */
export function parseNumber(value: string): number | undefined {
  if (!/^(?:\d{1,20}|0[xX][0-9a-fA-F]{1,16})$/.test(value)) return undefined
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

/** low~high (RFC 7143 §6.1, numeric-range); undefined: not one, or upside down. */
export function parseRange(value: string): { low: number; high: number } | undefined {
  const parts = value.split("~")
  const low = parseNumber(parts[0] ?? "")
  const high = parseNumber(parts[1] ?? "")
  if (parts.length !== 2 || low === undefined || high === undefined || low > high) return undefined
  return { low, high }
}

/** The values of a comma-separated list; empty ones are left out. */
export const parseList = (value: string): string[] => value.split(",").filter((item) => item !== "")

/**
 * A binary value: 0x and hexadecimal digits, or 0b and base64 (RFC 7143 §6.1). undefined: neither, or longer than
 * `bytesMax`. An odd number of digits is read as if a 0 stood in front.
 */
export function parseBinary(value: string, bytesMax: number): Uint8Array | undefined {
  const digits = value.slice(2)
  if (/^0[xX]/.test(value)) {
    if (digits.length > 2 * bytesMax || !/^[0-9a-fA-F]+$/.test(digits)) return undefined
    return Uint8Array.from(Buffer.from(digits.length % 2 ? `0${digits}` : digits, "hex"))
  }
  if (/^0[bB]/.test(value)) {
    if (digits.length > Math.ceil(bytesMax / 3) * 4) return undefined
    if (digits.length % 4 === 1 || !/^[0-9a-zA-Z+/]+={0,2}$/.test(digits)) return undefined
    const bytes = Uint8Array.from(Buffer.from(digits, "base64"))
    return bytes.length > 0 && bytes.length <= bytesMax ? bytes : undefined
  }
  return undefined
}

export const formatHex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`
export const formatBase64 = (bytes: Uint8Array): string => `0b${Buffer.from(bytes).toString("base64")}`

/** Longest iSCSI name (RFC 7143 §4.2.7.1), in bytes. */
export const ISCSI_NAME_BYTES_MAX = 223

const ISCSI_NAME =
  /^(?:iqn\.\d{4}-\d{2}\.[^\s/\\\0-\x1f,]+|eui\.[0-9a-f]{16}|naa\.(?:[0-9a-f]{16}|[0-9a-f]{32}))$/

/**
 * An iSCSI name in its normal form, which is lower case (RFC 3722); undefined: not one. Characters which RFC 3722
 * forbids but administrators use, as the underscore, are taken; separators of our own formats are not.
 */
export function parseIscsiName(value: string): string | undefined {
  if (Buffer.byteLength(value) > ISCSI_NAME_BYTES_MAX) return undefined
  const name = value.normalize("NFKC").toLowerCase()
  return ISCSI_NAME.test(name) ? name : undefined
}
