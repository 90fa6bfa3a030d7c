import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { Keepalive } from "../../../../src/iscsi/session/keepalive.ts"

function watched(intervalMs = 30_000, deadlineMs = 10_000) {
  const clock = new VirtualClock()
  const events: string[] = []
  const keepalive = new Keepalive(
    clock,
    intervalMs,
    deadlineMs,
    () => events.push(`ping at ${clock.nowMs()}`),
    () => events.push(`lost at ${clock.nowMs()}`),
  )
  keepalive.start()
  return { clock, events, keepalive }
}

describe("Keepalive", () => {
  it("pings a silent peer after the interval, and gives it up after the deadline", async () => {
    const { clock, events } = watched()
    await clock.advance(100_000)
    assert.deepEqual(events, ["ping at 30000", "lost at 40000"])
  })

  it("leaves a peer alone that lets itself be heard", async () => {
    const { clock, events, keepalive } = watched()
    for (let i = 0; i < 20; i++) {
      await clock.advance(20_000)
      keepalive.heard = true
    }
    assert.deepEqual(events, [])
  })

  it("starts anew when the ping is answered", async () => {
    const { clock, events, keepalive } = watched()
    await clock.advance(35_000)
    keepalive.heard = true
    await clock.advance(36_000)
    assert.deepEqual(events, ["ping at 30000", "ping at 70000"])
  })

  it("does nothing when it is off or stopped", async () => {
    const off = watched(0)
    const stopped = watched()
    stopped.keepalive.stop()
    await off.clock.advance(100_000)
    await stopped.clock.advance(100_000)
    assert.deepEqual([...off.events, ...stopped.events], [])
  })
})
