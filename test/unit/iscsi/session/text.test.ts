import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { TEXT_BYTES_MAX } from "../../../../src/base/limits.ts"
import { RejectReason } from "../../../../src/iscsi/spec/index.ts"
import { read10 } from "../../../../src/scsi/cdb/block.ts"
import { encodeKeys, keysOf, TARGET } from "../../../suites/raw-initiator.ts"
import { overTcpAlone, TargetWorld } from "../../../suites/target-world.ts"

const OWN = [`TargetName=${TARGET}`, "TargetAddress=10.0.0.1:3260,1"]

async function loggedIn() {
  const world = await TargetWorld.open()
  return { world, initiator: await world.initiator() }
}

describe("Text Requests", () => {
  it("may come in pieces, even of keys", async () => {
    const { world, initiator } = await loggedIn()
    const text = encodeKeys(["SendTargets="])
    const tag = initiator.text(text.subarray(0, 4), { final: false, more: true })
    const { fields, data } = await initiator.next("Text Response")
    assert.deepEqual([fields["final"], fields["continue"], data.length], [false, false, 0])
    initiator.text(text.subarray(4), { tag, ttt: fields["targetTransferTag"] as number })
    const answer = await initiator.next("Text Response")
    assert.equal(answer.fields["final"], true)
    assert.deepEqual(keysOf(answer.data), OWN)
    await world.close()
  })

  it("that have more to ask (F=0) are answered with F=0 until the last", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.text(["SendTargets="], { final: false })
    const first = await initiator.next("Text Response")
    assert.equal(first.fields["final"], false)
    assert.deepEqual(keysOf(first.data), OWN)
    const ttt = first.fields["targetTransferTag"] as number
    initiator.text(["X-org.example.key=1"], { final: false, tag, ttt })
    const second = await initiator.next("Text Response")
    assert.deepEqual(keysOf(second.data), ["X-org.example.key=NotUnderstood"])
    initiator.text([], { tag, ttt: second.fields["targetTransferTag"] as number })
    const last = await initiator.next("Text Response")
    assert.deepEqual([last.fields["final"], last.fields["targetTransferTag"]], [true, 0xffffffff])
    await world.close()
  })

  const skip = overTcpAlone("MaxRecvDataSegmentLength means nothing over RDMA")
  it("declare MaxRecvDataSegmentLength anew, which holds from then on", { skip }, async () => {
    const { world, initiator } = await loggedIn()
    const data = world.pattern(4096)
    initiator.text(["MaxRecvDataSegmentLength=1024"])
    assert.deepEqual(keysOf((await initiator.next("Text Response")).data), [])
    assert.deepEqual(await initiator.read(read10(0, 8), 4096), data)
    assert.equal(initiator.arrived.filter(({ pdu }) => pdu === "SCSI Data-In").length, 4)
    await world.close()
  })

  it("may not negotiate what belongs to the login", async () => {
    const { world, initiator } = await loggedIn()
    initiator.text(["MaxBurstLength=512", "HeaderDigest=CRC32C", "X-a=b"])
    const answers = keysOf((await initiator.next("Text Response")).data)
    assert.deepEqual(answers.toSorted(), [
      "HeaderDigest=Reject",
      "MaxBurstLength=Reject",
      "X-a=NotUnderstood",
    ])
    await initiator.read(read10(0, 1), 512)
    await world.close()
  })

  it("with a tag that isn't, or isn't theirs, are rejected", async () => {
    const { world, initiator } = await loggedIn()
    initiator.text([], { ttt: 99 })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.invalidPduField)
    initiator.text(["SendTargets="], { final: false })
    const { fields } = await initiator.next("Text Response")
    initiator.text([], { ttt: fields["targetTransferTag"] as number }) // another task's tag
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.invalidPduField)
    await world.close()
  })

  it("that make no sense are rejected, and the next one is answered", async () => {
    const { world, initiator } = await loggedIn()
    for (const wrong of [
      () => initiator.text(["SendTargets="], { more: true, final: true }),
      () => initiator.text(Buffer.from("no equals sign")),
      () => initiator.text(["MaxRecvDataSegmentLength=511"]),
      () => initiator.text(["TargetAlias=mine"]),
    ]) {
      wrong()
      assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.protocolError)
      initiator.text(["SendTargets="])
      assert.deepEqual(keysOf((await initiator.next("Text Response")).data), OWN)
    }
    await world.close()
  })

  it("may not go on for ever", async () => {
    const { world, initiator } = await loggedIn()
    const piece = Buffer.alloc(8192, "a")
    let ttt = 0xffffffff
    const tag = initiator.nextTag
    for (let bytes = 0; bytes < TEXT_BYTES_MAX; bytes += piece.length) {
      initiator.text(piece, { final: false, more: true, tag, ttt })
      ttt = (await initiator.next("Text Response")).fields["targetTransferTag"] as number
    }
    initiator.text(piece, { final: false, more: true, tag, ttt })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.longOperationReject)
    await world.close()
  })

  it("anew end the exchange under way", async () => {
    const { world, initiator } = await loggedIn()
    initiator.text(encodeKeys(["SendTargets="]).subarray(0, 5), { final: false, more: true })
    const { fields } = await initiator.next("Text Response")
    initiator.text(["SendTargets="], { immediate: true })
    assert.deepEqual(keysOf((await initiator.next("Text Response")).data), OWN)
    initiator.text([], {
      ttt: fields["targetTransferTag"] as number,
      tag: fields["initiatorTaskTag"] as number,
    })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.invalidPduField)
    await world.close()
  })
})
