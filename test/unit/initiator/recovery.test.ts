import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { ScsiRequest } from "../../../src/initiator/index.ts"
import { LoginStatus } from "../../../src/iscsi/spec/index.ts"
import { Asc, SenseKey } from "../../../src/scsi/spec/sense.ts"
import { Status } from "../../../src/scsi/spec/status.ts"
import { codeOf, openDisk, openSession, outcome } from "./helpers.ts"
import { BLOCK, PORT, ScriptedTarget } from "./scripted-target.ts"

const READ = 0x28
const WRITE = 0x2a
const COMPARE_AND_WRITE = 0x89
const block = (fill: number) => new Uint8Array(BLOCK).fill(fill)
/** Carries the command out, but loses the connection before the answer: once per opcode. */
function loseAnswersOf(target: ScriptedTarget, ...opcodes: number[]): void {
  const left = new Set(opcodes)
  target.verdict = (command) => {
    const opcode = command.cdb[0]!
    if (!left.has(opcode)) return undefined
    if (left.delete(opcode) && left.size === 0) void target.clock.after(5, "loss", () => target.cut())
    return "hold"
  }
}
const opcodes = (target: ScriptedTarget) =>
  target.commands
    .map(({ cdb }) => cdb[0]!)
    .filter((opcode) => [READ, WRITE, COMPARE_AND_WRITE].includes(opcode))

describe("after a lost connection", () => {
  it("reads and writes are sent again, in their order", async () => {
    const target = new ScriptedTarget()
    const { disk, events } = await openDisk(target)
    loseAnswersOf(target, WRITE, READ)
    const into = block(0)
    const both = Promise.all([disk.writeBlocks(3, block(0x33)), disk.readBlocks(4, into)])
    await target.run(both)
    assert.deepEqual(opcodes(target), [WRITE, READ, WRITE, READ])
    assert.deepEqual(target.medium.subarray(3 * BLOCK, 4 * BLOCK), block(0x33))
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ["connection-lost", "reconnected"],
    )
    assert.equal(target.connections[1]?.login?.isid, target.connections[0]?.login?.isid)
  })

  it("COMPARE AND WRITE fails: who knows whether it was done", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    loseAnswersOf(target, COMPARE_AND_WRITE)
    const how = await target.run(outcome(disk.compareAndWrite(0, block(0), block(1))))
    assert.equal(codeOf(how), "ERR_OUTCOME_UNKNOWN")
    await target.run(disk.readBlocks(0, block(0)))
    assert.deepEqual(opcodes(target), [COMPARE_AND_WRITE, READ])
  })

  it("writes that met another change are not sent again", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    // The one that met COMPARE AND WRITE must not undo it; the one beside them is free of that.
    loseAnswersOf(target, WRITE, COMPARE_AND_WRITE)
    const met = outcome(disk.writeBlocks(8, new Uint8Array(4 * BLOCK)))
    const swap = outcome(disk.compareAndWrite(10, block(0), block(1)))
    const beside = disk.writeBlocks(20, block(2))
    assert.equal(codeOf(await target.run(met)), "ERR_OUTCOME_UNKNOWN")
    assert.equal(codeOf(await target.run(swap)), "ERR_OUTCOME_UNKNOWN")
    await target.run(beside)
  })

  it("raw commands are sent again only when that was allowed", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    const cdb = Uint8Array.of(READ, 0, 0, 0, 0, 1, 0, 0, 1, 0)
    loseAnswersOf(target, READ)
    const once = outcome(disk.execute(cdb, { dataIn: block(0) }))
    assert.equal(codeOf(await target.run(once)), "ERR_OUTCOME_UNKNOWN")
    loseAnswersOf(target, READ)
    const again = await target.run(disk.execute(cdb, { dataIn: block(0), replay: true }))
    assert.equal(again.status, Status.good)
  })

  it("what waits goes on, what is aborted meanwhile doesn't", async () => {
    const target = new ScriptedTarget()
    const { disk, session } = await openDisk(target)
    target.network.refuse(PORT)
    target.cut()
    await target.until("recovery", () => session.state === "recovering")
    const abort = new AbortController()
    const aborted = outcome(disk.readBlocks(0, block(0), { signal: abort.signal }))
    const waiting = disk.readBlocks(1, block(0))
    await target.clock.advance(3000)
    abort.abort(new Error("enough"))
    assert.match(String(await target.run(aborted)), /enough/)
    assert.equal(session.state, "recovering")
    target.network.refuse(PORT, false)
    await target.run(waiting)
    assert.deepEqual(opcodes(target), [READ])
  })

  it("another logical unit in its place is not touched", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    loseAnswersOf(target, WRITE)
    target.serial = "other"
    const how = await target.run(outcome(disk.writeBlocks(0, block(1))))
    assert.equal(codeOf(how), "ERR_UNIT_CHANGED")
    assert.equal(codeOf(await target.run(outcome(disk.readBlocks(0, block(1))))), "ERR_UNIT_CHANGED")
    assert.deepEqual(opcodes(target), [WRITE])
  })

  it("one that is busy for a while is waited for", async () => {
    const target = new ScriptedTarget()
    const { disk, session } = await openDisk(target)
    let busy = true
    target.verdict = () => (busy ? { status: Status.busy } : undefined)
    target.cut()
    await target.clock.advance(8000)
    assert.equal(session.state, "recovering")
    busy = false
    await target.run(disk.readBlocks(0, block(0)))
  })

  it("unit attentions of the new nexus are nobody's error", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    loseAnswersOf(target, READ)
    const { verdict } = target
    const seen = new Set<unknown>()
    target.verdict = (command) => {
      const inquiry = command.cdb[0] === 0x12
      if (target.connections.length === 1 || inquiry || seen.has(command.connection)) return verdict(command)
      seen.add(command.connection)
      return { status: 2, sense: { key: SenseKey.unitAttention, asc: Asc.powerOn, detail: {} } }
    }
    await target.run(disk.readBlocks(0, block(0)))
    assert.equal(seen.size, 1)
  })

  it("it waits Time2Wait, then tries with growing pauses, and gives up in the end", async () => {
    const target = new ScriptedTarget()
    const keys = { defaultTime2Wait: 3 }
    const { session, events } = await openSession(target, { keys, reconnect: { totalMs: 20_000 } })
    const tries: number[] = []
    const { network } = target.services
    const connect = network.connect.bind(network)
    network.connect = (to, options) => {
      tries.push(target.clock.nowMs())
      return connect(to, options)
    }
    target.network.refuse(PORT)
    const lostMs = target.clock.nowMs()
    target.cut()
    await target.until("the end", () => session.state === "closed", 60_000)
    assert.ok(tries[0]! - lostMs >= 3000, `first try after ${tries[0]! - lostMs} ms`)
    assert.ok(tries.length > 5 && tries.length < 15, `${tries.length} tries`)
    assert.ok(tries.at(-1)! - lostMs <= 20_100)
    assert.ok(tries.at(-1)! - tries.at(-2)! > tries[2]! - tries[1]!)
    assert.equal(events.at(-1)?.kind, "session-lost")
    const ready: ScsiRequest = { lun: 0, cdb: new Uint8Array(6) }
    const how = await outcome(session.execute(ready))
    assert.equal(codeOf(how), "ERR_SESSION_LOST")
    assert.equal(codeOf((how as Error).cause), "ERR_CONNECTION_REFUSED")
  })

  it("a refusal that won't change ends it at once; one that may doesn't", async () => {
    const target = new ScriptedTarget()
    const { grant } = target
    const { session } = await openSession(target)
    target.grant = () => ({ kind: "refused", status: LoginStatus.notFound, reason: "not yet" })
    target.cut()
    await target.clock.advance(5000)
    assert.equal(session.state, "recovering")
    target.grant = grant
    await target.until("it is back", () => session.state === "open")
    target.grant = () => ({ kind: "refused", status: LoginStatus.authorizationFailure, reason: "never" })
    const before = target.connections.length
    target.cut()
    await target.until("the end", () => session.state === "closed")
    assert.equal(target.connections.length, before + 1)
  })

  it("nothing is tried where that isn't wanted, or when it is closed", async () => {
    const target = new ScriptedTarget()
    const { session } = await openSession(target, { reconnect: false })
    target.cut()
    await target.until("the end", () => session.state === "closed")
    const { session: other } = await openSession(target)
    target.network.refuse(PORT)
    target.cut()
    await target.until("recovery", () => other.state === "recovering")
    const waiting = outcome(other.execute({ lun: 0, cdb: new Uint8Array(6) }))
    await target.run(other.close())
    assert.equal(codeOf(await target.run(waiting)), "ERR_SESSION_CLOSED")
    const before = target.connections.length
    await target.clock.advance(200_000)
    assert.equal(target.connections.length, before)
  })
})

describe("after somebody else's reset", () => {
  const resetSense = { key: SenseKey.unitAttention, asc: Asc.busDeviceResetFunction, detail: {} }

  it("commands ended without a word are found out about and repeated", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    const replies = ["hold", "hold", { status: 2, sense: resetSense }] as const
    target.verdict = () => replies[target.commands.length - 1]
    const lost = disk.readBlocks(0, block(0))
    const unknown = outcome(disk.compareAndWrite(1, block(0), block(1)))
    const told = disk.readBlocks(2, block(0))
    await target.run(Promise.all([lost, told]))
    assert.equal(codeOf(await target.run(unknown)), "ERR_OUTCOME_UNKNOWN")
    assert.deepEqual(opcodes(target), [READ, COMPARE_AND_WRITE, READ, READ, READ])
    assert.equal(target.connections.length, 1)
  })

  it("commands that are answered late are not", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    const replies = ["hold", { status: 2, sense: resetSense }] as const
    target.verdict = () => replies[target.commands.length - 1]
    const slow = disk.readBlocks(0, block(0))
    await target.run(disk.readBlocks(2, block(0)))
    await target.connection.perform(target.commands[0]!)
    await target.run(slow)
    await target.clock.advance(5000)
    assert.deepEqual(opcodes(target), [READ, READ, READ])
    assert.equal(target.connection.requests.length, 0)
  })
})

describe("operations of a disk", () => {
  const answering = (
    target: ScriptedTarget,
    opcode: number,
    verdicts: ReturnType<ScriptedTarget["verdict"]>[],
  ) => {
    target.verdict = ({ cdb }) => (cdb[0] === opcode ? verdicts.shift() : undefined)
  }
  const sense = (key: SenseKey, asc: number) => ({ status: 2, sense: { key, asc, detail: {} } })

  it("are repeated after BUSY and TASK SET FULL, with pauses", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    answering(target, READ, [
      { status: Status.busy },
      { status: Status.taskSetFull },
      { status: Status.busy },
    ])
    const atMs = target.clock.nowMs()
    await target.run(disk.readBlocks(0, block(0)))
    assert.ok(target.clock.nowMs() - atMs >= 70)
    assert.equal(target.commands.length, 4)
    target.verdict = ({ cdb }) => (cdb[0] === READ ? { status: Status.busy } : undefined)
    const busy = await target.run(outcome(disk.readBlocks(0, block(0))))
    assert.equal(codeOf(busy), "ERR_SCSI_BUSY")
  })

  it("have succeeded with CONDITION MET", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    answering(target, WRITE, [{ status: Status.conditionMet }])
    await target.run(disk.writeBlocks(0, block(1)))
    assert.equal(target.commands.length, 1)
  })

  it("are repeated after unit attentions, which the user is told of", async () => {
    const target = new ScriptedTarget()
    const { disk, events } = await openDisk(target)
    answering(target, COMPARE_AND_WRITE, [sense(SenseKey.unitAttention, Asc.modeParametersChanged)])
    assert.equal(await target.run(disk.compareAndWrite(0, block(0), block(1))), true)
    assert.equal(events[0]?.kind, "unit-attention")
  })

  it("notice a new size", async () => {
    const target = new ScriptedTarget()
    const { disk, events } = await openDisk(target)
    const before = disk.countBlocks
    Object.assign(target, { medium: new Uint8Array(target.medium.length * 2) })
    answering(target, READ, [sense(SenseKey.unitAttention, Asc.capacityDataHasChanged)])
    await target.run(disk.readBlocks(0, block(0)))
    await target.until("the new size", () => disk.countBlocks === 2 * before)
    assert.ok(events.some(({ kind }) => kind === "capacity-changed"))
    await target.run(disk.readBlocks(before, block(0)))
  })

  it("aborted by somebody else are repeated if that can do no harm", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    answering(target, WRITE, [{ status: Status.taskAborted }, sense(SenseKey.abortedCommand, 0)])
    await target.run(disk.writeBlocks(0, block(1)))
    answering(target, COMPARE_AND_WRITE, [{ status: Status.taskAborted }])
    const how = await target.run(outcome(disk.compareAndWrite(0, block(0), block(1))))
    assert.equal(codeOf(how), "ERR_SCSI_TASK_ABORTED")
  })

  it("that fail a check of protection information are not repeated", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    for (const asc of [
      Asc.logicalBlockGuardCheckFailed,
      Asc.logicalBlockApplicationTagCheckFailed,
      Asc.logicalBlockReferenceTagCheckFailed,
    ]) {
      const before = target.commands.length
      answering(target, READ, [sense(SenseKey.abortedCommand, asc)])
      const how = await target.run(outcome(disk.readBlocks(0, block(0))))
      assert.equal(codeOf(how), "ERR_SCSI_CHECK_CONDITION")
      assert.equal(target.commands.length, before + 1)
    }
  })

  it("tell in words what went wrong", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    answering(target, READ, [sense(SenseKey.mediumError, Asc.unrecoveredReadError)])
    const how = (await target.run(outcome(disk.readBlocks(0, block(0))))) as Error
    assert.equal(codeOf(how), "ERR_SCSI_CHECK_CONDITION")
    assert.match(how.message, /^READ: MEDIUM ERROR, UNRECOVERED READ ERROR/)
  })

  it("moved short are failures, though their status is GOOD", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target)
    answering(target, READ, [{ dataIn: new Uint8Array(100) }])
    assert.equal(codeOf(await target.run(outcome(disk.readBlocks(0, block(0))))), "ERR_SHORT_TRANSFER")
  })

  it("split by the logical unit's limit end together", async () => {
    const target = new ScriptedTarget()
    const { disk } = await openDisk(target, {}, { transferBytesMax: 4 * BLOCK })
    let fails = 0
    target.verdict = ({ cdb }) =>
      cdb[0] === WRITE && fails++ === 1 ? sense(SenseKey.mediumError, Asc.writeError) : undefined
    const how = await target.run(outcome(disk.writeBlocks(0, new Uint8Array(15 * BLOCK).fill(9))))
    assert.equal(codeOf(how), "ERR_SCSI_CHECK_CONDITION")
    assert.equal(target.commands.length, 4)
    assert.equal(target.medium[0], 9)
    assert.equal(target.medium[15 * BLOCK - 1], 9)
    assert.equal(target.medium[5 * BLOCK], 0)
  })
})
