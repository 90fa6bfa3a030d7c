/** Write data that comes damaged or not at all ends its command with CHECK CONDITION, and nothing else (RFC 7143 §7.8, §7.9). */
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SeededRandom } from "../../../src/base/random.ts"
import { DataOut, TextRequest } from "../../../src/iscsi/pdu/index.ts"
import { RejectReason } from "../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { type RawInitiator, senseText } from "../../suites/raw-initiator.ts"
import { overTcpAlone, TargetWorld } from "../../suites/target-world.ts"

const PROTOCOL_SERVICE_CRC_ERROR = "b/4705"
const RESERVED_TAG = 0xffffffff
const data = new SeededRandom(4).fill(new Uint8Array(16384))

async function loggedIn({ initialR2T = true, r2ts = 2 } = {}) {
  const world = await TargetWorld.open()
  const initiator = await world.initiator({
    keys: [
      "DataDigest=CRC32C",
      "MaxBurstLength=4096",
      "FirstBurstLength=4096",
      `InitialR2T=${initialR2T ? "Yes" : "No"}`,
      `MaxOutstandingR2T=${r2ts}`,
    ],
  })
  return { world, initiator }
}

/** Sends bytes [from, to) of the data, damaged. */
function sendDamaged(
  initiator: RawInitiator,
  tag: number,
  ttt: number,
  from: number,
  to: number,
  final: boolean,
): void {
  const values = { final, initiatorTaskTag: tag, targetTransferTag: ttt, bufferOffset: from }
  initiator.send(DataOut, values, { data: data.subarray(from, to), damage: "data" })
}

async function dataDigestRejected(initiator: RawInitiator): Promise<void> {
  assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.dataDigestError)
}

/** The session is as good as before: what was written is nothing, and what is written now is there. */
async function assertUnharmed(world: TargetWorld, initiator: RawInitiator): Promise<void> {
  assert.ok(world.stored(0, 16384).every((byte) => byte === 0))
  const tag = initiator.command(write10(0, 1), { data: data.subarray(0, 512) })
  const { fields } = await initiator.next("SCSI Response")
  assert.deepEqual([fields["initiatorTaskTag"], fields["status"]], [tag, 0])
  assert.deepEqual(await initiator.read(read10(0, 1), 512), data.slice(0, 512))
  await world.close()
}

describe("solicited data", { skip: overTcpAlone("digests, and Data-Out in many parts, are TCP's") }, () => {
  it("lost in one of several bursts: the status comes with the last of all that was asked for", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(write10(0, 32), { write: 16384 })
    const first = await initiator.next("Ready To Transfer (R2T)")
    const second = await initiator.next("Ready To Transfer (R2T)")
    sendDamaged(initiator, tag, first.fields["targetTransferTag"] as number, 0, 4096, true)
    await dataDigestRejected(initiator)
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [], "no third R2T, and no status yet")
    initiator.answer(second, data)
    const response = await initiator.next("SCSI Response")
    assert.equal(senseText(response), PROTOCOL_SERVICE_CRC_ERROR)
    assert.equal(response.fields["expDataSn"], 2)
    assert.equal(world.logged("write data lost").length, 1)
    await assertUnharmed(world, initiator)
  })

  it("with a DataSN that isn't due, in a later burst", async () => {
    const { world, initiator } = await loggedIn({ r2ts: 1 })
    const tag = initiator.command(write10(0, 32), { write: 16384 })
    initiator.answer(await initiator.next("Ready To Transfer (R2T)"), data)
    const { fields } = await initiator.next("Ready To Transfer (R2T)")
    const ttt = fields["targetTransferTag"] as number
    initiator.dataOut(tag, 4096, 0, false, data.subarray(4096, 6144), ttt)
    initiator.dataOut(tag, 6144, 0, true, data.subarray(6144, 8192), ttt)
    const response = await initiator.next("SCSI Response")
    assert.equal(senseText(response), PROTOCOL_SERVICE_CRC_ERROR)
    assert.equal(response.fields["expDataSn"], 2)
    await assertUnharmed(world, initiator)
  })

  it("aborted while the rest is waited for", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(write10(0, 8), { write: 4096 })
    const { fields } = await initiator.next("Ready To Transfer (R2T)")
    const ttt = fields["targetTransferTag"] as number
    sendDamaged(initiator, tag, ttt, 0, 2048, false)
    await dataDigestRejected(initiator)
    initiator.manage(1, { referenced: tag })
    assert.equal((await initiator.next("Task Management Function Response")).fields["response"], 0)
    initiator.dataOut(tag, 2048, 1, true, data.subarray(2048, 4096), ttt)
    await assertUnharmed(world, initiator)
  })
})

describe("unsolicited data", { skip: overTcpAlone("digests, and Data-Out in many parts, are TCP's") }, () => {
  it("damaged, the last of it", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false })
    const tag = initiator.command(write10(0, 8), { write: 4096, final: false })
    sendDamaged(initiator, tag, RESERVED_TAG, 0, 4096, true)
    await dataDigestRejected(initiator)
    assert.equal(senseText(await initiator.next("SCSI Response")), PROTOCOL_SERVICE_CRC_ERROR)
    await assertUnharmed(world, initiator)
  })

  it("damaged, of a command that would have gone on by R2T", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false })
    const tag = initiator.command(write10(0, 32), {
      write: 16384,
      data: data.subarray(0, 1024),
      final: false,
    })
    sendDamaged(initiator, tag, RESERVED_TAG, 1024, 2048, false)
    await dataDigestRejected(initiator)
    initiator.dataOut(tag, 2048, 1, true, data.subarray(2048, 4096))
    const response = await initiator.next("SCSI Response")
    assert.equal(senseText(response), PROTOCOL_SERVICE_CRC_ERROR)
    assert.equal(response.fields["expDataSn"], 0)
    await assertUnharmed(world, initiator)
  })

  it("damaged, of a command that waits for its turn", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false })
    const late = initiator.cmdSn++
    const tag = initiator.command(write10(0, 8), { write: 4096, final: false })
    sendDamaged(initiator, tag, RESERVED_TAG, 0, 4096, true)
    await dataDigestRejected(initiator)
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    initiator.command(new Uint8Array(6), { cmdSn: late })
    assert.equal((await initiator.next("SCSI Response")).fields["status"], 0)
    assert.equal(senseText(await initiator.next("SCSI Response")), PROTOCOL_SERVICE_CRC_ERROR)
    await assertUnharmed(world, initiator)
  })

  it("damaged, of a command that isn't there", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false })
    sendDamaged(initiator, 0x4711, RESERVED_TAG, 0, 512, true)
    await dataDigestRejected(initiator)
    await assertUnharmed(world, initiator)
  })

  it("damaged, of a command that has failed for another reason", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false })
    const tag = initiator.command(write10(0xffffff, 8), { write: 4096, final: false })
    sendDamaged(initiator, tag, RESERVED_TAG, 0, 4096, true)
    await dataDigestRejected(initiator)
    assert.equal(senseText(await initiator.next("SCSI Response")), "5/2100")
    await assertUnharmed(world, initiator)
  })
})

describe("a numbered request with a wrong data digest", {
  skip: overTcpAlone("digests, and Data-Out in many parts, are TCP's"),
}, () => {
  it("is rejected and ends the connection, as nobody fills the gap in CmdSN", async () => {
    const { world, initiator } = await loggedIn()
    initiator.send(
      TextRequest,
      { final: true, initiatorTaskTag: 9, targetTransferTag: RESERVED_TAG, cmdSn: initiator.cmdSn },
      { data: Buffer.from("SendTargets=\0"), damage: "data" },
    )
    await dataDigestRejected(initiator)
    await initiator.gone()
    await world.assertIdle()
  })
})
