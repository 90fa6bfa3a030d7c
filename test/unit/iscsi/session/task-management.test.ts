import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../../src/backstore/memory.ts"
import {
  RejectReason,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from "../../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../../src/scsi/cdb/block.ts"
import { Status } from "../../../../src/scsi/spec/status.ts"
import { type RawInitiator, senseText } from "../../../suites/raw-initiator.ts"
import { TargetWorld } from "../../../suites/target-world.ts"

const TEST_UNIT_READY = new Uint8Array(6)
const { abortTask, abortTaskSet, clearAca, clearTaskSet, logicalUnitReset } = TaskManagementFunction
const { targetWarmReset, targetColdReset, taskReassign } = TaskManagementFunction
const { functionComplete, taskDoesNotExist, lunDoesNotExist, functionNotSupported } =
  TaskManagementResponseCode
const { taskAllegianceReassignmentNotSupported, functionRejected } = TaskManagementResponseCode

async function loggedIn() {
  const world = await TargetWorld.open()
  return { world, initiator: await world.initiator({ keys: ["InitialR2T=No"] }) }
}

/** The response to a function, which is the next PDU. */
async function response(initiator: RawInitiator, tag: number): Promise<number> {
  const { fields } = await initiator.next("Task Management Function Response")
  assert.equal(fields["initiatorTaskTag"], tag)
  return fields["response"] as number
}

describe("task management functions", () => {
  const ending = { abortTask, abortTaskSet, clearTaskSet, logicalUnitReset, targetWarmReset }
  for (const [name, wanted] of Object.entries(ending)) {
    it(`${name} completes though data of the aborted task is outstanding, and what comes of it late is dropped`, async () => {
      const { world, initiator } = await loggedIn()
      const before = world.stored(0, 1 << 20)
      const data = Buffer.alloc(1 << 20, "late")
      const tag = initiator.command(write10(0, 2048), { write: data.length })
      const r2t = await initiator.next("Ready To Transfer (R2T)")
      const function_ = initiator.manage(wanted, { referenced: tag })
      initiator.yield()
      assert.equal(await response(initiator, function_), functionComplete)
      const ttt = r2t.fields["targetTransferTag"] as number
      initiator.dataOut(tag, 0, 0, false, data.subarray(0, 65536), ttt)
      initiator.dataOut(tag, 65536, 1, true, data.subarray(65536, 131072), ttt)
      await world.pass(1_000)
      assert.deepEqual(initiator.unread, [])
      assert.deepEqual(world.stored(0, 1 << 20), before)
      assert.equal(world.entity.budget.takenBytes, 0)
      // A reset leaves a unit attention.
      await initiator.clearUnitAttentions()
      await world.close()
    })

    it(`${name} completes though unsolicited data is outstanding`, async () => {
      const { world, initiator } = await loggedIn()
      const tag = initiator.command(write10(0, 8), {
        write: 4096,
        data: Buffer.alloc(512),
        final: false,
      })
      await world.pass(10)
      assert.equal(await response(initiator, initiator.manage(wanted, { referenced: tag })), functionComplete)
      initiator.dataOut(tag, 512, 0, true, Buffer.alloc(3584))
      await world.pass(1_000)
      assert.deepEqual(initiator.unread, [])
      await world.close()
    })
  }

  it("answer with what RFC 7143 has for each case", async () => {
    const { world, initiator } = await loggedIn()
    const cases: readonly [wanted: number, options: Parameters<RawInitiator["manage"]>[1], code: number][] = [
      [abortTask, { referenced: 0x9999, refCmdSn: 0 }, taskDoesNotExist],
      [abortTaskSet, { lun: 5 }, lunDoesNotExist],
      [clearTaskSet, { lun: 5 }, lunDoesNotExist],
      [logicalUnitReset, { lun: 5 }, lunDoesNotExist],
      [clearAca, {}, functionComplete],
      [clearAca, { lun: 5 }, lunDoesNotExist],
      [taskReassign, { referenced: 0x9999 }, taskAllegianceReassignmentNotSupported],
      [99, {}, functionNotSupported],
      [abortTaskSet, { immediate: false }, functionComplete],
    ]
    for (const [wanted, options, code] of cases) {
      const tag = initiator.manage(wanted, options)
      assert.equal(await response(initiator, tag), code, `function ${wanted}`)
    }
    await world.close()
  })

  it("CLEAR ACA lets go of what a command with NACA held up", async () => {
    const { world, initiator } = await loggedIn()
    await initiator.clearUnitAttentions()
    const answered = async (tag: number): Promise<number> => {
      const { fields } = await initiator.next("SCSI Response")
      assert.equal(fields["initiatorTaskTag"], tag)
      return fields["status"] as number
    }
    const held = initiator.command(write10(0, 8), { write: 4096 })
    const r2t = await initiator.next("Ready To Transfer (R2T)")
    assert.equal(await answered(initiator.command(Uint8Array.of(0, 0, 0, 1, 0, 0x04))), Status.checkCondition)
    assert.equal(await answered(initiator.command(TEST_UNIT_READY)), Status.acaActive)
    assert.equal(await answered(initiator.command(TEST_UNIT_READY, { attribute: 4 })), Status.good)
    initiator.answer(r2t, Buffer.alloc(4096, "held"))
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    assert.equal(await answered(initiator.command(TEST_UNIT_READY, { attribute: 2 })), Status.acaActive)
    const function_ = initiator.manage(clearAca)
    assert.equal(await answered(held), Status.good)
    assert.equal(await response(initiator, function_), functionComplete)
    assert.equal(await answered(initiator.command(TEST_UNIT_READY)), Status.good)
    await world.close()
  })

  it("are logged, each in one line with who, what, where and the outcome", async () => {
    const { world, initiator } = await loggedIn()
    await response(initiator, initiator.manage(logicalUnitReset))
    const lines = world.lines.filter(({ level, message }) => level !== "debug" && /management/.test(message))
    assert.equal(lines.length, 1)
    const { fields } = lines[0]!
    assert.equal(fields["function"], "logicalUnitReset")
    assert.equal(fields["response"], "functionComplete")
    assert.equal(fields["address"], "192.0.2.10")
    assert.ok(String(fields["initiator"]).endsWith(":initiator"))
    await world.close()
  })

  it("with a tag that is taken are rejected", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(write10(0, 8), { write: 4096 })
    await initiator.next("Ready To Transfer (R2T)")
    initiator.manage(abortTaskSet, { tag })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.taskInProgress)
    initiator.manage(abortTaskSet, { tag: 0xffffffff })
    assert.equal((await initiator.next("Reject")).fields["reason"], RejectReason.invalidPduField)
    await world.close()
  })
})

describe("ABORT TASK", () => {
  it("of a command that hasn't come takes its number, and the command is dropped when it comes", async () => {
    const { world, initiator } = await loggedIn()
    const missing = initiator.cmdSn
    initiator.cmdSn = missing + 2
    initiator.command(TEST_UNIT_READY, { cmdSn: missing + 1, tag: 0x51 })
    const function_ = initiator.manage(abortTask, { referenced: 0x50, refCmdSn: missing })
    // What waited for the missing one goes on.
    const both = [await initiator.next(), await initiator.next()]
    assert.deepEqual(
      both.map(({ fields }) => fields["initiatorTaskTag"]).toSorted((a, b) => Number(a) - Number(b)),
      [0x51, function_].toSorted((a, b) => a - b),
    )
    initiator.command(write10(0, 1), { cmdSn: missing, tag: 0x50, data: Buffer.alloc(512, "x") })
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("of a command kept ahead of its turn drops it", async () => {
    const { world, initiator } = await loggedIn()
    const first = initiator.cmdSn
    initiator.command(write10(0, 1), { cmdSn: first + 1, tag: 0x51, data: Buffer.alloc(512, "x") })
    initiator.cmdSn = first + 2
    const function_ = initiator.manage(abortTask, { referenced: 0x51, refCmdSn: first + 1 })
    assert.equal(await response(initiator, function_), functionComplete)
    initiator.command(TEST_UNIT_READY, { cmdSn: first, tag: 0x50 })
    assert.equal((await initiator.next("SCSI Response")).fields["initiatorTaskTag"], 0x50)
    await world.pass(1_000)
    assert.deepEqual(initiator.unread, [])
    assert.equal(world.stored(0, 1)[0], 0)
    await world.close()
  })

  it("is not for functions", async () => {
    const { world, initiator } = await loggedIn()
    const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
      { operations: ["read"], effect: { kind: "hang" } },
    ])
    fault.cancel = () => {}
    world.target.addLogicalUnit(1, fault)
    await initiator.next("Asynchronous Message")
    await initiator.clearUnitAttentions(1)
    initiator.command(read10(0, 1), { lun: 1, read: 512 })
    const reset = initiator.manage(logicalUnitReset, { lun: 1 })
    const abort = initiator.manage(abortTask, { lun: 1, referenced: reset })
    assert.equal(await response(initiator, abort), functionRejected)
    fault.heal()
    assert.equal(await response(initiator, reset), functionComplete)
    await world.close()
  })
})

describe("functions on more than one task", () => {
  for (const wanted of [abortTaskSet, clearTaskSet, logicalUnitReset]) {
    it(`wait for the commands numbered before them (function ${wanted})`, async () => {
      const { world, initiator } = await loggedIn()
      const first = initiator.cmdSn
      initiator.cmdSn = first + 2
      initiator.command(write10(0, 8), { cmdSn: first + 1, tag: 0x51, write: 4096 })
      const function_ = initiator.manage(wanted)
      await world.pass(1_000)
      assert.deepEqual(initiator.unread, [])
      initiator.command(write10(0, 8), { cmdSn: first, tag: 0x50, write: 4096 })
      // Both are taken up, and aborted by the function; over RDMA before anything of theirs is read.
      if (world.transport === "tcp") {
        await initiator.next("Ready To Transfer (R2T)")
        await initiator.next("Ready To Transfer (R2T)")
      }
      assert.equal(await response(initiator, function_), functionComplete)
      await initiator.clearUnitAttentions()
      await world.close()
    })
  }

  it("that end everything don't wait: what is missing counts as come and aborted", async () => {
    const { world, initiator } = await loggedIn()
    const first = initiator.cmdSn
    initiator.cmdSn = first + 3
    initiator.command(write10(0, 1), { cmdSn: first + 1, tag: 0x51, data: Buffer.alloc(512, "x") })
    const function_ = initiator.manage(targetWarmReset)
    assert.equal(await response(initiator, function_), functionComplete)
    assert.equal(initiator.arrived.at(-1)!.fields["expCmdSn"], first + 3)
    assert.equal(world.stored(0, 1)[0], 0)
    await initiator.clearUnitAttentions()
    await world.close()
  })

  it("of one initiator abort those of others where the standard says so", async () => {
    const world = await TargetWorld.open()
    const one = await world.initiator({ isid: 1 })
    const other = await world.initiator({ isid: 2 })
    for (const [wanted, sense] of [
      [clearTaskSet, "6/2f00"],
      [logicalUnitReset, "6/2903"],
      [targetWarmReset, "6/2903"],
    ] as const) {
      other.command(write10(0, 8), { write: 4096 })
      await other.next("Ready To Transfer (R2T)")
      const function_ = one.manage(wanted)
      await world.pass(5)
      other.yield()
      assert.equal(await response(one, function_), functionComplete)
      other.command(TEST_UNIT_READY)
      assert.equal(senseText(await other.next("SCSI Response")), sense)
      await one.clearUnitAttentions()
    }
    other.command(write10(0, 8), { write: 4096 })
    await other.next("Ready To Transfer (R2T)")
    assert.equal(await response(one, one.manage(abortTaskSet)), functionComplete)
    assert.equal(
      world.target.logicalUnits.get(0)!.allTasks().length,
      1,
      "ABORT TASK SET leaves others' tasks alone",
    )
    await world.close()
  })
})

describe("TARGET COLD RESET", () => {
  it("is answered, then ends every session of the target, and none of another", async () => {
    const world = await TargetWorld.open()
    world
      .addTarget("iqn.2026-01.org.example:disk1")
      .addLogicalUnit(0, new MemoryStore({ sizeBytes: 1 << 20 }))
    const one = await world.initiator({ isid: 1 })
    const other = await world.initiator({ isid: 2 })
    const elsewhere = await world.initiator({ isid: 3, target: "iqn.2026-01.org.example:disk1" })
    other.command(write10(0, 8), { write: 4096 })
    await other.next("Ready To Transfer (R2T)")
    const reset = one.manage(targetColdReset)
    await world.pass(5)
    other.yield()
    assert.equal(await response(one, reset), functionComplete)
    await one.gone()
    await other.gone()
    assert.equal(elsewhere.closed, false)
    assert.equal(world.entity.sessions.size, 1)
    // And one may log in again.
    await world.initiator({ isid: 1 })
    await world.close()
  })
})

describe("a command that ended before its unsolicited data", () => {
  it("is answered before the function that comes for it", async () => {
    const { world, initiator } = await loggedIn()
    const tag = initiator.command(write10(0xffffff, 8), { write: 4096, final: false })
    await world.pass(100)
    assert.deepEqual(initiator.unread, [], "its data is waited for")
    const function_ = initiator.manage(abortTask, { referenced: tag })
    assert.equal(senseText(await initiator.next("SCSI Response")), "5/2100")
    assert.equal(await response(initiator, function_), taskDoesNotExist)
    await world.close()
  })
})
