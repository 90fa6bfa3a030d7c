import { LOGIN_ROUNDS_MAX } from "../../base/limits.ts"
import type { Random } from "../../base/random.ts"
import { serialAdd } from "../../wire/serial.ts"
import { TextError, type TextPair } from "../../wire/text.ts"
import type { LoginResponse } from "../pdu/login.ts"
import { LoginStatus } from "../spec/login-status.ts"
import { LoginStage } from "../spec/stage.ts"
import { ChapInitiator, type ChapProof } from "./chap.ts"
import { LoginError } from "./errors.ts"
import type { KeyPreferences, NegotiatedKeys } from "./keys.ts"
import { encodeLoginRequest, readLoginResponse, type LoginResponseFields } from "./login-headers.ts"
import { Negotiation } from "./negotiation.ts"
import type { LoginPdu, SessionType } from "./policy.ts"
import { TextExchange } from "./text-exchange.ts"

export interface InitiatorLoginOptions {
  readonly initiatorName: string
  /** A name for people. */
  readonly initiatorAlias?: string
  readonly sessionType: SessionType
  /** Required for a normal session. */
  readonly targetName?: string
  /** 48 bits. */
  readonly isid: number
  /** The session to join or reinstate a connection of; default 0: a new session. */
  readonly tsih?: number
  /** Default 0. */
  readonly cid?: number
  /** The CmdSN the session begins with; default 1. */
  readonly cmdSn?: number
  /** Default 0. */
  readonly initiatorTaskTag?: number
  readonly keys: KeyPreferences
  /** Absent: no authentication is offered. */
  readonly chap?: ChapProof
}

/** What a login has led to. */
export interface EstablishedLogin {
  readonly tsih: number
  readonly keys: NegotiatedKeys
  /** Absent when the target didn't say: it must in a normal session, but not all do. */
  readonly targetPortalGroupTag: number | undefined
  readonly targetAlias: string | undefined
  readonly expStatSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
  readonly negotiation: Negotiation
}

export type InitiatorLoginStep =
  | { readonly kind: "request"; readonly request: LoginPdu }
  | { readonly kind: "accepted"; readonly login: EstablishedLogin }
  /** To be tried again there: domainname[:port] each. */
  | { readonly kind: "redirect"; readonly addresses: readonly string[]; readonly permanent: boolean }
  /** The connection is to be closed. */
  | { readonly kind: "refused"; readonly error: LoginError }

/** The target broke a rule: the initiator hangs up. */
const breach = (reason: string) => new LoginError(LoginStatus.initiatorError, reason, "ERR_LOGIN_PROTOCOL")

/**
 * The initiator's side of the login phase of one connection (RFC 7143 §6.3): a state machine without I/O. `start`
 * gives the first request, `receive` takes each Login Response. Without authentication it begins in the operational
 * stage, as open-iscsi does.
 */
export class InitiatorLogin {
  readonly #options: InitiatorLoginOptions
  readonly #negotiation: Negotiation
  readonly #chap: ChapInitiator | undefined
  readonly #text = new TextExchange()
  #stage: LoginStage
  /** The T bit of the last request. */
  #transit = false
  #rounds = 0
  #expStatSn = 0
  #authMethod: string | undefined
  #targetPortalGroupTag: number | undefined
  #targetAlias: string | undefined

  constructor(options: InitiatorLoginOptions, random: Random) {
    this.#options = options
    this.#negotiation = new Negotiation("initiator", options.keys, options.sessionType)
    this.#chap = options.chap && new ChapInitiator(options.chap, random)
    this.#stage = options.chap ? LoginStage.securityNegotiation : LoginStage.operationalNegotiation
  }

  /** The first Login Request; call once. Throws ChapConfigurationError when no CHAP algorithm is usable. */
  start(): LoginPdu {
    const { initiatorName, initiatorAlias, sessionType, targetName, chap } = this.#options
    const pairs: TextPair[] = [{ key: "InitiatorName", value: initiatorName }]
    if (initiatorAlias !== undefined) pairs.push({ key: "InitiatorAlias", value: initiatorAlias })
    if (targetName !== undefined) pairs.push({ key: "TargetName", value: targetName })
    pairs.push({ key: "SessionType", value: sessionType })
    if (chap === undefined) return this.#propose(pairs)
    // Who wants the target's proof must not offer to do without; others leave it to the target, as open-iscsi does.
    pairs.push({ key: "AuthMethod", value: chap.target ? "CHAP" : "CHAP,None" })
    return this.#say(pairs, false)
  }

  /** A Login Response has come: its header, read at once, and its data segment. */
  receive(header: LoginResponse, segment: Uint8Array): InitiatorLoginStep {
    try {
      return this.#receive(readLoginResponse(header), segment)
    } catch (error) {
      if (error instanceof LoginError) return { kind: "refused", error }
      if (error instanceof TextError) return { kind: "refused", error: breach(error.message) }
      throw error
    }
  }

  #receive(response: LoginResponseFields, segment: Uint8Array): InitiatorLoginStep {
    if (response.initiatorTaskTag !== (this.#options.initiatorTaskTag ?? 0)) {
      throw breach("a Login Response with another task tag")
    }
    if (response.status !== LoginStatus.success) return this.#ended(response, segment)
    this.#check(response)
    this.#expStatSn = serialAdd(response.statSn, 1)
    if (this.#text.pending) {
      if (segment.length > 0 || response.transit || response.continue) {
        throw breach("the target answers what we haven't sent completely")
      }
      return { kind: "request", request: this.#next() }
    }
    const pairs = this.#text.receive(segment, response.continue)
    // The rest of the target's text is still to come: an empty request fetches it.
    if (pairs === undefined) return { kind: "request", request: this.#say([], false) }
    return this.#stage === LoginStage.securityNegotiation
      ? this.#security(response, pairs)
      : this.#operational(response, pairs)
  }

  #check(response: LoginResponseFields): void {
    if (response.versionActive !== 0) throw new LoginError(LoginStatus.unsupportedVersion)
    if (response.currentStage !== this.#stage) {
      throw breach(`stage ${response.currentStage} in the response, ${this.#stage} is current`)
    }
    if (!response.transit) return
    if (response.continue || !this.#transit) throw breach("the target ends the stage, but we didn't")
    if (response.nextStage !== this.#nextStage) {
      throw breach(`the target goes to stage ${response.nextStage} instead of ${this.#nextStage}`)
    }
  }

  get #nextStage(): LoginStage {
    return this.#stage === LoginStage.securityNegotiation
      ? LoginStage.operationalNegotiation
      : LoginStage.fullFeaturePhase
  }

  /** A status other than success: the end, or another address. */
  #ended(response: LoginResponseFields, segment: Uint8Array): InitiatorLoginStep {
    if (response.status >> 8 !== 1) throw new LoginError(response.status)
    const pairs = this.#text.receive(segment, false) ?? []
    const addresses = pairs.filter(({ key }) => key === "TargetAddress").map(({ value }) => value)
    if (addresses.length === 0) throw new LoginError(response.status, "redirected without an address")
    const permanent = response.status === LoginStatus.targetMovedPermanently
    return { kind: "redirect", addresses, permanent }
  }

  #security(response: LoginResponseFields, pairs: readonly TextPair[]): InitiatorLoginStep {
    const chapPairs = pairs.filter(({ key }) => key.startsWith("CHAP_"))
    const method = pairs.find(({ key }) => key === "AuthMethod")
    const others = pairs.filter(({ key }) => key !== "AuthMethod" && !key.startsWith("CHAP_"))
    const answers = this.#negotiation.receive(this.#introduced(others), this.#stage)
    if (method) answers.push(...this.#methodChosen(method.value))
    if (chapPairs.length > 0) {
      if (this.#authMethod !== "CHAP") throw breach("CHAP keys, but CHAP was not agreed on")
      answers.push(...this.#chap!.receive(chapPairs))
    }
    if (response.transit) return this.#secured()
    // We are ready to go on once we have sent the last of our keys; the target, once it has checked them.
    const responded = answers.some(({ key }) => key === "CHAP_R")
    const last = this.#authMethod === "None" || this.#chap!.done || responded || this.#transit
    if (answers.length === 0 && !last) throw breach("the target does not authenticate")
    return { kind: "request", request: this.#say(answers, last) }
  }

  #methodChosen(method: string): TextPair[] {
    if (this.#authMethod !== undefined) throw breach("AuthMethod is answered a second time")
    const offered = method === "CHAP" || (method === "None" && this.#options.chap!.target === undefined)
    if (!offered) {
      throw new LoginError(LoginStatus.authenticationFailure, `the target answers AuthMethod=${method}`)
    }
    this.#authMethod = method
    return method === "CHAP" ? this.#chap!.start() : []
  }

  /** The target ends the security stage: only when we have seen all we want to see. */
  #secured(): InitiatorLoginStep {
    if (this.#authMethod !== "None" && !this.#chap!.done) {
      throw new LoginError(LoginStatus.authenticationFailure, "the target has not proved who it is")
    }
    this.#stage = LoginStage.operationalNegotiation
    return { kind: "request", request: this.#propose([]) }
  }

  #operational(response: LoginResponseFields, pairs: readonly TextPair[]): InitiatorLoginStep {
    const foreign = pairs.find(({ key }) => key === "AuthMethod" || key.startsWith("CHAP_"))
    if (foreign) throw breach(`${foreign.key} came in the wrong stage`)
    const answers = this.#negotiation.receive(this.#introduced(pairs), this.#stage)
    if (!response.transit) {
      const request = this.#negotiation.holdsBack ? this.#propose(answers) : this.#say(answers, true)
      return { kind: "request", request }
    }
    // With the T bit no answer can follow: an offer is legal only if it asks for what it gets.
    const unheard = answers.find(
      (answer) => !pairs.some((pair) => pair.value === answer.value && pair.key === answer.key),
    )
    if (unheard) throw breach(`${unheard.key} is offered too late to be answered`)
    const { tsih, statSn, expCmdSn, maxCmdSn } = response
    if (tsih === 0) throw breach("the target accepts the login without a TSIH")
    const login = {
      tsih,
      keys: this.#negotiation.result(),
      targetPortalGroupTag: this.#targetPortalGroupTag,
      targetAlias: this.#targetAlias,
      expStatSn: serialAdd(statSn, 1),
      expCmdSn,
      maxCmdSn,
      negotiation: this.#negotiation,
    }
    return { kind: "accepted", login }
  }

  /** Notes what the target says about itself; all of it goes on to be checked. */
  #introduced(pairs: readonly TextPair[]): readonly TextPair[] {
    for (const { key, value } of pairs) {
      if (key === "TargetAlias") this.#targetAlias = value
      if (key === "TargetPortalGroupTag") this.#targetPortalGroupTag = Number(value)
    }
    return pairs
  }

  /** A request with these pairs and what we want, which is ready for the end unless we want more. */
  #propose(pairs: readonly TextPair[]): LoginPdu {
    const wanted = this.#negotiation.propose()
    return this.#say([...pairs, ...wanted], !this.#negotiation.holdsBack)
  }

  /** A request with this text, cut up where it's too long for one. */
  #say(pairs: readonly TextPair[], transit: boolean): LoginPdu {
    this.#text.send(pairs, this.#negotiation.loginSegmentBytes)
    this.#transit = transit
    return this.#next()
  }

  #next(): LoginPdu {
    if (++this.#rounds > LOGIN_ROUNDS_MAX) throw breach("the target takes too many rounds")
    const { isid, tsih = 0, cid = 0, cmdSn = 1, initiatorTaskTag = 0 } = this.#options
    const { segment, more } = this.#text.next()
    const transit = this.#transit && !more
    const header = encodeLoginRequest({
      transit,
      continue: more,
      currentStage: this.#stage,
      nextStage: transit ? this.#nextStage : 0,
      versionMax: 0,
      versionMin: 0,
      isid,
      tsih,
      initiatorTaskTag,
      cid,
      cmdSn,
      expStatSn: this.#expStatSn,
    })
    return { header, data: segment }
  }
}
