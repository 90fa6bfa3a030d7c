import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { LOGOUT_GRACE_MS } from "../../../../src/base/limits.ts"
import { AsyncEvent } from "../../../../src/iscsi/spec/index.ts"
import { read10 } from "../../../../src/scsi/cdb/block.ts"
import { senseOf, TARGET } from "../../../suites/raw-initiator.ts"
import { TargetWorld } from "../../../suites/target-world.ts"

describe("closing the target", () => {
  it("asks initiators to log out, serves them on meanwhile, and is through when they have", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    const closing = world.close()
    const { fields } = await initiator.next("Asynchronous Message")
    assert.equal(fields["asyncEvent"], AsyncEvent.logoutRequest)
    assert.equal(fields["parameter3"], Math.round(LOGOUT_GRACE_MS / 1000))
    assert.equal(fields["initiatorTaskTag"], 0xffffffff)
    await initiator.read(read10(0, 1), 512)
    initiator.logout()
    await initiator.next("Logout Response")
    await closing
    await initiator.gone()
    assert.deepEqual(initiator.unread, [])
  })

  it("drops who doesn't log out in time, and says so", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ cid: 3 })
    const begunMs = world.clock.nowMs()
    const closing = world.close()
    await initiator.next("Asynchronous Message")
    const { fields } = await initiator.next("Asynchronous Message")
    assert.equal(fields["asyncEvent"], AsyncEvent.connectionDrop)
    assert.equal(fields["parameter1"], 3)
    await initiator.gone()
    const tookMs = world.clock.nowMs() - begunMs
    assert.ok(tookMs >= LOGOUT_GRACE_MS && tookMs < LOGOUT_GRACE_MS + 100)
    await closing
  })

  it("gives one that hangs in its logout no more time than others", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
      { operations: ["read"], effect: { kind: "hang" } },
    ])
    fault.cancel = () => {}
    world.target.addLogicalUnit(1, fault)
    await initiator.next("Asynchronous Message")
    await initiator.clearUnitAttentions(1)
    initiator.command(read10(0, 1), { lun: 1, read: 512 })
    initiator.logout()
    await world.pass(100)
    const closing = world.close()
    await initiator.gone()
    fault.heal()
    await closing
  })

  it("of one target leaves the sessions of others alone", async () => {
    const world = await TargetWorld.open()
    world
      .addTarget("iqn.2026-01.org.example:disk1")
      .addLogicalUnit(0, new MemoryStore({ sizeBytes: 1 << 20 }))
    const other = await world.initiator({ target: "iqn.2026-01.org.example:disk1" })
    const initiator = await world.initiator()
    const removing = world.entity.removeTarget(TARGET)
    await initiator.next("Asynchronous Message")
    initiator.logout()
    await initiator.gone()
    await removing
    assert.equal(other.closed, false)
    assert.deepEqual(other.unread, [])
    await world.close()
  })
})

describe("a change of the logical units", () => {
  it("is told at once by an Asynchronous Message, and again with the next command", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    const discovery = await world.connect()
    await discovery.discover({ isid: 2 })
    world.target.addLogicalUnit(7, new MemoryStore({ sizeBytes: 1 << 20 }))
    const message = await initiator.next("Asynchronous Message")
    assert.equal(message.fields["asyncEvent"], AsyncEvent.scsiAsyncEvent)
    const { key, asc } = senseOf(message)
    assert.deepEqual([key, asc], [6, 0x3f0e])
    await world.target.removeLogicalUnit(7)
    await initiator.next("Asynchronous Message")
    await world.pass(100)
    assert.deepEqual(discovery.unread, [], "a discovery session has no logical units")
    await world.close()
  })
})
