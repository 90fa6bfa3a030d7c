import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import { Target, type TargetOptions } from "../../../src/target/target.ts"
import type { AluaOptions } from "../../../src/target/alua.ts"
import { keysOf, type RawInitiator, senseText, statusOf } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const NAME = "iqn.2026-01.org.example:disk0"
const alua: AluaOptions = {
  groups: [{ portalGroups: [1] }, { id: 5, portalGroups: [2, 3], state: "standby", preferred: true }],
}

/** Portals at ports 3261 to 3263, each in a portal group of its own. */
async function openWorld(target: Partial<TargetOptions>): Promise<TargetWorld> {
  const world = new TargetWorld({ target })
  for (const tag of [1, 2, 3]) {
    await world.entity.listen({ host: "10.0.0.1", port: 3260 + tag, portalGroupTag: tag })
  }
  return world
}

async function initiatorAt(world: TargetWorld, tag: number): Promise<RawInitiator> {
  const initiator = await world.connect({ port: 3260 + tag })
  await initiator.login({ isid: tag })
  await initiator.clearUnitAttentions()
  return initiator
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** What REPORT TARGET PORT GROUPS says, without what follows its end. */
async function report(initiator: RawInitiator): Promise<string> {
  const data = await initiator.read(cdb.reportTargetPortGroups(256), 256)
  return hex(data.subarray(0, 4 + data[3]!))
}

async function outcome(initiator: RawInitiator): Promise<string> {
  initiator.command(cdb.testUnitReady())
  const response = await initiator.next("SCSI Response")
  return response.fields["status"] === 0 ? "GOOD" : senseText(response)
}

describe("target port groups of a target", () => {
  test("without a word about them: one group of all portal groups it's reached through", async () => {
    const world = await openWorld({ portalGroups: [1, 3] })
    const initiator = await initiatorAt(world, 3)
    assert.equal(await report(initiator), "00000010" + "00cf0001" + "00000002" + "00000001" + "00000003")
    assert.deepEqual(world.target.targetPortGroups(), [
      { id: 1, portalGroups: [1, 3], state: "active/optimized", preferred: false },
    ])
    await world.close()
  })

  test("portal groups in target port groups, each session in that of its portal", async () => {
    const world = await openWorld({ alua })
    const [one, two] = [await initiatorAt(world, 1), await world.connect({ port: 3262 })]
    await two.login({ isid: 2 })
    assert.equal(await outcome(one), "GOOD")
    assert.equal(await outcome(two), "6/2900")
    assert.equal(await outcome(two), "2/040b")
    const groups = "00cf0001" + "00000001" + "00000001" + "82cf0005" + "00000002" + "00000002" + "00000003"
    for (const initiator of [one, two]) assert.equal(await report(initiator), `0000001c${groups}`)
    const page = async (initiator: RawInitiator): Promise<string> =>
      hex(await initiator.read(cdb.inquiry(512, 0x83), 512))
    assert.match(await page(one), /51940004000000015195000400000001/)
    assert.match(await page(two), /51940004000000025195000400000005/)
    await world.close()
  })

  test("a port of a group is a target port whether a portal listens or not", async () => {
    const world = await openWorld({
      alua: { groups: [{ portalGroups: [1] }, { portalGroups: [9, 2], state: "standby" }] },
    })
    const initiator = await initiatorAt(world, 1)
    const groups = "00cf0001" + "00000001" + "00000001" + "02cf0002" + "00000002" + "00000002" + "00000009"
    assert.equal(await report(initiator), `0000001c${groups}`)
    assert.deepEqual(
      world.target.scsi.targetPorts(),
      [1, 2, 9].map((tag) => ({ targetPortName: `${NAME},t,0x000${tag}`, relativeTargetPort: tag })),
    )
    await world.close()
  })

  test("a state that changes: everybody is told, and commands get what it allows", async () => {
    const world = await openWorld({ alua })
    const [one, two] = [await initiatorAt(world, 1), await world.connect({ port: 3263 })]
    await two.login({ isid: 2 })
    assert.equal(await outcome(two), "6/2900")
    await world.target.setAccessState(5, "active/optimized")
    await world.target.setAccessState(1, "unavailable")
    assert.equal(await outcome(one), "6/2a06")
    assert.equal(await outcome(one), "2/040c")
    assert.equal(await outcome(two), "6/2a06")
    assert.equal(await outcome(two), "GOOD")
    await assert.rejects(world.target.setAccessState(9, "standby"), { code: "ERR_TARGET_PORT_GROUP" })
    await world.close()
  })

  test("a change with work to do: transitioning until it's done", async () => {
    const world = await openWorld({ alua })
    const one = await initiatorAt(world, 1)
    let finish = (): void => {}
    const changed = world.target.setAccessState(1, "standby", () => new Promise((done) => (finish = done)))
    assert.equal(await outcome(one), "2/040a")
    assert.equal(world.target.targetPortGroups()[0]?.state, "transitioning")
    finish()
    await changed
    assert.equal(await outcome(one), "6/2a06")
    assert.equal(await outcome(one), "2/040b")
    const failed = world.target.setAccessState(1, "active/optimized", () => Promise.reject(new Error("no")))
    await assert.rejects(failed, /^Error: no$/)
    assert.equal(await outcome(one), "6/2a07")
    await world.close()
  })

  test("offline: sessions through it end, nobody logs in, discovery doesn't name it; the others see it", async () => {
    const world = await openWorld({ alua })
    const [one, two] = [await initiatorAt(world, 1), await world.connect({ port: 3262 })]
    await two.login({ isid: 2 })
    await world.target.setAccessState(5, "offline")
    await two.gone()
    const refused = await (await world.connect({ port: 3263 })).tryLogin()
    assert.equal(statusOf(refused.fields), LoginStatus.serviceUnavailable)
    const discovery = await world.connect({ port: 3262 })
    assert.deepEqual(await addresses(discovery), ["10.0.0.1:3261,1"])
    assert.equal(await outcome(one), "6/2a06")
    assert.match(await report(one), /83cf0005.*0ecfffff00020002/)
    await world.target.setAccessState(5, "active/non-optimized")
    const back = await initiatorAt(world, 2)
    assert.equal(await outcome(back), "GOOD")
    await world.close()
  })

  test("it isn't reached through portal groups that are in none", async () => {
    const world = await openWorld({ alua: { groups: [{ portalGroups: [1] }] } })
    const refused = await (await world.connect({ port: 3262 })).tryLogin()
    assert.equal(statusOf(refused.fields), LoginStatus.notFound)
    await initiatorAt(world, 1)
    await world.close()
  })

  test("initiators may change states where that's allowed", async () => {
    const world = await openWorld({ alua: { ...alua, explicit: true } })
    const [one, two] = [await initiatorAt(world, 1), await world.connect({ port: 3262 })]
    await two.login({ isid: 2 })
    assert.equal(await outcome(two), "6/2900")
    const list = Uint8Array.of(0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 5)
    two.command(cdb.setTargetPortGroups(list.length), { write: list.length, data: list })
    assert.equal((await two.next("SCSI Response")).fields["status"], 0)
    assert.equal(await outcome(two), "GOOD")
    assert.equal(await outcome(one), "6/2a06")
    assert.equal(await outcome(one), "2/040b")
    await world.close()
  })

  test("groups that can't be are refused when the target is made", () => {
    for (const options of [
      { alua, portalGroups: [1, 2, 3, 4] },
      { alua, portalGroups: [1, 2] },
      { alua: { groups: [] } },
      { alua: { groups: [{ portalGroups: [1] }, { portalGroups: [1] }] } },
    ]) {
      assert.throws(() => new Target({ name: NAME, ...options }), { code: "ERR_TARGET_PORT_GROUP" })
    }
  })
})

/** Where SendTargets says that the target is reached. */
async function addresses(initiator: RawInitiator): Promise<string[]> {
  await initiator.discover()
  initiator.text(["SendTargets=All"])
  const { data } = await initiator.next("Text Response")
  return keysOf(data).flatMap((pair) => /^TargetAddress=(.*)$/.exec(pair)?.[1] ?? [])
}
