import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { encodeAhs, NopOut, ScsiCommand, SnackRequest, TextRequest } from "../../../../src/iscsi/pdu/index.ts"
import { RejectReason } from "../../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../../src/scsi/cdb/block.ts"
import type { RawInitiator } from "../../../suites/raw-initiator.ts"
import { TargetWorld } from "../../../suites/target-world.ts"

async function loggedIn() {
  const world = await TargetWorld.open()
  return { world, initiator: await world.initiator() }
}

/** The Reject that comes next, with the header it is about. */
async function rejected(initiator: RawInitiator, reason: number): Promise<Uint8Array> {
  const { fields, data } = await initiator.next("Reject")
  assert.equal(fields["reason"], reason)
  assert.equal(fields["initiatorTaskTag"], 0xffffffff)
  assert.equal(fields["final"], true)
  return data
}

describe("Reject", () => {
  it("carries the complete header of the PDU, additional segments included", async () => {
    const { world, initiator } = await loggedIn()
    const ahs = Uint8Array.of(0, 5, 3, 0, 1, 2, 3, 4) // a type there is none of
    const tag = initiator.command(read10(0, 1), { read: 512, ahs })
    const header = await rejected(initiator, RejectReason.invalidPduField)
    assert.equal(header.length, 48 + 8)
    assert.equal(new DataView(header.buffer).getUint32(16), tag)
    assert.deepEqual(header.subarray(48), ahs)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("answers a tag that is under way with task in progress", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(write10(0, 8), { write: 4096 })
    const r2t = await initiator.next("Ready To Transfer (R2T)")
    initiator.command(read10(0, 1), { read: 512, tag })
    await rejected(initiator, RejectReason.taskInProgress)
    initiator.answer(r2t, Buffer.alloc(4096))
    assert.equal((await initiator.next("SCSI Response")).fields["status"], 0)
    await world.close()
  })

  it("answers the reserved tag with invalid PDU field", async () => {
    const { world, initiator } = await loggedIn()
    initiator.command(read10(0, 1), { read: 512, tag: 0xffffffff })
    await rejected(initiator, RejectReason.invalidPduField)
    await world.close()
  })

  it("answers SNACK, which is not for ErrorRecoveryLevel 0", async () => {
    const { world, initiator } = await loggedIn()
    initiator.send(SnackRequest, { final: true, type: 0, initiatorTaskTag: 0xffffffff })
    // Over iSER it is an error of the protocol (RFC 7145 §7.3.11).
    const { snackReject, protocolError } = RejectReason
    await rejected(initiator, world.transport === "tcp" ? snackReject : protocolError)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("answers commands that contradict themselves", async () => {
    const { world, initiator } = await loggedIn()
    initiator.command(read10(0, 1), { read: 512, final: false })
    await rejected(initiator, RejectReason.protocolError)
    const command = { final: true, read: true, initiatorTaskTag: 0x77, cmdSn: initiator.cmdSn++ }
    initiator.send(ScsiCommand, command, { data: Buffer.alloc(4) })
    await rejected(initiator, RejectReason.protocolError)
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("answers a login in full feature phase, and that is the end", async () => {
    const { world, initiator } = await loggedIn()
    initiator.sendLogin([])
    await rejected(initiator, RejectReason.protocolError)
    await initiator.gone()
    await world.assertIdle()
  })

  it("answers an opcode no target takes, and that is the end", async () => {
    for (const opcode of [0x07, 0x1c, 0x20, 0x3f]) {
      const { world, initiator } = await loggedIn()
      initiator.send(NopOut, { opcode })
      await rejected(initiator, RejectReason.commandNotSupported)
      await initiator.gone()
      await world.assertIdle()
    }
  })

  it("answers additional header segments where they don't belong, and that is the end", async () => {
    const { world, initiator } = await loggedIn()
    initiator.send(TextRequest, { final: true }, { ahs: encodeAhs({ bidirectionalReadBytes: 1 }) })
    await rejected(initiator, RejectReason.protocolError)
    await initiator.gone()
    await world.assertIdle()
  })
})
