import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { LogoutReason, LogoutResponseCode, RejectReason } from "../../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../../src/scsi/cdb/block.ts"
import type { RawInitiator } from "../../../suites/raw-initiator.ts"
import { TargetWorld } from "../../../suites/target-world.ts"

const { closeSession, closeConnection, removeConnectionForRecovery } = LogoutReason

async function loggedIn() {
  const world = await TargetWorld.open()
  return { world, initiator: await world.initiator({ keys: ["InitialR2T=No"] }) }
}

/** Tasks in every state: waiting for solicited and for unsolicited data, and for the medium. */
async function withTasks() {
  const { world, initiator } = await loggedIn()
  const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
    { operations: ["read"], effect: { kind: "hang" } },
  ])
  world.target.addLogicalUnit(1, fault)
  await initiator.next("Asynchronous Message")
  await initiator.clearUnitAttentions(1)
  await initiator.clearUnitAttentions()
  initiator.command(write10(0, 8), { write: 4096 })
  await initiator.next("Ready To Transfer (R2T)")
  initiator.command(write10(0, 8), { write: 4096, data: Buffer.alloc(512), final: false })
  initiator.command(write10(0xffffff, 8), { write: 4096, final: false })
  initiator.command(read10(0, 1), { lun: 1, read: 512 })
  initiator.command(read10(0, 1), { lun: 1, read: 512, immediate: true })
  await world.pass(10)
  return { world, initiator, fault }
}

async function expectLogout(initiator: RawInitiator, tag: number, response: number): Promise<void> {
  const { fields } = await initiator.next("Logout Response")
  assert.deepEqual([fields["initiatorTaskTag"], fields["response"]], [tag, response])
}

describe("Logout", () => {
  for (const [name, reason] of Object.entries({ closeSession, closeConnection })) {
    for (const immediate of [true, false]) {
      it(`${name} (${immediate ? "immediate" : "numbered"}) is answered, then the target says goodbye`, async () => {
        const { world, initiator } = await loggedIn()
        const tag = initiator.logout(reason, { immediate })
        await expectLogout(initiator, tag, LogoutResponseCode.closed)
        await initiator.gone()
        await world.assertIdle()
        assert.equal(world.logged("logged out").length, 1)
      })
    }

    it(`${name} ends tasks that are under way, none of which is answered`, async () => {
      const { world, initiator } = await withTasks()
      const tag = initiator.logout(reason)
      initiator.yield()
      await expectLogout(initiator, tag, LogoutResponseCode.closed)
      await initiator.gone()
      assert.deepEqual(initiator.unread, [])
      await world.assertIdle()
    })
  }

  it("waits for the medium to be left alone", async () => {
    const { world, initiator, fault } = await withTasks()
    fault.cancel = () => {}
    const tag = initiator.logout()
    initiator.yield()
    await world.pass(5_000)
    assert.deepEqual(initiator.unread, [])
    fault.heal()
    await expectLogout(initiator, tag, LogoutResponseCode.closed)
    await initiator.gone()
    await world.assertIdle()
  })

  it("lets nothing else begin meanwhile", async () => {
    const { world, initiator, fault } = await withTasks()
    fault.cancel = () => {}
    const tag = initiator.logout()
    const others = [
      () => initiator.logout(),
      () => initiator.command(new Uint8Array(6)),
      () => initiator.manage(5),
      () => initiator.nop(),
      () => initiator.text(["SendTargets="]),
    ]
    for (const other of others) {
      other()
      assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.protocolError)
    }
    fault.heal()
    initiator.yield()
    await expectLogout(initiator, tag, LogoutResponseCode.closed)
    await initiator.gone()
    await world.assertIdle()
  })

  it("survives its connection's loss while it waits", async () => {
    const { world, initiator, fault } = await withTasks()
    fault.cancel = () => {}
    initiator.logout()
    await world.pass(100)
    world.sim.links.at(-1)!.cut()
    await world.pass(100)
    fault.heal()
    await world.assertIdle()
  })

  it("of a connection there isn't: CID not found", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.logout(closeConnection, { cid: 9 })
    await expectLogout(initiator, tag, LogoutResponseCode.cidNotFound)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("for recovery isn't supported", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.logout(removeConnectionForRecovery)
    await expectLogout(initiator, tag, LogoutResponseCode.recoveryNotSupported)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("for a reason that is none is rejected", async () => {
    const { world, initiator } = await loggedIn()
    initiator.logout(3)
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.invalidPduField)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })
})
