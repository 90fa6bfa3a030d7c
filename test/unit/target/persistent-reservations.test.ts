import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { ABORT_DEADLINE_MS } from "../../../src/base/limits.ts"
import * as cdb from "../../../src/scsi/cdb/index.ts"
import { PersistentReserveIn, PersistentReserveOut } from "../../../src/scsi/spec/operation-code.ts"
import { PersistentType } from "../../../src/scsi/spec/persistent-type.ts"
import { Status } from "../../../src/scsi/spec/status.ts"
import { type Arrived, INITIATOR, type RawInitiator, senseText, TARGET } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const { register, reserve, preemptAndAbort } = PersistentReserveOut
const { writeExclusive, writeExclusiveRegistrantsOnly } = PersistentType
const TEST_UNIT_READY = new Uint8Array(6)
const BLOCKS = 8
const BYTES = BLOCKS * 512

interface Out extends cdb.PersistentReserveList {
  readonly type?: number
  readonly lun?: number
}

/** Sends a PERSISTENT RESERVE OUT; gives its tag. */
function out(initiator: RawInitiator, action: number, { type, lun = 0, ...options }: Out): number {
  const data = cdb.persistentReserveList(options)
  return initiator.command(cdb.persistentReserveOut(action, data.length, type), { lun, data })
}

const statusOf = ({ fields }: Arrived): number => fields["status"] as number

async function good(initiator: RawInitiator, action: number, options: Out): Promise<void> {
  out(initiator, action, options)
  assert.equal(statusOf(await initiator.next("SCSI Response")), Status.good)
}

async function write(initiator: RawInitiator, lun = 0): Promise<number> {
  initiator.command(cdb.write10(0, 1), { lun, data: Buffer.alloc(512, "w") })
  return statusOf(await initiator.next("SCSI Response"))
}

async function keys(initiator: RawInitiator): Promise<bigint[]> {
  const bytes = await initiator.read(cdb.persistentReserveIn(PersistentReserveIn.readKeys, 64), 64)
  const view = new DataView(bytes.buffer)
  return Array.from({ length: view.getUint32(4) / 8 }, (_, i) => view.getBigUint64(8 + 8 * i))
}

/** Both are registered; `survivor` with 1, `victim` with 2, which holds the reservation. */
async function cluster(lun = 0, world?: TargetWorld) {
  const opened = world ?? (await TargetWorld.open())
  const survivor = await opened.initiator({ isid: 1 })
  const victim = await opened.initiator({ isid: 2 })
  for (const each of [survivor, victim]) await each.clearUnitAttentions(lun)
  await good(survivor, register, { actionKey: 1n, lun })
  await good(victim, register, { actionKey: 2n, lun })
  await good(victim, reserve, { key: 2n, type: writeExclusiveRegistrantsOnly, lun })
  return { world: opened, survivor, victim }
}

const fence = { key: 1n, actionKey: 2n, type: writeExclusiveRegistrantsOnly }

async function assertFenced(victim: RawInitiator, lun = 0): Promise<void> {
  for (const sense of ["6/2a05", "6/2f00"]) {
    victim.command(TEST_UNIT_READY, { lun })
    assert.equal(senseText(await victim.next("SCSI Response")), sense)
  }
  assert.equal(await write(victim, lun), Status.reservationConflict)
}

describe("PREEMPT AND ABORT over a session", () => {
  it("fences an initiator whose data is outstanding: what comes late is dropped", async () => {
    const { world, survivor, victim } = await cluster()
    const before = world.stored(0, BYTES)
    const data = Buffer.alloc(BYTES, "late")
    const tag = victim.command(cdb.write10(0, BLOCKS), { write: BYTES })
    const r2t = await victim.next("Ready To Transfer (R2T)")
    out(survivor, preemptAndAbort, fence)
    await world.pass(5)
    victim.yield()
    assert.equal(statusOf(await survivor.next("SCSI Response")), Status.good)
    if (world.transport === "tcp") {
      victim.dataOut(tag, 0, 0, true, data, r2t.fields["targetTransferTag"] as number)
    }
    await assertFenced(victim)
    assert.deepEqual(victim.unread, [], "no status for what was aborted")
    assert.deepEqual(world.stored(0, BYTES), before)
    assert.equal(await write(survivor), Status.good)
    assert.deepEqual(await keys(survivor), [1n])
    await world.close()
  })

  it("isn't held up by one that never sends what it owes, also when that is to be answered (TAS)", async () => {
    const { world, survivor, victim } = await cluster()
    world.target.logicalUnits.get(0)!.control.taskAbortedStatus = true
    victim.command(cdb.write10(0, BLOCKS), { write: BYTES })
    await victim.next("Ready To Transfer (R2T)")
    out(survivor, preemptAndAbort, fence)
    await world.pass(ABORT_DEADLINE_MS)
    victim.yield()
    assert.equal(statusOf(await survivor.next("SCSI Response")), Status.good)
    assert.deepEqual(await keys(survivor), [1n])
    await world.close()
  })

  it("answers when what the medium was doing for the fenced one has ended", async () => {
    const world = await TargetWorld.open()
    const slow = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
      { operations: ["write"], effect: { kind: "hang" } },
    ])
    world.target.addLogicalUnit(3, slow)
    const { survivor, victim } = await cluster(3, world)
    for (let i = 0; i < 3; i++) victim.command(cdb.write10(i, 1), { lun: 3, data: Buffer.alloc(512, "x") })
    await world.pass(5)
    out(survivor, preemptAndAbort, { ...fence, lun: 3 })
    assert.equal(statusOf(await survivor.next("SCSI Response")), Status.good)
    await assertFenced(victim, 3)
    await world.close()
  })

  it("of two that fence each other at once one is left, whichever comes first", async () => {
    const { world, survivor, victim } = await cluster()
    for (const each of [survivor, victim]) {
      each.command(cdb.write10(0, BLOCKS), { write: BYTES })
      await each.next("Ready To Transfer (R2T)")
    }
    const tags = [
      out(survivor, preemptAndAbort, fence),
      out(victim, preemptAndAbort, { ...fence, key: 2n, actionKey: 1n }),
    ]
    await world.pass(5)
    const both = [survivor, victim]
    for (const each of both) each.yield()
    await world.pass(5)
    const winners = both.filter((each, i) =>
      each.unread.some(
        ({ fields }) => fields["initiatorTaskTag"] === tags[i] && fields["status"] === Status.good,
      ),
    )
    assert.equal(winners.length, 1)
    const [winner] = winners
    while (winner!.unread.length > 0) await winner!.next()
    assert.deepEqual(await keys(winner!), [winner === survivor ? 1n : 2n])
    await world.close()
  })
})

describe("registrations of iSCSI initiators", () => {
  it("are those of a name and an ISID: another session of the initiator has none, a new login has them again", async () => {
    const world = await TargetWorld.open()
    const first = await world.initiator({ isid: 0x800001020304 })
    await good(first, register, { actionKey: 5n })
    await good(first, reserve, { key: 5n, type: writeExclusive })
    first.logout()
    await first.next("Logout Response")
    await first.gone()
    const other = await world.initiator({ isid: 0x800001020305 })
    assert.equal(await write(other), Status.reservationConflict)
    const again = await world.initiator({ isid: 0x800001020304 })
    assert.equal(await write(again), Status.good)
    const status = await again.read(cdb.persistentReserveIn(PersistentReserveIn.readFullStatus, 256), 256)
    const text = new TextDecoder().decode(status.subarray(8 + 24 + 4))
    assert.equal(text.split("\0")[0], `${INITIATOR},i,0x800001020304`)
    assert.equal(status[8 + 24], 0x45, "iSCSI, format 01b")
    await world.close()
  })

  it("ALL_TG_PT reaches the portal groups there are", async () => {
    const world = await TargetWorld.open()
    await world.entity.listen({ host: "10.0.0.1", port: 3261, portalGroupTag: 7 })
    const initiator = await world.initiator()
    await good(initiator, register, { actionKey: 5n, allTargetPorts: true })
    assert.deepEqual(await keys(initiator), [5n, 5n])
    assert.deepEqual(world.target.scsi.targetPorts(), [
      { targetPortName: `${TARGET},t,0x0001`, relativeTargetPort: 1 },
      { targetPortName: `${TARGET},t,0x0007`, relativeTargetPort: 7 },
    ])
    await world.close()
  })
})
