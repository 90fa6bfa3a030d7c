import { SanletError } from "../base/errors.ts"
import { LUNS_MAX } from "../base/limits.ts"
import { formatHostPort, parseHostPort } from "../discovery/send-targets.ts"
import { ChapAlgorithm, type ChapProof, ChapSecret } from "../iscsi/login/chap.ts"
import type { Digest } from "../iscsi/login/keys.ts"
import { parseIscsiName } from "../wire/text.ts"

/** Not a URL of ours. Code: ERR_ISCSI_URL. The message never shows a secret. */
export class IscsiUrlError extends SanletError {
  constructor(message: string) {
    super("ERR_ISCSI_URL", message)
  }
}

/** What a URL names. Only portal: for discovery; with target: for a login; with LUN: a disk. */
export interface IscsiUrl {
  readonly host: string
  readonly port: number
  /** iSCSI name in its normal form. */
  readonly target?: string
  readonly lun?: number
  readonly chap?: ChapProof
  readonly headerDigest?: Digest
  readonly dataDigest?: Digest
  /** `iser://` or the option `iser`: nothing but iSER will do. Absent: the URL doesn't say. */
  readonly transport?: "iser"
  /** `force_usn`: the unit serial number the logical unit must have. */
  readonly unitSerialNumber?: string
}

export const ISCSI_URL_SYNTAX = "iscsi://[user[%password]@]host[:port]/target-iqn/lun[?option=value&...]"

const SCHEMES = ["iscsi://", "iser://"]

/** Where secrets may come from instead of the URL, under libiscsi's names. */
export type UrlEnvironment = Readonly<Record<string, string | undefined>>

/**
 * libiscsi's syntax, and its portal-only form; an IPv6 address stands in brackets. As there, only the target's name
 * is percent-decoded, because the percent sign separates the password, and a colon may do so, too. Options:
 * header_digest and data_digest (crc32c, none), auth (md5, sha1, sha-256, sha3-256), target_user and target_password
 * (the target has to prove itself, too), force_usn, iser (as the scheme iser://, it demands that transport). User and secrets that the URL doesn't name are taken from
 * LIBISCSI_CHAP_USERNAME, _PASSWORD, _TARGET_USERNAME and _TARGET_PASSWORD. Throws IscsiUrlError.
 */
export function parseIscsiUrl(url: string, environment: UrlEnvironment = {}): IscsiUrl {
  const scheme = SCHEMES.find((known) => url.startsWith(known))
  if (scheme === undefined) throw wrong(url, "it doesn't begin with iscsi:// or iser://")
  const question = url.indexOf("?")
  const options = question < 0 ? new Map<string, string>() : parseOptions(url, url.slice(question + 1))
  const { user, password, rest } = splitUser(url.slice(scheme.length, question < 0 ? undefined : question))
  const [authority = "", ...path] = rest.split("/")
  const portal = parseHostPort(authority)
  if (!portal) throw wrong(url, `"${authority}" is not host or host:port`)
  if (path.at(-1) === "") path.pop()
  if (path.length > 2) throw wrong(url, "there is something behind the LUN")
  const [target, lun] = path
  const chap = chapProof(
    user ?? environment["LIBISCSI_CHAP_USERNAME"],
    password ?? environment["LIBISCSI_CHAP_PASSWORD"],
    options.get("target_user") ?? environment["LIBISCSI_CHAP_TARGET_USERNAME"],
    options.get("target_password") ?? environment["LIBISCSI_CHAP_TARGET_PASSWORD"],
    options.get("auth"),
  )
  const unitSerialNumber = options.get("force_usn")
  const iser = scheme === "iser://" || options.has("iser")
  return {
    ...portal,
    ...(target !== undefined && { target: parseTarget(url, target) }),
    ...(lun !== undefined && { lun: parseLun(url, lun) }),
    ...(chap && { chap }),
    ...digestOption(options, "header_digest", "headerDigest"),
    ...digestOption(options, "data_digest", "dataDigest"),
    ...(unitSerialNumber !== undefined && { unitSerialNumber }),
    ...(iser && { transport: "iser" as const }),
  }
}

/** A URL that names a disk: as parseIscsiUrl, but with target and LUN. */
export function parseDiskUrl(
  url: string,
  environment: UrlEnvironment = {},
): IscsiUrl & { target: string; lun: number } {
  const parsed = parseIscsiUrl(url, environment)
  const { target, lun } = parsed
  if (target === undefined || lun === undefined) throw wrong(url, "it names no target and LUN")
  return { ...parsed, target, lun }
}

/** The URL again, with the user's name but never with a password. */
export function formatIscsiUrl(url: Omit<IscsiUrl, "chap"> & { readonly chap?: ChapProof }): string {
  const user = url.chap ? `${url.chap.user.name}@` : ""
  const target = url.target === undefined ? "" : `/${encodeTarget(url.target)}`
  const lun = url.lun === undefined ? "" : `/${url.lun}`
  const options = [
    ...(url.headerDigest ? [`header_digest=${url.headerDigest.toLowerCase()}`] : []),
    ...(url.dataDigest ? [`data_digest=${url.dataDigest.toLowerCase()}`] : []),
  ]
  const query = options.length > 0 ? `?${options.join("&")}` : ""
  return `${url.transport ?? "iscsi"}://${user}${formatHostPort(url)}${target}${lun}${query}`
}

/** What people may see of a URL they gave us: without passwords, parsed or not. */
export function redactUrl(url: string): string {
  const question = url.indexOf("?")
  const head = question < 0 ? url : url.slice(0, question)
  const query = question < 0 ? "" : url.slice(question)
  const at = head.lastIndexOf("@")
  const scheme = /^[a-z]*:\/\//i.exec(head)?.[0] ?? ""
  const user = at < 0 ? "" : `${head.slice(scheme.length, at).split(/[%:]/)[0]}@`
  return (
    scheme + user + head.slice(at < 0 ? scheme.length : at + 1) + query.replace(/(password=)[^&]*/g, "$1...")
  )
}

function wrong(url: string, why: string): IscsiUrlError {
  return new IscsiUrlError(`${redactUrl(url)}: ${why}; the form is ${ISCSI_URL_SYNTAX}`)
}

/**
 * libiscsi ends the user's part at the first @. A password with an @ in it is understood here as well: what stands
 * before another @ can't be a host.
 */
function splitUser(text: string): { user?: string; password?: string; rest: string } {
  const first = text.indexOf("@")
  if (first < 0) return { rest: text }
  const slash = text.indexOf("/", first)
  const at = text.lastIndexOf("@", slash < 0 ? undefined : slash)
  const userinfo = text.slice(0, at)
  const rest = text.slice(at + 1)
  const percent = userinfo.indexOf("%")
  const separator = percent < 0 ? userinfo.indexOf(":") : percent
  if (separator < 0) return { user: userinfo, rest }
  return { user: userinfo.slice(0, separator), password: userinfo.slice(separator + 1), rest }
}

const OPTIONS = [
  "auth",
  "header_digest",
  "data_digest",
  "target_user",
  "target_password",
  "force_usn",
  "iser",
]
/** They have no value. */
const FLAGS: readonly string[] = ["iser"]

function parseOptions(url: string, query: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const option of query.split("&")) {
    if (option === "") continue
    const equals = option.indexOf("=")
    const key = equals < 0 ? option : option.slice(0, equals)
    if (!OPTIONS.includes(key))
      throw wrong(url, `there is no option "${key}" (there are ${OPTIONS.join(", ")})`)
    if (FLAGS.includes(key) && equals >= 0) throw wrong(url, `the option ${key} takes no value`)
    if (!FLAGS.includes(key) && equals < 0) throw wrong(url, `the option ${key} has no value`)
    options.set(key, equals < 0 ? "" : option.slice(equals + 1))
  }
  checkChoice(url, options, "auth", Object.keys(algorithms))
  checkChoice(url, options, "header_digest", Object.keys(digests))
  checkChoice(url, options, "data_digest", Object.keys(digests))
  return options
}

function checkChoice(
  url: string,
  options: ReadonlyMap<string, string>,
  key: string,
  choices: string[],
): void {
  const value = options.get(key)
  if (value === undefined || choices.includes(value)) return
  throw wrong(url, `${key}=${value} is none of ${choices.join(", ")}`)
}

const digests: Readonly<Record<string, Digest>> = { crc32c: "CRC32C", none: "None" }
const algorithms: Readonly<Record<string, ChapAlgorithm>> = {
  md5: ChapAlgorithm.MD5,
  sha1: ChapAlgorithm.SHA1,
  "sha-256": ChapAlgorithm.SHA256,
  "sha3-256": ChapAlgorithm.SHA3_256,
}

function digestOption<K extends string>(
  options: ReadonlyMap<string, string>,
  option: string,
  name: K,
): { [key in K]?: Digest } {
  const digest = digests[options.get(option) ?? ""]
  return (digest ? { [name]: digest } : {}) as { [key in K]?: Digest }
}

/** As in libiscsi, a user without a password is no CHAP, and without CHAP the target isn't asked to prove itself. */
function chapProof(
  user: string | undefined,
  password: string | undefined,
  targetUser: string | undefined,
  targetPassword: string | undefined,
  algorithm: string | undefined,
): ChapProof | undefined {
  if (!user || !password) return undefined
  const chosen = algorithms[algorithm ?? ""]
  return {
    user: { name: user, secret: new ChapSecret(password) },
    ...(targetUser &&
      targetPassword && { target: { name: targetUser, secret: new ChapSecret(targetPassword) } }),
    ...(chosen !== undefined && { algorithms: [chosen] }),
  }
}

function parseTarget(url: string, text: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text)
  } catch {
    throw wrong(url, `"${text}" has a % that is no %XX of UTF-8`)
  }
  const name = parseIscsiName(decoded)
  if (name === undefined) throw wrong(url, `"${text}" is no iSCSI name (iqn., eui. or naa.)`)
  return name
}

const encodeTarget = (name: string): string =>
  name.replace(/[^A-Za-z0-9.:_~!$'()*+,;=-]/gu, (character) => encodeURIComponent(character))

function parseLun(url: string, text: string): number {
  const lun = /^\d{1,5}$/.test(text) ? Number(text) : LUNS_MAX
  if (lun >= LUNS_MAX) throw wrong(url, `"${text}" is no LUN (0 to ${LUNS_MAX - 1})`)
  return lun
}
