import assert from "node:assert/strict"
import { test } from "node:test"
import { Disk } from "../../../src/initiator/index.ts"
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
