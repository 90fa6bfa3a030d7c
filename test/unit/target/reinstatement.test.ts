import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { FaultStore } from "../../../src/backstore/fault.ts"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { INITIATOR, senseText, statusOf, TARGET } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

/** A world with LUN 1 on a device whose first read hangs and can't be cancelled before `release`. */
async function hanging() {
  const world = await TargetWorld.open()
  const fault = new FaultStore(new MemoryStore({ sizeBytes: 1 << 20 }))
  world.target.addLogicalUnit(1, fault)
  fault.addRule({ operations: ["read"], count: 1, effect: { kind: "hang" } })
  return { world, fault }
}

describe("session reinstatement: the same initiator port logs in again", () => {
  it("ends the old session, and gives the new one another handle", async () => {
    const world = await TargetWorld.open()
    const old = await world.initiator()
    const again = await world.connect()
    await again.login()
    await old.gone()
    assert.notEqual(again.tsih, old.tsih)
    assert.equal(world.entity.sessions.size, 1)
    assert.equal(world.logged("connection ended").at(-1)!.fields["reason"], "reinstated")
    again.command(new Uint8Array(6))
    assert.equal(senseText(await again.next("SCSI Response")), "6/2907", "I_T NEXUS LOSS OCCURRED")
    await world.close()
  })

  it("lets another port, or another initiator, alone", async () => {
    const world = await TargetWorld.open()
    const first = await world.initiator()
    await world.initiator({ isid: 0x800001020305 })
    await world.initiator({ initiator: "iqn.2026-01.org.example:another" })
    assert.equal(first.closed, false)
    assert.equal(world.target.sessions().length, 3)
    await world.close()
  })

  it("waits until no task of the old session touches the medium any more", async () => {
    const { world, fault } = await hanging()
    const cancel = fault.cancel.bind(fault)
    fault.cancel = () => {} // the device keeps at it
    const old = await world.initiator()
    await old.clearUnitAttentions(1)
    old.command(read10(0, 1), { lun: 1, read: 512 })
    await world.pass(100)
    const again = await world.connect()
    const login = again.tryLogin()
    await world.pass(5_000)
    assert.deepEqual(again.arrived, [], "the login waits")
    fault.cancel = cancel
    fault.release()
    assert.equal(statusOf((await login).fields), 0)
    await world.close()
  })

  it("gives up waiting at the login's deadline, and holds nobody else up", async () => {
    const { world, fault } = await hanging()
    fault.cancel = () => {}
    const old = await world.initiator()
    await old.clearUnitAttentions(1)
    old.command(read10(0, 1), { lun: 1, read: 512 })
    await world.pass(100)
    const again = await world.connect()
    again.sendLogin([`InitiatorName=${INITIATOR}`, `TargetName=${TARGET}`])
    const other = await world.initiator({ isid: 2 })
    await again.gone()
    assert.deepEqual(again.arrived, [])
    assert.equal(other.closed, false)
    fault.release()
    await world.close()
  })

  it("leaves one session of those who wait for the same one to end", async () => {
    const { world, fault } = await hanging()
    fault.cancel = () => {}
    const old = await world.initiator()
    await old.clearUnitAttentions(1)
    old.command(read10(0, 1), { lun: 1, read: 512 })
    await world.pass(100)
    const rivals = [await world.connect(), await world.connect(), await world.connect()]
    for (const rival of rivals) rival.sendLogin([`InitiatorName=${INITIATOR}`, `TargetName=${TARGET}`])
    await world.pass(100)
    fault.heal()
    await world.pass(1_000)
    assert.equal(world.entity.sessions.size, 1)
    assert.equal(world.target.sessions().length, 1)
    assert.equal(rivals.filter(({ closed }) => !closed).length, 1)
    await world.close()
  })

  it("leaves one session of those who log in at the same time", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = await TargetWorld.open({ seed })
      await world.initiator()
      const rivals = [await world.connect(), await world.connect(), await world.connect()]
      for (const rival of rivals) {
        rival.sendLogin([`InitiatorName=${INITIATOR}`, `TargetName=${TARGET}`])
      }
      await world.pass(1_000)
      assert.equal(world.entity.sessions.size, 1)
      assert.equal(rivals.filter(({ closed }) => !closed).length, 1)
      await world.close()
    }
  })
})

describe("connection reinstatement: a login with TSIH and the CID of a connection", () => {
  it("replaces the connection and keeps the session, its numbers and its values", async () => {
    const world = await TargetWorld.open()
    const old = await world.initiator({
      keys: ["MaxBurstLength=65536", "ImmediateData=No", "InitialR2T=No"],
    })
    const tag = old.command(write10(0, 8), { write: 4096 })
    await old.next("Ready To Transfer (R2T)")
    old.command(write10(0xffffff, 8), { write: 4096, final: false }) // has failed, waits for its data
    await world.pass(10)

    const again = await world.connect()
    const keys = ["MaxBurstLength=8192", "ImmediateData=Yes", "MaxRecvDataSegmentLength=1024"]
    await again.login({ tsih: old.tsih, cmdSn: old.cmdSn, keys })
    await old.gone()
    assert.equal(again.tsih, old.tsih)
    assert.equal(world.entity.sessions.size, 1)
    const [session] = world.entity.sessions.all
    assert.equal(session!.tasks.size, 0, "the old connection's tasks are gone")

    // The session's values stay, the connection's are new.
    const [connection] = session!.connections.values()
    assert.equal(connection!.keys.maxBurstLength, 65536)
    assert.equal(connection!.keys.immediateData, false)
    assert.equal(connection!.keys.maxSendDataSegmentLength, world.transport === "tcp" ? 1024 : 128)

    // No unit attention: the I_T nexus lives on. The tag is free again.
    const data = world.pattern(4096)
    assert.deepEqual(await again.read(read10(0, 8), 4096, { tag }), data)
    if (world.transport === "tcp") {
      assert.equal(again.arrived.filter(({ pdu }) => pdu === "SCSI Data-In").length, 4)
    }
    await world.close()
  })

  it("counts commands on where the session stood, and forgets what was kept of the old connection", async () => {
    const world = await TargetWorld.open()
    const old = await world.initiator()
    const next = old.cmdSn
    old.command(new Uint8Array(6), { cmdSn: next + 1 })
    await world.pass(100)
    const again = await world.connect()
    const { fields } = await again.tryLogin({ tsih: old.tsih, cmdSn: next })
    assert.equal(fields["expCmdSn"], next)
    for (let i = 0; i < 2; i++) {
      again.command(new Uint8Array(6))
      assert.equal((await again.next("SCSI Response")).fields["expCmdSn"], next + 1 + i)
    }
    await world.pass(1_000)
    assert.deepEqual(again.unread, [])
    await world.close()
  })

  it("is refused to another initiator, port or target: 020a", async () => {
    const world = await TargetWorld.open()
    world.addTarget("iqn.2026-01.org.example:disk1")
    const { tsih } = await world.initiator()
    for (const options of [
      { initiator: "iqn.2026-01.org.example:another" },
      { isid: 99 },
      { target: "iqn.2026-01.org.example:disk1" },
      { tsih: tsih + 1 },
    ]) {
      const initiator = await world.connect()
      const { fields } = await initiator.tryLogin({ tsih, ...options })
      assert.equal(statusOf(fields), LoginStatus.sessionDoesNotExist, JSON.stringify(options))
    }
    assert.equal(world.entity.sessions.size, 1)
    await world.close()
  })

  it("with another CID is one connection too many: 0206", async () => {
    const world = await TargetWorld.open()
    const first = await world.initiator()
    const second = await world.connect()
    const { fields } = await second.tryLogin({ tsih: first.tsih, cid: 1, keys: ["MaxConnections=8"] })
    assert.equal(statusOf(fields), LoginStatus.tooManyConnections)
    await second.gone()
    await first.read(read10(0, 1), 512)
    await world.close()
  })

  it("that is lost before its end takes the session with it", async () => {
    const { world, fault } = await hanging()
    fault.cancel = () => {}
    const old = await world.initiator()
    await old.clearUnitAttentions(1)
    old.command(read10(0, 1), { lun: 1, read: 512 })
    await world.pass(100)
    const again = await world.connect()
    again.sendLogin([`InitiatorName=${INITIATOR}`, `TargetName=${TARGET}`], {
      tsih: old.tsih,
    })
    await world.pass(100)
    world.sim.links.at(-1)!.cut()
    fault.release()
    await world.assertIdle()
  })
})
