import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { SeededRandom } from "../../../src/base/random.ts"
import { RejectReason } from "../../../src/iscsi/spec/index.ts"
import { write10 } from "../../../src/scsi/cdb/block.ts"
import { type Arrived, type RawInitiator, senseText } from "../../suites/raw-initiator.ts"
import { overTcpAlone, TargetWorld } from "../../suites/target-world.ts"

const FIRST_BURST = 8192
const MAX_BURST = 16384

interface Agreed {
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly inOrder?: boolean
  readonly more?: readonly string[]
}

const yes = (value: boolean): string => (value ? "Yes" : "No")

async function loggedIn({ initialR2T, immediateData, inOrder = false, more = [] }: Agreed) {
  const world = await TargetWorld.open({ target: { keys: { immediateData } } })
  const initiator = await world.initiator({
    keys: [
      `InitialR2T=${yes(initialR2T)}`,
      `ImmediateData=${yes(immediateData)}`,
      `FirstBurstLength=${FIRST_BURST}`,
      `MaxBurstLength=${MAX_BURST}`,
      `DataPDUInOrder=${yes(inOrder)}`,
      "MaxOutstandingR2T=2",
      ...more,
    ],
  })
  return { world, initiator }
}

/** Sends a write with as much immediate and unsolicited data, and answers R2Ts. Gives the response and the R2Ts. */
async function write(
  initiator: RawInitiator,
  data: Uint8Array,
  immediateBytes: number,
  unsolicitedBytes: number,
): Promise<{ response: Arrived; r2ts: Arrived[] }> {
  const tag = initiator.command(write10(0, data.length / 512), {
    write: data.length,
    data: immediateBytes > 0 ? data.subarray(0, immediateBytes) : undefined,
    final: unsolicitedBytes === 0,
  })
  const end = immediateBytes + unsolicitedBytes
  for (let at = immediateBytes, sn = 0; at < end; sn++) {
    const bytes = Math.min(1536, end - at)
    initiator.dataOut(tag, at, sn, at + bytes === end, data.subarray(at, at + bytes))
    at += bytes
  }
  const r2ts: Arrived[] = []
  for (;;) {
    const arrived = await initiator.next()
    if (arrived.pdu !== "Ready To Transfer (R2T)") return { response: arrived, r2ts }
    r2ts.push(arrived)
    initiator.answer(arrived, data)
  }
}

describe("write data comes as agreed on", () => {
  for (const initialR2T of [true, false]) {
    for (const immediateData of [true, false]) {
      it(`with InitialR2T=${yes(initialR2T)}, ImmediateData=${yes(immediateData)}`, async () => {
        const { world, initiator } = await loggedIn({ initialR2T, immediateData })
        const random = new SeededRandom(3)
        for (const bytes of [512, 4096, FIRST_BURST, FIRST_BURST + 512, 40960, 131072]) {
          const first = Math.min(bytes, FIRST_BURST)
          const immediates = immediateData ? [0, 512, first] : [0]
          for (const immediate of immediates) {
            // Either nothing more unasked, or all of the first burst.
            for (const unsolicited of initialR2T || immediate === first ? [0] : [0, first - immediate]) {
              const data = random.fill(new Uint8Array(bytes))
              const { response, r2ts } = await write(initiator, data, immediate, unsolicited)
              assert.equal(response.pdu, "SCSI Response")
              assert.equal(response.fields["status"], 0)
              assert.deepEqual(world.stored(0, bytes), data)
              const solicited = bytes - immediate - unsolicited
              assert.equal(r2ts.length, Math.ceil(solicited / MAX_BURST))
              r2ts.forEach(({ fields }, i) => {
                assert.equal(fields["r2tSn"], i)
                assert.equal(fields["bufferOffset"], immediate + unsolicited + i * MAX_BURST)
              })
              // As many as there were R2Ts (RFC 7143 §11.4.8); over RDMA there are none, and Linux says 0.
              const expDataSn = world.transport === "tcp" ? r2ts.length : 0
              assert.equal(response.fields["expDataSn"], expDataSn)
            }
          }
        }
        await world.close()
      })
    }
  }

  it("in any order within a burst, where DataPDUInOrder=No", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const data = new SeededRandom(5).fill(new Uint8Array(12288))
    const piece = (offset: number, bytes: number): Uint8Array => data.subarray(offset, offset + bytes)
    const tag = initiator.command(write10(0, 24), { write: 12288, data: piece(0, 1024), final: false })
    initiator.dataOut(tag, 4096, 0, false, piece(4096, 4096))
    initiator.dataOut(tag, 1024, 1, false, piece(1024, 512))
    initiator.dataOut(tag, 1536, 2, true, piece(1536, 2560))
    const { fields } = await initiator.next("Ready To Transfer (R2T)")
    assert.deepEqual([fields["bufferOffset"], fields["desiredDataTransferLength"]], [8192, 4096])
    const ttt = fields["targetTransferTag"] as number
    if (world.transport === "tcp") {
      initiator.dataOut(tag, 10240, 0, false, piece(10240, 2048), ttt)
      initiator.dataOut(tag, 8192, 1, true, piece(8192, 2048), ttt)
    } else {
      // The answer to an RDMA Read has one order (RFC 5040 §5.2).
      initiator.dataOut(tag, 8192, 0, false, piece(8192, 2048), ttt)
      initiator.dataOut(tag, 10240, 1, true, piece(10240, 2048), ttt)
    }
    assert.equal((await initiator.next("SCSI Response")).fields["status"], 0)
    assert.deepEqual(world.stored(0, 12288), data)
    await world.close()
  })

  const reads = overTcpAlone("what bounds RDMA Reads is the connection's read depth")
  it("with as many R2Ts outstanding as agreed on", { skip: reads }, async () => {
    const { world, initiator } = await loggedIn({ initialR2T: true, immediateData: false })
    const tag = initiator.command(write10(0, 256), { write: 131072 })
    const first = await initiator.next("Ready To Transfer (R2T)")
    await initiator.next("Ready To Transfer (R2T)")
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    initiator.answer(first, Buffer.alloc(131072))
    await initiator.next("Ready To Transfer (R2T)")
    initiator.manage(1, { referenced: tag })
    await initiator.next("Task Management Function Response")
    await world.close()
  })
})

describe("unsolicited data that wasn't agreed on ends the command with ABORTED COMMAND", () => {
  const unexpected = "b/0c0c"
  const incorrect = "b/0c0d"

  it("immediate data with ImmediateData=No: unexpected unsolicited data", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: true, immediateData: false })
    const { response } = await write(initiator, Buffer.alloc(4096, 1), 512, 0)
    assert.equal(senseText(response), unexpected)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  const receives = overTcpAlone(
    "more than TargetRecvDataSegmentLength has no receive, and ends the connection",
  )
  it("more immediate data than FirstBurstLength, or than the command's", { skip: receives }, async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const long = Buffer.alloc(40960, 1)
    assert.equal(senseText((await write(initiator, long, FIRST_BURST + 512, 0)).response), unexpected)
    initiator.command(write10(0, 1), { write: 512, data: Buffer.alloc(1024, 1) })
    assert.equal(senseText(await initiator.next("SCSI Response")), unexpected)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("unsolicited Data-Out with InitialR2T=Yes, once the last of it has come", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: true, immediateData: true })
    const tag = initiator.command(write10(0, 8), { write: 4096, data: Buffer.alloc(512, 1), final: false })
    initiator.dataOut(tag, 512, 0, false, Buffer.alloc(512, 1))
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [], "the response waits for the F bit")
    initiator.dataOut(tag, 1024, 1, true, Buffer.alloc(3072, 1))
    assert.equal(senseText(await initiator.next("SCSI Response")), unexpected)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("more unsolicited data than FirstBurstLength", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const { response, r2ts } = await write(initiator, Buffer.alloc(40960, 1), 512, FIRST_BURST)
    assert.equal(senseText(response), unexpected)
    assert.equal(r2ts.length, 0)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("less of it than FirstBurstLength: incorrect amount of data", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const { response } = await write(initiator, Buffer.alloc(40960, 1), 512, 1536)
    assert.equal(senseText(response), incorrect)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("a DataSN that isn't due, since data before it was lost: protocol service CRC error", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const tag = initiator.command(write10(0, 8), { write: 4096, final: false })
    initiator.dataOut(tag, 512, 1, false, Buffer.alloc(512, 1))
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    initiator.dataOut(tag, 1024, 2, true, Buffer.alloc(3072, 1))
    assert.equal(senseText(await initiator.next("SCSI Response")), "b/4705")
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("pieces that overlap and leave a gap", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const tag = initiator.command(write10(0, 8), { write: 4096, final: false })
    initiator.dataOut(tag, 0, 0, false, Buffer.alloc(2048, 1))
    initiator.dataOut(tag, 1024, 1, true, Buffer.alloc(2048, 1))
    assert.equal(senseText(await initiator.next("SCSI Response")), incorrect)
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })
})

describe("Data-Out out of order ends the connection with a Reject", () => {
  const data = Buffer.alloc(2048)
  const cases: readonly [
    title: string,
    agreed: Agreed,
    send: (initiator: RawInitiator, tag: number) => void,
  ][] = [
    [
      "an offset that isn't due, with DataPDUInOrder=Yes",
      { initialR2T: false, immediateData: true, inOrder: true },
      (initiator, tag) => initiator.dataOut(tag, 2048, 0, false, data),
    ],
    [
      "data behind the last of it",
      { initialR2T: false, immediateData: true },
      (initiator, tag) => {
        initiator.dataOut(tag, 0, 0, false, Buffer.alloc(FIRST_BURST - 2048))
        initiator.dataOut(tag, FIRST_BURST - 2048, 1, true, data)
        initiator.dataOut(tag, FIRST_BURST, 2, true, data)
      },
    ],
  ]
  for (const [title, agreed, send] of cases) {
    it(title, async () => {
      const { world, initiator } = await loggedIn(agreed)
      send(initiator, initiator.command(write10(0, 80), { write: 40960, final: false }))
      let arrived = await initiator.next()
      while (arrived.pdu === "Ready To Transfer (R2T)") arrived = await initiator.next()
      assert.equal(arrived.pdu, "Reject")
      assert.equal(arrived.fields["reason"], RejectReason.protocolError)
      await initiator.gone()
      await world.assertIdle()
    })
  }

  const placed = overTcpAlone("an RDMA Read's data goes where the target's device puts it")
  it("solicited data that lies elsewhere than asked for", { skip: placed }, async () => {
    const { world, initiator } = await loggedIn({ initialR2T: true, immediateData: false })
    const tag = initiator.command(write10(0, 8), { write: 4096 })
    const { fields } = await initiator.next("Ready To Transfer (R2T)")
    initiator.dataOut(tag, 4096, 0, true, data, fields["targetTransferTag"] as number)
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.protocolError)
    await initiator.gone()
    await world.assertIdle()
  })

  it("but data for a task that has ended is only late", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    initiator.dataOut(0x4711, 0, 0, true, data)
    await world.pass(100)
    assert.deepEqual(initiator.unread, [])
    await world.close()
  })
})

describe("a command that fails before its unsolicited data has come", () => {
  it("is answered when the last of it is here", async () => {
    const { world, initiator } = await loggedIn({ initialR2T: false, immediateData: true })
    const tag = initiator.command(write10(0xffffff, 8), {
      write: 4096,
      data: Buffer.alloc(512),
      final: false,
    })
    initiator.dataOut(tag, 512, 0, false, Buffer.alloc(512))
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    initiator.dataOut(tag, 1024, 1, true, Buffer.alloc(3072))
    assert.equal(senseText(await initiator.next("SCSI Response")), "5/2100")
    assert.equal(world.entity.budget.takenBytes, 0)
    await world.close()
  })
})
