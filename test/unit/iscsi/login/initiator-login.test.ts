import assert from "node:assert/strict"
import { test } from "node:test"
import { LOGIN_ROUNDS_MAX } from "../../../../src/base/limits.ts"
import {
  InitiatorLogin,
  type InitiatorLoginOptions,
  type InitiatorLoginStep,
  initiatorKeyPreferences,
  type LoginPdu,
} from "../../../../src/iscsi/login/index.ts"
import {
  encodeLoginResponse,
  type LoginAnswer,
  readLoginRequest,
} from "../../../../src/iscsi/login/login-headers.ts"
import { LoginStatus } from "../../../../src/iscsi/spec/login-status.ts"
import {
  alice,
  asRequest,
  asResponse,
  type Flags,
  initiatorName,
  initiatorOptions,
  ours,
  random,
  said,
  targetName,
  text,
} from "./helpers.ts"

const names = `InitiatorName=${initiatorName} TargetName=${targetName} SessionType=Normal`
const allKeys =
  "HeaderDigest=None,CRC32C DataDigest=None,CRC32C InitialR2T=No ImmediateData=Yes MaxRecvDataSegmentLength=262144 " +
  "MaxBurstLength=16776192 FirstBurstLength=262144 DefaultTime2Wait=0 DefaultTime2Retain=0 ErrorRecoveryLevel=0 " +
  "MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxOutstandingR2T=32"
const plain =
  "HeaderDigest=None DataDigest=None InitialR2T=Yes ImmediateData=Yes MaxBurstLength=262144 " +
  "FirstBurstLength=65536 DefaultTime2Wait=2 DefaultTime2Retain=0 ErrorRecoveryLevel=0 MaxConnections=1 " +
  "DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxOutstandingR2T=1"

/** An InitiatorLogin, and a target that answers just what a test tells it to. */
class InitiatorUnderTest {
  readonly login: InitiatorLogin
  #request: LoginPdu
  #statSn = 9

  constructor(options: Partial<InitiatorLoginOptions> = {}) {
    this.login = new InitiatorLogin({ ...initiatorOptions, ...options }, random())
    this.#request = this.login.start()
  }

  /** What the last request says, after checking its bits. */
  request(flags: Flags): string {
    const { transit: t, continue: c, currentStage: csg, nextStage: nsg } = asRequest(this.#request)
    assert.deepEqual({ t, c, csg, nsg }, { t: false, c: false, nsg: 0, ...flags })
    return said(this.#request.data)
  }

  get pdu() {
    return asRequest(this.#request)
  }

  answer(
    flags: Partial<Flags>,
    pairs: string | Uint8Array = "",
    answer: Partial<LoginAnswer & { initiatorTaskTag: number }> = {},
  ): InitiatorLoginStep {
    const request = { ...readLoginRequest(this.pdu), initiatorTaskTag: answer.initiatorTaskTag ?? 0 }
    const response: LoginPdu = {
      header: encodeLoginResponse(
        {
          ...request,
          currentStage: flags.csg ?? request.currentStage,
          nextStage: flags.nsg ?? request.nextStage,
        },
        {
          transit: flags.t ?? false,
          continue: flags.c ?? false,
          tsih: 7,
          statSn: this.#statSn++,
          expCmdSn: 1,
          maxCmdSn: 32,
          status: 0,
          ...answer,
        },
      ),
      data: typeof pairs === "string" ? text(pairs) : pairs,
    }
    const step = this.login.receive(asResponse(response), response.data)
    if (step.kind === "request") this.#request = step.request
    return step
  }
}

const toFullFeature = { t: true, csg: 1, nsg: 3 }
const toOperational = { t: true, csg: 0, nsg: 1 }

function accepted(step: InitiatorLoginStep) {
  assert.ok(step.kind === "accepted", step.kind === "refused" ? step.error.message : step.kind)
  return step.login
}

function refused(step: InitiatorLoginStep, code: string, reason = /./) {
  assert.ok(step.kind === "refused", step.kind)
  assert.equal(step.error.code, code, step.error.message)
  assert.match(step.error.message, reason)
}

test("one round, and what came of it", () => {
  const initiator = new InitiatorUnderTest({ initiatorAlias: "me", cmdSn: 77, cid: 3 })
  assert.equal(
    initiator.request(toFullFeature),
    `${names.replace(" TargetName", " InitiatorAlias=me TargetName")} ${allKeys}`,
  )
  const { opcode, immediate, isid, tsih, cid, cmdSn, versionMax } = initiator.pdu
  assert.deepEqual(
    { opcode, immediate, isid, tsih, cid, cmdSn, versionMax },
    { opcode: 3, immediate: true, isid: 0x800001020304, tsih: 0, cid: 3, cmdSn: 77, versionMax: 0 },
  )
  const declared = "TargetPortalGroupTag=4 TargetAlias=disk MaxRecvDataSegmentLength=65536"
  const login = accepted(initiator.answer(toFullFeature, `${plain} ${declared}`))
  assert.equal(login.tsih, 7)
  assert.equal(login.targetPortalGroupTag, 4)
  assert.equal(login.targetAlias, "disk")
  assert.deepEqual([login.expStatSn, login.expCmdSn, login.maxCmdSn], [10, 1, 32])
  assert.equal(login.keys.maxSendDataSegmentLength, 65536)
  assert.equal(login.keys.maxRecvDataSegmentLength, 262144)
  assert.equal(login.keys.maxBurstLength, 262144)
  assert.equal(login.keys.initialR2T, true)
})

test("several rounds, as LIO has them: T withheld, offers of its own, declarations one by one", () => {
  const initiator = new InitiatorUnderTest({
    keys: { ...initiatorKeyPreferences, taskReporting: ["ResponseFence", "RFC3720"] },
  })
  initiator.answer({ t: false }, `TargetPortalGroupTag=1 ${plain}`)
  assert.equal(initiator.request(toFullFeature), "")
  assert.equal(initiator.pdu.expStatSn, 10)
  initiator.answer({ t: false }, "iSCSIProtocolLevel=2 MaxRecvDataSegmentLength=8192")
  assert.equal(initiator.request(toFullFeature), "iSCSIProtocolLevel=1")
  initiator.answer({ t: false }, "TaskReporting=RFC3720 X-vendor.key=1")
  assert.equal(initiator.request(toFullFeature), "X-vendor.key=NotUnderstood")
  const login = accepted(initiator.answer(toFullFeature))
  assert.equal(login.keys.maxSendDataSegmentLength, 8192)
  assert.equal(login.keys.taskReporting, "RFC3720")
  assert.equal(login.expStatSn, 13)
})

test("a target that answers nothing leaves the defaults in force", () => {
  const { keys } = accepted(new InitiatorUnderTest().answer(toFullFeature))
  assert.deepEqual([keys.maxBurstLength, keys.initialR2T, keys.maxOutstandingR2T], [262144, true, 1])
  const strict = new InitiatorUnderTest({ keys: { ...initiatorKeyPreferences, dataDigest: ["CRC32C"] } })
  refused(strict.answer(toFullFeature), "ERR_LOGIN_PROTOCOL", /DataDigest/)
})

test("an offer that comes with the T bit is fine only if it gets what it asks for", () => {
  accepted(new InitiatorUnderTest().answer(toFullFeature, "IFMarker=No iSCSIProtocolLevel=1"))
  refused(
    new InitiatorUnderTest().answer(toFullFeature, "iSCSIProtocolLevel=2"),
    "ERR_LOGIN_PROTOCOL",
    /too late/,
  )
})

test("discovery", () => {
  const initiator = new InitiatorUnderTest({ sessionType: "Discovery" })
  assert.match(initiator.request(toFullFeature), /SessionType=Discovery HeaderDigest/)
  assert.equal(accepted(initiator.answer(toFullFeature)).targetPortalGroupTag, undefined)
})

test("joining a session", () => {
  assert.equal(new InitiatorUnderTest({ tsih: 0x1234 }).pdu.tsih, 0x1234)
})

const challenge = `CHAP_A=5 CHAP_I=7 CHAP_C=0x${"ab".repeat(16)}`
const oneWay = { chap: { user: alice } }
const mutual = { chap: { user: alice, target: ours } }

test("CHAP, one way", () => {
  const initiator = new InitiatorUnderTest(oneWay)
  assert.equal(initiator.request({ csg: 0 }), `${names} AuthMethod=CHAP,None`)
  initiator.answer({}, "TargetPortalGroupTag=1 AuthMethod=CHAP")
  assert.equal(initiator.request({ csg: 0 }), "CHAP_A=8,6,5,7")
  initiator.answer({}, challenge)
  const expected = alice.secret.response(5, 7, new Uint8Array(16).fill(0xab))
  assert.equal(
    initiator.request(toOperational),
    `CHAP_N=alice CHAP_R=0x${Buffer.from(expected).toString("hex")}`,
  )
  initiator.answer(toOperational)
  assert.equal(initiator.request(toFullFeature), allKeys)
  assert.equal(accepted(initiator.answer(toFullFeature)).targetPortalGroupTag, 1)
})

test("CHAP with a target that withholds the T bit once more, and one that wants none", () => {
  const slow = new InitiatorUnderTest(oneWay)
  slow.answer({}, "AuthMethod=CHAP")
  slow.answer({}, challenge)
  slow.answer({})
  assert.equal(slow.request(toOperational), "")
  slow.answer(toOperational)
  slow.request(toFullFeature)
  const open = new InitiatorUnderTest(oneWay)
  open.answer({}, "AuthMethod=None")
  assert.equal(open.request(toOperational), "")
  open.answer(toOperational)
  assert.equal(open.request(toFullFeature), allKeys)
})

test("mutual CHAP accepts no less than the target's proof", () => {
  const failed = "ERR_LOGIN_AUTHENTICATION_FAILURE"
  const asked = () => {
    const initiator = new InitiatorUnderTest(mutual)
    assert.equal(initiator.request({ csg: 0 }), `${names} AuthMethod=CHAP`)
    initiator.answer({}, "AuthMethod=CHAP")
    initiator.answer({}, challenge)
    const [, identifier, theirs] = /CHAP_I=(\d+) CHAP_C=0x(\w+)$/.exec(initiator.request(toOperational))!
    const response = ours.secret.response(5, Number(identifier), Buffer.from(theirs!, "hex"))
    return { initiator, proof: `CHAP_N=target CHAP_R=0x${Buffer.from(response).toString("hex")}` }
  }
  refused(new InitiatorUnderTest(mutual).answer({}, "AuthMethod=None"), failed)
  refused(asked().initiator.answer(toOperational), failed, /has not proved/)
  refused(asked().initiator.answer(toOperational, "CHAP_N=target CHAP_R=0x00"), failed, /has not proved/)
  const good = asked()
  assert.equal(good.initiator.answer(toOperational, good.proof).kind, "request")
  good.initiator.request(toFullFeature)
  const inTwo = asked()
  inTwo.initiator.answer({ c: true }, text(inTwo.proof).subarray(0, 20))
  assert.equal(inTwo.initiator.request({ csg: 0 }), "", "an empty request fetches the rest")
  inTwo.initiator.answer({}, text(inTwo.proof).subarray(20))
  assert.equal(inTwo.initiator.request(toOperational), "")
  inTwo.initiator.answer(toOperational)
  inTwo.initiator.request(toFullFeature)
})

test("a target that goes its own way in the security stage is left", () => {
  const start = () => new InitiatorUnderTest(oneWay)
  refused(start().answer(toOperational, ""), "ERR_LOGIN_PROTOCOL", /ends the stage/)
  refused(start().answer({}, ""), "ERR_LOGIN_PROTOCOL", /does not authenticate/)
  refused(start().answer({}, "AuthMethod=KRB5"), "ERR_LOGIN_AUTHENTICATION_FAILURE")
  refused(start().answer({}, challenge), "ERR_LOGIN_PROTOCOL", /not agreed on/)
  const again = start()
  again.answer({}, "AuthMethod=CHAP")
  refused(again.answer({}, "AuthMethod=CHAP"), "ERR_LOGIN_PROTOCOL", /second time/)
  refused(new InitiatorUnderTest().answer({}, "AuthMethod=CHAP"), "ERR_LOGIN_PROTOCOL", /wrong stage/)
})

test("every status but success ends the login, with its code", () => {
  for (const [name, status] of Object.entries(LoginStatus)) {
    if (status >> 8 < 2) continue
    const step = new InitiatorUnderTest().answer({}, "", { status })
    const code = `ERR_LOGIN_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
    refused(step, code)
    assert.ok(step.kind === "refused")
    assert.deepEqual([step.error.statusClass, step.error.statusDetail], [status >> 8, status & 0xff])
  }
  refused(new InitiatorUnderTest().answer({}, "", { status: 0x02fe }), "ERR_LOGIN_INITIATOR_ERROR")
})

test("redirection", () => {
  const addresses = "TargetAddress=10.0.0.1:3260 TargetAddress=[2001:db8::1]:3261"
  const moved = new InitiatorUnderTest().answer({}, addresses, { status: LoginStatus.targetMovedTemporarily })
  assert.deepEqual(moved, {
    kind: "redirect",
    addresses: ["10.0.0.1:3260", "[2001:db8::1]:3261"],
    permanent: false,
  })
  const gone = new InitiatorUnderTest().answer({}, addresses, { status: LoginStatus.targetMovedPermanently })
  assert.ok(gone.kind === "redirect" && gone.permanent)
  refused(
    new InitiatorUnderTest().answer({}, "", { status: LoginStatus.targetMovedTemporarily }),
    "ERR_LOGIN_TARGET_MOVED_TEMPORARILY",
    /without an address/,
  )
})

test("answers in pieces", () => {
  const whole = text(`TargetPortalGroupTag=1 ${plain}`)
  const initiator = new InitiatorUnderTest()
  initiator.answer({ c: true }, whole.subarray(0, 100))
  assert.equal(initiator.request({ csg: 1 }), "")
  initiator.answer({ c: true }, whole.subarray(100, 101))
  initiator.answer({}, whole.subarray(101))
  assert.equal(initiator.request(toFullFeature), "")
  assert.equal(accepted(initiator.answer(toFullFeature)).keys.defaultTime2Wait, 2)
})

test("answers of our own in pieces, when the target takes little", () => {
  const initiator = new InitiatorUnderTest()
  const unknown = Array.from({ length: 60 }, (_, i) => `X-org.example.key${i}=1`).join(" ")
  initiator.answer({}, `${plain} MaxRecvDataSegmentLength=512 ${unknown}`)
  let sent = initiator.request({ csg: 1, c: true })
  for (let rounds = 0; initiator.pdu.continue; rounds++) {
    assert.ok(rounds < 20)
    initiator.answer({})
    sent += initiator.request(initiator.pdu.continue ? { csg: 1, c: true } : toFullFeature)
  }
  assert.equal(sent.match(/NotUnderstood/g)?.length ?? 0, 60)
  accepted(initiator.answer(toFullFeature))
})

test("a target that breaks the rules is left", () => {
  const broken: readonly (readonly [Parameters<InitiatorUnderTest["answer"]>, RegExp])[] = [
    [[{}, "", { initiatorTaskTag: 1 }], /another task tag/],
    [[{ csg: 0 }], /stage 0 in the response/],
    [[{ t: true, nsg: 1 }], /goes to stage 1/],
    [[{ t: true, c: true }], /ends the stage/],
    [[{}, "MaxBurstLength=16777215"], /not a legal answer/],
    [[{}, "HeaderDigest=CRC64"], /not among our choices/],
    [[{}, "TargetPortalGroupTag=70000"], /not a legal value/],
    [[{}, "TargetAlias=a TargetAlias=b"], /declared twice/],
    [[{}, "nothing"], /equals sign/],
    [[toFullFeature, "", { tsih: 0 }], /without a TSIH/],
  ]
  for (const [answer, reason] of broken)
    refused(new InitiatorUnderTest().answer(...answer), "ERR_LOGIN_PROTOCOL", reason)
})

test("a target that never comes to an end is left", () => {
  const initiator = new InitiatorUnderTest()
  let step = initiator.answer({})
  for (let i = 0; i < LOGIN_ROUNDS_MAX - 2; i++) {
    assert.equal(step.kind, "request")
    step = initiator.answer({})
  }
  assert.equal(step.kind, "request")
  refused(initiator.answer({}), "ERR_LOGIN_PROTOCOL", /too many rounds/)
})
