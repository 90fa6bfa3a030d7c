import type { Timer } from "../base/clock.ts"
import type { SanletError } from "../base/errors.ts"
import { DISCOVERY_SESSIONS_MAX, LOGIN_DEADLINE_MS, SESSIONS_MAX } from "../base/limits.ts"
import { isPromise } from "../base/completion.ts"
import type { ReceivedPdu } from "../iscsi/da.ts"
import { Opcode } from "../iscsi/pdu/bhs.ts"
import { LoginRequest } from "../iscsi/pdu/index.ts"
import { type KeyPreferences, targetIserPreferences, targetKeyPreferences } from "../iscsi/login/keys.ts"
import type {
  AcceptedLogin,
  Admission,
  LeadingLogin,
  LoginCandidate,
  LoginGrant,
  LoginPolicy,
  LoginRefusal,
  TargetLoginStep,
} from "../iscsi/login/policy.ts"
import { TargetLogin } from "../iscsi/login/target-login.ts"
import type { LoginPhaseReceiver, TargetConnection } from "../iscsi/session/target-connection.ts"
import { TargetSession } from "../iscsi/session/target-session.ts"
import { LoginStatus } from "../iscsi/spec/index.ts"
import { DiscoveryUser } from "./discovery-user.ts"
import type { NetworkEntity } from "./network-entity.ts"
import type { Portal } from "./portal.ts"
import { ScsiPort } from "./scsi-port.ts"
import type { Target } from "./target.ts"

const OFFLINE = "the portal group is offline"

const refused = (status: number, reason: string): LoginRefusal => ({ kind: "refused", status, reason })

/**
 * The login phase of one connection: says who may log in to what, and joins what comes out to a session (RFC 7143 §6).
 * It has a deadline; until it is through it holds nothing anybody else waits for.
 */
export class PortalLogin implements LoginPhaseReceiver, LoginPolicy {
  readonly #portal: Portal
  readonly #entity: NetworkEntity
  readonly #connection: TargetConnection
  readonly #login: TargetLogin
  readonly #deadline: Timer
  readonly #over: () => void
  #target: Target | undefined
  /** The session this login joins: a new one, or one that goes on with a new connection. */
  #session: TargetSession | undefined
  #ended = false

  /** `deadlineMs`: how long it may take from now on. `over`: the login has ended, one way or the other. */
  constructor(
    portal: Portal,
    entity: NetworkEntity,
    connection: TargetConnection,
    deadlineMs: number,
    over: () => void,
  ) {
    this.#portal = portal
    this.#entity = entity
    this.#connection = connection
    this.#over = over
    this.#login = new TargetLogin(this, entity.random)
    const wholeMs = entity.options.loginDeadlineMs ?? LOGIN_DEADLINE_MS
    this.#deadline = entity.clock.after(deadlineMs, "login deadline", () =>
      connection.fail(`no login within ${Math.round(wholeMs / 1000)} s`),
    )
  }

  /** Where it comes from. */
  get address(): string {
    return this.#connection.datamover.remote.address
  }

  /** Ends the login from our side, so that another time or another portal may do better. */
  abandon(reason: string): void {
    if (this.#ended) return
    if (this.#connection.state === "xpt-up") this.#connection.fail(reason)
    else this.#apply(this.#login.refuse(LoginStatus.serviceUnavailable, reason))
  }

  // ----------------------------------------------------------------------------------- connection's side

  received(pdu: ReceivedPdu): void {
    if (this.#ended) return
    if ((pdu.view.getUint8(pdu.at) & 0x3f) !== Opcode.loginRequest) {
      return this.unusable("another PDU than a Login Request")
    }
    if (this.#connection.state === "xpt-up") this.#connection.enter("in-login")
    const segment = pdu.bytes.subarray(pdu.dataAt, pdu.dataAt + pdu.dataBytes)
    const step = this.#login.receive(new LoginRequest(pdu.view, pdu.at), segment)
    if (isPromise(step)) this.#connection.inBackground(step.then((value) => this.#apply(value)))
    else this.#apply(step)
  }

  /** The first PDU must be a Login Request, or there is nobody to answer; later ones are answered (RFC 7143 §4.2.4). */
  unusable(message: string): void {
    if (this.#ended) return
    if (this.#connection.state === "xpt-up") this.#connection.fail(message)
    else this.#apply(this.#login.refuse(LoginStatus.invalidDuringLogin, message))
  }

  lost(error: Error): void {
    if (this.#ended) return
    const { initiatorName, targetName } = this.#login
    const who = { ...this.#connection.fields, initiator: initiatorName, target: targetName }
    this.#entity.log.info({ ...who, reason: error.message }, "login not completed")
    this.#end()
  }

  #apply(step: TargetLoginStep): void {
    if (this.#ended) return
    const { datamover } = this.#connection
    if (step.kind === "accepted") return this.#accept(step.response, step.login)
    datamover.sendControl(step.response.header, step.response.data)
    if (step.kind === "respond") return
    const { initiatorName, targetName } = this.#login
    const who = { ...this.#connection.fields, initiator: initiatorName, target: targetName }
    this.#entity.log.warn(
      { ...who, status: `0x${step.status.toString(16).padStart(4, "0")}`, reason: step.reason },
      "login refused",
    )
    this.#end()
    this.#connection.refused()
  }

  #accept(response: { header: Uint8Array; data: Uint8Array }, login: AcceptedLogin): void {
    const connection = this.#connection
    const session = this.#session!
    connection.keys = session.keysOf(login.keys)
    connection.datamover.noticeKeyValues(connection.keys)
    try {
      connection.datamover.allocateConnectionResources()
    } catch (error) {
      return this.#noResources(error as SanletError)
    }
    connection.session = session
    connection.statSn = login.statSn
    connection.datamover.enableDatamover(response)
    connection.enterFullFeaturePhase(
      (which) => this.#portal.sendTargets(session, connection, which),
      login.negotiation,
    )
    this.#entity.log.info(
      { ...connection.fields, session: session.identity.type, user: login.user },
      "logged in",
    )
    this.#end()
  }

  /** What iSER needs can't be had (RFC 7145 §5.1.2): the initiator may come back later, or over TCP. */
  #noResources(error: SanletError): void {
    // The connection is gone, we just haven't been told yet.
    if (error.code === "ERR_CONNECTION_LOST") return this.lost(error)
    this.#apply(this.#login.refuse(LoginStatus.outOfResources, error.message))
  }

  #end(): void {
    this.#ended = true
    this.#deadline.cancel()
    this.#over()
    // Admitted, but gone before the final response: a session without a connection ends at once.
    const connection = this.#connection
    if (connection.session === undefined && this.#session)
      connection.inBackground(this.#session.connectionFree(connection, "connection lost"))
  }

  // -------------------------------------------------------------------------------------------- policy

  findTarget(login: LeadingLogin): LoginGrant | LoginRefusal {
    const { portalGroupTag } = this.#portal
    if (login.sessionType === "Discovery") {
      const auth = this.#entity.options.discoveryAuth
      return { kind: "granted", keys: this.#keys(), portalGroupTag, ...(auth && { auth }) }
    }
    const target = this.#entity.targets.get(login.targetName ?? "")
    if (!target?.isIn(portalGroupTag))
      return refused(LoginStatus.notFound, `no target ${login.targetName} here`)
    const { remote } = this.#connection.datamover
    if (!target.access.allows(login.initiatorName, remote.address)) {
      return refused(LoginStatus.authorizationFailure, `${login.initiatorName} may not use ${target.name}`)
    }
    if (target.isOffline(portalGroupTag)) return refused(LoginStatus.serviceUnavailable, OFFLINE)
    this.#target = target
    const { auth, alias, keys } = target.options
    return {
      kind: "granted",
      keys: this.#keys(keys),
      portalGroupTag,
      ...(auth && { auth }),
      ...(alias !== undefined && { alias }),
    }
  }

  /** What the login is negotiated with: over RDMA iSER's keys belong to it, over TCP they are declined. */
  #keys(own: Partial<KeyPreferences> = {}): KeyPreferences {
    const keys = { ...targetKeyPreferences, ...own }
    const { transport, iserSegmentBytesMax } = this.#connection.datamover
    if (iserSegmentBytesMax === undefined) return keys
    const wanted = { ...targetIserPreferences, ...keys.iser }
    const targetRecvDataSegmentLength = Math.min(wanted.targetRecvDataSegmentLength, iserSegmentBytesMax)
    const iser = { ...wanted, targetRecvDataSegmentLength }
    if (transport === "tcp") return { ...keys, iser }
    // Unsolicited data would take a receive for each PDU of it, and copies; an RDMA Read takes neither.
    const initialR2T = own.initialR2T ?? true
    return { ...keys, initialR2T, iser: { ...iser, rdmaAlready: true } }
  }

  /** Which session the login makes or joins (RFC 7143 §6.3.1, §6.3.5, §6.3.6). */
  async admit(login: LoginCandidate): Promise<Admission | LoginRefusal> {
    if (login.tsihRequested !== 0) return this.#join(login)
    const { sessions } = this.#entity
    const key = { ...login, targetName: this.#target?.name }
    // The same initiator port again: the old session ends before the new one begins. Another login that waited for
    // that, too, may have made one meanwhile.
    for (let old = sessions.find(key); old !== undefined; old = sessions.find(key))
      await old.drop("reinstated")
    const refusal = this.#noPlace()
    if (refusal) return refusal
    const tsih = sessions.freeTsih()
    if (tsih === undefined) return refused(LoginStatus.outOfResources, "65,535 sessions")
    this.#session = this.#open(login, tsih)
    return { kind: "admitted", tsih }
  }

  /** What may have changed while the login took its time, and the limits. */
  #noPlace(): LoginRefusal | undefined {
    const { sessions, closing, targets } = this.#entity
    const target = this.#target
    if (this.#ended) return refused(LoginStatus.initiatorError, "the connection is gone")
    if (closing) return refused(LoginStatus.serviceUnavailable, "closing")
    if (target && targets.get(target.name) !== target) {
      return refused(LoginStatus.targetRemoved, `${target.name} is no longer here`)
    }
    if (target?.isOffline(this.#portal.portalGroupTag))
      return refused(LoginStatus.serviceUnavailable, OFFLINE)
    const sessionsMax = target ? SESSIONS_MAX : DISCOVERY_SESSIONS_MAX
    if (sessions.count(target?.name) < sessionsMax) return undefined
    const what = target?.name ?? "discovery"
    return refused(LoginStatus.outOfResources, `${what} has ${sessionsMax} sessions already`)
  }

  #open(login: LoginCandidate, tsih: number): TargetSession {
    const target = this.#target
    const identity = {
      type: login.sessionType,
      initiatorName: login.initiatorName,
      initiatorAlias: login.initiatorAlias,
      targetName: target?.name,
      isid: login.isid,
      tsih,
      portalGroupTag: login.portalGroupTag,
      user: login.user,
    } as const
    const session = new TargetSession(identity, login.keys, login.cmdSn, (ended) => {
      this.#entity.sessions.remove(ended)
      target?.sessionEnded(ended)
    })
    session.user = target
      ? new ScsiPort(session, target.scsi, () => target.endSessions("target cold reset"))
      : new DiscoveryUser()
    this.#occupy(session, login.cid)
    this.#entity.sessions.add(session)
    target?.sessionOpened(session)
    return session
  }

  /** From now on whatever ends the session ends this login, too. */
  #occupy(session: TargetSession, cid: number): void {
    this.#connection.cid = cid
    session.connections.set(cid, this.#connection)
  }

  /** A connection for a session that exists: in place of a dead one of the same CID, or one more. */
  async #join(login: LoginCandidate): Promise<Admission | LoginRefusal> {
    const session = this.#entity.sessions.byTsih(login.tsihRequested)
    const identity = session?.identity
    const same =
      identity?.initiatorName === login.initiatorName &&
      identity.isid === login.isid &&
      identity.targetName === this.#target?.name &&
      identity.portalGroupTag === login.portalGroupTag
    if (!session || !same || session.endedBy) {
      return refused(LoginStatus.sessionDoesNotExist, `no session with TSIH ${login.tsihRequested}`)
    }
    const { maxConnections } = session.keys
    // RDMAExtensions is the leading connection's word for all of a session's (RFC 7145 §6.3).
    if (session.keys.rdmaExtensions !== login.keys.rdmaExtensions) {
      return refused(LoginStatus.cannotIncludeInSession, "the session's connections have another transport")
    }
    const old = session.connections.get(login.cid)
    if (!old && session.connections.size >= maxConnections) {
      return refused(LoginStatus.tooManyConnections, `MaxConnections is ${maxConnections}`)
    }
    // The new connection takes the old one's place first, or the session would end with it.
    this.#occupy(session, login.cid)
    this.#session = session
    if (old) {
      old.drop("reinstated")
      await old.freed
    }
    if (this.#ended || session.endedBy) return refused(LoginStatus.initiatorError, "the connection is gone")
    const { expCmdSn, maxCmdSn } = session.window
    return { kind: "admitted", tsih: login.tsihRequested, expCmdSn, maxCmdSn }
  }
}
