import { createHash, getHashes, timingSafeEqual } from "node:crypto"
import { inspect } from "node:util"
import { SanletError } from "../../base/errors.ts"
import { CHAP_BYTES_MAX } from "../../base/limits.ts"
import type { Random } from "../../base/random.ts"
import {
  formatBase64,
  formatHex,
  parseBinary,
  parseList,
  parseNumber,
  type TextPair,
} from "../../wire/text.ts"
import { LoginStatus } from "../spec/login-status.ts"
import { LoginError } from "./errors.ts"

/** CHAP_A values (IANA "PPP Authentication Algorithms"; SHA-256 and SHA3-256 as Linux has them). */
export const ChapAlgorithm = { MD5: 5, SHA1: 6, SHA256: 7, SHA3_256: 8 } as const

export type ChapAlgorithm = (typeof ChapAlgorithm)[keyof typeof ChapAlgorithm]

const hashNames: Readonly<Record<number, string>> = { 5: "md5", 6: "sha1", 7: "sha256", 8: "sha3-256" }
const digestBytes: Readonly<Record<number, number>> = { 5: 16, 6: 20, 7: 32, 8: 32 }

/** What a target allows when nothing else is configured: strongest first. */
export const chapAlgorithms: readonly ChapAlgorithm[] = [8, 7, 6, 5]

/**
 * What an initiator offers when nothing else is configured. SHA-256 comes last since tgt means SHA1 by 7, and takes the
 * first number it knows; who has SHA-256 has SHA3-256 as well.
 */
export const chapOffer: readonly ChapAlgorithm[] = [8, 6, 5, 7]

/** Shorter secrets than 96 bits can be guessed from one recorded login (RFC 7143 §9.2.1). */
export const CHAP_SECRET_BYTES_ADVISED = 12

/** A wrong configuration of CHAP. Code: ERR_CHAP_CONFIGURATION. */
export class ChapConfigurationError extends SanletError {
  constructor(message: string) {
    super("ERR_CHAP_CONFIGURATION", message)
  }
}

/** A CHAP secret. However it is printed, it says "[secret]". */
export class ChapSecret {
  readonly #bytes: Uint8Array

  constructor(secret: string | Uint8Array) {
    this.#bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret.slice()
    if (this.#bytes.length === 0) throw new ChapConfigurationError("a CHAP secret is empty")
  }

  /** Shorter than advised: worth a warning. */
  get weak(): boolean {
    return this.#bytes.length < CHAP_SECRET_BYTES_ADVISED
  }

  equals(other: ChapSecret): boolean {
    return equalBytes(this.#bytes, other.#bytes)
  }

  /** H(identifier | secret | challenge) (RFC 1994 §4.1). */
  response(algorithm: ChapAlgorithm, identifier: number, challenge: Uint8Array): Uint8Array {
    const hash = createHash(hashNames[algorithm]!)
    return hash.update(Uint8Array.of(identifier)).update(this.#bytes).update(challenge).digest()
  }

  toString(): string {
    return "[secret]"
  }

  toJSON(): string {
    return "[secret]"
  }

  [inspect.custom](): string {
    return "[secret]"
  }
}

export interface ChapCredentials {
  readonly name: string
  readonly secret: ChapSecret
}

/** How a target lets initiators prove themselves. */
export interface ChapAcceptance {
  /** Whoever proves to be one of these gets in. */
  readonly users: readonly ChapCredentials[]
  /** How the target proves itself to an initiator that asks it to; absent: such an initiator is refused. */
  readonly outgoing?: ChapCredentials
  /** In order of preference; default: chapAlgorithms. */
  readonly algorithms?: readonly ChapAlgorithm[]
}

/** How an initiator proves itself. */
export interface ChapProof {
  readonly user: ChapCredentials
  /** What the target has to prove to be; absent: it needn't. An empty name: any, as long as it has the secret. */
  readonly target?: ChapCredentials
  /** Offered in this order; default: chapOffer. */
  readonly algorithms?: readonly ChapAlgorithm[]
  /** How challenges and responses are written. Default: hex, which everybody reads. */
  readonly encoding?: "hex" | "base64"
}

/**
 * Throws ChapConfigurationError when a secret serves both directions (RFC 7143 §9.2.1 forbids it: such a peer
 * could be made to answer its own challenge) or a name is given twice. Returns warnings: secrets that are short.
 */
export function checkChap(users: readonly ChapCredentials[], outgoing?: ChapCredentials): string[] {
  const names = new Set<string>()
  for (const { name, secret } of users) {
    if (names.has(name))
      throw new ChapConfigurationError(`the CHAP name ${JSON.stringify(name)} is given twice`)
    names.add(name)
    if (outgoing && secret.equals(outgoing.secret)) {
      throw new ChapConfigurationError(
        `the CHAP secret of ${JSON.stringify(name)} is the same in both directions; each needs its own`,
      )
    }
  }
  const all = outgoing ? [...users, outgoing] : users
  return all
    .filter(({ secret }) => secret.weak)
    .map(({ name }) => `the CHAP secret of ${JSON.stringify(name)} is shorter than 12 bytes: easily guessed`)
}

const available = new Set(getHashes())
/** A FIPS build of the crypto library may lack MD5. */
const usable = (algorithms: readonly ChapAlgorithm[]): ChapAlgorithm[] =>
  algorithms.filter((algorithm) => available.has(hashNames[algorithm]!))

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

const failure = (reason: string) => new LoginError(LoginStatus.authenticationFailure, reason)

/** The keys of one CHAP step, each at most once. */
class ChapKeys {
  readonly #values = new Map<string, string>()

  constructor(pairs: readonly TextPair[]) {
    for (const { key, value } of pairs) {
      if (this.#values.has(key)) throw new LoginError(LoginStatus.initiatorError, `${key} came twice`)
      this.#values.set(key, value)
    }
  }

  has(key: string): boolean {
    return this.#values.has(key)
  }

  text(key: string): string {
    const value = this.#values.get(key)
    if (value === undefined) throw failure(`${key} is missing`)
    return value
  }

  identifier(): number {
    const identifier = parseNumber(this.text("CHAP_I"))
    if (identifier === undefined || identifier > 255) throw failure("CHAP_I is not a number of 0 to 255")
    return identifier
  }

  binary(key: "CHAP_C" | "CHAP_R"): Uint8Array {
    const bytes = parseBinary(this.text(key), CHAP_BYTES_MAX)
    if (bytes === undefined) throw failure(`${key} is not a binary value of 1 to ${CHAP_BYTES_MAX} bytes`)
    return bytes
  }

  /** Whether the value of `key` is written in base64. */
  base64(key: string): boolean {
    return /^0[bB]/.test(this.#values.get(key) ?? "")
  }
}

interface Challenge {
  readonly algorithm: ChapAlgorithm
  readonly identifier: number
  readonly challenge: Uint8Array
}

function makeChallenge(algorithm: ChapAlgorithm, random: Random): Challenge {
  return {
    algorithm,
    identifier: random.uint32() & 0xff,
    challenge: random.fill(new Uint8Array(digestBytes[algorithm]!)),
  }
}

/** Whether `response` answers the challenge; takes the same time whatever differs. */
function proves(secret: ChapSecret, sent: Challenge, response: Uint8Array): boolean {
  return equalBytes(secret.response(sent.algorithm, sent.identifier, sent.challenge), response)
}

/**
 * The target's side of CHAP (RFC 7143 §12.1.3): feed it the CHAP_ keys of each step. Throws LoginError with
 * authenticationFailure; which of name and secret was wrong is in its message, never in what the peer sees.
 */
export class ChapTarget {
  readonly #acceptance: ChapAcceptance
  readonly #random: Random
  #sent: Challenge | undefined
  /** The name the initiator has proved. */
  user: string | undefined

  constructor(acceptance: ChapAcceptance, random: Random) {
    this.#acceptance = acceptance
    this.#random = random
  }

  receive(pairs: readonly TextPair[]): TextPair[] {
    const keys = new ChapKeys(pairs)
    if (this.user !== undefined) throw failure("CHAP keys after authentication")
    return this.#sent === undefined ? this.#begin(keys) : this.#verify(keys, this.#sent)
  }

  #begin(keys: ChapKeys): TextPair[] {
    const offered = parseList(keys.text("CHAP_A")).map(parseNumber)
    const algorithm = usable(this.#acceptance.algorithms ?? chapAlgorithms).find((ours) =>
      offered.includes(ours),
    )
    if (algorithm === undefined)
      throw failure(`none of the CHAP algorithms ${keys.text("CHAP_A")} is allowed`)
    this.#sent = makeChallenge(algorithm, this.#random)
    return [
      { key: "CHAP_A", value: String(algorithm) },
      { key: "CHAP_I", value: String(this.#sent.identifier) },
      { key: "CHAP_C", value: formatHex(this.#sent.challenge) },
    ]
  }

  #verify(keys: ChapKeys, sent: Challenge): TextPair[] {
    const name = keys.text("CHAP_N")
    const response = keys.binary("CHAP_R")
    const user = this.#acceptance.users.find((candidate) => candidate.name === name)
    // An unknown name costs as much time as a wrong secret.
    const secret = user?.secret ?? new ChapSecret(this.#random.fill(new Uint8Array(16)))
    const proved = proves(secret, sent, response)
    if (user === undefined) throw failure(`unknown CHAP name ${JSON.stringify(name)}`)
    if (!proved) throw failure(`wrong CHAP secret for ${JSON.stringify(name)}`)
    const outgoing = this.#acceptance.outgoing
    // An answer we would have given ourselves: one secret in both directions, or our own answer sent back.
    if (outgoing && proves(outgoing.secret, sent, response)) throw failure("the CHAP response is our own")
    const answer = keys.has("CHAP_C") || keys.has("CHAP_I") ? this.#answer(keys, sent) : []
    this.user = name
    return answer
  }

  /** The initiator wants us to prove who we are, too. */
  #answer(keys: ChapKeys, sent: Challenge): TextPair[] {
    const challenge = keys.binary("CHAP_C")
    const identifier = keys.identifier()
    const outgoing = this.#acceptance.outgoing
    if (outgoing === undefined)
      throw failure("the initiator asks for target authentication; none is configured")
    if (equalBytes(challenge, sent.challenge)) throw failure("the CHAP challenge is our own, sent back")
    const response = outgoing.secret.response(sent.algorithm, identifier, challenge)
    return [
      { key: "CHAP_N", value: outgoing.name },
      { key: "CHAP_R", value: keys.base64("CHAP_C") ? formatBase64(response) : formatHex(response) },
    ]
  }
}

/** The initiator's side of CHAP. Throws LoginError with authenticationFailure. */
export class ChapInitiator {
  readonly #proof: ChapProof
  readonly #random: Random
  #algorithm: ChapAlgorithm | undefined
  #sent: Challenge | undefined
  /** Everything has been proved that was to be. */
  done = false

  constructor(proof: ChapProof, random: Random) {
    this.#proof = proof
    this.#random = random
  }

  /** The first step. */
  start(): TextPair[] {
    const algorithms = usable(this.#proof.algorithms ?? chapOffer)
    if (algorithms.length === 0) throw new ChapConfigurationError("no CHAP algorithm is left to offer")
    return [{ key: "CHAP_A", value: algorithms.join(",") }]
  }

  /** What to answer; empty once done. */
  receive(pairs: readonly TextPair[]): TextPair[] {
    const keys = new ChapKeys(pairs)
    if (this.done) throw failure("CHAP keys after authentication")
    if (this.#algorithm === undefined) return this.#respond(keys)
    this.#verify(keys)
    return []
  }

  #respond(keys: ChapKeys): TextPair[] {
    const algorithm = usable(this.#proof.algorithms ?? chapOffer).find(
      (ours) => ours === parseNumber(keys.text("CHAP_A")),
    )
    if (algorithm === undefined) throw failure("the target chose a CHAP algorithm that wasn't offered")
    this.#algorithm = algorithm
    const challenge = keys.binary("CHAP_C")
    const { user, target, encoding } = this.#proof
    const format = encoding === "base64" ? formatBase64 : formatHex
    const response = user.secret.response(algorithm, keys.identifier(), challenge)
    const answer = [
      { key: "CHAP_N", value: user.name },
      { key: "CHAP_R", value: format(response) },
    ]
    if (target === undefined) {
      this.done = true
      return answer
    }
    do this.#sent = makeChallenge(algorithm, this.#random)
    while (equalBytes(this.#sent.challenge, challenge))
    return [
      ...answer,
      { key: "CHAP_I", value: String(this.#sent.identifier) },
      { key: "CHAP_C", value: format(this.#sent.challenge) },
    ]
  }

  #verify(keys: ChapKeys): void {
    const { user, target } = this.#proof
    const response = keys.binary("CHAP_R")
    const name = keys.text("CHAP_N")
    if (!proves(target!.secret, this.#sent!, response)) throw failure("the target has not proved who it is")
    if (target!.name !== "" && target!.name !== name) {
      throw failure(`the target calls itself ${JSON.stringify(name)}, not ${JSON.stringify(target!.name)}`)
    }
    if (proves(user.secret, this.#sent!, response)) throw failure("the CHAP response is our own")
    this.done = true
  }
}
