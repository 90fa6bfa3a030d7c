import { LOGIN_DATA_SEGMENT_BYTES_MAX } from "../../base/limits.ts"
import type { TextPair } from "../../wire/text.ts"
import { parseList } from "../../wire/text.ts"
import { allowedInStage, findKey, keyDefinitions, type KeyDefinition } from "../spec/keys.ts"
import { LoginStatus } from "../spec/login-status.ts"
import { LoginStage } from "../spec/stage.ts"
import { LoginError } from "./errors.ts"
import { ISER_INITIATOR_SEGMENT_BYTES, ISER_TARGET_SEGMENT_BYTES } from "./keys.ts"
import type { Digest, KeyPreferences, NegotiatedKeys, TaskReporting } from "./keys.ts"
import type { SessionType } from "./policy.ts"
import {
  acceptsDefault,
  combine,
  defaultOf,
  format,
  isDefault,
  isDigest,
  needsNoAnswer,
  parseValue,
  type Value,
} from "./values.ts"
import { wishOf, type Wish } from "./wishes.ts"

/** How far the negotiation of one key has come. */
interface KeyState {
  /** What we have proposed and wait to be answered. */
  proposed?: Value | readonly string[]
  /** Decided: further offers are renegotiation. */
  settled?: boolean
  /** The result; absent: the default holds. */
  result?: Value
  /** What the peer has declared. */
  peer?: Value
  /** We have declared it. */
  declared?: boolean
}

/** Longest value of an ordinary key (RFC 7143 §6.1), in bytes. */
const VALUE_BYTES_MAX = 255

/** Where a key stands in the table: the order in which keys are handled. */
const position = new Map(keyDefinitions.map((definition, index) => [definition.key, index]))
const order = (pair: TextPair) => position.get(pair.key) ?? keyDefinitions.length

const isReserved = (value: string) =>
  value === "NotUnderstood" || value === "Irrelevant" || value === "Reject"

/** A breach of the rules by the peer (RFC 7143 §6.2): the target answers with it, the initiator hangs up. */
const breach = (reason: string) => new LoginError(LoginStatus.initiatorError, reason, "ERR_LOGIN_PROTOCOL")

/**
 * Negotiation of the operational keys (RFC 7143 §6.2), the same for both roles. `receive` takes what the peer says
 * in one complete text and gives the answers; `propose` gives what we have to say ourselves; `result` what was agreed.
 *
 * A key the table doesn't know is answered with NotUnderstood. A value outside the key's range, or none of whose
 * choices we allow, is answered with Reject, which leaves the default in force; where that isn't acceptable to
 * us, the login ends. A key negotiated twice, in the wrong stage or by the wrong side is an error.
 */
export class Negotiation {
  readonly #role: "initiator" | "target"
  readonly #preferences: KeyPreferences
  readonly #sessionType: SessionType
  readonly #states = new Map<string, KeyState>()
  #hasProposed = false
  #holdsBack = false

  constructor(role: "initiator" | "target", preferences: KeyPreferences, sessionType: SessionType) {
    this.#role = role
    this.#preferences = preferences
    this.#sessionType = sessionType
  }

  /** Whether an answer to one of our proposals is still to come. */
  get waiting(): boolean {
    for (const state of this.#states.values()) if (state.proposed !== undefined) return true
    return false
  }

  /** Throws LoginError (initiatorError) when the peer breaks a rule. */
  receive(pairs: readonly TextPair[], stage: LoginStage): TextPair[] {
    const answers: TextPair[] = []
    for (const pair of [...pairs].sort((a, b) => order(a) - order(b))) {
      const answer = this.#receivePair(pair, stage)
      if (answer !== undefined) answers.push({ key: pair.key, value: answer })
    }
    return answers
  }

  #receivePair({ key, value }: TextPair, stage: LoginStage): string | undefined {
    const state = this.#state(key)
    const definition = findKey(key)
    if (definition === undefined) return this.#unknown(key, value, state, stage)
    if (value.length > VALUE_BYTES_MAX) throw breach(`the value of ${key} is longer than 255 bytes`)
    if (state.proposed !== undefined) return this.#answered(definition, state, value)
    // LIO answers NotUnderstood to declarations it doesn't know: it won't keep to them, that's all.
    if (definition.declarative && state.declared && isReserved(value)) return undefined
    const peerRole = this.#role === "target" ? "initiator" : "target"
    if (definition.senders !== "both" && definition.senders !== peerRole) {
      throw breach(`${key} may not be sent by the ${peerRole}`)
    }
    if (!allowedInStage(definition, stage)) {
      if (stage === LoginStage.fullFeaturePhase) return "Reject"
      throw breach(`${key} came in the wrong stage`)
    }
    if (definition.declarative) return this.#declaredByPeer(definition, state, value, stage)
    if (state.settled) throw breach(`${key} is negotiated a second time`)
    return this.#offered(definition, state, value)
  }

  #unknown(key: string, value: string, state: KeyState, stage: LoginStage): string | undefined {
    // In full feature phase every text is a negotiation of its own.
    if (state.settled && stage !== LoginStage.fullFeaturePhase) throw breach(`${key} is sent a second time`)
    state.settled = true
    // An answer to an answer would go on for ever.
    return isReserved(value) ? undefined : "NotUnderstood"
  }

  #declaredByPeer(definition: KeyDefinition, state: KeyState, value: string, stage: LoginStage): undefined {
    const parsed = parseValue(definition, value)
    if (parsed === undefined) throw breach(`${definition.key}=${value} is not a legal value`)
    // RFC 7143 §6.2 forbids to declare a key twice; saying the same again, as libiscsi does, hurts nobody.
    const again = state.peer !== undefined && state.peer !== parsed
    if (again && !definition.repeatable && stage !== LoginStage.fullFeaturePhase) {
      throw breach(`${definition.key} is declared twice`)
    }
    state.peer = parsed
  }

  /** The peer makes an offer: decide, and answer. */
  #offered(definition: KeyDefinition, state: KeyState, value: string): string {
    if (isReserved(value)) throw breach(`${definition.key}=${value} answers nothing`)
    state.settled = true
    if (definition.values.type === "obsolete") return definition.values.answer
    if (!this.#relevant(definition)) return "Irrelevant"
    const wish = this.#wish(definition)
    if (wish === undefined) return "Reject"
    const result = this.#decide(definition, wish, value)
    if (result === undefined) {
      this.#requireDefault(definition, wish, `${value} can't be agreed to`)
      return "Reject"
    }
    if (definition.key === "RDMAExtensions" && result !== true) this.#rdmaDeclined("offered as No")
    state.result = result
    return format(result)
  }

  /** The value both sides will use; undefined: there is none. */
  #decide(definition: KeyDefinition, wish: Wish, offer: string): Value | undefined {
    if (definition.values.type === "list") {
      const allowed = this.#withoutDigests && isDigest(definition.key) ? ["None"] : wish
      return parseList(offer).find((choice) => (allowed as readonly string[]).includes(choice))
    }
    const parsed = parseValue(definition, offer)
    if (parsed === undefined) return undefined
    const decided = combine(definition, parsed, wish as Value)
    // FirstBurstLength must not exceed MaxBurstLength (RFC 7143 §13.14), which the table puts before it.
    return definition.key === "FirstBurstLength" ? Math.min(decided as number, this.#maxBurst) : decided
  }

  /** The peer answers our offer: check that it may. */
  #answered(definition: KeyDefinition, state: KeyState, value: string): undefined {
    const proposed = state.proposed!
    delete state.proposed
    state.settled = true
    const wish = wishOf(definition.key, this.#preferences)
    if (isReserved(value)) {
      if (this.#relevant(definition) && wish !== undefined) {
        this.#requireDefault(definition, wish, `our offer was answered with ${value}`)
      }
      return undefined
    }
    if (typeof proposed === "object") {
      if (!proposed.includes(value)) throw breach(`${definition.key}=${value} was not among our choices`)
      state.result = value
      return undefined
    }
    const parsed = parseValue(definition, value)
    if (parsed === undefined || combine(definition, parsed, proposed) !== parsed) {
      throw breach(`${definition.key}=${value} is not a legal answer to ${format(proposed)}`)
    }
    if (definition.key === "RDMAExtensions" && parsed !== true) this.#rdmaDeclined(`answered with ${value}`)
    state.result = parsed
    return undefined
  }

  /**
   * What we still have to say in the operational stage. The initiator says all it wants at once, but for what depends
   * on what the target is (`holdsBack`): that the next time. The target declares what it has to, and with `leaving` (the
   * initiator wants to end the stage) negotiates only where a default the initiator left in force isn't acceptable.
   */
  propose(leaving = true): TextPair[] {
    const pairs: TextPair[] = []
    const isFirst = !this.#hasProposed
    this.#hasProposed = true
    this.#holdsBack = false
    for (const definition of keyDefinitions) {
      if (definition.stages !== "operational" || definition.use === "FFPO") continue
      const wish = this.#wish(definition)
      if (wish === undefined || !this.#relevant(definition)) continue
      const state = this.#state(definition.key)
      if (isFirst && this.#dependsOnPeer(definition)) {
        this.#holdsBack = true
        continue
      }
      // Over RDMA a digest could only be None, which is the default (RFC 7145 §6.2).
      if (isDigest(definition.key) && this.#withoutDigests) continue
      const says = definition.declarative
        ? this.#declares(definition, state, wish)
        : !state.settled && state.proposed === undefined && this.#proposes(definition, wish, leaving)
      if (!says) continue
      if (definition.declarative) state.declared = true
      else state.proposed = wish
      pairs.push({ key: definition.key, value: format(wish) })
    }
    return pairs
  }

  /** Whether the last `propose` has left something to another one, after the answer. */
  get holdsBack(): boolean {
    return this.#holdsBack
  }

  /**
   * The length that LIO only echoes, whatever its receives are, and that tgt makes hundreds of receives of. Neither knows
   * MaxAHSLength, which RFC 7145 has new: they are asked for no more than they are used to.
   */
  #dependsOnPeer(definition: KeyDefinition): boolean {
    if (this.#role === "target" || definition.key !== "TargetRecvDataSegmentLength") return false
    return (wishOf(definition.key, this.#preferences) as number) > ISER_TARGET_SEGMENT_BYTES
  }

  #wish(definition: KeyDefinition): Wish | undefined {
    const isModest = this.#dependsOnPeer(definition) && this.#peer("MaxAHSLength") === undefined
    return isModest ? ISER_TARGET_SEGMENT_BYTES : wishOf(definition.key, this.#preferences)
  }

  #declares(definition: KeyDefinition, state: KeyState, wish: Wish): boolean {
    if (state.declared || (definition.senders !== "both" && definition.senders !== this.#role)) return false
    if (definition.key === "MaxRecvDataSegmentLength") return !this.#rdmaPossible
    // Initiators in use hang up on keys they don't know: the target says these only to those that said them first.
    if (this.#role === "target") return state.peer !== undefined
    // Whether it is answered tells what the target is.
    return definition.key === "MaxAHSLength" || !(definition.iser && isDefault(definition, wish))
  }

  #proposes(definition: KeyDefinition, wish: Wish, leaving: boolean): boolean {
    if (this.#role === "target") return leaving && !definition.iser && !acceptsDefault(definition, wish)
    // Many targets know these only by NotUnderstood: not worth a word for the default.
    const rare = ["TaskReporting", "iSCSIProtocolLevel", "RDMAExtensions"].includes(definition.key)
    return !rare || !isDefault(definition, wish)
  }

  /**
   * What was agreed on. What wasn't negotiated, or not answered, has its default. Throws LoginError where that isn't
   * acceptable to us.
   */
  result(): NegotiatedKeys {
    for (const definition of keyDefinitions) {
      const wish = wishOf(definition.key, this.#preferences)
      const state = this.#state(definition.key)
      if (definition.declarative || state.settled || wish === undefined || !this.#relevant(definition))
        continue
      if (isDigest(definition.key) && this.#withoutDigests) continue
      if (needsNoAnswer(definition, state.proposed)) state.result = state.proposed as boolean
      else if (definition.key !== "RDMAExtensions" || !this.#rdma)
        this.#requireDefault(definition, wish, "it was not negotiated")
      delete state.proposed
      state.settled = true
    }
    const number = (key: string) => this.#value(key) as number
    const boolean = (key: string) => this.#value(key) as boolean
    const maxBurstLength = this.#maxBurst
    const errorRecoveryLevel = number("ErrorRecoveryLevel")
    const dataSequenceInOrder = boolean("DataSequenceInOrder")
    return {
      headerDigest: this.#value("HeaderDigest") as Digest,
      dataDigest: this.#value("DataDigest") as Digest,
      ...this.#segments(),
      maxBurstLength,
      firstBurstLength: Math.min(number("FirstBurstLength"), maxBurstLength),
      maxConnections: this.#sessionType === "Discovery" ? 1 : number("MaxConnections"),
      initialR2T: boolean("InitialR2T"),
      immediateData: boolean("ImmediateData"),
      // RFC 7143 §13.19: only then could a lost sequence be asked for again.
      maxOutstandingR2T: errorRecoveryLevel > 0 && dataSequenceInOrder ? 1 : number("MaxOutstandingR2T"),
      dataPduInOrder: boolean("DataPDUInOrder"),
      dataSequenceInOrder,
      errorRecoveryLevel: this.#sessionType === "Discovery" ? 0 : errorRecoveryLevel,
      defaultTime2Wait: number("DefaultTime2Wait"),
      defaultTime2Retain: number("DefaultTime2Retain"),
      taskReporting: this.#value("TaskReporting") as TaskReporting,
      iscsiProtocolLevel: number("iSCSIProtocolLevel"),
      rdmaExtensions: this.#rdma,
      peerMaxOutstandingUnexpectedPdus: this.#peer("MaxOutstandingUnexpectedPDUs") as number | undefined,
      peerMaxAhsLength: this.#peer("MaxAHSLength") as number | undefined,
      taggedBufferForSolicitedDataOnly: this.#peer("TaggedBufferForSolicitedDataOnly") as boolean | undefined,
    }
  }

  /**
   * Both directions' largest data segment: declared by each side, with iSER negotiated (RFC 7145 §6.2). What an initiator
   * names there counts only if it knows RFC 7145's other keys as well; the others are known to have less room.
   */
  #segments(): Pick<NegotiatedKeys, "maxRecvDataSegmentLength" | "maxSendDataSegmentLength"> {
    if (this.#rdma) {
      const initiator = this.#value("InitiatorRecvDataSegmentLength") as number
      const target = this.#value("TargetRecvDataSegmentLength") as number
      const room =
        this.#peer("MaxOutstandingUnexpectedPDUs") === undefined ? ISER_INITIATOR_SEGMENT_BYTES : initiator
      return this.#role === "target"
        ? { maxRecvDataSegmentLength: target, maxSendDataSegmentLength: Math.min(initiator, room) }
        : { maxRecvDataSegmentLength: initiator, maxSendDataSegmentLength: target }
    }
    const key = "MaxRecvDataSegmentLength"
    const untold = defaultOf(findKey(key)!) as number
    const own = this.#state(key).declared ? (wishOf(key, this.#preferences) as number) : untold
    const peers = (this.#peer(key) as number | undefined) ?? untold
    // A discovery session over iSER: the receives are those of the login, whatever was declared.
    const most = this.#rdmaAlready ? LOGIN_DATA_SEGMENT_BYTES_MAX : Infinity
    return { maxRecvDataSegmentLength: own, maxSendDataSegmentLength: Math.min(peers, most) }
  }

  /** The largest data segment of a login PDU to the peer: the default until it declares less. */
  get loginSegmentBytes(): number {
    const declared = this.#peer("MaxRecvDataSegmentLength") as number | undefined
    return Math.min(declared ?? LOGIN_DATA_SEGMENT_BYTES_MAX, LOGIN_DATA_SEGMENT_BYTES_MAX)
  }

  #state(key: string): KeyState {
    let state = this.#states.get(key)
    if (state === undefined) this.#states.set(key, (state = {}))
    return state
  }

  #value(key: string): Value {
    return this.#states.get(key)?.result ?? defaultOf(findKey(key)!)
  }

  #peer(key: string): Value | undefined {
    return this.#states.get(key)?.peer
  }

  get #maxBurst(): number {
    return this.#value("MaxBurstLength") as number
  }

  get #rdmaAlready(): boolean {
    return this.#preferences.iser?.rdmaAlready === true
  }

  /**
   * Whether the session runs over iSER. A target takes an initiator that has come over RDMA, and doesn't mention the
   * key or mentions it last, at its deed.
   */
  get #rdma(): boolean {
    const implied = this.#role === "target" && this.#rdmaAlready && this.#sessionType === "Normal"
    return implied || this.#states.get("RDMAExtensions")?.result === true
  }

  /** RDMA guards its data itself (RFC 7145 §6.2); so it does for a discovery session, which can't say RDMAExtensions. */
  get #withoutDigests(): boolean {
    return this.#rdmaPossible || this.#rdmaAlready
  }

  /** Agreed on, or proposed by us and not yet answered. */
  get #rdmaPossible(): boolean {
    return this.#rdma || this.#states.get("RDMAExtensions")?.proposed === true
  }

  /** Whether the key means anything in this session (RFC 7143 §13, "Irrelevant when"; RFC 7145 §6). */
  #relevant(definition: KeyDefinition): boolean {
    if (definition.normalOnly && this.#sessionType === "Discovery") return false
    if (!definition.iser || definition.key === "RDMAExtensions") return true
    return this.#rdmaPossible
  }

  /** On an RDMA connection there is nothing else to fall back to: open-iscsi gives up as well. */
  #rdmaDeclined(how: string): void {
    if (this.#rdmaAlready) throw breach(`RDMAExtensions is ${how}, on an RDMA connection`)
  }

  #requireDefault(definition: KeyDefinition, wish: Wish, why: string): void {
    if (definition.key === "RDMAExtensions") this.#rdmaDeclined(`not agreed on: ${why}`)
    if (!acceptsDefault(definition, wish)) {
      throw breach(`${definition.key}: ${why}, and ${format(defaultOf(definition))} is not acceptable here`)
    }
  }
}
