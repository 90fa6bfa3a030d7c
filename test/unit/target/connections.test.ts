import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { LogoutReason, LogoutResponseCode } from "../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import type { RawInitiator } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const TEST_UNIT_READY = new Uint8Array(6)

/** Our targets agree on one connection unless told otherwise; the session is made for more. */
async function twoConnections() {
  const world = await TargetWorld.open({ target: { keys: { maxConnections: 2 } } })
  const first = await world.initiator({ keys: ["MaxConnections=2"] })
  const second = await world.connect()
  await second.login({ tsih: first.tsih, cid: 1, cmdSn: first.cmdSn, keys: ["HeaderDigest=CRC32C"] })
  return { world, first, second }
}

const tagOf = async (initiator: RawInitiator): Promise<unknown> =>
  (await initiator.next("SCSI Response")).fields["initiatorTaskTag"]

describe("a session of two connections", () => {
  it("has one order of commands, and answers each where it came from", async () => {
    const { world, first, second } = await twoConnections()
    assert.equal(world.entity.sessions.size, 1)
    const next = first.cmdSn
    second.command(TEST_UNIT_READY, { tag: 2, cmdSn: next + 1 })
    await world.pass(100)
    assert.deepEqual(second.unread, [])
    first.command(TEST_UNIT_READY, { tag: 1, cmdSn: next })
    assert.equal(await tagOf(first), 1)
    assert.equal(await tagOf(second), 2)
    await world.close()
  })

  it("goes on with one when the other is lost, but for the tasks on that", async () => {
    const { world, first, second } = await twoConnections()
    const lost = second.command(write10(0, 8), { write: 4096, cmdSn: first.cmdSn })
    await second.next("Ready To Transfer (R2T)")
    const kept = first.command(write10(8, 8), { write: 4096, cmdSn: first.cmdSn + 1 })
    const r2t = await first.next("Ready To Transfer (R2T)")
    world.sim.links.at(-1)!.cut()
    await world.pass(100)
    const [session] = world.entity.sessions.all
    assert.deepEqual([...session!.tasks.keys()], [kept])
    assert.equal(session!.connections.size, 1)
    first.answer(r2t, Buffer.alloc(4096))
    assert.equal(await tagOf(first), kept)
    assert.notEqual(lost, kept)
    await world.close()
  })

  it("closes one from the other", async () => {
    const { world, first, second } = await twoConnections()
    first.logout(LogoutReason.closeConnection, { cid: 1 })
    assert.equal((await first.next("Logout Response")).fields["response"], LogoutResponseCode.closed)
    await second.gone()
    await first.read(read10(0, 1), 512)
    await world.close()
  })

  it("closes both with the session", async () => {
    const { world, first, second } = await twoConnections()
    second.command(write10(0, 8), { write: 4096, cmdSn: first.cmdSn })
    await second.next("Ready To Transfer (R2T)")
    first.logout(LogoutReason.closeSession)
    await first.next("Logout Response")
    await first.gone()
    await second.gone()
    await world.assertIdle()
  })
})
