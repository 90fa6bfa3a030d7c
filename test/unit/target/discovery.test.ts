import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { DISCOVERY_SESSIONS_MAX } from "../../../src/base/limits.ts"
import { LoginStatus, RejectReason } from "../../../src/iscsi/spec/index.ts"
import { INITIATOR, keysOf, type RawInitiator, statusOf, TARGET } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const OTHER = "iqn.2026-01.org.example:disk1"
const HIDDEN = "iqn.2026-01.org.example:hidden"

async function sendTargets(initiator: RawInitiator, which: string): Promise<string[]> {
  initiator.text([`SendTargets=${which}`])
  const { fields, data } = await initiator.next("Text Response")
  assert.equal(fields["final"], true)
  assert.equal(fields["targetTransferTag"], 0xffffffff)
  return keysOf(data)
}

/** Two targets one may use, in different portal groups, and one that one may not. */
async function twoTargets(): Promise<TargetWorld> {
  const world = await TargetWorld.open({ target: { portalGroups: [1] } })
  await world.entity.listen({ host: "2001:db8::1", port: 3261, portalGroupTag: 2 })
  await world.entity.listen({ host: "10.0.0.1", port: 3262, portalGroupTag: 1 })
  world.addTarget(OTHER)
  world.addTarget(HIDDEN, { access: { initiators: ["iqn.2026-01.org.example:somebody"] } })
  return world
}

const group1 = ["TargetAddress=10.0.0.1:3260,1", "TargetAddress=10.0.0.1:3262,1"]
const own = [`TargetName=${TARGET}`, ...group1]
const other = [`TargetName=${OTHER}`, group1[0]!, "TargetAddress=[2001:db8::1]:3261,2", group1[1]!]

describe("discovery sessions", () => {
  it("list every target the initiator may use, with the portals it is reached through", async () => {
    const world = await twoTargets()
    const initiator = await world.connect()
    await initiator.discover()
    assert.deepEqual(await sendTargets(initiator, "All"), [...own, ...other])
    await world.close()
  })

  it("answer for one target by name, whatever its case; not for one that may not be used", async () => {
    const world = await twoTargets()
    const initiator = await world.connect()
    await initiator.discover()
    assert.deepEqual(await sendTargets(initiator, OTHER.toUpperCase().replace("IQN", "iqn")), other)
    assert.deepEqual(await sendTargets(initiator, HIDDEN), [])
    assert.deepEqual(await sendTargets(initiator, "iqn.2026-01.org.example:none"), [])
    assert.deepEqual(await sendTargets(initiator, "no name"), [])
    await world.close()
  })

  it("have no target of their own to answer for", async () => {
    const world = await twoTargets()
    const initiator = await world.connect()
    await initiator.discover()
    assert.deepEqual(await sendTargets(initiator, ""), ["SendTargets=Reject"])
    await world.close()
  })

  it("show nothing to an address that isn't let in", async () => {
    const world = await TargetWorld.open({ target: { access: { deny: ["192.0.2.66"] } } })
    const denied = await world.connect({ from: "192.0.2.66" })
    await denied.discover()
    assert.deepEqual(await sendTargets(denied, "All"), [])
    const allowed = await world.connect({ from: "192.0.2.67" })
    await allowed.discover({ isid: 2 })
    assert.equal((await sendTargets(allowed, "All")).length, 2)
    await world.close()
  })

  it("take text, logout and pings, and reject everything else", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    await initiator.discover()
    const refused = [
      () => initiator.command(new Uint8Array(6)),
      () => initiator.command(new Uint8Array(6), { immediate: true }),
      () => initiator.manage(5),
      () => initiator.manage(5, { immediate: false }),
    ]
    for (const send of refused) {
      send()
      assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.protocolError)
    }
    initiator.nop()
    await initiator.next("NOP-In")
    initiator.logout()
    assert.equal((await initiator.next("Logout Response")).fields["response"], 0)
    await initiator.gone()
    await world.assertIdle()
  })

  it("know the operational keys as irrelevant", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    const answers = await initiator.discover({ keys: ["MaxBurstLength=8192", "HeaderDigest=CRC32C"] })
    assert.ok(answers.includes("MaxBurstLength=Irrelevant"))
    // RDMA guards its data by itself: alone, this offer can't be agreed to.
    assert.ok(answers.includes(`HeaderDigest=${world.transport === "tcp" ? "CRC32C" : "Reject"}`))
    assert.ok((await sendTargets(initiator, "All")).includes(`TargetName=${TARGET}`))
    await world.close()
  })

  it("are counted", async () => {
    const world = await TargetWorld.open()
    const { sessions } = world.entity
    const count = sessions.count
    sessions.count = (name) => (name === undefined ? DISCOVERY_SESSIONS_MAX : 0)
    const initiator = await world.connect()
    initiator.sendLogin([`InitiatorName=${INITIATOR}`, "SessionType=Discovery"])
    assert.equal(statusOf((await initiator.next("Login Response")).fields), LoginStatus.outOfResources)
    sessions.count = count
    await world.close()
  })
})

describe("SendTargets in a normal session", () => {
  it("tells of the session's own target, by name or by none; All is not for it", async () => {
    const world = await twoTargets()
    const initiator = await world.initiator()
    assert.deepEqual(await sendTargets(initiator, ""), own)
    assert.deepEqual(await sendTargets(initiator, TARGET), own)
    assert.deepEqual(await sendTargets(initiator, OTHER), [])
    assert.deepEqual(await sendTargets(initiator, "All"), ["SendTargets=Reject"])
    await world.close()
  })
})

describe("portals on every address", () => {
  it("are named by the address the initiator has come to; the other family's can't be", async () => {
    const world = new TargetWorld()
    await world.entity.listen({ host: "0.0.0.0", port: 3260 })
    await world.entity.listen({ host: "::", port: 3261 })
    const four = await world.connect({ host: "192.0.2.1", port: 3260 })
    await four.discover()
    assert.deepEqual(await sendTargets(four, "All"), [
      `TargetName=${TARGET}`,
      "TargetAddress=192.0.2.1:3260,1",
      "TargetAddress=192.0.2.1:3261,1",
    ])
    const six = await world.connect({ host: "2001:db8::7", port: 3261 })
    await six.discover({ isid: 2 })
    assert.deepEqual(await sendTargets(six, "All"), [
      `TargetName=${TARGET}`,
      "TargetAddress=[2001:db8::7]:3261,1",
    ])
    await world.close()
  })
})

describe("a list of targets too long for a PDU", () => {
  it("comes in pieces of the initiator's length, with C, and a tag to go on with", async () => {
    const world = await TargetWorld.open()
    const names = [TARGET]
    for (let i = 0; i < 200; i++) names.push(`iqn.2026-01.org.example:many.${i}`)
    for (const name of names.slice(1)) world.addTarget(name)
    const initiator = await world.connect()
    await initiator.discover({ keys: ["MaxRecvDataSegmentLength=512"] })
    const tag = initiator.text(["SendTargets=All"])
    const parts: Uint8Array[] = []
    for (;;) {
      const { fields, data } = await initiator.next("Text Response")
      assert.equal(fields["initiatorTaskTag"], tag)
      assert.ok(data.length <= 512)
      parts.push(data)
      assert.equal(fields["continue"], !fields["final"])
      if (fields["final"] === true) break
      assert.equal(data.length, 512)
      assert.notEqual(fields["targetTransferTag"], 0xffffffff)
      initiator.text([], { tag, ttt: fields["targetTransferTag"] as number })
    }
    const pairs = new TextDecoder().decode(Buffer.concat(parts)).split("\0").slice(0, -1)
    const listed = pairs.filter((pair) => pair.startsWith("TargetName=")).map((pair) => pair.slice(11))
    assert.deepEqual(listed, names)
    assert.ok(parts.length > 20)
    await world.close()
  })
})
