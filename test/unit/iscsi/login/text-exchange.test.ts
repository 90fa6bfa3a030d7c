import assert from "node:assert/strict"
import { test } from "node:test"
import { LOGIN_ROUNDS_MAX } from "../../../../src/base/limits.ts"
import { LoginStatus } from "../../../../src/iscsi/spec/login-status.ts"
import { splitText } from "../../../../src/wire/text.ts"
import {
  asResponse,
  expectRefused,
  expectStep,
  initiatorName,
  TargetUnderTest,
  targetName,
  text,
} from "./helpers.ts"

const names = `InitiatorName=${initiatorName} TargetName=${targetName} SessionType=Normal`
const toFullFeature = { t: true, csg: 1, nsg: 3 }
const ourLength = "MaxRecvDataSegmentLength=262144"

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
