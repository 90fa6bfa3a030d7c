import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import {
  type ChapAlgorithm,
  ChapSecret,
  type KeyPreferences,
  LoginError,
  TargetLogin,
  targetKeyPreferences,
} from "../../../../src/iscsi/login/index.ts"
import { encodeLoginRequest } from "../../../../src/iscsi/login/login-headers.ts"
import { LoginRequest, LoginResponse } from "../../../../src/iscsi/pdu/index.ts"
import { keyDefinitions } from "../../../../src/iscsi/spec/keys.ts"
import { InitiatorLogin } from "../../../../src/iscsi/login/initiator-login.ts"
import { alice, initiatorName, initiatorOptions, ours, policy, random, talk, targetName } from "./helpers.ts"

const choices = <T>(...all: T[]) => fc.shuffledSubarray(all, { minLength: 1 })
const segment = fc.integer({ min: 512, max: 2 ** 24 - 1 })

const preferences: fc.Arbitrary<KeyPreferences> = fc.record({
  headerDigest: choices("None" as const, "CRC32C" as const),
  dataDigest: choices("None" as const, "CRC32C" as const),
  maxRecvDataSegmentLength: segment,
  maxBurstLength: segment,
  firstBurstLength: segment,
  maxConnections: fc.integer({ min: 1, max: 65535 }),
  initialR2T: fc.boolean(),
  immediateData: fc.boolean(),
  maxOutstandingR2T: fc.integer({ min: 1, max: 65535 }),
  dataPduInOrder: fc.boolean(),
  dataSequenceInOrder: fc.boolean(),
  errorRecoveryLevel: fc.integer({ min: 0, max: 2 }),
  defaultTime2Wait: fc.integer({ min: 0, max: 3600 }),
  defaultTime2Retain: fc.integer({ min: 0, max: 3600 }),
  taskReporting: choices("RFC3720" as const, "ResponseFence" as const, "FastAbort" as const),
  iscsiProtocolLevel: fc.integer({ min: 1, max: 31 }),
})

test("property: whatever both sides want, they end with the same keys, or both refuse", async () => {
  let agreed = 0
  const anyPreferences = fc.tuple(
    preferences,
    preferences,
    fc.constantFrom("Normal" as const, "Discovery" as const),
  )
  await fc.assert(
    fc.asyncProperty(anyPreferences, async ([initiatorWants, targetWants, sessionType]) => {
      const outcome = await talk({ keys: initiatorWants, sessionType }, policy({ keys: targetWants }))
      if (outcome.initiator.kind !== "accepted") {
        assert.ok(outcome.initiator.kind === "refused" && outcome.initiator.error instanceof LoginError)
        return
      }
      agreed++
      assert.ok(outcome.target?.kind === "accepted")
      const { maxRecvDataSegmentLength, maxSendDataSegmentLength, ...mine } = outcome.initiator.login.keys
      const {
        maxRecvDataSegmentLength: theyTake,
        maxSendDataSegmentLength: theySend,
        ...theirs
      } = outcome.target.login.keys
      assert.deepEqual(mine, theirs)
      assert.equal(maxSendDataSegmentLength, theyTake)
      assert.equal(maxRecvDataSegmentLength, theySend)
      assert.ok(mine.firstBurstLength <= mine.maxBurstLength)
      assert.ok(initiatorWants.headerDigest.includes(mine.headerDigest))
      assert.ok(targetWants.headerDigest.includes(mine.headerDigest))
      assert.ok(targetWants.dataDigest.includes(mine.dataDigest))
      assert.equal(outcome.initiator.login.tsih, outcome.target.login.tsih)
      assert.equal(outcome.initiator.login.expStatSn, outcome.target.login.statSn)
    }),
    { numRuns: 400 },
  )
  assert.ok(agreed > 100, `only ${agreed} logins came to an agreement`)
})

test("our defaults agree in one round, on what is fast", async () => {
  const { initiator, rounds } = await talk({}, policy())
  assert.ok(initiator.kind === "accepted")
  assert.equal(rounds, 1)
  const { keys } = initiator.login
  assert.deepEqual(
    [keys.initialR2T, keys.immediateData, keys.maxBurstLength, keys.firstBurstLength, keys.maxOutstandingR2T],
    [false, true, 16776192, 262144, 32],
  )
})

test("CHAP between both, every algorithm and encoding, one way and mutual", async () => {
  for (const algorithm of [5, 6, 7, 8] as ChapAlgorithm[]) {
    for (const encoding of ["hex", "base64"] as const) {
      for (const target of [undefined, ours]) {
        const chap = { user: alice, algorithms: [algorithm], encoding, ...(target ? { target } : {}) }
        const auth = { users: [alice], outgoing: ours }
        const outcome = await talk({ chap }, policy({ auth }), algorithm)
        assert.equal(outcome.initiator.kind, "accepted")
        assert.ok(outcome.target?.kind === "accepted")
        assert.equal(outcome.target.login.user, "alice")
      }
    }
  }
})

test("CHAP for discovery", async () => {
  const outcome = await talk(
    { chap: { user: alice }, sessionType: "Discovery" },
    policy({ auth: { users: [alice] } }),
  )
  assert.ok(outcome.target?.kind === "accepted")
  assert.equal(outcome.target.login.user, "alice")
})

test("credentials for a target that asks for none do no harm; demands it can't meet do", async () => {
  assert.equal((await talk({ chap: { user: alice } }, policy())).initiator.kind, "accepted")
  const { initiator } = await talk({ chap: { user: alice, target: ours } }, policy())
  assert.ok(initiator.kind === "refused")
  assert.equal(initiator.error.code, "ERR_LOGIN_AUTHENTICATION_FAILURE")
})

test("wrong credentials: both sides know why", async () => {
  const liar = { name: "alice", secret: new ChapSecret("not her secret") }
  const { initiator, target } = await talk({ chap: { user: liar } }, policy({ auth: { users: [alice] } }))
  assert.ok(initiator.kind === "refused" && target?.kind === "refused")
  assert.equal(initiator.error.status, 0x0201)
  assert.match(target.reason, /wrong CHAP secret for "alice"/)
})

test("iSER between both", async () => {
  const iser = {
    initiatorRecvDataSegmentLength: 262144,
    targetRecvDataSegmentLength: 8192,
    maxOutstandingUnexpectedPdus: 4,
    maxAhsLength: 1020,
  }
  const keys = { ...targetKeyPreferences, iser }
  const { initiator, target } = await talk({ keys }, policy({ keys }))
  assert.ok(initiator.kind === "accepted" && target?.kind === "accepted")
  assert.equal(initiator.login.keys.rdmaExtensions, true)
  assert.equal(target.login.keys.maxSendDataSegmentLength, 262144)
  assert.equal(initiator.login.keys.maxSendDataSegmentLength, 8192)
  assert.equal(initiator.login.keys.peerMaxOutstandingUnexpectedPdus, 4)
  assert.equal(target.login.keys.peerMaxAhsLength, 1020)
})

// Text as a fuzzer writes it: the right keys with strange values, and plain garbage.
const someKey = fc.constantFrom(...keyDefinitions.map(({ key }) => key), "Foo", "X-org.example.foo")
const someValue = fc.oneof(
  fc.constantFrom(
    "Yes",
    "No",
    "None",
    "CRC32C",
    "CHAP",
    "Reject",
    "Irrelevant",
    "NotUnderstood",
    "0",
    "1",
    "5,6",
    "~",
  ),
  fc.constantFrom(
    "Normal",
    "Discovery",
    initiatorName,
    targetName,
    "0x00",
    "0bAAAA",
    "16777216",
    "-1",
    "1~2",
  ),
  fc.string({ maxLength: 40 }),
)
const pair = fc.tuple(someKey, someValue).map(([key, value]) => `${key}=${value}\0`)
const garbage = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(pair, { maxLength: 12 }).map((pairs) => new TextEncoder().encode(pairs.join(""))),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
)
const flags = fc.record({
  transit: fc.boolean(),
  continue: fc.boolean(),
  currentStage: fc.constantFrom(0, 1, 1, 3),
  nextStage: fc.constantFrom(0, 1, 3, 3),
})
const leading = new TextEncoder().encode(`InitiatorName=${initiatorName}\0TargetName=${targetName}\0`)

test("property: a target takes any requests and only ever answers", async () => {
  const header = {
    versionMax: 0,
    versionMin: 0,
    isid: 1,
    tsih: 0,
    initiatorTaskTag: 1,
    cid: 0,
    cmdSn: 1,
    expStatSn: 0,
  }
  const requests = fc.array(fc.tuple(flags, garbage), { minLength: 1, maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(requests, fc.boolean(), fc.boolean(), async (sequence, chap, introduced) => {
      const target = new TargetLogin(
        policy(chap ? { auth: { users: [alice], outgoing: ours } } : {}),
        random(),
      )
      for (const [index, [bits, data]] of sequence.entries()) {
        const bytes = encodeLoginRequest({ ...header, ...bits })
        const text = index === 0 && introduced ? Buffer.concat([leading, data]) : data
        const step = await target.receive(new LoginRequest(new DataView(bytes.buffer), 0), text)
        assert.equal(step.response.header.length, 48)
        assert.ok(step.response.data.length <= 8192)
        if (step.kind === "refused") assert.ok(step.status >> 8 === 2, `${step.status}: ${step.reason}`)
        if (step.kind === "accepted") assert.ok(!chap, "nobody gets in without a proof")
        if (step.kind !== "respond") return
      }
    }),
    { numRuns: 600 },
  )
})

test("property: an initiator takes any responses and ends with a typed error", () => {
  const answers = fc.array(fc.tuple(flags, garbage, fc.constantFrom(0, 0, 0, 0x0101, 0x0203)), {
    minLength: 1,
    maxLength: 12,
  })
  fc.assert(
    fc.property(answers, fc.boolean(), (sequence, chap) => {
      const options = chap ? { ...initiatorOptions, chap: { user: alice, target: ours } } : initiatorOptions
      const initiator = new InitiatorLogin(options, random())
      initiator.start()
      for (const [bits, data, status] of sequence) {
        const bytes = new Uint8Array(48)
        const view = new LoginResponse(new DataView(bytes.buffer), 0)
        Object.assign(view, bits, { tsih: 1, statusClass: status >> 8, statusDetail: status & 0xff })
        const step = initiator.receive(view, data)
        if (step.kind === "refused") assert.ok(step.error instanceof LoginError)
        if (step.kind === "accepted") assert.ok(!chap, "no target is accepted without its proof")
        if (step.kind !== "request") return
      }
    }),
    { numRuns: 600 },
  )
})
