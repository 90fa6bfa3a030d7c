import assert from "node:assert/strict"
import { test } from "node:test"
import { LoginStatus } from "../../../../src/iscsi/spec/login-status.ts"
import {
  alice,
  expectRefused,
  expectStep,
  initiatorName,
  ours,
  policy,
  TargetUnderTest,
  targetName,
} from "./helpers.ts"

const names = `InitiatorName=${initiatorName} TargetName=${targetName} SessionType=Normal`
const toSecurity = { csg: 0 }
const toOperational = { t: true, csg: 0, nsg: 1 }
const toFullFeature = { t: true, csg: 1, nsg: 3 }

const chapPolicy: Partial<Parameters<typeof policy>[0]> = {
  auth: { users: [alice], outgoing: ours, algorithms: [5] },
}

/** The two CHAP keys that prove alice, to what the target has asked in `asked`. */
function proof(asked: string): string {
  const [, identifier, challenge] = /CHAP_I=(\d+) CHAP_C=0x([0-9a-f]+)/.exec(asked)!
  const response = alice.secret.response(5, Number(identifier), Buffer.from(challenge!, "hex"))
  return `CHAP_N=alice CHAP_R=0x${Buffer.from(response).toString("hex")}`
}

test("CHAP as libiscsi does it: T bit from the start, names again in the operational stage", async () => {
  const target = new TargetUnderTest(policy(chapPolicy))
  const first = await target.send(toOperational, `${names} AuthMethod=CHAP,None`)
  assert.equal(expectStep(first, "respond", toSecurity), "TargetPortalGroupTag=1 AuthMethod=CHAP")
  const asked = expectStep(await target.send(toSecurity, "CHAP_A=5"), "respond", toSecurity)
  assert.match(asked, /^CHAP_A=5 CHAP_I=\d+ CHAP_C=0x[0-9a-f]{32}$/)
  assert.equal(expectStep(await target.send(toOperational, proof(asked)), "respond", toOperational), "")
  const last = await target.send(toFullFeature, `${names} HeaderDigest=None`)
  assert.ok(last.kind === "accepted")
  assert.equal(last.login.user, "alice")
})

test("CHAP without detours: method and algorithms in one request, straight to full feature phase", async () => {
  const target = new TargetUnderTest(policy(chapPolicy))
  const asked = expectStep(await target.send(toSecurity, `${names} AuthMethod=CHAP CHAP_A=8,5`), "respond")
  assert.match(asked, /^TargetPortalGroupTag=1 AuthMethod=CHAP CHAP_A=5 /)
  const step = await target.send(
    { t: true, csg: 0, nsg: 3 },
    `${proof(asked)} CHAP_I=3 CHAP_C=0b${"A".repeat(24)}`,
  )
  assert.match(expectStep(step, "accepted"), /^CHAP_N=target CHAP_R=0b[\w+/]+==$/)
})

test("nobody gets around authentication", async () => {
  const send = async (
    ...requests: readonly (readonly [Parameters<TargetUnderTest["send"]>[0], string])[]
  ) => {
    const target = new TargetUnderTest(policy(chapPolicy))
    let step = await target.send(...requests[0]!)
    for (const request of requests.slice(1)) step = await target.send(...request)
    return step
  }
  const failed = LoginStatus.authenticationFailure
  expectRefused(await send([toFullFeature, names]), failed, /left out authentication/)
  expectRefused(await send([toSecurity, `${names} AuthMethod=None`]), failed, /CHAP is required/)
  expectRefused(await send([toSecurity, `${names} AuthMethod=KRB5,SRP`]), failed)
  expectRefused(await send([toOperational, names], [toOperational, ""]), failed, /does not authenticate/)
  const chosen = [toSecurity, `${names} AuthMethod=CHAP`] as const
  expectRefused(await send(chosen, [toSecurity, "CHAP_A=6"]), failed, /algorithms/)
  expectRefused(
    await send(chosen, [toSecurity, "CHAP_A=5"], [toOperational, "CHAP_N=alice CHAP_R=0x00"]),
    failed,
  )
  expectRefused(
    await send(chosen, [toSecurity, "AuthMethod=CHAP"]),
    LoginStatus.initiatorError,
    /second time/,
  )
  expectRefused(await send([toSecurity, `${names} CHAP_A=5`]), LoginStatus.initiatorError, /not agreed on/)
  expectStep(await send(chosen, [toOperational, ""]), "respond", toSecurity)
  expectStep(await send(chosen, [{ t: true, csg: 0, nsg: 3 }, ""]), "respond", toSecurity)
  expectRefused(await send(chosen, [{ csg: 1 }, ""]), LoginStatus.initiatorError)
})

test("an initiator that wants to go on without offering a method is asked for one", async () => {
  const target = new TargetUnderTest(policy(chapPolicy))
  const asked = await target.send(toOperational, names)
  assert.equal(expectStep(asked, "respond", toSecurity), "TargetPortalGroupTag=1 AuthMethod=CHAP")
  const challenge = expectStep(await target.send(toSecurity, "AuthMethod=CHAP CHAP_A=5"), "respond")
  assert.match(challenge, /^CHAP_A=5 CHAP_I/)
  expectStep(await target.send(toOperational, proof(challenge)), "respond", toOperational)
})

test("who doesn't need to authenticate may, with None", async () => {
  const target = new TargetUnderTest()
  const step = await target.send(toOperational, `${names} AuthMethod=CHAP,None`)
  assert.equal(expectStep(step, "respond", toOperational), "TargetPortalGroupTag=1 AuthMethod=None")
  expectRefused(
    await new TargetUnderTest().send(toSecurity, `${names} AuthMethod=CHAP`),
    LoginStatus.authenticationFailure,
    /None is required/,
  )
})

test("no secret and no name of a wrong login is in what the peer sees", async () => {
  const target = new TargetUnderTest(policy(chapPolicy))
  const asked = expectStep(await target.send(toSecurity, `${names} AuthMethod=CHAP CHAP_A=5`), "respond")
  assert.match(asked, /CHAP_C/)
  const step = await target.send(toOperational, "CHAP_N=mallory CHAP_R=0x00112233445566778899aabbccddeeff")
  expectRefused(step, LoginStatus.authenticationFailure, /mallory/)
  assert.equal(step.response.data.length, 0)
})
