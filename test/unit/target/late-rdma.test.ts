/** A login over TCP that turns the connection to RDMA (RFC 7145 §5.1), from the target's side. */
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { NopOut } from "../../../src/iscsi/pdu/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { iserOverIwarp } from "../../../src/iser.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import { RawInitiator, statusOf } from "../../suites/raw-initiator.ts"
import { IserWire } from "../../suites/raw-iser.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const WANTED = ["RDMAExtensions=Yes", "InitialR2T=Yes", "TargetRecvDataSegmentLength=8192"]

const transports = (world: TargetWorld) => world.target.sessions().map(({ transport }) => transport)

/** Logged in over TCP, with RDMAExtensions agreed on: now it's for the initiator to ask for RDMA. */
async function agreed() {
  const world = await TargetWorld.open()
  const initiator = await world.connect()
  const answers = await initiator.login({ keys: WANTED })
  assert.ok(answers.includes("RDMAExtensions=Yes"), answers.join(" "))
  return { world, initiator }
}

describe("a connection that logs in over TCP and turns to RDMA", () => {
  it("moves data by RDMA from then on, under the numbers of its login", async () => {
    const { world, initiator } = await agreed()
    assert.deepEqual(transports(world), ["iser"])
    const wire = new IserWire(initiator.stream, "started")
    await world.until("an RDMA connection", () => wire.accepted !== undefined)
    const turned = new RawInitiator(wire, (what, done) => world.until(what, done))
    turned.cmdSn = initiator.cmdSn
    turned.expStatSn = initiator.expStatSn
    await turned.clearUnitAttentions()
    const data = world.pattern(4096)
    assert.deepEqual(await turned.read(read10(0, 8), 4096), data)
    turned.command(write10(8, 8), { write: 4096 })
    turned.answer(await turned.next("Ready To Transfer (R2T)"), data)
    assert.equal((await turned.next("SCSI Response")).fields["status"], 0)
    assert.deepEqual(world.stored(4096, 4096), data)
    turned.logout()
    await turned.next("Logout Response")
    await turned.gone()
    await world.close()
  })

  it("is dropped when no request for RDMA comes in time", async () => {
    const { world, initiator } = await agreed()
    await world.pass(60_000)
    assert.equal(initiator.closed, true)
    assert.deepEqual(initiator.unread, [])
    await world.close()
  })

  it("is dropped when a PDU comes instead", async () => {
    const { world, initiator } = await agreed()
    initiator.send(NopOut, {
      immediate: true,
      final: true,
      initiatorTaskTag: 5,
      targetTransferTag: 0xffffffff,
    })
    await initiator.gone()
    assert.deepEqual(initiator.unread, [])
    await world.close()
  })

  it("is gone without a trace when the initiator leaves before", async () => {
    const { world, initiator } = await agreed()
    initiator.stream.destroy()
    await world.assertIdle()
    await world.close()
  })

  it("is refused with 0302 where there is no room for RDMA, and may try again without", async () => {
    const clock = new VirtualClock()
    const limits = { queuePairsMax: 0 }
    const world = await TargetWorld.open({ entity: { iser: iserOverIwarp({ clock, limits }) } })
    const initiator = await world.connect()
    const refused = await initiator.tryLogin({ keys: WANTED })
    assert.equal(statusOf(refused.fields), LoginStatus.outOfResources)
    await initiator.gone()
    assert.deepEqual(world.target.sessions(), [])
    const again = await world.connect()
    await again.login()
    assert.deepEqual(transports(world), ["tcp"])
    again.stream.destroy()
    await world.close()
  })

  it("can be closed by the target before the initiator has asked", async () => {
    const { world, initiator } = await agreed()
    await world.close()
    assert.equal(initiator.closed, true)
  })
})

describe("RDMAExtensions over TCP", () => {
  it("isn't agreed on where iSER is off", async () => {
    const world = new TargetWorld()
    await world.entity.listen({ host: "10.0.0.1", port: 3260, iser: false })
    const initiator = await world.connect()
    assert.ok((await initiator.login({ keys: WANTED })).includes("RDMAExtensions=No"))
    await initiator.clearUnitAttentions()
    assert.deepEqual(transports(world), ["tcp"])
    initiator.stream.destroy()
    await world.close()
  })

  it("is irrelevant in a discovery session, which stays what it is", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    assert.ok(
      (await initiator.discover({ keys: ["RDMAExtensions=Yes"] })).includes("RDMAExtensions=Irrelevant"),
    )
    initiator.text(["SendTargets=All"])
    await initiator.next("Text Response")
    initiator.stream.destroy()
    await world.close()
  })

  it("unasked for is never mentioned", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.connect()
    assert.ok(!(await initiator.login()).some((pair) => pair.startsWith("RDMA")))
    initiator.stream.destroy()
    await world.close()
  })
})
