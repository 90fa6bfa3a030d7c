import assert from "node:assert/strict"
import { it } from "node:test"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { overTcpAlone, TargetWorld } from "../../suites/target-world.ts"

/** What ESXi administrators configure, and what RFC 7143 has as the result of each key against our target's wishes. */
const KEYS: readonly [offered: string, answer: string | undefined, why: string][] = [
  ["HeaderDigest=None", "HeaderDigest=None", "§13.1: the first offered that we can"],
  ["DataDigest=None", "DataDigest=None", "§13.1"],
  ["MaxConnections=1", "MaxConnections=1", "§13.2: minimum"],
  ["InitialR2T=No", "InitialR2T=No", "§13.10: OR"],
  ["ImmediateData=Yes", "ImmediateData=Yes", "§13.11: AND"],
  ["MaxRecvDataSegmentLength=1048576", undefined, "§13.12: declared, not answered"],
  ["MaxBurstLength=1048576", "MaxBurstLength=1048576", "§13.13: minimum"],
  ["FirstBurstLength=65536", "FirstBurstLength=65536", "§13.14: minimum"],
  ["DefaultTime2Wait=0", "DefaultTime2Wait=0", "§13.15: maximum"],
  ["DefaultTime2Retain=0", "DefaultTime2Retain=0", "§13.16: minimum"],
  ["MaxOutstandingR2T=32", "MaxOutstandingR2T=32", "§13.17: minimum"],
  ["DataPDUInOrder=No", "DataPDUInOrder=No", "§13.18: OR"],
  ["DataSequenceInOrder=No", "DataSequenceInOrder=No", "§13.19: OR"],
  ["ErrorRecoveryLevel=0", "ErrorRecoveryLevel=0", "§13.20: minimum"],
  ["OFMarker=No", "OFMarker=No", "§13.25: obsolete, declined"],
  ["IFMarker=No", "IFMarker=No", "§13.25"],
  ["OFMarkInt=1~65535", "OFMarkInt=Reject", "§13.25"],
  ["IFMarkInt=1~65535", "IFMarkInt=Reject", "§13.25"],
]

const skip = overTcpAlone("MaxRecvDataSegmentLength means nothing over RDMA")
it("the keys of an ESXi host negotiate to what RFC 7143 says, key by key, and hold", { skip }, async () => {
  const world = await TargetWorld.open()
  const initiator = await world.connect()
  const answers = await initiator.login({ keys: KEYS.map(([offered]) => offered) })
  const answerOf = (key: string): string | undefined =>
    answers.find((answer) => answer.startsWith(`${key}=`) && !answer.startsWith("MaxRecvDataSegmentLength"))
  for (const [offered, answer, why] of KEYS) assert.equal(answerOf(offered.split("=")[0]!), answer, why)
  assert.ok(answers.includes("TargetPortalGroupTag=1"))
  const declared = answers.find((answer) => answer.startsWith("MaxRecvDataSegmentLength="))
  assert.ok(declared, "our own MaxRecvDataSegmentLength is declared")

  const [session] = world.entity.sessions.all
  const [connection] = session!.connections.values()
  const { keys } = connection!
  assert.deepEqual(
    {
      initialR2T: keys.initialR2T,
      immediateData: keys.immediateData,
      maxConnections: keys.maxConnections,
      maxSendDataSegmentLength: keys.maxSendDataSegmentLength,
      maxRecvDataSegmentLength: keys.maxRecvDataSegmentLength,
      maxBurstLength: keys.maxBurstLength,
      firstBurstLength: keys.firstBurstLength,
      defaultTime2Wait: keys.defaultTime2Wait,
      defaultTime2Retain: keys.defaultTime2Retain,
      maxOutstandingR2T: keys.maxOutstandingR2T,
      dataPduInOrder: keys.dataPduInOrder,
      dataSequenceInOrder: keys.dataSequenceInOrder,
      errorRecoveryLevel: keys.errorRecoveryLevel,
      headerDigest: keys.headerDigest,
      dataDigest: keys.dataDigest,
    },
    {
      initialR2T: false,
      immediateData: true,
      maxConnections: 1,
      maxSendDataSegmentLength: 1048576,
      maxRecvDataSegmentLength: Number(declared.split("=")[1]),
      maxBurstLength: 1048576,
      firstBurstLength: 65536,
      defaultTime2Wait: 0,
      defaultTime2Retain: 0,
      maxOutstandingR2T: 32,
      dataPduInOrder: false,
      dataSequenceInOrder: false,
      errorRecoveryLevel: 0,
      headerDigest: "None",
      dataDigest: "None",
    },
  )

  // And they are what happens: 64 KiB unasked, the rest in one burst, a megabyte back in one PDU.
  await initiator.clearUnitAttentions()
  const data = world.pattern(1 << 20)
  const half = 65536 / 2
  const tag = initiator.command(write10(0, 2048), {
    write: data.length,
    data: data.subarray(0, half),
    final: false,
  })
  initiator.dataOut(tag, half, 0, true, data.subarray(half, 65536))
  const { fields } = await initiator.next("Ready To Transfer (R2T)")
  assert.deepEqual([fields["bufferOffset"], fields["desiredDataTransferLength"]], [65536, (1 << 20) - 65536])
  const ttt = fields["targetTransferTag"] as number
  const step = Number(declared.split("=")[1])
  let sn = 0
  for (let at = 65536; at < data.length; at += step) {
    const end = Math.min(at + step, data.length)
    initiator.dataOut(tag, at, sn++, end === data.length, data.subarray(at, end), ttt)
  }
  assert.equal((await initiator.next("SCSI Response")).fields["status"], 0)
  const before = initiator.arrived.length
  assert.deepEqual(await initiator.read(read10(0, 2048), 1 << 20), data)
  assert.equal(initiator.arrived.length - before, 1)
  await world.close()
})
