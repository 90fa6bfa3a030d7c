import assert from "node:assert/strict"
import { test } from "node:test"
import { Disk } from "../../../src/initiator/index.ts"
import { COMMAND_DEADLINE_MS } from "../../../src/base/limits.ts"
import { codeOf, openDisk, openSession, outcome } from "./helpers.ts"
import { ScriptedTarget } from "./scripted-target.ts"

// Another initiator's reset ends commands without a word: nothing a disk asks may wait for ever.

test("the questions a disk begins with have its timeout", async () => {
  const target = new ScriptedTarget()
  const { session } = await openSession(target)
  target.verdict = () => "hold"
  const error = await target.run(outcome(Disk.on(session, 0, { timeoutMs: 500 })))
  assert.equal(codeOf(error), "ERR_COMMAND_TIMEOUT")
})

test("so has the look at it anew", async () => {
  const target = new ScriptedTarget()
  const { disk } = await openDisk(target, {}, { timeoutMs: 500 })
  target.verdict = () => "hold"
  assert.equal(codeOf(await target.run(outcome(disk.refresh()))), "ERR_COMMAND_TIMEOUT")
})

test("and the look at it after a recovery, which is tried again", async () => {
  const target = new ScriptedTarget()
  const { session } = await openDisk(target, {}, { timeoutMs: 500 })
  target.verdict = () => "hold"
  target.cut()
  await target.until("a third login", () => target.connections.length === 3, 10_000)
  assert.equal(session.state, "recovering")
  target.verdict = () => undefined
  await target.until("the end of the recovery", () => session.state === "open", 10_000)
})

test("a command that names no time is aborted all the same when a target never answers it", async () => {
  const target = new ScriptedTarget()
  const { disk, session } = await openDisk(target)
  target.verdict = ({ cdb }) => (cdb[0] === 0 ? undefined : "hold")
  const startedMs = target.clock.nowMs()
  const read = outcome(disk.readBlocks(0, new Uint8Array(512)))
  let over = false
  void read.then(() => (over = true))
  await target.clock.advance(COMMAND_DEADLINE_MS)
  assert.equal(over, false)
  assert.equal(codeOf(await target.run(read)), "ERR_COMMAND_TIMEOUT")
  assert.ok(target.clock.nowMs() - startedMs <= 1.5 * COMMAND_DEADLINE_MS)
  assert.equal(session.state, "open")
  target.verdict = () => undefined
  await target.run(disk.readBlocks(0, new Uint8Array(512)))
})

test("one that may take for ever isn't", async () => {
  const target = new ScriptedTarget()
  const { disk } = await openDisk(target, {}, { timeoutMs: Infinity })
  target.verdict = () => "hold"
  let over = false
  const read = disk.readBlocks(0, new Uint8Array(512)).then(() => (over = true))
  await target.clock.advance(10 * COMMAND_DEADLINE_MS)
  assert.equal(over, false)
  target.cut()
  target.verdict = () => undefined
  await target.run(read)
})

test("nothing is looked at when there is nothing", async () => {
  const target = new ScriptedTarget()
  const { session } = await openDisk(target, { nopIntervalMs: 0 })
  await target.clock.advance(COMMAND_DEADLINE_MS)
  assert.deepEqual(target.clock.pending(), [])
  await target.run(session.close())
})
