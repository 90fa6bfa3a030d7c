import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SeededRandom } from "../../../src/base/random.ts"
import { DataOut, NopOut } from "../../../src/iscsi/pdu/index.ts"
import { RejectReason } from "../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { senseText } from "../../suites/raw-initiator.ts"
import { overTcpAlone, TargetWorld } from "../../suites/target-world.ts"

/** The raw initiator checks every digest that comes, and computes its own. */
describe("digests, end to end", { skip: overTcpAlone("RDMA guards its data by itself") }, () => {
  for (const header of ["None", "CRC32C"]) {
    for (const data of ["None", "CRC32C"]) {
      it(`HeaderDigest=${header}, DataDigest=${data}`, async () => {
        const world = await TargetWorld.open()
        const initiator = await world.initiator({
          keys: [`HeaderDigest=${header}`, `DataDigest=${data}`, "MaxRecvDataSegmentLength=1024"],
        })
        assert.deepEqual(
          [initiator.headerDigest, initiator.dataDigest],
          [header === "CRC32C", data === "CRC32C"],
        )
        const bytes = new SeededRandom(8).fill(new Uint8Array(8192))
        initiator.command(write10(0, 16), { write: bytes.length, data: bytes.subarray(0, 1000) })
        initiator.answer(await initiator.next("Ready To Transfer (R2T)"), bytes)
        assert.equal((await initiator.next("SCSI Response")).fields["status"], 0)
        assert.deepEqual(await initiator.read(read10(0, 16), 8192), bytes)
        initiator.nop({ data: Buffer.from("odd length") })
        assert.equal(Buffer.from((await initiator.next("NOP-In")).data).toString(), "odd length")
        initiator.command(read10(0xffffff, 1), { read: 512 })
        assert.equal((await initiator.next("SCSI Response")).fields["status"], 2)
        initiator.logout()
        await initiator.next("Logout Response")
        await initiator.gone()
        await world.assertIdle()
      })
    }
  }

  it("a wrong header digest ends the connection: nothing in that PDU can be trusted", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ keys: ["HeaderDigest=CRC32C"] })
    initiator.command(read10(0, 1), { read: 512, damage: "header" })
    await initiator.gone()
    assert.deepEqual(initiator.unread, [])
    await world.assertIdle()
  })

  it("a wrong data digest of a command is rejected, and ends the connection: nobody fills the gap in CmdSN", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ keys: ["DataDigest=CRC32C"] })
    initiator.command(write10(0, 8), { data: Buffer.alloc(4096, "x"), damage: "data" })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.dataDigestError)
    await initiator.gone()
    assert.equal(world.stored(0, 1)[0], 0)
    await world.assertIdle()
  })

  it("a wrong data digest of a Data-Out is rejected, and costs its task alone", async () => {
    for (const solicited of [true, false]) {
      const world = await TargetWorld.open()
      const initiator = await world.initiator({ keys: ["DataDigest=CRC32C", "InitialR2T=No"] })
      const tag = initiator.command(write10(0, 8), { write: 4096, final: solicited })
      let ttt = 0xffffffff
      if (solicited) {
        const { fields } = await initiator.next("Ready To Transfer (R2T)")
        ttt = fields["targetTransferTag"] as number
      }
      const half = Buffer.alloc(2048, "x")
      const common = { initiatorTaskTag: tag, targetTransferTag: ttt }
      initiator.send(DataOut, { ...common, dataSn: 0 }, { data: half, damage: "data" })
      assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.dataDigestError)
      await world.pass(1_000)
      assert.deepEqual(initiator.unread, [])
      initiator.send(DataOut, { ...common, dataSn: 1, bufferOffset: 2048, final: true }, { data: half })
      assert.equal(senseText(await initiator.next("SCSI Response")), "b/4705")
      assert.equal(world.stored(0, 1)[0], 0)
      await initiator.read(read10(0, 8), 4096)
      await world.close()
    }
  })

  it("a wrong data digest of an immediate request is rejected; it isn't missed", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ keys: ["DataDigest=CRC32C"] })
    initiator.send(
      NopOut,
      { immediate: true, final: true, initiatorTaskTag: 5, targetTransferTag: 0xffffffff },
      { data: Buffer.from("ping"), damage: "data" },
    )
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.dataDigestError)
    await initiator.read(read10(0, 8), 4096)
    await world.close()
  })
})
