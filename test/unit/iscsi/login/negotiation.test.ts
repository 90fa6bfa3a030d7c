import assert from "node:assert/strict"
import { test } from "node:test"
import type { DatamoverKeys } from "../../../../src/iscsi/da.ts"
import { LoginError } from "../../../../src/iscsi/login/errors.ts"
import {
  initiatorKeyPreferences,
  type KeyPreferences,
  type NegotiatedKeys,
  targetKeyPreferences,
} from "../../../../src/iscsi/login/keys.ts"
import { Negotiation } from "../../../../src/iscsi/login/negotiation.ts"
import { LoginStage } from "../../../../src/iscsi/spec/stage.ts"
import { decodeText, encodeText } from "../../../../src/wire/text.ts"
import { said, text } from "./helpers.ts"

const { securityNegotiation, operationalNegotiation, fullFeaturePhase } = LoginStage

const target = (preferences: Partial<KeyPreferences> = {}) =>
  new Negotiation("target", { ...targetKeyPreferences, ...preferences }, "Normal")
const initiator = (preferences: Partial<KeyPreferences> = {}) =>
  new Negotiation("initiator", { ...initiatorKeyPreferences, ...preferences }, "Normal")

const hear = (negotiation: Negotiation, pairs: string, stage: LoginStage = operationalNegotiation) =>
  said(encodeText(negotiation.receive(decodeText(text(pairs)), stage)))
const propose = (negotiation: Negotiation, leaving = true) => said(encodeText(negotiation.propose(leaving)))
const refuses = (act: () => unknown, reason: RegExp) =>
  assert.throws(
    act,
    (error) => error instanceof LoginError && error.status === 0x0200 && reason.test(error.message),
  )

// The key set ESXi administrators configure, and what RFC 7143 §13 makes of it against our target's defaults.
const esxi: readonly (readonly [offer: string, answer: string | undefined, clause: string])[] = [
  ["InitialR2T=No", "InitialR2T=No", "§13.10: OR of No and our No"],
  ["ImmediateData=Yes", "ImmediateData=Yes", "§13.11: AND of Yes and our Yes"],
  ["MaxConnections=1", "MaxConnections=1", "§13.2: minimum"],
  ["MaxRecvDataSegmentLength=1048576", undefined, "§13.12: declared, not answered"],
  ["MaxBurstLength=1048576", "MaxBurstLength=1048576", "§13.13: minimum, ours is larger"],
  ["FirstBurstLength=65536", "FirstBurstLength=65536", "§13.14: minimum, ours is larger"],
  ["DefaultTime2Wait=0", "DefaultTime2Wait=0", "§13.15: maximum of 0 and our 0"],
  ["DefaultTime2Retain=0", "DefaultTime2Retain=0", "§13.16: minimum"],
  ["MaxOutstandingR2T=32", "MaxOutstandingR2T=32", "§13.17: minimum of 32 and our 32"],
  ["DataPDUInOrder=No", "DataPDUInOrder=No", "§13.18: OR of No and our No"],
  ["DataSequenceInOrder=No", "DataSequenceInOrder=No", "§13.19: OR of No and our No"],
  ["ErrorRecoveryLevel=0", "ErrorRecoveryLevel=0", "§13.20: minimum"],
  ["HeaderDigest=None", "HeaderDigest=None", "§13.1: the first choice we allow"],
  ["DataDigest=None", "DataDigest=None", "§13.1: the first choice we allow"],
  ["OFMarker=No", "OFMarker=No", "§13.25: never NotUnderstood"],
  ["IFMarker=No", "IFMarker=No", "§13.25: never NotUnderstood"],
  ["OFMarkInt=2048~8192", "OFMarkInt=Reject", "§13.25: Reject"],
  ["IFMarkInt=2048~8192", "IFMarkInt=Reject", "§13.25: Reject"],
]

for (const [offer, answer, clause] of esxi) {
  test(`ESXi's key set: ${offer} (RFC 7143 ${clause})`, () => {
    assert.equal(hear(target(), offer), answer ?? "")
  })
}

test("ESXi's key set as one text ends in these keys", () => {
  const negotiation = target()
  const answers = hear(negotiation, esxi.map(([offer]) => offer).join(" "))
  const expected = esxi.map(([, answer]) => answer).filter((answer) => answer !== undefined)
  assert.deepEqual(answers.split(" ").sort(), expected.sort())
  assert.equal(propose(negotiation), "MaxRecvDataSegmentLength=262144", "nothing but our own declaration")
  assert.deepEqual(negotiation.result(), {
    headerDigest: "None",
    dataDigest: "None",
    maxSendDataSegmentLength: 1048576,
    maxRecvDataSegmentLength: 262144,
    maxBurstLength: 1048576,
    firstBurstLength: 65536,
    maxConnections: 1,
    initialR2T: false,
    immediateData: true,
    maxOutstandingR2T: 32,
    dataPduInOrder: false,
    dataSequenceInOrder: false,
    errorRecoveryLevel: 0,
    defaultTime2Wait: 0,
    defaultTime2Retain: 0,
    taskReporting: "RFC3720",
    iscsiProtocolLevel: 1,
    rdmaExtensions: false,
    peerMaxOutstandingUnexpectedPdus: undefined,
    peerMaxAhsLength: undefined,
    taggedBufferForSolicitedDataOnly: undefined,
  } satisfies NegotiatedKeys)
})

test("what isn't negotiated has the RFC's default", () => {
  const keys = target().result()
  assert.deepEqual(
    [
      keys.maxSendDataSegmentLength,
      keys.maxRecvDataSegmentLength,
      keys.maxBurstLength,
      keys.firstBurstLength,
    ],
    [8192, 8192, 262144, 65536],
  )
  assert.deepEqual([keys.initialR2T, keys.immediateData, keys.dataPduInOrder], [true, true, true])
  assert.deepEqual([keys.maxOutstandingR2T, keys.defaultTime2Wait, keys.defaultTime2Retain], [1, 2, 20])
})

test("the result can be handed to a datamover as it is", () => {
  const keys: DatamoverKeys = target().result()
  assert.equal(keys.maxSendDataSegmentLength, 8192)
})

test("the answer is the result function's", () => {
  const ours = target({
    maxBurstLength: 1 << 20,
    defaultTime2Wait: 3,
    immediateData: false,
    initialR2T: true,
  })
  assert.equal(hear(ours, "MaxBurstLength=16776192"), "MaxBurstLength=1048576")
  assert.equal(hear(ours, "DefaultTime2Wait=2"), "DefaultTime2Wait=3")
  assert.equal(hear(ours, "ImmediateData=Yes"), "ImmediateData=No")
  assert.equal(hear(ours, "InitialR2T=No"), "InitialR2T=Yes")
  assert.equal(hear(ours, "MaxOutstandingR2T=0x10"), "MaxOutstandingR2T=16")
})

test("FirstBurstLength never exceeds MaxBurstLength, in whatever order they come", () => {
  assert.equal(
    hear(target(), "FirstBurstLength=262144 MaxBurstLength=16384"),
    "MaxBurstLength=16384 FirstBurstLength=16384",
  )
  const later = target()
  hear(later, "FirstBurstLength=262144")
  hear(later, "MaxBurstLength=16384")
  assert.equal(later.result().firstBurstLength, 16384)
})

test("digests: the initiator's order decides among what we allow", () => {
  assert.equal(hear(target(), "HeaderDigest=CRC32C,None"), "HeaderDigest=CRC32C")
  assert.equal(hear(target(), "HeaderDigest=None,CRC32C"), "HeaderDigest=None")
  assert.equal(hear(target({ headerDigest: ["None"] }), "HeaderDigest=CRC32C,None"), "HeaderDigest=None")
  assert.equal(hear(target({ dataDigest: ["CRC32C"] }), "DataDigest=None,CRC32C"), "DataDigest=CRC32C")
  assert.equal(
    hear(target(), "HeaderDigest=Y-org.example,CRC32C"),
    "HeaderDigest=CRC32C",
    "private ones are skipped",
  )
})

test("no common choice: Reject where the default will do, the end where it won't", () => {
  assert.equal(hear(target({ headerDigest: ["None"] }), "HeaderDigest=CRC32C"), "HeaderDigest=Reject")
  refuses(() => hear(target({ headerDigest: ["CRC32C"] }), "HeaderDigest=None"), /HeaderDigest/)
})

test("values out of range or of the wrong type are answered with Reject", () => {
  for (const wrong of [
    "MaxBurstLength=511",
    "MaxBurstLength=16777216",
    "MaxBurstLength=x",
    "InitialR2T=Maybe",
  ]) {
    assert.equal(hear(target(), wrong), wrong.replace(/=.*/, "=Reject"))
  }
  assert.equal(
    hear(target(), "ErrorRecoveryLevel=3 MaxConnections=0"),
    "ErrorRecoveryLevel=Reject MaxConnections=Reject",
  )
})

test("a declaration that makes no sense ends the login", () => {
  refuses(() => hear(target(), "MaxRecvDataSegmentLength=0"), /not a legal value/)
  refuses(
    () => hear(target(), "MaxRecvDataSegmentLength=512 MaxRecvDataSegmentLength=1024"),
    /declared twice/,
  )
  assert.equal(
    hear(target(), "MaxRecvDataSegmentLength=512 MaxRecvDataSegmentLength=512"),
    "",
    "the same again hurts nobody",
  )
})

test("unknown keys are answered with NotUnderstood, known nonsense with an error", () => {
  assert.equal(
    hear(target(), "X-com.cisco.iscsi.draft=1 Foo=2"),
    "X-com.cisco.iscsi.draft=NotUnderstood Foo=NotUnderstood",
  )
  assert.equal(hear(target(), "Foo=NotUnderstood"), "", "no answer to an answer")
  assert.equal(hear(target(), "X#NodeArchitecture=Example/1"), "", "declared, and of no consequence")
  refuses(() => hear(target(), "Foo=1 Foo=2"), /second time/)
  refuses(() => hear(target(), "MaxBurstLength=512 MaxBurstLength=512"), /second time/)
  refuses(() => hear(target(), "MaxBurstLength=Irrelevant"), /answers nothing/)
  refuses(() => hear(target(), `MaxBurstLength=${"1".repeat(256)}`), /longer than 255/)
})

test("keys in the wrong stage or from the wrong side are errors", () => {
  refuses(() => hear(target(), "MaxBurstLength=512", securityNegotiation), /wrong stage/)
  refuses(() => hear(target(), "SendTargets=All"), /wrong stage/)
  refuses(() => hear(target(), "TargetAlias=x"), /may not be sent by the initiator/)
  refuses(() => hear(initiator(), "InitiatorAlias=x"), /may not be sent by the target/)
  assert.equal(hear(target(), "InitiatorAlias=x", securityNegotiation), "")
})

test("in a discovery session most keys are irrelevant", () => {
  const discovery = new Negotiation("target", targetKeyPreferences, "Discovery")
  assert.equal(
    hear(
      discovery,
      "HeaderDigest=None MaxBurstLength=262144 InitialR2T=No DefaultTime2Wait=2 ErrorRecoveryLevel=0",
    ),
    "HeaderDigest=None InitialR2T=Irrelevant MaxBurstLength=Irrelevant DefaultTime2Wait=2 ErrorRecoveryLevel=0",
  )
  assert.equal(
    propose(new Negotiation("initiator", initiatorKeyPreferences, "Discovery")),
    "HeaderDigest=None,CRC32C DataDigest=None,CRC32C MaxRecvDataSegmentLength=262144 DefaultTime2Wait=0 " +
      "DefaultTime2Retain=0 ErrorRecoveryLevel=0",
  )
})

test("the target negotiates by itself only where a default isn't acceptable, and when the initiator wants to go on", () => {
  assert.equal(propose(target()), "MaxRecvDataSegmentLength=262144")
  const strict = target({
    headerDigest: ["CRC32C"],
    immediateData: false,
    maxBurstLength: 65536,
    firstBurstLength: 4096,
  })
  assert.equal(propose(strict, false), "MaxRecvDataSegmentLength=262144")
  assert.equal(
    propose(strict, true),
    "HeaderDigest=CRC32C ImmediateData=No MaxBurstLength=65536 FirstBurstLength=4096",
  )
  assert.ok(strict.waiting)
  hear(strict, "HeaderDigest=CRC32C ImmediateData=No MaxBurstLength=65536 FirstBurstLength=512")
  assert.ok(!strict.waiting)
  assert.equal(strict.result().firstBurstLength, 512)
  assert.equal(propose(strict), "", "nothing twice")
})

test("answers to our proposals are held to the result function", () => {
  const proposing = () => {
    const negotiation = initiator({
      immediateData: false,
      maxBurstLength: 65536,
      defaultTime2Wait: 5,
      initialR2T: true,
    })
    negotiation.propose()
    return negotiation
  }
  const wrong = [
    "ImmediateData=Yes",
    "InitialR2T=No",
    "MaxBurstLength=65537",
    "MaxBurstLength=511",
    "DefaultTime2Wait=4",
    "HeaderDigest=CRC64",
    "HeaderDigest=None,CRC32C",
    "MaxOutstandingR2T=x",
  ]
  for (const answer of wrong)
    refuses(() => hear(proposing(), answer), /not a legal answer|not among our choices/)
  refuses(() => hear(proposing(), "MaxBurstLength=512 MaxBurstLength=512"), /second time/)
  refuses(() => hear(proposing(), "ImmediateData=NotUnderstood"), /not acceptable/)
  const fine = proposing()
  hear(fine, "MaxOutstandingR2T=Reject HeaderDigest=NotUnderstood DefaultTime2Retain=Irrelevant")
  assert.equal(fine.waiting, true)
})

test("an unanswered proposal leaves the default in force, if we can live with it", () => {
  const easy = initiator()
  easy.propose()
  assert.equal(easy.result().maxBurstLength, 262144)
  const strict = initiator({ headerDigest: ["CRC32C"] })
  strict.propose()
  refuses(() => strict.result(), /HeaderDigest/)
})

test("at higher error recovery levels an ordered session has one R2T", () => {
  const ours = target({ errorRecoveryLevel: 2, dataSequenceInOrder: true })
  hear(ours, "ErrorRecoveryLevel=1 MaxOutstandingR2T=8")
  assert.equal(ours.result().errorRecoveryLevel, 1)
  assert.equal(ours.result().maxOutstandingR2T, 1)
})

test("task reporting and protocol level", () => {
  assert.equal(hear(target(), "TaskReporting=FastAbort,ResponseFence,RFC3720"), "TaskReporting=RFC3720")
  const fence = target({ taskReporting: ["ResponseFence", "RFC3720"] })
  assert.equal(hear(fence, "TaskReporting=FastAbort,ResponseFence,RFC3720"), "TaskReporting=ResponseFence")
  assert.equal(fence.result().taskReporting, "ResponseFence")
  assert.equal(hear(target(), "iSCSIProtocolLevel=2"), "iSCSIProtocolLevel=1")
  assert.ok(!propose(initiator()).includes("TaskReporting"))
})

test("in full feature phase only what may change is taken", () => {
  const ours = target()
  hear(ours, "MaxRecvDataSegmentLength=4096")
  assert.equal(hear(ours, "MaxRecvDataSegmentLength=65536", fullFeaturePhase), "")
  assert.equal(ours.result().maxSendDataSegmentLength, 65536)
  assert.equal(
    hear(ours, "MaxBurstLength=512 Foo=1", fullFeaturePhase),
    "MaxBurstLength=Reject Foo=NotUnderstood",
  )
  assert.equal(
    hear(ours, "Foo=1", fullFeaturePhase),
    "Foo=NotUnderstood",
    "each text is a negotiation of its own",
  )
})
