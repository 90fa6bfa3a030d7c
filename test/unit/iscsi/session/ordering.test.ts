import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import { COMMAND_WINDOW, HELD_BYTES_MAX, IMMEDIATE_COMMANDS_MAX } from "../../../../src/base/limits.ts"
import { RejectReason } from "../../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../../src/scsi/cdb/block.ts"
import { serialAdd } from "../../../../src/wire/serial.ts"
import type { RawInitiator } from "../../../suites/raw-initiator.ts"
import { TargetWorld } from "../../../suites/target-world.ts"

const TEST_UNIT_READY = new Uint8Array(6)

async function loggedIn(cmdSn = 1) {
  const world = await TargetWorld.open()
  return { world, initiator: await world.initiator({ cmdSn, keys: ["InitialR2T=No"] }) }
}

/** A world whose LUN 1 never answers a read before it's told to. */
async function hanging() {
  const { world, initiator } = await loggedIn()
  const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
    { operations: ["read"], effect: { kind: "hang" } },
  ])
  world.target.addLogicalUnit(1, fault)
  await initiator.next("Asynchronous Message")
  await initiator.clearUnitAttentions(1)
  await initiator.clearUnitAttentions(0)
  return { world, initiator, fault }
}

async function nextTag(initiator: RawInitiator, pdu = "SCSI Response"): Promise<number> {
  return (await initiator.next(pdu)).fields["initiatorTaskTag"] as number
}

async function expectSilence(world: TargetWorld, initiator: RawInitiator): Promise<void> {
  await world.pass(1_000)
  assert.deepEqual(initiator.unread, [])
}

describe("commands", () => {
  it("go on in the order of CmdSN, whatever order they come in", async () => {
    const { world, initiator } = await loggedIn()
    const first = initiator.cmdSn
    const tags = [3, 1, 2].map((n) => initiator.command(TEST_UNIT_READY, { tag: n, cmdSn: first + n }))
    await expectSilence(world, initiator)
    initiator.command(TEST_UNIT_READY, { tag: 9, cmdSn: first })
    assert.deepEqual(
      [
        await nextTag(initiator),
        await nextTag(initiator),
        await nextTag(initiator),
        await nextTag(initiator),
      ],
      [9, 1, 2, 3],
    )
    assert.equal(tags.length, 3)
    assert.equal(initiator.arrived.at(-1)!.fields["expCmdSn"], first + 4)
    await world.close()
  })

  it("of every kind take their turn", async () => {
    const { world, initiator } = await loggedIn()
    const first = initiator.cmdSn
    initiator.cmdSn = first + 1
    const nop = initiator.nop()
    const text = initiator.text(["SendTargets="])
    const function_ = initiator.manage(2, { immediate: false })
    initiator.logout(2, { immediate: false })
    await expectSilence(world, initiator)
    initiator.command(TEST_UNIT_READY, { cmdSn: first })
    await nextTag(initiator)
    assert.equal(await nextTag(initiator, "NOP-In"), nop)
    assert.equal(await nextTag(initiator, "Text Response"), text)
    const rest = [await initiator.next(), await initiator.next()]
    assert.deepEqual(rest.map(({ pdu }) => pdu).toSorted(), [
      "Logout Response",
      "Task Management Function Response",
    ])
    assert.ok(rest.some(({ fields }) => fields["initiatorTaskTag"] === function_))
    const { expCmdSn, maxCmdSn } = initiator.arrived.at(-1)!.fields
    assert.deepEqual([expCmdSn, maxCmdSn], [first + 5, first + 4 + COMMAND_WINDOW], "each frees its place")
    await world.close()
  })

  it("outside of the window are ignored without a word", async () => {
    const { world, initiator } = await loggedIn()
    const next = initiator.cmdSn
    for (const cmdSn of [next - 1, next - 2, next + COMMAND_WINDOW, next + 2 ** 31]) {
      initiator.command(TEST_UNIT_READY, { cmdSn: cmdSn >>> 0 })
    }
    await expectSilence(world, initiator)
    initiator.command(TEST_UNIT_READY)
    await nextTag(initiator)
    await world.close()
  })

  it("that come twice are carried out once", async () => {
    const { world, initiator } = await loggedIn()
    const next = initiator.cmdSn
    initiator.command(TEST_UNIT_READY, { tag: 1, cmdSn: next + 1 })
    initiator.command(TEST_UNIT_READY, { tag: 2, cmdSn: next + 1 })
    initiator.command(TEST_UNIT_READY, { tag: 3, cmdSn: next })
    initiator.command(TEST_UNIT_READY, { tag: 4, cmdSn: next })
    assert.deepEqual([await nextTag(initiator), await nextTag(initiator)], [3, 1])
    await expectSilence(world, initiator)
    await world.close()
  })

  it("count on across 2^32", async () => {
    const { world, initiator } = await loggedIn(0xfffffffd)
    for (let i = 0; i < 6; i++) {
      initiator.command(TEST_UNIT_READY)
      const { fields } = await initiator.next("SCSI Response")
      assert.equal(fields["expCmdSn"], initiator.cmdSn)
      assert.equal(fields["maxCmdSn"], serialAdd(initiator.cmdSn, COMMAND_WINDOW - 1))
    }
    assert.ok(initiator.cmdSn < 10)
    await world.close()
  })

  it("ahead of their turn keep their data, immediate and unsolicited", async () => {
    const { world, initiator } = await loggedIn()
    const data = Buffer.alloc(4096, "ab")
    const next = initiator.cmdSn
    const options = { write: 4096, data: data.subarray(0, 1024), final: false, cmdSn: next + 1, tag: 5 }
    initiator.command(write10(8, 8), options)
    initiator.dataOut(5, 1024, 0, false, data.subarray(1024, 2048))
    await expectSilence(world, initiator)
    initiator.command(TEST_UNIT_READY, { cmdSn: next, tag: 4 })
    initiator.dataOut(5, 2048, 1, true, data.subarray(2048))
    assert.deepEqual([await nextTag(initiator), await nextTag(initiator)], [4, 5])
    assert.deepEqual(Buffer.from(world.stored(4096, 4096)), data)
    await world.close()
  })

  it("ahead of their turn may not pile up", async () => {
    const { world, initiator } = await loggedIn()
    const data = Buffer.alloc(256 * 1024)
    const next = initiator.cmdSn
    for (let i = 1; i <= 1 + HELD_BYTES_MAX / data.length; i++) {
      initiator.command(write10(0, 512), { data, cmdSn: next + i })
    }
    await initiator.gone()
    await world.assertIdle()
  })
})

describe("MaxCmdSN", () => {
  it("moves when a command is retired, so that it bounds what is outstanding", async () => {
    const { world, initiator, fault } = await hanging()
    const start = initiator.cmdSn
    for (let i = 0; i < COMMAND_WINDOW; i++) initiator.command(read10(0, 1), { lun: 1, read: 512 })
    initiator.nop({ immediate: true })
    const { fields } = await initiator.next("NOP-In")
    assert.equal(fields["expCmdSn"], start + COMMAND_WINDOW)
    assert.equal(fields["maxCmdSn"], start + COMMAND_WINDOW - 1, "the window is closed")

    initiator.command(TEST_UNIT_READY)
    await expectSilence(world, initiator)
    fault.heal()
    fault.release()
    await world.until("all reads", () => initiator.unread.length === COMMAND_WINDOW)
    initiator.nop({ immediate: true })
    await world.pass(100)
    const last = initiator.arrived.at(-1)!
    assert.equal(last.fields["maxCmdSn"], start + 2 * COMMAND_WINDOW - 1)
    await world.close()
  })

  it("opens again for numbers that were aborted before they came", async () => {
    const { world, initiator } = await loggedIn()
    const missing = initiator.cmdSn
    initiator.cmdSn = missing + 1
    initiator.manage(1, { referenced: 0x77, refCmdSn: missing })
    const { fields } = await initiator.next("Task Management Function Response")
    assert.equal(fields["response"], 0)
    assert.equal(fields["expCmdSn"], missing + 1)
    assert.equal(fields["maxCmdSn"], missing + COMMAND_WINDOW)
    initiator.command(TEST_UNIT_READY, { cmdSn: missing }) // late: it counts as received
    await expectSilence(world, initiator)
    initiator.command(TEST_UNIT_READY)
    await nextTag(initiator)
    await world.close()
  })
})

describe("immediate commands", () => {
  it("are carried out at once, whatever is missing before them, and take no number", async () => {
    const { world, initiator } = await loggedIn()
    initiator.command(TEST_UNIT_READY, { immediate: true, cmdSn: initiator.cmdSn + 5 })
    const { fields } = await initiator.next("SCSI Response")
    assert.equal(fields["status"], 0)
    assert.equal(fields["expCmdSn"], initiator.cmdSn)
    await world.close()
  })

  it(`may be ${IMMEDIATE_COMMANDS_MAX} at a time; what is answered at once always may`, async () => {
    const { world, initiator, fault } = await hanging()
    const immediate = { lun: 1, read: 512, immediate: true }
    for (let i = 0; i < IMMEDIATE_COMMANDS_MAX; i++) initiator.command(read10(0, 1), immediate)
    initiator.command(read10(0, 1), immediate)
    const reject = await initiator.next("Reject")
    assert.equal(reject.fields["reason"], RejectReason.immediateCommandReject)
    initiator.nop({ immediate: true })
    await initiator.next("NOP-In")
    initiator.text(["SendTargets="], { immediate: true })
    await initiator.next("Text Response")
    initiator.manage(5, { lun: 1 })
    await initiator.next("Task Management Function Response")
    // All of them have ended: there is room again.
    fault.heal()
    initiator.command(TEST_UNIT_READY, { lun: 1, immediate: true })
    await initiator.next("SCSI Response")
    await world.close()
  })

  it("of task management have their own bound", async () => {
    const { world, initiator, fault } = await hanging()
    fault.cancel = () => {}
    initiator.command(read10(0, 1), { lun: 1, read: 512 })
    for (let i = 0; i < IMMEDIATE_COMMANDS_MAX; i++) initiator.manage(2, { lun: 1 })
    initiator.manage(2, { lun: 1 })
    const reject = await initiator.next("Reject")
    assert.equal(reject.fields["reason"], RejectReason.immediateCommandReject)
    fault.release()
    for (let i = 0; i < IMMEDIATE_COMMANDS_MAX; i++) await initiator.next("Task Management Function Response")
    await world.close()
  })
})
