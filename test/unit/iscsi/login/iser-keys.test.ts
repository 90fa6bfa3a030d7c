/** RFC 7145 §6, and how running code departs from it: each departure has a test named after it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import {
  initiatorIserPreferences,
  initiatorKeyPreferences,
  type KeyPreferences,
  targetIserPreferences,
  targetKeyPreferences,
} from "../../../../src/iscsi/login/keys.ts"
import { LoginError } from "../../../../src/iscsi/login/errors.ts"
import { Negotiation } from "../../../../src/iscsi/login/negotiation.ts"
import type { SessionType } from "../../../../src/iscsi/login/policy.ts"
import { LoginStage } from "../../../../src/iscsi/spec/stage.ts"
import { decodeText, encodeText } from "../../../../src/wire/text.ts"
import {
  expectRefused,
  expectStep,
  initiatorName,
  policy,
  targetName,
  said,
  talk,
  TargetUnderTest,
  text,
} from "./helpers.ts"

const already = { rdmaAlready: true } as const
const targetKeys: KeyPreferences = { ...targetKeyPreferences, iser: { ...targetIserPreferences, ...already } }
const initiatorKeys: KeyPreferences = {
  ...initiatorKeyPreferences,
  iser: { ...initiatorIserPreferences, ...already },
}

/** Either end, over an RDMA connection or (`late`) over TCP that may become one. */
const target = (type: SessionType = "Normal", keys = targetKeys) => new Negotiation("target", keys, type)
const initiator = (type: SessionType = "Normal", keys = initiatorKeys) =>
  new Negotiation("initiator", keys, type)
const lateTargetKeys = { ...targetKeyPreferences, iser: targetIserPreferences }
const lateInitiatorKeys = { ...initiatorKeyPreferences, iser: initiatorIserPreferences }

const hear = (negotiation: Negotiation, pairs: string) =>
  said(encodeText(negotiation.receive(decodeText(text(pairs)), LoginStage.operationalNegotiation)))
const propose = (negotiation: Negotiation) => said(encodeText(negotiation.propose()))
const refuses = (act: () => unknown, reason: RegExp) =>
  assert.throws(
    act,
    (error) => error instanceof LoginError && error.status === 0x0200 && reason.test(error.message),
  )

const names = `InitiatorName=${initiatorName} TargetName=${targetName}`
const plainTarget = () => target("Normal", targetKeyPreferences)

describe("iSER keys on a connection that can't become RDMA", () => {
  test("are declined, never NotUnderstood", () => {
    assert.equal(
      hear(
        plainTarget(),
        "InitiatorRecvDataSegmentLength=262144 TargetRecvDataSegmentLength=8192 RDMAExtensions=Yes",
      ),
      "RDMAExtensions=No InitiatorRecvDataSegmentLength=Irrelevant TargetRecvDataSegmentLength=Irrelevant",
    )
    const declared =
      "MaxOutstandingUnexpectedPDUs=2 MaxAHSLength=0 iSERHelloRequired=No TaggedBufferForSolicitedDataOnly=Yes"
    assert.equal(hear(plainTarget(), declared), "")
  })

  test("are never volunteered", () => {
    assert.ok(!/RDMA|RecvData.*8192|AHS|Unexpected|Tagged/.test(propose(plainTarget())))
    assert.ok(!/RDMA|Tagged/.test(propose(initiator("Normal", initiatorKeyPreferences))))
  })
})

describe("iSER keys on an RDMA connection, at the target", () => {
  test("open-iscsi sends RDMAExtensions last: the whole text counts, and the extension is answered first", () => {
    const ours = target()
    const answers = hear(
      ours,
      "HeaderDigest=CRC32C,None InitiatorRecvDataSegmentLength=131072 TargetRecvDataSegmentLength=65536 RDMAExtensions=Yes",
    )
    assert.equal(
      answers,
      "RDMAExtensions=Yes HeaderDigest=None InitiatorRecvDataSegmentLength=131072 TargetRecvDataSegmentLength=65536",
    )
    assert.equal(propose(ours), "", "no key the initiator didn't bring up")
  })

  test("RDMAExtensions may even come in a later text than what depends on it", () => {
    const ours = target()
    assert.equal(
      hear(ours, "InitiatorRecvDataSegmentLength=512 DataDigest=CRC32C,None"),
      "DataDigest=None InitiatorRecvDataSegmentLength=512",
    )
    assert.equal(hear(ours, "RDMAExtensions=Yes"), "RDMAExtensions=Yes")
  })

  test("each RecvDataSegmentLength is the minimum of both sides, and takes MaxRecvDataSegmentLength's place", () => {
    const ours = target()
    // libiscsi sends MaxRecvDataSegmentLength along, which means nothing here.
    hear(
      ours,
      "RDMAExtensions=Yes InitiatorRecvDataSegmentLength=4096 TargetRecvDataSegmentLength=1024 MaxOutstandingUnexpectedPDUs=0 MaxRecvDataSegmentLength=262144",
    )
    assert.equal(propose(ours), "MaxOutstandingUnexpectedPDUs=64")
    const { maxSendDataSegmentLength, maxRecvDataSegmentLength } = ours.result()
    assert.deepEqual([maxSendDataSegmentLength, maxRecvDataSegmentLength], [4096, 1024])
  })

  test("ib_iser and libiscsi have room for 128 bytes, whatever InitiatorRecvDataSegmentLength says", () => {
    const ours = target()
    hear(ours, "InitiatorRecvDataSegmentLength=262144 TargetRecvDataSegmentLength=8192 RDMAExtensions=Yes")
    assert.equal(ours.result().maxSendDataSegmentLength, 128)
    const untold = target()
    hear(untold, "RDMAExtensions=Yes")
    assert.equal(untold.result().maxSendDataSegmentLength, 128)
  })

  test("an initiator that knows RFC 7145's own keys is held to its InitiatorRecvDataSegmentLength", () => {
    const ours = target()
    hear(ours, "RDMAExtensions=Yes InitiatorRecvDataSegmentLength=2048 MaxOutstandingUnexpectedPDUs=8")
    assert.equal(ours.result().maxSendDataSegmentLength, 2048)
  })

  test("keys are never volunteered: open-iscsi hangs up on those it doesn't know", () => {
    const ours = target()
    hear(ours, "RDMAExtensions=Yes")
    assert.equal(propose(ours), "")
  })

  test("limits are declared to those that declared theirs", () => {
    const ours = target()
    hear(
      ours,
      "RDMAExtensions=Yes MaxOutstandingUnexpectedPDUs=8 MaxAHSLength=0 TaggedBufferForSolicitedDataOnly=Yes iSERHelloRequired=No",
    )
    assert.equal(propose(ours), "MaxOutstandingUnexpectedPDUs=64 MaxAHSLength=256")
    const keys = ours.result()
    assert.equal(keys.peerMaxOutstandingUnexpectedPdus, 8)
    assert.equal(keys.peerMaxAhsLength, 0)
    assert.equal(keys.taggedBufferForSolicitedDataOnly, true)
    refuses(() => hear(target(), "MaxOutstandingUnexpectedPDUs=1"), /not a legal value/)
  })

  test("an initiator that doesn't mention RDMAExtensions is taken at its deed", () => {
    const ours = target()
    assert.equal(hear(ours, "HeaderDigest=CRC32C,None"), "HeaderDigest=None")
    assert.equal(propose(ours), "")
    const keys = ours.result()
    assert.equal(keys.rdmaExtensions, true)
    assert.deepEqual([keys.maxSendDataSegmentLength, keys.maxRecvDataSegmentLength], [128, 8192])
  })

  test("RDMAExtensions=No contradicts the connection: the login is refused", async () => {
    refuses(() => hear(target(), "RDMAExtensions=No"), /offered as No, on an RDMA connection/)
    const login = new TargetUnderTest(policy({ keys: targetKeys }))
    const step = await login.send({ t: true, csg: 1, nsg: 3 }, `${names} RDMAExtensions=No`)
    expectRefused(step, 0x0200, /RDMAExtensions/)
  })

  test("markers are declined as ever", () => {
    const ours = target()
    assert.equal(hear(ours, "IFMarker=No OFMarker=Yes"), "IFMarker=No OFMarker=No")
  })
})

describe("a discovery session over RDMA, which running code has and RFC 7145 hasn't", () => {
  test("the target finds RDMAExtensions irrelevant there, agrees to no digest, and to no more data than a login has", () => {
    const ours = target("Discovery")
    assert.equal(
      hear(ours, "RDMAExtensions=Yes HeaderDigest=CRC32C,None MaxRecvDataSegmentLength=32768"),
      "RDMAExtensions=Irrelevant HeaderDigest=None",
    )
    assert.equal(propose(ours), "MaxRecvDataSegmentLength=8192")
    const keys = ours.result()
    assert.equal(keys.rdmaExtensions, false)
    assert.deepEqual([keys.maxSendDataSegmentLength, keys.maxRecvDataSegmentLength], [8192, 8192])
    const small = target("Discovery")
    hear(small, "MaxRecvDataSegmentLength=512")
    assert.equal(small.result().maxSendDataSegmentLength, 512)
  })

  test("the initiator doesn't speak of iSER there", () => {
    const ours = initiator("Discovery")
    const offer = propose(ours)
    assert.ok(!/RDMA|InitiatorRecv|TargetRecv|Tagged|Unexpected|Digest/.test(offer), offer)
    assert.match(offer, /MaxRecvDataSegmentLength=8192/)
    hear(ours, "MaxRecvDataSegmentLength=262144")
    const keys = ours.result()
    assert.deepEqual([keys.maxSendDataSegmentLength, keys.maxRecvDataSegmentLength], [8192, 8192])
  })
})

describe("iSER keys on an RDMA connection, at the initiator", () => {
  const lioEcho = "InitiatorRecvDataSegmentLength=1024"
  const lioUnknown =
    "MaxOutstandingUnexpectedPDUs=NotUnderstood MaxAHSLength=NotUnderstood TaggedBufferForSolicitedDataOnly=NotUnderstood"

  test("RDMAExtensions comes first", () => {
    const offer = propose(initiator())
    assert.match(offer, /^RDMAExtensions=Yes /)
    assert.match(offer, /MaxAHSLength=256/)
    assert.match(offer, /TaggedBufferForSolicitedDataOnly=Yes/)
    assert.ok(!/ MaxRecvDataSegmentLength|TargetRecv|Digest|Marker|iSERHello/.test(offer), offer)
  })

  test("LIO doesn't understand RFC 7145's new keys: no more than 8192 is asked of it, as it only echoes", () => {
    const ours = initiator()
    propose(ours)
    assert.equal(ours.holdsBack, true)
    hear(ours, `RDMAExtensions=Yes ${lioEcho} ${lioUnknown} HeaderDigest=None DataDigest=None`)
    assert.equal(propose(ours), "TargetRecvDataSegmentLength=8192")
    assert.equal(ours.holdsBack, false)
    hear(ours, "TargetRecvDataSegmentLength=8192")
    const keys = ours.result()
    assert.equal(keys.rdmaExtensions, true)
    assert.deepEqual([keys.maxRecvDataSegmentLength, keys.maxSendDataSegmentLength], [1024, 8192])
    assert.equal(keys.peerMaxOutstandingUnexpectedPdus, undefined)
  })

  test("nor of tgt, which would make hundreds of receives of any more", () => {
    const ours = initiator()
    propose(ours)
    const known = "MaxOutstandingUnexpectedPDUs=16 MaxAHSLength=NotUnderstood"
    hear(ours, `RDMAExtensions=Yes InitiatorRecvDataSegmentLength=1024 ${known}`)
    assert.equal(propose(ours), "TargetRecvDataSegmentLength=8192")
  })

  test("though tgt proposes more itself, where we don't say a length first", () => {
    const ours = initiator()
    propose(ours)
    const own =
      "TargetRecvDataSegmentLength=262144 MaxOutstandingUnexpectedPDUs=16 MaxAHSLength=NotUnderstood"
    const answers = hear(ours, `RDMAExtensions=Yes InitiatorRecvDataSegmentLength=1024 ${own}`)
    assert.equal(answers, "TargetRecvDataSegmentLength=8192")
    assert.equal(propose(ours), "")
    assert.equal(ours.result().maxSendDataSegmentLength, 8192)
  })

  test("a target that knows RFC 7145 is asked for more; it may not name more than the minimum", () => {
    const ours = initiator()
    propose(ours)
    hear(ours, `RDMAExtensions=Yes ${lioEcho} MaxOutstandingUnexpectedPDUs=64 MaxAHSLength=256`)
    assert.equal(propose(ours), "TargetRecvDataSegmentLength=262144")
    refuses(() => hear(ours, "TargetRecvDataSegmentLength=262148"), /not a legal answer/)
  })

  for (const answer of ["No", "NotUnderstood", "Irrelevant", "Reject"]) {
    test(`a target that answers RDMAExtensions=${answer} ends the login, as with open-iscsi`, () => {
      const ours = initiator()
      propose(ours)
      refuses(() => hear(ours, `RDMAExtensions=${answer}`), /RDMAExtensions is .* on an RDMA connection/)
    })
  }

  test("so does one that doesn't answer it", () => {
    const ours = initiator()
    propose(ours)
    hear(ours, lioEcho)
    refuses(() => ours.result(), /RDMAExtensions is not agreed on/)
  })

  test("both ends of ours agree", async () => {
    const { initiator: theirs, target: own } = await talk(
      { keys: initiatorKeys },
      policy({ keys: targetKeys }),
    )
    assert.ok(theirs.kind === "accepted" && own?.kind === "accepted")
    const [a, b] = [theirs.login.keys, own.login.keys]
    assert.deepEqual([a.rdmaExtensions, b.rdmaExtensions], [true, true])
    assert.deepEqual([a.maxSendDataSegmentLength, a.maxRecvDataSegmentLength], [262144, 1024])
    assert.deepEqual([b.maxSendDataSegmentLength, b.maxRecvDataSegmentLength], [1024, 262144])
    assert.deepEqual([a.peerMaxOutstandingUnexpectedPdus, b.peerMaxOutstandingUnexpectedPdus], [64, 16])
    assert.equal(b.taggedBufferForSolicitedDataOnly, true)
  })
})

describe("RDMAExtensions over TCP, for a connection that turns into RDMA after the login", () => {
  test("is agreed on when both can", async () => {
    const { initiator: theirs, target: own } = await talk(
      { keys: lateInitiatorKeys },
      policy({ keys: lateTargetKeys }),
    )
    assert.ok(theirs.kind === "accepted" && own?.kind === "accepted")
    assert.deepEqual([theirs.login.keys.rdmaExtensions, own.login.keys.rdmaExtensions], [true, true])
  })

  test("is declined by a target that can't, and the login goes on over TCP", async () => {
    const { initiator: theirs, target: own } = await talk(
      { keys: lateInitiatorKeys },
      policy({ keys: targetKeyPreferences }),
    )
    assert.ok(theirs.kind === "accepted" && own?.kind === "accepted")
    assert.deepEqual([theirs.login.keys.rdmaExtensions, own.login.keys.rdmaExtensions], [false, false])
    assert.equal(own.login.keys.maxSendDataSegmentLength, 262144, "declared once it is known to be TCP")
  })

  test("isn't brought up by the target", async () => {
    const login = new TargetUnderTest(policy({ keys: lateTargetKeys }))
    const step = await login.send({ t: true, csg: 1, nsg: 3 }, names)
    assert.ok(!/RDMA/.test(expectStep(step, "accepted")))
    assert.ok(step.kind === "accepted" && !step.login.keys.rdmaExtensions)
  })
})
