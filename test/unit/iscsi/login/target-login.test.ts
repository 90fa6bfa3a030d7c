import assert from "node:assert/strict"
import { test } from "node:test"
import { LOGIN_ROUNDS_MAX } from "../../../../src/base/limits.ts"
import { LoginError, type LoginPolicy, targetKeyPreferences } from "../../../../src/iscsi/login/index.ts"
import { LoginStatus } from "../../../../src/iscsi/spec/login-status.ts"
import { splitText } from "../../../../src/wire/text.ts"
import {
  alice,
  asResponse,
  expectRefused,
  expectStep,
  initiatorName,
  ours,
  policy,
  said,
  TargetUnderTest,
  targetName,
  text,
} from "./helpers.ts"

const names = `InitiatorName=${initiatorName} TargetName=${targetName} SessionType=Normal`
const discovery = `InitiatorName=${initiatorName} SessionType=Discovery`
const toSecurity = { csg: 0 }
const toOperational = { t: true, csg: 0, nsg: 1 }
const toFullFeature = { t: true, csg: 1, nsg: 3 }
const ourLength = "MaxRecvDataSegmentLength=262144"

test("one request is enough: operational stage only", async () => {
  const target = new TargetUnderTest(policy({ alias: "disk", portalGroupTag: 3 }))
  const step = await target.send(toFullFeature, `${names} InitiatorAlias=me MaxBurstLength=65536`)
  assert.equal(
    expectStep(step, "accepted", toFullFeature),
    `TargetAlias=disk TargetPortalGroupTag=3 MaxBurstLength=65536 ${ourLength}`,
  )
  assert.ok(step.kind === "accepted")
  const { negotiation, keys, ...login } = step.login
  assert.deepEqual(login, {
    initiatorName,
    initiatorAlias: "me",
    sessionType: "Normal",
    targetName,
    isid: 0x800001020304,
    tsihRequested: 0,
    cid: 0,
    portalGroupTag: 3,
    user: undefined,
    cmdSn: 42,
    tsih: 7,
    statSn: 101,
    expCmdSn: 42,
    maxCmdSn: 42 + 127,
  })
  assert.equal(keys.maxBurstLength, 65536)
  assert.deepEqual(negotiation.result(), keys)
  const response = asResponse(step.response)
  assert.equal(response.tsih, 7)
  assert.equal(response.isid, 0x800001020304)
  assert.equal(response.initiatorTaskTag, 5)
  assert.equal(response.statSn, 100)
  assert.equal(response.expCmdSn, 42)
  assert.equal(response.statusClass, 0)
})

test("security, operational, full feature: every legal way through the stages", async () => {
  const ways = [
    [toFullFeature],
    [{ t: true, csg: 0, nsg: 3 }],
    [toOperational, toFullFeature],
    [toSecurity, toOperational, { csg: 1 }, toFullFeature],
    [toSecurity, { t: true, csg: 0, nsg: 3 }],
    [{ csg: 1 }, { csg: 1 }, toFullFeature],
  ]
  for (const way of ways) {
    const target = new TargetUnderTest()
    for (const [index, flags] of way.entries()) {
      const step = await target.send(flags, index === 0 ? names : "")
      expectStep(step, index === way.length - 1 ? "accepted" : "respond", flags)
      assert.equal(asResponse(step.response).statSn, 100 + index)
    }
  }
})

test("illegal ways are refused", async () => {
  const ways = [
    [{ csg: 2 }],
    [{ csg: 3 }],
    [{ t: true, csg: 0, nsg: 0 }],
    [{ t: true, csg: 0, nsg: 2 }],
    [{ t: true, csg: 1, nsg: 1 }],
    [{ t: true, csg: 1, nsg: 0 }],
    [toOperational, toSecurity],
    [toSecurity, toFullFeature],
    [{ csg: 1 }, toSecurity],
    [{ t: true, c: true, csg: 0, nsg: 1 }],
  ]
  for (const way of ways) {
    const target = new TargetUnderTest()
    let step = await target.send(way[0]!, names)
    if (way[1]) step = await target.send(way[1], "")
    expectRefused(step, LoginStatus.initiatorError)
  }
})

test("the leading request must say who wants what", async () => {
  const send = (pairs: string) => new TargetUnderTest().send(toFullFeature, pairs)
  expectRefused(await send(`TargetName=${targetName}`), LoginStatus.missingParameter, /InitiatorName/)
  expectRefused(await send(`InitiatorName=${initiatorName}`), LoginStatus.missingParameter, /TargetName/)
  expectRefused(await send(""), LoginStatus.missingParameter)
  expectRefused(
    await send(`InitiatorName=nobody TargetName=${targetName}`),
    LoginStatus.initiatorError,
    /not an iSCSI name/,
  )
  expectRefused(await send(`InitiatorName=${initiatorName} TargetName=disk`), LoginStatus.notFound)
  expectRefused(await send(`${discovery.replace("Discovery", "Boot")}`), LoginStatus.sessionTypeNotSupported)
  expectStep(await send(`InitiatorName=${initiatorName} TargetName=${targetName}`), "accepted")
})

test("names reach the policy in normal form", async () => {
  let asked: unknown
  const loginPolicy = policy(
    {},
    {
      findTarget: (login) => {
        asked = login
        return { kind: "granted", keys: targetKeyPreferences, portalGroupTag: 1 }
      },
    },
  )
  const target = new TargetUnderTest(loginPolicy)
  assert.equal(target.login.initiatorName, undefined)
  await target.send(
    toFullFeature,
    names
      .toUpperCase()
      .replace("INITIATORNAME", "InitiatorName")
      .replace("TARGETNAME", "TargetName")
      .replace("SESSIONTYPE=NORMAL", "SessionType=Normal"),
    { tsih: 9, cid: 2 },
  )
  assert.deepEqual(asked, {
    initiatorName,
    initiatorAlias: undefined,
    sessionType: "Normal",
    targetName,
    isid: 0x800001020304,
    tsihRequested: 9,
    cid: 2,
  })
  assert.equal(target.login.initiatorName, initiatorName)
  assert.equal(target.login.targetName, targetName)
})

test("a discovery session needs no target, and isn't told a portal group", async () => {
  const step = await new TargetUnderTest(policy({ alias: "x" })).send(toFullFeature, discovery)
  assert.equal(expectStep(step, "accepted"), ourLength)
  assert.ok(step.kind === "accepted")
  assert.equal(step.login.sessionType, "Discovery")
  assert.equal(step.login.targetName, undefined)
})

test("version, and fields that change on the way", async () => {
  const step = await new TargetUnderTest().send(toFullFeature, names, { versionMin: 1, versionMax: 1 })
  expectRefused(step, LoginStatus.unsupportedVersion)
  assert.equal(asResponse(step.response).versionActive, 0)
  for (const change of [{ isid: 1 }, { tsih: 1 }, { cid: 1 }, { initiatorTaskTag: 6 }, { versionMax: 1 }]) {
    const target = new TargetUnderTest()
    await target.send(toSecurity, names)
    expectRefused(
      await target.send(toOperational, "", change),
      LoginStatus.initiatorError,
      /changed within the login/,
    )
  }
})

test("every refusal of the policy reaches the initiator, before and after negotiation", async () => {
  for (const status of Object.values(LoginStatus)) {
    if (status === LoginStatus.success) continue
    const refusal = { kind: "refused", status, reason: "so it is" } as const
    const early = new TargetUnderTest(policy({}, { findTarget: () => refusal }))
    expectRefused(await early.send(toFullFeature, names), status, /so it is/)
    const late = new TargetUnderTest(policy({}, { admit: async () => refusal }))
    expectRefused(await late.send(toFullFeature, names), status, /so it is/)
  }
})

test("a redirection carries the new addresses", async () => {
  const targetAddresses = ["10.0.0.1:3260", "[2001:db8::1]:3260"]
  const refusal = {
    kind: "refused",
    status: LoginStatus.targetMovedTemporarily,
    reason: "moved",
    targetAddresses,
  } as const
  const step = await new TargetUnderTest(policy({}, { findTarget: () => refusal })).send(toFullFeature, names)
  expectRefused(step, LoginStatus.targetMovedTemporarily)
  assert.equal(
    said(step.response.data),
    targetAddresses.map((address) => `TargetAddress=${address}`).join(" "),
  )
})

test("a policy that fails is the target's error; one that throws a LoginError chooses the status", async () => {
  const broken = policy({}, { findTarget: () => Promise.reject(new Error("disk on fire")) })
  expectRefused(
    await new TargetUnderTest(broken).send(toFullFeature, names),
    LoginStatus.targetError,
    /disk on fire/,
  )
  const full = policy(
    {},
    {
      admit: () => {
        throw new LoginError(LoginStatus.outOfResources)
      },
    },
  )
  expectRefused(await new TargetUnderTest(full).send(toFullFeature, names), LoginStatus.outOfResources)
})

test("admission decides on TSIH and the command window", async () => {
  const loginPolicy = policy(
    {},
    {
      admit: async () => ({ kind: "admitted", tsih: 0xabcd, expCmdSn: 0xffffffff, maxCmdSn: 30 }),
    },
  )
  const step = await new TargetUnderTest(loginPolicy).send(toFullFeature, names)
  assert.ok(step.kind === "accepted")
  assert.deepEqual([step.login.tsih, step.login.expCmdSn, step.login.maxCmdSn], [0xabcd, 0xffffffff, 30])
  const response = asResponse(step.response)
  assert.deepEqual([response.tsih, response.expCmdSn, response.maxCmdSn], [0xabcd, 0xffffffff, 30])
})

test("the TSIH of a new session appears in the final response only", async () => {
  const target = new TargetUnderTest()
  const first = await target.send(toOperational, names)
  assert.equal(asResponse(first.response).tsih, 0)
  const last = await target.send(toFullFeature, "")
  assert.equal(asResponse(last.response).tsih, 7)
})

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

test("keys in the wrong stage are refused", async () => {
  const send = (flags: Parameters<TargetUnderTest["send"]>[0], pairs: string) =>
    new TargetUnderTest().send(flags, pairs)
  expectRefused(
    await send(toSecurity, `${names} MaxBurstLength=512`),
    LoginStatus.initiatorError,
    /wrong stage/,
  )
  expectRefused(
    await send(toFullFeature, `${names} AuthMethod=None`),
    LoginStatus.initiatorError,
    /wrong stage/,
  )
  expectRefused(await send(toFullFeature, `${names} CHAP_A=5`), LoginStatus.initiatorError, /wrong stage/)
  expectRefused(
    await send(toFullFeature, `${names} SendTargets=All`),
    LoginStatus.initiatorError,
    /wrong stage/,
  )
  expectRefused(await send(toFullFeature, `${names} TargetAlias=x`), LoginStatus.initiatorError)
})

test("a name may be said again, but not changed", async () => {
  const target = new TargetUnderTest()
  await target.send(toOperational, names)
  const other = names.replace("disk0", "disk1")
  expectRefused(
    await target.send(toFullFeature, other),
    LoginStatus.initiatorError,
    /TargetName is declared twice/,
  )
})

test("text over several requests, cut at every place", async () => {
  const whole = text(`${names} MaxBurstLength=65536 Foo=1`)
  for (const size of [1000, 64, 33, 17, 7]) {
    const target = new TargetUnderTest()
    const pieces = splitText(whole, size)
    for (const piece of pieces.slice(0, -1)) {
      const step = await target.send({ c: true, csg: 1 }, piece)
      assert.equal(expectStep(step, "respond", { csg: 1 }), "", "an empty answer fetches the rest")
    }
    const step = await target.send(toFullFeature, pieces.at(-1)!)
    assert.equal(
      expectStep(step, "accepted"),
      `TargetPortalGroupTag=1 MaxBurstLength=65536 Foo=NotUnderstood ${ourLength}`,
    )
  }
})

test("a long answer is cut to what the initiator takes", async () => {
  const unknown = Array.from({ length: 100 }, (_, i) => `X-org.example.key${i}=1`).join(" ")
  const target = new TargetUnderTest()
  let step = await target.send({ csg: 1 }, `${names} MaxRecvDataSegmentLength=512 ${unknown}`)
  let gathered = ""
  for (let rounds = 1; asResponse(step.response).continue; rounds++) {
    assert.ok(rounds < 20)
    assert.equal(asResponse(step.response).transit, false)
    assert.ok(step.response.data.length <= 512)
    gathered += new TextDecoder().decode(step.response.data)
    step = await target.send(toFullFeature, "")
  }
  assert.ok(step.kind === "accepted")
  gathered += new TextDecoder().decode(step.response.data)
  const pairs = gathered.split("\0").filter((pair) => pair !== "")
  assert.equal(pairs.filter((pair) => pair.endsWith("=NotUnderstood")).length, 100)
  assert.ok(pairs.includes("TargetPortalGroupTag=1") && pairs.includes(ourLength))
})

test("an initiator must not talk while we are", async () => {
  const unknown = Array.from({ length: 100 }, (_, i) => `X-org.example.key${i}=1`).join(" ")
  const target = new TargetUnderTest()
  await target.send({ csg: 1 }, `${names} MaxRecvDataSegmentLength=512 ${unknown}`)
  expectRefused(
    await target.send({ csg: 1 }, "MaxBurstLength=512"),
    LoginStatus.initiatorError,
    /our own is not sent/,
  )
})

test("a login is bounded in requests and in text", async () => {
  const idle = new TargetUnderTest()
  let step = await idle.send({ csg: 1 }, names)
  for (let i = 1; i < LOGIN_ROUNDS_MAX; i++) {
    expectStep(step, "respond")
    step = await idle.send({ csg: 1 }, "")
  }
  expectStep(step, "respond")
  expectRefused(await idle.send({ csg: 1 }, ""), LoginStatus.initiatorError, /too many requests/)
  const talker = new TargetUnderTest()
  let last = await talker.send({ c: true, csg: 1 }, new Uint8Array(8192).fill(0x41))
  for (let i = 0; i < 8 && last.kind === "respond"; i++) {
    last = await talker.send({ c: true, csg: 1 }, new Uint8Array(8192).fill(0x41))
  }
  expectRefused(last, LoginStatus.initiatorError, /longer than allowed/)
})

test("the target withholds the T bit until its demands are answered", async () => {
  const keys = { ...targetKeyPreferences, headerDigest: ["CRC32C"] as const }
  const target = new TargetUnderTest(policy({ keys }))
  const first = await target.send(toFullFeature, names)
  assert.equal(
    expectStep(first, "respond", { csg: 1 }),
    `TargetPortalGroupTag=1 HeaderDigest=CRC32C ${ourLength}`,
  )
  const second = await target.send(toFullFeature, "HeaderDigest=CRC32C")
  assert.equal(expectStep(second, "accepted"), "")
  assert.ok(second.kind === "accepted")
  assert.equal(second.login.keys.headerDigest, "CRC32C")
  const stubborn = new TargetUnderTest(policy({ keys }))
  await stubborn.send(toFullFeature, names)
  expectRefused(await stubborn.send(toFullFeature, "HeaderDigest=Reject"), LoginStatus.initiatorError)
  const hasty = new TargetUnderTest(policy({ keys }))
  expectRefused(
    await hasty.send({ t: true, csg: 0, nsg: 3 }, names),
    LoginStatus.initiatorError,
    /HeaderDigest/,
  )
})

/** A policy whose decision the test gives later. */
function slowPolicy(): { loginPolicy: LoginPolicy; decide: () => void } {
  let decide = () => {}
  const findTarget = () =>
    new Promise<never>((resolve) => {
      decide = () => resolve({ kind: "granted", keys: targetKeyPreferences, portalGroupTag: 1 } as never)
    })
  return { loginPolicy: policy({}, { findTarget }), decide: () => decide() }
}

test("a policy may take its time", async () => {
  const { loginPolicy, decide } = slowPolicy()
  const pending = new TargetUnderTest(loginPolicy).send(toFullFeature, names)
  decide()
  expectStep(await pending, "accepted")
})

test("a request before the answer ends the login", async () => {
  const { loginPolicy, decide } = slowPolicy()
  const target = new TargetUnderTest(loginPolicy)
  const pending = target.send(toFullFeature, names)
  expectRefused(
    await target.send(toFullFeature, ""),
    LoginStatus.initiatorError,
    /before the last one was answered/,
  )
  decide()
  expectRefused(await pending, LoginStatus.initiatorError)
})

test("a login can be ended from outside, at any moment", async () => {
  const { loginPolicy, decide } = slowPolicy()
  const target = new TargetUnderTest(loginPolicy)
  const pending = target.send(toFullFeature, names)
  expectRefused(target.login.refuse(LoginStatus.targetError, "too slow"), LoginStatus.targetError, /too slow/)
  decide()
  expectRefused(await pending, LoginStatus.initiatorError)
  const fresh = new TargetUnderTest()
  expectRefused(
    fresh.login.refuse(LoginStatus.invalidDuringLogin, "a SCSI Command"),
    LoginStatus.invalidDuringLogin,
  )
  await assert.rejects(fresh.send(toFullFeature, names), { code: "ERR_LOGIN_ENDED" })
})

test("no secret and no name of a wrong login is in what the peer sees", async () => {
  const target = new TargetUnderTest(policy(chapPolicy))
  const asked = expectStep(await target.send(toSecurity, `${names} AuthMethod=CHAP CHAP_A=5`), "respond")
  assert.match(asked, /CHAP_C/)
  const step = await target.send(toOperational, "CHAP_N=mallory CHAP_R=0x00112233445566778899aabbccddeeff")
  expectRefused(step, LoginStatus.authenticationFailure, /mallory/)
  assert.equal(step.response.data.length, 0)
})

test("a reason can be printed, whatever the initiator has sent", async () => {
  const nasty = new TextEncoder().encode(
    `${names.replaceAll(" ", "\0")}\0MaxRecvDataSegmentLength=\u001b[2J\n${"x".repeat(250)}\0`,
  )
  const step = await new TargetUnderTest().send(toFullFeature, nasty)
  expectRefused(step, LoginStatus.initiatorError, /^[\x20-\x7e]{50,300}$/)
})
