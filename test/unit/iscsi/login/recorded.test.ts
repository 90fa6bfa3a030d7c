import assert from "node:assert/strict"
import { test } from "node:test"
import {
  InitiatorLogin,
  type InitiatorLoginStep,
  initiatorKeyPreferences,
  type NegotiatedKeys,
  targetKeyPreferences,
} from "../../../../src/iscsi/login/index.ts"
import { encodeLoginResponse, readLoginRequest } from "../../../../src/iscsi/login/login-headers.ts"
import {
  asRequest,
  asResponse,
  expectStep,
  type Flags,
  initiatorOptions,
  policy,
  random,
  TargetUnderTest,
  text,
} from "./helpers.ts"

// What real initiators say, word for word, and what our target answers; then what real targets answer us.

const toFullFeature = { t: true, csg: 1, nsg: 3 }
const toOperational = { t: true, csg: 0, nsg: 1 }

const libiscsiKeys =
  "DataDigest=None InitialR2T=No ImmediateData=Yes MaxBurstLength=262144 FirstBurstLength=262144 DefaultTime2Wait=2 " +
  "DefaultTime2Retain=0 MaxOutstandingR2T=1 ErrorRecoveryLevel=0 IFMarker=No OFMarker=No MaxConnections=1 " +
  "MaxRecvDataSegmentLength=262144 DataPDUInOrder=Yes DataSequenceInOrder=Yes"
const openIscsiKeys =
  "DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No ErrorRecoveryLevel=0 InitialR2T=No ImmediateData=Yes " +
  "MaxBurstLength=16776192 FirstBurstLength=262144 MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes " +
  "DataSequenceInOrder=Yes"

/** open-iscsi hangs up on any key in a response that isn't one of these. */
const openIscsiKnows = new Set(
  `TargetAlias TargetAddress TargetPortalGroupTag InitialR2T ImmediateData MaxRecvDataSegmentLength FirstBurstLength
  MaxBurstLength HeaderDigest DataDigest DefaultTime2Wait DefaultTime2Retain OFMarker OFMarkInt IFMarker IFMarkInt
  DataPDUInOrder DataSequenceInOrder MaxOutstandingR2T MaxConnections ErrorRecoveryLevel RDMAExtensions
  InitiatorRecvDataSegmentLength TargetRecvDataSegmentLength AuthMethod CHAP_A CHAP_I CHAP_C CHAP_N CHAP_R`.split(
    /\s+/,
  ),
)

interface Recording {
  readonly name: string
  readonly says: readonly (readonly [Flags, string])[]
  readonly agrees: Partial<NegotiatedKeys>
}

const recordings: readonly Recording[] = [
  {
    name: "libiscsi, iscsi-inq without user",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq TargetName=iqn.2026-01.org.example:a
        SessionType=Normal HeaderDigest=None,CRC32C ${libiscsiKeys}`,
      ],
    ],
    agrees: {
      headerDigest: "None",
      initialR2T: false,
      firstBurstLength: 262144,
      maxSendDataSegmentLength: 262144,
    },
  },
  {
    name: "qemu with header-digest=crc32c",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2008-11.org.linux-kvm TargetName=iqn.2026-01.org.example:a SessionType=Normal
        HeaderDigest=CRC32C ${libiscsiKeys}`,
      ],
    ],
    agrees: { headerDigest: "CRC32C", dataDigest: "None", dataPduInOrder: true },
  },
  {
    name: "libiscsi with a user, at a target that asks for none: the names come twice",
    says: [
      [
        toOperational,
        `InitiatorName=iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq TargetName=iqn.2026-01.org.example:a
        SessionType=Normal AuthMethod=CHAP,None`,
      ],
      [
        toFullFeature,
        `InitiatorName=iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq TargetName=iqn.2026-01.org.example:a
        SessionType=Normal HeaderDigest=None,CRC32C ${libiscsiKeys}`,
      ],
    ],
    agrees: { maxBurstLength: 262144, maxOutstandingR2T: 1 },
  },
  {
    name: "libiscsi, iscsi-ls: keys that mean nothing in a discovery session",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-ls SessionType=Discovery HeaderDigest=None ${libiscsiKeys}`,
      ],
    ],
    agrees: { maxConnections: 1, defaultTime2Wait: 2, maxSendDataSegmentLength: 262144 },
  },
  {
    name: "open-iscsi, discovery",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2026-01.org.vmrig:g2 InitiatorAlias=g2 SessionType=Discovery HeaderDigest=None DataDigest=None
        DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No ErrorRecoveryLevel=0
        MaxRecvDataSegmentLength=8192`,
      ],
    ],
    agrees: { maxSendDataSegmentLength: 8192, errorRecoveryLevel: 0 },
  },
  {
    name: "open-iscsi over TCP",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2026-01.org.vmrig:g2 InitiatorAlias=g2 TargetName=iqn.2026-01.org.example:a SessionType=Normal
        HeaderDigest=None DataDigest=None ${openIscsiKeys} MaxRecvDataSegmentLength=262144`,
      ],
    ],
    agrees: { maxBurstLength: 16776192, firstBurstLength: 262144, initialR2T: false, immediateData: true },
  },
  {
    name: "open-iscsi over iSER, at a target that has no RDMA: the extension is declined",
    says: [
      [
        toFullFeature,
        `InitiatorName=iqn.2026-01.org.vmrig:g2 InitiatorAlias=g2 TargetName=iqn.2026-01.org.vmrig:iser SessionType=Normal
        ${openIscsiKeys} InitiatorRecvDataSegmentLength=262144 TargetRecvDataSegmentLength=8192 RDMAExtensions=Yes`,
      ],
    ],
    agrees: { rdmaExtensions: false, maxSendDataSegmentLength: 8192 },
  },
]

for (const { name, says, agrees } of recordings) {
  test(`initiator: ${name}`, async () => {
    const target = new TargetUnderTest(policy({ alias: "disk" }))
    for (const [index, [flags, pairs]] of says.entries()) {
      const step = await target.send(flags, pairs)
      const answers = expectStep(step, index === says.length - 1 ? "accepted" : "respond", flags).split(" ")
      for (const answer of answers.filter((pair) => pair !== "")) {
        const key = answer.slice(0, answer.indexOf("="))
        assert.ok(openIscsiKnows.has(key), `${key} would end open-iscsi's login`)
        assert.ok(!answer.endsWith("=NotUnderstood") && !answer.endsWith("=Reject"), answer)
      }
      if (step.kind !== "accepted") continue
      for (const [key, value] of Object.entries(agrees)) {
        assert.equal(step.login.keys[key as keyof NegotiatedKeys], value, key)
      }
    }
  })
}

const targets: readonly { name: string; answers: string; agrees: Partial<NegotiatedKeys>; iser?: boolean }[] =
  [
    {
      name: "tgt 1.0.85, which declares no data segment length",
      answers: `TargetPortalGroupTag=1 HeaderDigest=None DataDigest=None InitialR2T=Yes ImmediateData=Yes
      MaxBurstLength=262144 FirstBurstLength=65536 DefaultTime2Wait=2 DefaultTime2Retain=0 ErrorRecoveryLevel=0
      MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxOutstandingR2T=1`,
      agrees: {
        maxSendDataSegmentLength: 8192,
        maxBurstLength: 262144,
        initialR2T: true,
        maxOutstandingR2T: 1,
      },
    },
    {
      name: "istgt 0.4",
      answers: `TargetPortalGroupTag=1 HeaderDigest=None DataDigest=None InitialR2T=Yes ImmediateData=Yes
      MaxRecvDataSegmentLength=262144 MaxBurstLength=1048576 FirstBurstLength=262144 DefaultTime2Wait=2
      DefaultTime2Retain=0 ErrorRecoveryLevel=0 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes
      MaxOutstandingR2T=16`,
      agrees: { maxSendDataSegmentLength: 262144, maxBurstLength: 1048576, maxOutstandingR2T: 16 },
    },
    {
      name: "LIO over iSER, which echoes what it's offered",
      answers: `TargetPortalGroupTag=1 HeaderDigest=None DataDigest=None InitialR2T=Yes ImmediateData=Yes
      MaxBurstLength=262144 FirstBurstLength=65536 DefaultTime2Wait=2 DefaultTime2Retain=0 MaxOutstandingR2T=1
      MaxConnections=1 ErrorRecoveryLevel=0 DataPDUInOrder=Yes DataSequenceInOrder=Yes RDMAExtensions=Yes
      InitiatorRecvDataSegmentLength=262144 TargetRecvDataSegmentLength=8192 MaxOutstandingUnexpectedPDUs=NotUnderstood
      MaxAHSLength=NotUnderstood`,
      agrees: { rdmaExtensions: true, maxSendDataSegmentLength: 8192, maxRecvDataSegmentLength: 262144 },
      iser: true,
    },
  ]

const iser = {
  initiatorRecvDataSegmentLength: 262144,
  targetRecvDataSegmentLength: 8192,
  maxOutstandingUnexpectedPdus: 4,
  maxAhsLength: 0,
}

for (const { name, answers, agrees, iser: overIser } of targets) {
  test(`target: ${name}`, () => {
    const keys = overIser ? { ...initiatorKeyPreferences, iser } : initiatorKeyPreferences
    const initiator = new InitiatorLogin({ ...initiatorOptions, keys }, random())
    const request = readLoginRequest(asRequest(initiator.start()))
    const header = encodeLoginResponse(request, {
      transit: true,
      continue: false,
      tsih: 256,
      statSn: 0,
      expCmdSn: 1,
      maxCmdSn: 2,
      status: 0,
    })
    const data = text(answers)
    const step: InitiatorLoginStep = initiator.receive(asResponse({ header, data }), data)
    assert.ok(step.kind === "accepted", step.kind === "refused" ? step.error.message : step.kind)
    assert.equal(step.login.targetPortalGroupTag, 1)
    for (const [key, value] of Object.entries(agrees)) {
      assert.equal(step.login.keys[key as keyof NegotiatedKeys], value, key)
    }
  })
}

test("our target over iSER answers open-iscsi with what it knows", async () => {
  const target = new TargetUnderTest(policy({ keys: { ...targetKeyPreferences, iser } }))
  const [[flags, pairs]] = recordings.at(-1)!.says as readonly [readonly [Flags, string]]
  const step = await target.send(flags, pairs)
  const keys = expectStep(step, "accepted")
    .split(" ")
    .map((pair) => pair.slice(0, pair.indexOf("=")))
  assert.deepEqual(
    keys.filter((key) => !openIscsiKnows.has(key)),
    [],
  )
  assert.ok(step.kind === "accepted" && step.login.keys.rdmaExtensions)
})
