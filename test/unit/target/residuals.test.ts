import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { isPromise } from "../../../src/base/completion.ts"
import { encodeAhs } from "../../../src/iscsi/pdu/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import type { Command } from "../../../src/scsi/sam/command.ts"
import { LogicalUnit } from "../../../src/scsi/sam/logical-unit.ts"
import type { Task } from "../../../src/scsi/sam/task.ts"
import type { Arrived, RawInitiator } from "../../suites/raw-initiator.ts"
import { overTcpAlone, TargetWorld } from "../../suites/target-world.ts"

const BYTES = 64

async function sendBack(task: Task, bytes: Uint8Array): Promise<void> {
  task.dataInBytes = bytes.length
  const allocated = task.allocateDataIn(bytes.length)
  const buffer = isPromise(allocated) ? await allocated : allocated
  buffer.bytes.set(bytes)
  task.sendDataIn(0, buffer, bytes.length, true)
}

/** Takes BYTES bytes and gives their complement: the shape of XDWRITEREAD. */
const exchange: Command = {
  name: "EXCHANGE",
  opcode: 0x53,
  usage: [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  access: "write",
  async execute(task) {
    task.dataOutBytes = BYTES
    const bytes = Math.min(BYTES, task.dataOutBytesMax)
    const answer = new Uint8Array(BYTES)
    if (bytes > 0) {
      const data = await task.receiveDataOut(0, bytes)
      answer.set(data.bytes.subarray(0, bytes).map((byte) => ~byte & 0xff))
      data.release()
    }
    await sendBack(task, answer)
  },
}

/** Gives its CDB. */
const longCdb: Command = {
  name: "LONG CDB",
  opcode: 0x7f,
  serviceAction: 0x0102,
  usage: new Array<number>(32).fill(0xff),
  access: "read",
  execute: (task) => sendBack(task, task.cdb),
}

const exchanges = [exchange, longCdb]

class ExchangeUnit extends LogicalUnit {
  readonly peripheralDeviceType = 0
  readonly commands = exchanges
  readonly vpdPages = []
  readonly modePages = []

  constructor() {
    super({ vendor: "SANLET", product: "EXCHANGE", revision: "1", serial: "1", designators: [] })
  }
}

async function loggedIn() {
  const world = await TargetWorld.open()
  world.target.scsi.addLogicalUnit(1, new ExchangeUnit())
  const initiator = await world.initiator()
  initiator.command(new Uint8Array(6), { lun: 1 })
  await initiator.next("SCSI Response") // its unit attention
  return { world, initiator }
}

/** O, U, the residual count, and the same for the read of a bidirectional command. */
function residuals({ fields }: Arrived): string {
  const one = (over: unknown, under: unknown, count: unknown): string =>
    `${over === true ? "O" : ""}${under === true ? "U" : ""}${String(count)}`
  const main = one(fields["overflow"], fields["underflow"], fields["residualCount"])
  const read = one(
    fields["bidirectionalReadOverflow"],
    fields["bidirectionalReadUnderflow"],
    fields["bidirectionalReadResidualCount"] ?? 0,
  )
  return read === "0" ? main : `${main} ${read}`
}

/** The PDU with the status, and the data that came before it or with it. */
async function finish(initiator: RawInitiator, dataOut: Uint8Array = new Uint8Array(0)) {
  const parts: Uint8Array[] = []
  for (;;) {
    const arrived = await initiator.next()
    if (arrived.pdu === "Ready To Transfer (R2T)") {
      initiator.answer(arrived, dataOut)
      continue
    }
    if (arrived.pdu === "SCSI Data-In") parts.push(arrived.data)
    if (arrived.pdu === "SCSI Data-In" && arrived.fields["statusPresent"] !== true) continue
    return { status: arrived, data: Buffer.concat(parts) }
  }
}

describe("residual counts", () => {
  it("of reads: underflow, overflow, none; the data is cut to what the initiator expects", async () => {
    const { world, initiator } = await loggedIn()
    const pattern = world.pattern(4096)
    for (const [expected, residual] of [
      [4096, "U3072"],
      [1024, "0"],
      [600, "O424"],
      [0, "O1024"],
    ] as const) {
      initiator.command(read10(0, 2), { read: expected })
      const { status, data } = await finish(initiator)
      assert.equal(residuals(status), residual)
      assert.equal(status.fields["status"], 0)
      assert.deepEqual(data, Buffer.from(pattern.subarray(0, Math.min(expected, 1024))))
    }
    await world.close()
  })

  it("of writes: underflow, overflow, none", async () => {
    const { world, initiator } = await loggedIn()
    for (const [expected, residual] of [
      [4096, "U3072"],
      [1024, "0"],
      [512, "O512"],
      [0, "O1024"],
    ] as const) {
      const data = Buffer.alloc(expected, expected & 0xff || 7)
      initiator.command(write10(16, 2), { write: expected })
      const { status } = await finish(initiator, data)
      assert.equal(residuals(status), residual)
      assert.equal(status.fields["status"], 0)
      const written = Math.min(expected, 1024)
      assert.deepEqual(Buffer.from(world.stored(16 * 512, written)), data.subarray(0, written))
    }
    await world.close()
  })

  it("of commands that move nothing, or the other way", async () => {
    const { world, initiator } = await loggedIn()
    initiator.command(read10(0, 2))
    assert.equal(residuals((await finish(initiator)).status), "O1024")
    initiator.command(write10(0, 2))
    assert.equal(residuals((await finish(initiator)).status), "O1024")
    initiator.command(new Uint8Array(6), { read: 512 })
    assert.equal(residuals((await finish(initiator)).status), "U512")
    initiator.command(new Uint8Array(6), { write: 512 })
    assert.equal(residuals((await finish(initiator)).status), "U512")
    initiator.command(read10(0, 1), { write: 512 })
    assert.equal(residuals((await finish(initiator)).status), "U512")
    await world.close()
  })

  it("of commands that fail: all of it", async () => {
    const { world, initiator } = await loggedIn()
    initiator.command(read10(0xffffff, 2), { read: 1024 })
    const { status } = await finish(initiator)
    assert.equal(status.fields["status"], 2)
    assert.equal(residuals(status), "U1024")
    await world.close()
  })
})

describe("bidirectional commands", () => {
  for (const [write, read, expected] of [
    [BYTES, BYTES, "0"],
    [BYTES + 8, BYTES, "U8"],
    [BYTES - 8, BYTES, "O8"],
    [BYTES, BYTES + 12, "0 U12"],
    [BYTES, BYTES - 12, "0 O12"],
    [BYTES + 4, BYTES - 4, "U4 O4"],
    [0, BYTES, `O${BYTES}`],
  ] as const) {
    it(`move data both ways, with residual counts of their own (${write} out, ${read} in)`, async () => {
      const { world, initiator } = await loggedIn()
      const out = Buffer.alloc(write, 0x5a)
      initiator.command(Uint8Array.of(0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0), {
        lun: 1,
        write,
        read,
        ahs: encodeAhs({ bidirectionalReadBytes: read }),
      })
      const { status, data } = await finish(initiator, out)
      assert.equal(status.fields["status"], 0)
      assert.equal(residuals(status), expected)
      const answer = Buffer.alloc(BYTES)
      answer.fill(0xa5, 0, Math.min(write, BYTES))
      assert.deepEqual(data, answer.subarray(0, read))
      if (residuals(status).includes(" ")) assert.equal(status.pdu, "SCSI Response")
      await world.close()
    })
  }
})

describe("extended CDBs", () => {
  it("arrive whole, with or without another header segment", async () => {
    const { world, initiator } = await loggedIn()
    const cdb = Uint8Array.from({ length: 32 }, (_, i) => i)
    cdb.set([0x7f, 0, 0, 0, 0, 0, 0, 24, 1, 2])
    for (const more of [{}, { bidirectionalReadBytes: 32 }]) {
      const ahs = encodeAhs({ extendedCdb: cdb.subarray(16), ...more })
      const both = "bidirectionalReadBytes" in more ? { write: 0 } : {}
      initiator.command(cdb, { lun: 1, read: 32, ahs, ...both })
      const { status, data } = await finish(initiator)
      assert.equal(status.fields["status"], 0)
      assert.deepEqual(data, Buffer.from(cdb))
    }
    await world.close()
  })
})

describe("status", () => {
  const skip = overTcpAlone("there is no Data-In over RDMA to carry it")
  it("comes with the last Data-In when it's GOOD, and counts the Data-In PDUs when it isn't", {
    skip,
  }, async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(read10(0, 8), { read: 4096 })
    const last = await initiator.next("SCSI Data-In")
    const { statusPresent, final, status, initiatorTaskTag } = last.fields
    assert.deepEqual([statusPresent, final, status, initiatorTaskTag], [true, true, 0, tag])

    // With a second residual it needs a SCSI Response.
    const ahs = encodeAhs({ bidirectionalReadBytes: BYTES + 12 })
    const options = { lun: 1, write: BYTES, read: BYTES, ahs, data: Buffer.alloc(BYTES) }
    initiator.command(Uint8Array.of(0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0), options)
    await initiator.next("SCSI Data-In")
    const response = await initiator.next("SCSI Response")
    assert.equal(response.fields["expDataSn"], 1)
    await world.close()
  })
})
