/** Our initiator and our target, over each transport: on this machine's TCP, and in virtual time. */
import { after, before, describe, test } from "node:test"
import assert from "node:assert/strict"
import { MemoryStore } from "../../../src/backstore/index.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { SimNetwork } from "../../../src/base/sim-network.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { Disk } from "../../../src/initiator/index.ts"
import { iserOverIwarp } from "../../../src/iser.ts"
import type { IwarpOptions } from "../../../src/rdma/iwarp/index.ts"
import { Target } from "../../../src/target/target.ts"
import { type DiskSubject, diskSuite } from "../../suites/disk.ts"

const NAME = "iqn.2026-01.org.example:own"
const SIZE_BYTES = 64 * 1024 * 1024

function onThisMachine(scheme: "iscsi" | "iser", iwarp: IwarpOptions = {}): DiskSubject["start"] {
  return async () => {
    const iser = iserOverIwarp(iwarp)
    const target = new Target({ name: NAME })
    target.addLogicalUnit(0, new MemoryStore({ sizeBytes: SIZE_BYTES }))
    const portal = await target.listen({ host: "127.0.0.1", port: 0 }, { iser })
    const url = `${scheme}://127.0.0.1:${portal.endpoint.port}/${target.name}/0`
    return {
      open: (options = {}) => Disk.open(url, { services: { iser }, ...options }),
      close: () => target.close(),
    }
  }
}

/** Lets virtual time pass for as long as the suite runs. */
function inVirtualTime(scheme: "iscsi" | "iser"): DiskSubject["start"] {
  return async () => {
    const clock = new VirtualClock()
    const random = new SeededRandom(7)
    const network = new SimNetwork(clock, random)
    const iser = iserOverIwarp({ network, clock, random })
    const target = new Target({ name: NAME, clock })
    target.addLogicalUnit(0, new MemoryStore({ sizeBytes: SIZE_BYTES }))
    await target.listen({ host: "10.0.0.1", port: 3260 }, { network, clock, random, iser })
    let over = false
    const pump = async () => {
      while (!over) {
        await clock.advance(5)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    void pump()
    const services = { clock, random, network, iser }
    return {
      open: (options = {}) => Disk.open(`${scheme}://10.0.0.1/${NAME}/0`, { services, ...options }),
      close: async () => {
        await target.close()
        over = true
      },
    }
  }
}

diskSuite({ name: "our own target", start: onThisMachine("iscsi") })
diskSuite({ name: "our own target in virtual time", start: inVirtualTime("iscsi") })
// Digests are TCP's: RDMA guards its data by itself.
const features = { digests: false }
diskSuite({ name: "our own target over iSER", start: onThisMachine("iser"), features })
const unguarded = onThisMachine("iser", { crc: false, revision: 1 })
diskSuite({ name: "our own target over iSER, MPA as it was, without CRC", start: unguarded, features })
diskSuite({ name: "our own target over iSER in virtual time", start: inVirtualTime("iser"), features })

describe("a session over iSER", () => {
  let target: Target
  let url: string
  const iser = iserOverIwarp()
  before(async () => {
    target = new Target({ name: NAME })
    target.addLogicalUnit(0, new MemoryStore({ sizeBytes: SIZE_BYTES }))
    const portal = await target.listen({ host: "127.0.0.1", port: 0 }, { iser })
    url = `iser://127.0.0.1:${portal.endpoint.port}/${NAME}/0`
  })
  after(() => target.close())

  test("says so, at both ends", async () => {
    const disk = await Disk.open(url, { services: { iser } })
    assert.equal(disk.session.transport, "iser")
    assert.deepEqual(
      target.sessions().map(({ transport }) => transport),
      ["iser"],
    )
    await disk.close()
  })
})
