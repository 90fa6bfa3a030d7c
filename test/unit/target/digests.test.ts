import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SeededRandom } from "../../../src/base/random.ts"
import { RejectReason } from "../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { TargetWorld } from "../../suites/target-world.ts"

/** The raw initiator checks every digest that comes, and computes its own. */
describe("digests, end to end", () => {
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

  it("a wrong data digest is rejected, and ends the connection: at ErrorRecoveryLevel 0 nothing is sent again", async () => {
    for (const solicited of [true, false]) {
      const world = await TargetWorld.open()
      const initiator = await world.initiator({ keys: ["DataDigest=CRC32C"] })
      const data = Buffer.alloc(4096, "x")
      if (solicited) {
        const tag = initiator.command(write10(0, 8), { write: 4096 })
        const { fields } = await initiator.next("Ready To Transfer (R2T)")
        initiator.dataDigest = false // none is appended, so that a wrong one can be
        const wrong = Buffer.concat([data, Buffer.from("none")])
        initiator.stream.write([dataOutHeader(tag, fields["targetTransferTag"] as number), wrong])
        initiator.dataDigest = true
      } else {
        initiator.command(write10(0, 8), { data, damage: "data" })
      }
      assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.dataDigestError)
      await initiator.gone()
      assert.equal(world.stored(0, 1)[0], 0)
      await world.assertIdle()
    }
  })
})

/** A Data-Out of 4096 bytes without its data. */
function dataOutHeader(tag: number, ttt: number): Uint8Array {
  const header = new Uint8Array(48)
  const view = new DataView(header.buffer)
  view.setUint32(0, 0x05800000)
  view.setUint32(4, 4096)
  view.setUint32(16, tag)
  view.setUint32(20, ttt)
  return header
}
