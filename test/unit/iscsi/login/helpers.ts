import assert from "node:assert/strict"
import { SeededRandom } from "../../../../src/base/random.ts"
import {
  ChapSecret,
  InitiatorLogin,
  type InitiatorLoginOptions,
  type InitiatorLoginStep,
  initiatorKeyPreferences,
  type LoginGrant,
  type LoginPdu,
  type LoginPolicy,
  TargetLogin,
  type TargetLoginStep,
  targetKeyPreferences,
} from "../../../../src/iscsi/login/index.ts"
import { encodeLoginRequest, type LoginRequestFields } from "../../../../src/iscsi/login/login-headers.ts"
import { LoginRequest, LoginResponse } from "../../../../src/iscsi/pdu/index.ts"

export const initiatorName = "iqn.2026-01.org.example:initiator"
export const targetName = "iqn.2026-01.org.example:disk0"

/** "A=1 B=2" as a text: pairs without spaces in them, each ended by a NUL. */
export const text = (pairs: string): Uint8Array =>
  new TextEncoder().encode(
    pairs
      .split(/\s+/)
      .filter((pair) => pair !== "")
      .map((pair) => `${pair}\0`)
      .join(""),
  )

/** The other way round. */
export const said = (data: Uint8Array): string => new TextDecoder().decode(data).replace(/\0/g, " ").trim()

const view = (header: Uint8Array) => new DataView(header.buffer, header.byteOffset, header.byteLength)
export const asRequest = (pdu: LoginPdu) => new LoginRequest(view(pdu.header), 0)
export const asResponse = (pdu: LoginPdu) => new LoginResponse(view(pdu.header), 0)

/** A policy that lets everybody in, or as told. */
export function policy(grant: Partial<LoginGrant> = {}, rest: Partial<LoginPolicy> = {}): LoginPolicy {
  return {
    findTarget: () => ({ kind: "granted", keys: targetKeyPreferences, portalGroupTag: 1, ...grant }),
    admit: () => ({ kind: "admitted", tsih: 7 }),
    ...rest,
  }
}

export const random = (seed = 1) => new SeededRandom(seed)
export const alice = { name: "alice", secret: new ChapSecret("alicesecret12") }
export const ours = { name: "target", secret: new ChapSecret("targetsecret12") }

/** The flags of a request, as open-iscsi would write them: T, C, CSG, NSG. */
export interface Flags {
  readonly t?: boolean
  readonly c?: boolean
  readonly csg: number
  readonly nsg?: number
}

/** A TargetLogin and an initiator that says just what a test tells it to. */
export class TargetUnderTest {
  readonly login: TargetLogin
  readonly fields: Partial<LoginRequestFields>

  constructor(loginPolicy: LoginPolicy = policy(), fields: Partial<LoginRequestFields> = {}) {
    this.login = new TargetLogin(loginPolicy, random())
    this.fields = fields
  }

  async send(
    flags: Flags,
    pairs: string | Uint8Array,
    fields: Partial<LoginRequestFields> = {},
  ): Promise<TargetLoginStep> {
    const header = encodeLoginRequest({
      transit: flags.t ?? false,
      continue: flags.c ?? false,
      currentStage: flags.csg,
      nextStage: flags.nsg ?? 0,
      versionMax: 0,
      versionMin: 0,
      isid: 0x800001020304,
      tsih: 0,
      initiatorTaskTag: 5,
      cid: 0,
      cmdSn: 42,
      expStatSn: 100,
      ...this.fields,
      ...fields,
    })
    const data = typeof pairs === "string" ? text(pairs) : pairs
    return this.login.receive(new LoginRequest(view(header), 0), data)
  }
}

/** The step's text, after checking its kind and (when given) its T, C, CSG and NSG bits. */
export function expectStep(step: TargetLoginStep, kind: TargetLoginStep["kind"], flags?: Flags): string {
  assert.equal(step.kind, kind, step.kind === "refused" ? step.reason : undefined)
  const response = asResponse(step.response)
  if (flags) {
    const { transit: t, continue: c, currentStage: csg, nextStage: nsg } = response
    assert.deepEqual({ t, c, csg, nsg }, { t: false, c: false, nsg: 0, ...flags })
  }
  return said(step.response.data)
}

export function expectRefused(step: TargetLoginStep, status: number, reason?: RegExp): void {
  assert.equal(step.kind, "refused", JSON.stringify(step))
  if (step.kind !== "refused") return
  const response = asResponse(step.response)
  assert.equal((response.statusClass << 8) | response.statusDetail, status, step.reason)
  assert.equal(step.status, status)
  assert.equal(response.transit, false)
  if (reason) assert.match(step.reason, reason)
}

export const initiatorOptions: InitiatorLoginOptions = {
  initiatorName,
  sessionType: "Normal",
  targetName,
  isid: 0x800001020304,
  keys: initiatorKeyPreferences,
}

export interface Outcome {
  readonly initiator: Exclude<InitiatorLoginStep, { kind: "request" }>
  readonly target: Exclude<TargetLoginStep, { kind: "respond" }> | undefined
  readonly rounds: number
}

/** Lets the two machines talk until either has come to its end. */
export async function talk(
  options: Partial<InitiatorLoginOptions>,
  loginPolicy: LoginPolicy,
  seed = 1,
): Promise<Outcome> {
  const initiator = new InitiatorLogin({ ...initiatorOptions, ...options }, random(seed))
  const target = new TargetLogin(loginPolicy, random(seed + 1000))
  let request = initiator.start()
  for (let rounds = 1; rounds < 100; rounds++) {
    const step = await target.receive(asRequest(request), request.data)
    const next = initiator.receive(asResponse(step.response), step.response.data)
    if (next.kind !== "request") {
      return { initiator: next, target: step.kind === "respond" ? undefined : step, rounds }
    }
    assert.equal(step.kind, "respond", "the target thinks it's over, the initiator doesn't")
    request = next.request
  }
  throw new Error("the login doesn't come to an end")
}
