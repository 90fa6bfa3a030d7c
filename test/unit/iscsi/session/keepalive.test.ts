import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { VirtualClock } from "../../../../src/base/virtual-clock.ts"
import { Keepalive } from "../../../../src/iscsi/session/keepalive.ts"

function watched(intervalMs = 30_000, deadlineMs = 10_000) {
  const clock = new VirtualClock()
  const events: string[] = []
  const peer = { heard: 0 }
  const keepalive = new Keepalive(clock, {
    intervalMs,
    deadlineMs,
    activity: () => peer.heard,
    ping: () => events.push(`ping at ${clock.nowMs()}`),
    lost: () => events.push(`lost at ${clock.nowMs()}`),
  })
  keepalive.start()
  return { clock, events, keepalive, peer }
}

describe("Keepalive", () => {
  it("pings a silent peer after the interval, and gives it up after the deadline", async () => {
    const { clock, events } = watched()
    await clock.advance(100_000)
    assert.deepEqual(events, ["ping at 30000", "lost at 40000"])
  })

  it("leaves a peer alone that lets itself be heard", async () => {
    const { clock, events, peer } = watched()
    for (let i = 0; i < 20; i++) {
      await clock.advance(20_000)
      peer.heard++
    }
    assert.deepEqual(events, [])
  })

  it("starts anew when the ping is answered", async () => {
    const { clock, events, peer } = watched()
    await clock.advance(35_000)
    peer.heard++
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
