import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { RejectReason } from "../../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../../src/scsi/cdb/block.ts"
import { overTcpAlone, TargetWorld } from "../../../suites/target-world.ts"

const NO_TAG = 0xffffffff

describe("NOP-Out", () => {
  for (const immediate of [true, false]) {
    it(`is echoed with its data and its tag (${immediate ? "immediate" : "numbered"})`, async () => {
      const world = await TargetWorld.open()
      const initiator = await world.initiator()
      const before = initiator.cmdSn
      const tag = initiator.nop({ immediate, data: Buffer.from("ping data") })
      const { fields, data } = await initiator.next("NOP-In")
      assert.deepEqual([fields["initiatorTaskTag"], fields["targetTransferTag"]], [tag, NO_TAG])
      assert.equal(Buffer.from(data).toString(), "ping data")
      assert.equal(fields["expCmdSn"], immediate ? before : before + 1)
      await world.close()
    })
  }

  it("gets back as much of its data as the initiator takes", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ keys: ["MaxRecvDataSegmentLength=512"] })
    const ping = Buffer.alloc(2000, "0123456789")
    initiator.nop({ data: ping })
    const { data } = await initiator.next("NOP-In")
    // Over RDMA initiators have room for 128 bytes, whatever they say.
    assert.deepEqual(Buffer.from(data), ping.subarray(0, world.transport === "tcp" ? 512 : 128))
    await world.close()
  })

  it("without a tag asks for nothing", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    initiator.nop({ immediate: true, tag: NO_TAG })
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    await world.close()
  })

  it("without a tag must be immediate", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    initiator.nop({ immediate: false, tag: NO_TAG })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.protocolError)
    await world.close()
  })
})

describe("NOP-In", () => {
  const entity = { nopIntervalMs: 30_000, nopDeadlineMs: 10_000 }

  it("asks a silent initiator, which answers", async () => {
    const world = await TargetWorld.open({ entity })
    const initiator = await world.initiator()
    for (let i = 0; i < 5; i++) {
      const { fields } = await initiator.next("NOP-In")
      assert.equal(fields["initiatorTaskTag"], NO_TAG)
      assert.notEqual(fields["targetTransferTag"], NO_TAG)
      initiator.nop({ immediate: true, tag: NO_TAG, ttt: fields["targetTransferTag"] as number })
    }
    assert.ok(world.clock.nowMs() >= 150_000)
    assert.equal(initiator.closed, false)
    await world.close()
  })

  it("is not for one that lets itself be heard", async () => {
    const world = await TargetWorld.open({ entity })
    const initiator = await world.initiator()
    for (let i = 0; i < 10; i++) {
      await world.pass(20_000)
      await initiator.read(read10(0, 1), 512)
    }
    assert.ok(!initiator.arrived.some(({ pdu }) => pdu === "NOP-In"))
    await world.close()
  })

  it("gives up an initiator that doesn't answer, and everything of it", async () => {
    const world = await TargetWorld.open({ entity })
    const initiator = await world.initiator()
    initiator.command(write10(0, 2000), { write: 2000 * 512 })
    await initiator.next("Ready To Transfer (R2T)")
    world.sim.links.at(-1)!.stall()
    await world.until("the session to end", () => world.entity.sessions.size === 0)
    assert.match(String(world.logged("connection failed")[0]!.fields["reason"]), /NOP-In/)
    await world.assertIdle()
  })

  const skip = overTcpAlone("an RDMA Read is seen when it's complete")
  it("isn't needed while data flows, however long that takes", { skip }, async () => {
    const world = await TargetWorld.open({ entity })
    const initiator = await world.initiator({ keys: ["MaxBurstLength=1048576"] })
    const data = Buffer.alloc(512 * 1024, "slow")
    const tag = initiator.command(write10(0, 1024), { write: data.length })
    const { fields } = await initiator.next("Ready To Transfer (R2T)")
    const ttt = fields["targetTransferTag"] as number
    for (let sn = 0; sn < 8; sn++) {
      await world.pass(25_000)
      initiator.dataOut(tag, sn * 65536, sn, sn === 7, data.subarray(sn * 65536, (sn + 1) * 65536), ttt)
    }
    assert.equal((await initiator.next()).pdu, "SCSI Response", "no ping came between")
    await world.close()
  })
})
