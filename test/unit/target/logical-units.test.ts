import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { SanletError } from "../../../src/base/errors.ts"
import { ABORT_DEADLINE_MS } from "../../../src/base/limits.ts"
import { read10, readCapacity16, write10 } from "../../../src/scsi/cdb/block.ts"
import { reportLuns } from "../../../src/scsi/cdb/primary.ts"
import { Target } from "../../../src/target/target.ts"
import { type RawInitiator, senseText } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

const TEST_UNIT_READY = new Uint8Array(6)

async function luns(initiator: RawInitiator): Promise<number[]> {
  const data = Buffer.from(await initiator.read(reportLuns(256), 256))
  return Array.from({ length: data.readUInt32BE(0) / 8 }, (_, i) => data.readUInt16BE(8 + 8 * i))
}

async function senseOfNext(initiator: RawInitiator, lun: number): Promise<string> {
  initiator.command(TEST_UNIT_READY, { lun })
  return senseText(await initiator.next("SCSI Response"))
}

describe("logical units of a target that is in use", () => {
  it("can be added: initiators see it at once", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    assert.deepEqual(await luns(initiator), [0])
    world.target.addLogicalUnit(3, new MemoryStore({ sizeBytes: 1 << 20 }))
    await initiator.next("Asynchronous Message")
    assert.equal(await senseOfNext(initiator, 0), "6/3f0e")
    assert.deepEqual(await luns(initiator), [0, 3])
    assert.equal(await senseOfNext(initiator, 3), "6/2900")
    await initiator.read(read10(0, 1), 512, { lun: 3 })
    await world.close()
  })

  it("can be removed with tasks under way, which end as the next one does", async () => {
    const world = await TargetWorld.open()
    const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }), [
      { operations: ["read", "write"], effect: { kind: "hang" } },
    ])
    world.target.addLogicalUnit(3, fault)
    const initiator = await world.initiator()
    await initiator.clearUnitAttentions(3)
    initiator.command(read10(0, 1), { lun: 3, read: 512 })
    initiator.command(write10(0, 8), { lun: 3, write: 4096 })
    const r2t = await initiator.next("Ready To Transfer (R2T)")
    const removed = world.target.removeLogicalUnit(3)
    // Over RDMA all that may tell of a task's end waits for what is being read.
    if (world.transport === "iser") initiator.answer(r2t, Buffer.alloc(4096))
    await initiator.next("Asynchronous Message")
    assert.equal(senseText(await initiator.next("SCSI Response")), "5/2500")
    // No status before the data that was asked for is here (RFC 7143 §11.4.2).
    if (world.transport === "tcp") initiator.answer(r2t, Buffer.alloc(4096))
    assert.equal(senseText(await initiator.next("SCSI Response")), "5/2500")
    await world.settled(removed)
    assert.equal(await senseOfNext(initiator, 3), "5/2500")
    assert.equal(await senseOfNext(initiator, 0), "6/3f0e")
    assert.deepEqual(await luns(initiator), [0])
    await world.close()
  })

  it("can be removed though an initiator doesn't send what it was asked for", async () => {
    const world = await TargetWorld.open()
    world.target.addLogicalUnit(3, new MemoryStore({ sizeBytes: 1 << 20 }))
    const initiator = await world.initiator()
    await initiator.clearUnitAttentions(3)
    initiator.command(write10(0, 8), { lun: 3, write: 4096 })
    await initiator.next("Ready To Transfer (R2T)")
    const removed = world.target.removeLogicalUnit(3)
    await world.pass(ABORT_DEADLINE_MS)
    initiator.yield()
    await world.settled(removed)
    await initiator.next("Asynchronous Message")
    assert.deepEqual(initiator.unread, [])
    await world.close()
  })

  it("can be resized: the next command tells, and the capacity is the new one", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator()
    await world.store.resize(8 << 20)
    assert.equal(await senseOfNext(initiator, 0), "6/2a09")
    const capacity = Buffer.from(await initiator.read(readCapacity16(), 32))
    assert.equal(Number(capacity.readBigUInt64BE(0)), (8 << 20) / 512 - 1)
    await initiator.read(read10((8 << 20) / 512 - 1, 1), 512)
    await world.close()
  })
})

describe("Target", () => {
  it("takes names as RFC 7143 has them, in normal form", () => {
    assert.equal(new Target({ name: "iqn.2026-01.org.example:Disk" }).name, "iqn.2026-01.org.example:disk")
    assert.equal(new Target({ name: "EUI.02004567A425678D" }).name, "eui.02004567a425678d")
    for (const name of ["disk0", "iqn.2026-1.org.example", "eui.123", "iqn.2026-01.org.example:a b", ""]) {
      assert.throws(
        () => new Target({ name }),
        (error: unknown) => error instanceof SanletError && error.code === "ERR_ISCSI_NAME",
        name,
      )
    }
  })

  it("has each name and each LUN once", async () => {
    const world = await TargetWorld.open()
    assert.throws(
      () => world.addTarget(world.target.name.toUpperCase().replace("IQN", "iqn")),
      /exists already/,
    )
    const store = new MemoryStore({ sizeBytes: 1 << 20 })
    for (const lun of [0, -1, 1.5, 16384])
      assert.throws(() => world.target.addLogicalUnit(lun, store), SanletError)
    await world.close()
  })

  it("tells of its sessions", async () => {
    const world = await TargetWorld.open()
    const initiator = await world.initiator({ isid: 5 })
    const [session] = world.target.sessions()
    assert.equal(session!.initiatorName, "iqn.2026-01.org.example:initiator")
    assert.equal(session!.tsih, initiator.tsih)
    assert.equal(session!.isid, 5)
    assert.match(session!.address, /^192\.0\.2\.10:\d+$/)
    await world.close()
  })
})
