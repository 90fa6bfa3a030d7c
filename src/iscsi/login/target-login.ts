import { isPromise, type Eventually } from "../../base/completion.ts"
import { SanletError } from "../../base/errors.ts"
import { LOGIN_DATA_SEGMENT_BYTES_MAX, LOGIN_ROUNDS_MAX } from "../../base/limits.ts"
import type { Random } from "../../base/random.ts"
import { serialAdd } from "../../wire/serial.ts"
import { parseList, TextError, type TextPair } from "../../wire/text.ts"
import { commandWindow } from "../da.ts"
import type { LoginRequest } from "../pdu/login.ts"
import { LoginStatus, loginStatusText } from "../spec/login-status.ts"
import { LoginStage } from "../spec/stage.ts"
import { ChapTarget } from "./chap.ts"
import { LoginError } from "./errors.ts"
import { Negotiation } from "./negotiation.ts"
import type {
  Admission,
  LeadingLogin,
  LoginCandidate,
  LoginGrant,
  LoginPolicy,
  LoginRefusal,
  TargetLoginStep,
} from "./policy.ts"
import { leadingLogin } from "./leading.ts"
import { encodeLoginResponse, noRequest, readLoginRequest, type LoginRequestFields } from "./login-headers.ts"
import { TextExchange } from "./text-exchange.ts"

/** A refusal by the policy on its way out. */
class Refused extends LoginError {
  readonly targetAddresses: readonly string[]

  constructor(refusal: LoginRefusal) {
    super(refusal.status, refusal.reason)
    this.targetAddresses = refusal.targetAddresses ?? []
  }
}

/** Longest reason for the log, in characters. */
const REASON_LENGTH_MAX = 300

const initiatorError = (reason: string) => new LoginError(LoginStatus.initiatorError, reason)
const authenticationFailure = (reason: string) => new LoginError(LoginStatus.authenticationFailure, reason)

/**
 * The target's side of the login phase of one connection (RFC 7143 §6.3): a state machine without I/O. Each Login
 * Request goes to `receive`, which says what to answer and whether the login has come to its end. Nothing the peer
 * sends makes it throw: what's wrong ends in a refusal with the status RFC 7143 §11.13.5 has for it.
 */
export class TargetLogin {
  readonly #policy: LoginPolicy
  readonly #random: Random
  readonly #text = new TextExchange()
  #first: LoginRequestFields | undefined
  #last: LoginRequestFields | undefined
  #stage: LoginStage = LoginStage.securityNegotiation
  #rounds = 0
  #statSn = 0
  #busy = false
  #ended = false
  #failed = false
  /** Known once the leading text is complete. */
  #leading: LeadingLogin | undefined
  #grant: LoginGrant | undefined
  #negotiation: Negotiation | undefined
  #chap: ChapTarget | undefined
  #authMethod: "CHAP" | "None" | undefined
  #authMethodProposed = false

  constructor(policy: LoginPolicy, random: Random) {
    this.#policy = policy
    this.#random = random
  }

  /** The initiator's name once it has said it: for log lines about logins that don't come to an end. */
  get initiatorName(): string | undefined {
    return this.#leading?.initiatorName
  }

  get targetName(): string | undefined {
    return this.#leading?.targetName
  }

  /**
   * A Login Request has come: its header, read at once, and its data segment, copied. A promise only when the
   * policy takes its time; a request that comes meanwhile ends the login.
   */
  receive(header: LoginRequest, segment: Uint8Array): Eventually<TargetLoginStep> {
    const request = readLoginRequest(header)
    if (this.#ended) throw new SanletError("ERR_LOGIN_ENDED", "the login has come to its end already")
    try {
      if (this.#busy) throw initiatorError("a Login Request before the last one was answered")
      this.#check(request)
      const pairs = this.#text.receive(segment, request.continue)
      if (pairs === undefined) return this.#respond(request, false)
      const step = this.#leading === undefined ? this.#begin(request, pairs) : this.#continue(request, pairs)
      if (!isPromise(step)) return step
      this.#busy = true
      return step.then(
        (result) => {
          this.#busy = false
          return this.#failed ? this.#refusedAlready() : result
        },
        (error) => this.#fail(error),
      )
    } catch (error) {
      return this.#fail(error)
    }
  }

  /**
   * Ends the login from outside: the deadline has passed, another PDU than a Login Request has come, no resources.
   * The step's response is to be sent, unless no request has come to answer. A promise `receive` has given before
   * resolves to a refusal, too, which is not to be sent again; an admission given meanwhile is void.
   */
  refuse(status: number, reason: string): TargetLoginStep {
    return this.#fail(new LoginError(status, reason))
  }

  /** What must hold of every request, whatever its text says. */
  #check(request: LoginRequestFields): void {
    this.#last = request
    if (this.#first === undefined) this.#checkFirst(request)
    else this.#checkSame(this.#first, request)
    if (++this.#rounds > LOGIN_ROUNDS_MAX) throw initiatorError("the login takes too many requests")
    if (request.continue && request.transit) throw initiatorError("both the T and the C bit are set")
    if (request.currentStage !== this.#stage) {
      throw initiatorError(`stage ${request.currentStage} in the request, ${this.#stage} is current`)
    }
    const { nextStage } = request
    if (request.transit && (nextStage <= this.#stage || nextStage === 2)) {
      throw initiatorError(`no way from stage ${this.#stage} to ${nextStage}`)
    }
  }

  #checkFirst(request: LoginRequestFields): void {
    this.#first = request
    // The first ExpStatSN means nothing on a new connection, but old initiators expect to see it again.
    this.#statSn = request.expStatSn
    if (request.versionMin > 0) throw new LoginError(LoginStatus.unsupportedVersion)
    if (request.currentStage > LoginStage.operationalNegotiation) {
      throw initiatorError(`a login can't begin in stage ${request.currentStage}`)
    }
    this.#stage = request.currentStage as LoginStage
  }

  #checkSame(first: LoginRequestFields, request: LoginRequestFields): void {
    const fields = ["isid", "tsih", "cid", "initiatorTaskTag", "versionMax", "versionMin"] as const
    for (const field of fields) {
      if (request[field] !== first[field]) throw initiatorError(`the ${field} changed within the login`)
    }
  }

  /** The leading text is complete: who wants what (RFC 7143 §6.3.1)? */
  #begin(request: LoginRequestFields, pairs: readonly TextPair[]): Eventually<TargetLoginStep> {
    this.#leading = leadingLogin(request, pairs)
    const found = this.#policy.findTarget(this.#leading)
    return isPromise(found)
      ? found.then((decision) => this.#granted(request, pairs, decision))
      : this.#granted(request, pairs, found)
  }

  #granted(
    request: LoginRequestFields,
    pairs: readonly TextPair[],
    decision: LoginGrant | LoginRefusal,
  ): Eventually<TargetLoginStep> {
    if (decision.kind === "refused") throw new Refused(decision)
    this.#grant = decision
    this.#negotiation = new Negotiation("target", decision.keys, this.#leading!.sessionType)
    if (decision.auth) {
      this.#chap = new ChapTarget(decision.auth, this.#random)
      if (this.#stage !== LoginStage.securityNegotiation) {
        throw authenticationFailure("the initiator left out authentication, which is required")
      }
    }
    const introduction: TextPair[] = []
    if (this.#leading!.targetName !== undefined) {
      if (decision.alias !== undefined && this.#leading!.sessionType === "Normal") {
        introduction.push({ key: "TargetAlias", value: decision.alias })
      }
      introduction.push({ key: "TargetPortalGroupTag", value: String(decision.portalGroupTag) })
    }
    return this.#continue(request, pairs, introduction)
  }

  /** A complete text within the login. */
  #continue(
    request: LoginRequestFields,
    pairs: readonly TextPair[],
    answers: TextPair[] = [],
  ): Eventually<TargetLoginStep> {
    // The rest of a long answer goes out first; the initiator says nothing but "go on" meanwhile.
    if (this.#text.pending) {
      if (pairs.length > 0) throw initiatorError("text while our own is not sent completely")
      return this.#advance(request)
    }
    if (this.#stage === LoginStage.securityNegotiation) answers.push(...this.#security(request, pairs))
    else answers.push(...this.#operational(request, pairs))
    this.#text.send(answers, this.#negotiation!.loginSegmentBytes)
    return this.#advance(request)
  }

  #security(request: LoginRequestFields, pairs: readonly TextPair[]): TextPair[] {
    const chapPairs = pairs.filter(({ key }) => key.startsWith("CHAP_"))
    const methods = pairs.filter(({ key }) => key === "AuthMethod")
    const others = pairs.filter((pair) => !chapPairs.includes(pair) && !methods.includes(pair))
    const answers = this.#negotiation!.receive(others, this.#stage)
    if (methods.length > 0) answers.push(...this.#chooseMethod(methods))
    if (chapPairs.length > 0) {
      if (this.#authMethod !== "CHAP") throw initiatorError("CHAP keys, but CHAP was not agreed on")
      answers.push(...this.#chap!.receive(chapPairs))
    } else if (this.#chap && this.#authMethod === undefined && request.transit) {
      // The initiator wants to go on without having offered anything: propose it ourselves, once.
      if (this.#authMethodProposed) throw authenticationFailure("the initiator does not authenticate")
      this.#authMethodProposed = true
      answers.push({ key: "AuthMethod", value: "CHAP" })
    }
    return answers
  }

  /** AuthMethod: the first the initiator offers of those the policy allows (RFC 7143 §6.2.1, §12.1). */
  #chooseMethod(offers: readonly TextPair[]): TextPair[] {
    if (offers.length > 1 || this.#authMethod !== undefined) {
      throw initiatorError("AuthMethod is negotiated a second time")
    }
    const offer = offers[0]!.value
    const allowed = this.#chap ? "CHAP" : "None"
    if (!parseList(offer).includes(allowed)) {
      throw authenticationFailure(`the initiator offers AuthMethod=${offer}; ${allowed} is required`)
    }
    this.#authMethod = allowed
    // An answer to our own proposal isn't answered again.
    return this.#authMethodProposed ? [] : [{ key: "AuthMethod", value: allowed }]
  }

  #operational(request: LoginRequestFields, pairs: readonly TextPair[]): TextPair[] {
    const foreign = pairs.find(({ key }) => key === "AuthMethod" || key.startsWith("CHAP_"))
    if (foreign) throw initiatorError(`${foreign.key} came in the wrong stage`)
    const negotiation = this.#negotiation!
    const answers = negotiation.receive(pairs, this.#stage)
    answers.push(...negotiation.propose(request.transit || pairs.length === 0))
    return answers
  }

  /** Whether nothing keeps us from leaving the stage. */
  #ready(): boolean {
    if (this.#stage !== LoginStage.securityNegotiation) return !this.#negotiation!.waiting
    return this.#chap === undefined || this.#chap.user !== undefined
  }

  /** Answers with the next piece of our text, and with the T bit when both sides are ready (RFC 7143 §6.3.3). */
  #advance(request: LoginRequestFields): Eventually<TargetLoginStep> {
    const { segment, more } = this.#text.next()
    const transit = request.transit && !more && this.#ready()
    if (!transit) return this.#respond(request, false, segment, more)
    if (request.nextStage !== LoginStage.fullFeaturePhase) {
      const step = this.#respond(request, true, segment)
      this.#stage = request.nextStage as LoginStage
      return step
    }
    return this.#finish(request, segment)
  }

  #finish(request: LoginRequestFields, segment: Uint8Array): Eventually<TargetLoginStep> {
    const candidate: LoginCandidate = {
      ...this.#leading!,
      keys: this.#negotiation!.result(),
      portalGroupTag: this.#grant!.portalGroupTag,
      user: this.#chap?.user,
      cmdSn: request.cmdSn,
    }
    const admission = this.#policy.admit(candidate)
    return isPromise(admission)
      ? admission.then((decision) => this.#admitted(request, segment, candidate, decision))
      : this.#admitted(request, segment, candidate, admission)
  }

  #admitted(
    request: LoginRequestFields,
    segment: Uint8Array,
    candidate: LoginCandidate,
    decision: Admission | LoginRefusal,
  ): TargetLoginStep {
    if (decision.kind === "refused") throw new Refused(decision)
    if (this.#failed) return this.#refusedAlready()
    this.#ended = true
    const expCmdSn = decision.expCmdSn ?? request.cmdSn
    const maxCmdSn = decision.maxCmdSn ?? serialAdd(expCmdSn, commandWindow(candidate.keys) - 1)
    const header = encodeLoginResponse(request, {
      transit: true,
      continue: false,
      tsih: decision.tsih,
      statSn: this.#statSn,
      expCmdSn,
      maxCmdSn,
      status: LoginStatus.success,
    })
    const { tsih } = decision
    const statSn = serialAdd(this.#statSn, 1)
    const negotiation = this.#negotiation!
    const login = { ...candidate, tsih, statSn, expCmdSn, maxCmdSn, negotiation }
    return { kind: "accepted", response: { header, data: segment }, login }
  }

  #respond(
    request: LoginRequestFields,
    transit: boolean,
    segment: Uint8Array = new Uint8Array(0),
    more = false,
  ): TargetLoginStep {
    const header = encodeLoginResponse(request, {
      transit,
      continue: more,
      tsih: request.tsih,
      statSn: this.#statSn,
      expCmdSn: request.cmdSn,
      // How many there may be is only known in the end, and MaxCmdSN never goes back (RFC 7143 §4.2.2.1).
      maxCmdSn: request.cmdSn,
      status: LoginStatus.success,
    })
    this.#statSn = serialAdd(this.#statSn, 1)
    return { kind: "respond", response: { header, data: segment } }
  }

  #fail(error: unknown): TargetLoginStep {
    this.#ended = true
    this.#failed = true
    const { status, reason } = statusOf(error)
    const request = this.#last ?? noRequest
    const header = encodeLoginResponse(request, {
      transit: false,
      continue: false,
      tsih: request.tsih,
      statSn: this.#statSn,
      expCmdSn: request.cmdSn,
      maxCmdSn: request.cmdSn,
      status,
    })
    const addresses = error instanceof Refused ? error.targetAddresses : []
    const text = new TextExchange()
    text.send(
      addresses.map((value) => ({ key: "TargetAddress", value })),
      LOGIN_DATA_SEGMENT_BYTES_MAX,
    )
    return { kind: "refused", response: { header, data: text.next().segment }, status, reason }
  }

  /** The login was ended while the policy made up its mind. */
  #refusedAlready(): TargetLoginStep {
    return this.#fail(initiatorError("the login was ended"))
  }
}

/** Which status an error becomes, and the line for the log: fit to print, whatever of the peer's is in it. */
function statusOf(error: unknown): { status: number; reason: string } {
  const status =
    error instanceof LoginError
      ? error.status
      : error instanceof TextError
        ? LoginStatus.initiatorError
        : LoginStatus.targetError
  const said = loginStatusText(status)
  const message = error instanceof Error ? error.message : String(error)
  const reason = message === said ? said : `${said}: ${message}`
  return { status, reason: reason.replace(/\p{C}/gu, "?").slice(0, REASON_LENGTH_MAX) }
}
