import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { DelayStore } from "../../../src/backstore/delay.ts"
import { MemoryStore } from "../../../src/backstore/memory.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { read10, write10 } from "../../../src/scsi/cdb/block.ts"
import { INITIATOR, type RawInitiator, TARGET } from "../../suites/raw-initiator.ts"
import { TargetWorld } from "../../suites/target-world.ts"

/** Everything an initiator does at once: reads and writes of all kinds, on a quick and on a slow unit. */
function keepBusy(initiator: RawInitiator): void {
  const data = Buffer.alloc(8192, "busy")
  for (const lun of [0, 1]) {
    initiator.command(read10(0, 1024), { lun, read: 1024 * 512 })
    initiator.command(write10(0, 16), { lun, data })
    initiator.command(write10(0, 1024), { lun, write: 1024 * 512 })
    const tag = initiator.command(write10(0, 64), {
      lun,
      write: 32768,
      data: data.subarray(0, 512),
      final: false,
    })
    initiator.dataOut(tag, 512, 0, false, data.subarray(512))
    initiator.command(write10(0xffffff, 8), { lun, write: 4096, final: false })
    initiator.command(read10(0, 8), { lun, read: 4096, immediate: true })
    initiator.manage(lun === 0 ? 2 : 1, { lun, referenced: tag })
  }
  initiator.command(new Uint8Array(6), { cmdSn: initiator.cmdSn + 3 })
  initiator.text(["SendTargets="], { final: false })
  initiator.nop({ data })
}

type End = (world: TargetWorld, initiator: RawInitiator) => void | Promise<void>

const ends: Record<string, End> = {
  "the connection is lost": (world) => world.sim.links.at(-1)!.cut(),
  "the initiator says goodbye": (_world, initiator) => initiator.stream.end(),
  "the initiator drops the connection": (_world, initiator) => initiator.stream.destroy(),
  "the initiator goes silent": (world) => world.sim.links.at(-1)!.stall(),
  "the initiator logs out": (_world, initiator) => void initiator.logout(),
  "the initiator sends garbage": (_world, initiator) => void initiator.stream.write([Buffer.alloc(48, 0xff)]),
  "the session is reinstated": async (world) => {
    const again = await world.connect()
    again.sendLogin([`InitiatorName=${INITIATOR}`, `TargetName=${TARGET}`])
  },
}

describe("whatever a session is doing, nothing of it is left when", () => {
  for (const [name, end] of Object.entries(ends)) {
    it(name, async () => {
      for (let seed = 1; seed <= 12; seed++) {
        const world = await TargetWorld.open({
          seed,
          entity: { nopIntervalMs: 5_000, nopDeadlineMs: 5_000, dataBufferBytesMax: 2 << 20 },
        })
        const random = new SeededRandom(seed)
        const slow = new DelayStore(
          new MemoryStore({ sizeBytes: 1 << 20 }),
          { read: 3, write: 3 },
          {
            clock: world.clock,
            random,
          },
        )
        world.target.addLogicalUnit(1, slow)
        const initiator = await world.connect()
        await initiator.login({ keys: ["InitialR2T=No"] })
        await initiator.clearUnitAttentions(0)
        await initiator.clearUnitAttentions(1)
        keepBusy(initiator)
        await world.pass(random.below(80) / 10)
        await end(world, initiator)
        await world.pass(1_000)
        // The session that came in place of the old one ends as well.
        for (const { server } of world.sim.links) server.lose()
        await world.assertIdle()
        assert.equal(slow.waiting, 0)
      }
    })
  }
})
