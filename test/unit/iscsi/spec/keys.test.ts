import assert from "node:assert/strict"
import { test } from "node:test"
import { KEY_BYTES_MAX } from "../../../../src/wire/text.ts"
import { allowedInStage, findKey, keyDefinitions } from "../../../../src/iscsi/spec/keys.ts"
import { LoginStage } from "../../../../src/iscsi/spec/stage.ts"

// RFC 7143 §13 (and §12.1), RFC 7145 §6, as their tables of contents have them.
const rfc7143 = `HeaderDigest DataDigest MaxConnections SendTargets TargetName InitiatorName TargetAlias InitiatorAlias
  TargetAddress TargetPortalGroupTag InitialR2T ImmediateData MaxRecvDataSegmentLength MaxBurstLength FirstBurstLength
  DefaultTime2Wait DefaultTime2Retain MaxOutstandingR2T DataPDUInOrder DataSequenceInOrder ErrorRecoveryLevel SessionType
  TaskReporting iSCSIProtocolLevel X#NodeArchitecture IFMarker OFMarker IFMarkInt OFMarkInt AuthMethod CHAP_A CHAP_I
  CHAP_C CHAP_N CHAP_R`
const rfc7145 = `RDMAExtensions TargetRecvDataSegmentLength InitiatorRecvDataSegmentLength MaxOutstandingUnexpectedPDUs
  MaxAHSLength TaggedBufferForSolicitedDataOnly iSERHelloRequired`

test("the table has every key of the RFCs, once", () => {
  const expected = `${rfc7143} ${rfc7145}`.split(/\s+/).sort()
  assert.deepEqual(keyDefinitions.map(({ key }) => key).sort(), expected)
  assert.deepEqual(
    keyDefinitions
      .filter(({ iser }) => iser)
      .map(({ key }) => key)
      .sort(),
    rfc7145.split(/\s+/).sort(),
  )
})

test("every definition holds together", () => {
  for (const { key, values, spec } of keyDefinitions) {
    assert.ok(key.length <= KEY_BYTES_MAX)
    assert.match(spec, /^RFC 714[35] §\d+(\.\d+)+$/)
    if (values.type === "list") assert.ok(values.known.includes(values.default), key)
    if (values.type !== "number") continue
    const inRange = values.default >= values.min && values.default <= values.max
    assert.ok(inRange || (values.default === 0 && values.zeroMeansNoLimit), key)
  }
})

test("a key is handled after those its value depends on", () => {
  const at = (key: string) => keyDefinitions.findIndex((definition) => definition.key === key)
  assert.ok(at("MaxBurstLength") < at("FirstBurstLength"))
  for (const { key, iser } of keyDefinitions) if (iser) assert.ok(at("RDMAExtensions") <= at(key), key)
  assert.ok(at("RDMAExtensions") < at("HeaderDigest"))
})

test("stages", () => {
  const { securityNegotiation, operationalNegotiation, fullFeaturePhase } = LoginStage
  const allowed = (key: string) =>
    [securityNegotiation, operationalNegotiation, fullFeaturePhase].filter((stage) =>
      allowedInStage(findKey(key)!, stage),
    )
  assert.deepEqual(allowed("AuthMethod"), [securityNegotiation])
  assert.deepEqual(allowed("CHAP_R"), [securityNegotiation])
  assert.deepEqual(allowed("InitiatorName"), [securityNegotiation, operationalNegotiation])
  assert.deepEqual(allowed("InitiatorAlias"), [securityNegotiation, operationalNegotiation, fullFeaturePhase])
  assert.deepEqual(allowed("MaxBurstLength"), [operationalNegotiation])
  assert.deepEqual(allowed("MaxRecvDataSegmentLength"), [operationalNegotiation, fullFeaturePhase])
  assert.deepEqual(allowed("SendTargets"), [fullFeaturePhase])
  assert.equal(findKey("maxburstlength"), undefined, "keys are case-sensitive")
})
