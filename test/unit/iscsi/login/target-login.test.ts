import assert from "node:assert/strict"
import { test } from "node:test"
import { LoginError, type LoginPolicy, targetKeyPreferences } from "../../../../src/iscsi/login/index.ts"
import { LoginStatus } from "../../../../src/iscsi/spec/login-status.ts"
import {
  asResponse,
  expectRefused,
  expectStep,
  initiatorName,
  policy,
  said,
  TargetUnderTest,
  targetName,
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

test("a reason can be printed, whatever the initiator has sent", async () => {
  const nasty = new TextEncoder().encode(
    `${names.replaceAll(" ", "\0")}\0MaxRecvDataSegmentLength=\u001b[2J\n${"x".repeat(250)}\0`,
  )
  const step = await new TargetUnderTest().send(toFullFeature, nasty)
  expectRefused(step, LoginStatus.initiatorError, /^[\x20-\x7e]{50,300}$/)
})
