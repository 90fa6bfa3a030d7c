import type { Eventually } from "../../base/completion.ts"
import type { ChapAcceptance } from "./chap.ts"
import type { KeyPreferences, NegotiatedKeys } from "./keys.ts"
import type { Negotiation } from "./negotiation.ts"

export type SessionType = "Normal" | "Discovery"

/** What the leading PDU of a login says. Names are in normal form (lower case). */
export interface LeadingLogin {
  readonly initiatorName: string
  readonly initiatorAlias: string | undefined
  readonly sessionType: SessionType
  /** Always given in a normal session; in a discovery session hardly ever. */
  readonly targetName: string | undefined
  /** 48 bits. */
  readonly isid: number
  /** What the initiator asks to join; 0: a new session. */
  readonly tsihRequested: number
  readonly cid: number
}

/** This initiator may go on logging in. */
export interface LoginGrant {
  readonly kind: "granted"
  /** Absent: no authentication is asked for, and none is done. */
  readonly auth?: ChapAcceptance
  readonly keys: KeyPreferences
  readonly portalGroupTag: number
  /** TargetAlias: a name for people. */
  readonly alias?: string
}

/** It may not, or not here. */
export interface LoginRefusal {
  readonly kind: "refused"
  /** One of LoginStatus. */
  readonly status: number
  /** For the log; the initiator only sees the status. */
  readonly reason: string
  /** For the redirecting statuses: domainname[:port], without portal group tag. */
  readonly targetAddresses?: readonly string[]
}

/** A login that has come to its end on the initiator's side, and waits for its session. */
export interface LoginCandidate extends LeadingLogin {
  readonly keys: NegotiatedKeys
  readonly portalGroupTag: number
  /** The CHAP name the initiator has proved; undefined: it wasn't asked to. */
  readonly user: string | undefined
  /** The first CmdSN of a new session. */
  readonly cmdSn: number
}

export interface Admission {
  readonly kind: "admitted"
  /** 1 to 65535: the new session's, or the one joined. */
  readonly tsih: number
  /** For the final Login Response; absent: ExpCmdSN is the login's CmdSN, MaxCmdSN the whole commandWindow. */
  readonly expCmdSn?: number
  readonly maxCmdSn?: number
}

/** Who may log in to what; the target layer's part of a login. What it throws becomes a target error (0x0300). */
export interface LoginPolicy {
  /** Called once, when the leading text is complete, before authentication. */
  findTarget(login: LeadingLogin): Eventually<LoginGrant | LoginRefusal>
  /** Called once, at the end: TSIH, session and connection reinstatement, limits on sessions. */
  admit(login: LoginCandidate): Eventually<Admission | LoginRefusal>
}

/** A Login Request or Response ready to be sent: the 48-byte BHS, and the text. */
export interface LoginPdu {
  readonly header: Uint8Array
  readonly data: Uint8Array
}

export interface AcceptedLogin extends LoginCandidate {
  readonly tsih: number
  /** For text negotiation in full feature phase: receive(pairs, LoginStage.fullFeaturePhase), then result(). */
  readonly negotiation: Negotiation
  /** The StatSN the next response on this connection carries. */
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
}

/** What the target's side of a login does next. The response is to be sent in every case. */
export type TargetLoginStep =
  | { readonly kind: "respond"; readonly response: LoginPdu }
  /** `response` is the final Login Response: it goes out with enableDatamover. */
  | { readonly kind: "accepted"; readonly response: LoginPdu; readonly login: AcceptedLogin }
  /** After the response the connection is to be closed. */
  | {
      readonly kind: "refused"
      readonly response: LoginPdu
      readonly status: number
      readonly reason: string
    }
