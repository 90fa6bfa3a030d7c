/** Our initiator and our target, over each transport: on this machine's TCP, and in virtual time. */
import { after, before, describe, test } from "node:test"
import assert from "node:assert/strict"
import { MemoryStore } from "../../../src/backstore/index.ts"
import { SeededRandom } from "../../../src/base/random.ts"
import { SimNetwork } from "../../../src/base/sim-network.ts"
import { VirtualClock } from "../../../src/base/virtual-clock.ts"
import { Disk } from "../../../src/initiator/index.ts"
import { type IserStart, iserOverIwarp } from "../../../src/iser.ts"
import type { IwarpOptions } from "../../../src/rdma/iwarp/index.ts"
import { Target } from "../../../src/target/target.ts"
import { type DiskSubject, diskSuite } from "../../suites/disk.ts"

const NAME = "iqn.2026-01.org.example:own"
const SIZE_BYTES = 64 * 1024 * 1024

type Options = IwarpOptions & IserStart

function onThisMachine(scheme: "iscsi" | "iser", iwarp: Options = {}): DiskSubject["start"] {
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
function inVirtualTime(scheme: "iscsi" | "iser", start: IserStart = {}): DiskSubject["start"] {
  return async () => {
    const clock = new VirtualClock()
    const random = new SeededRandom(7)
    const network = new SimNetwork(clock, random)
    const iser = iserOverIwarp({ network, clock, random, ...start })
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
const loginFirst = { loginFirst: true }
const late = onThisMachine("iser", loginFirst)
diskSuite({ name: "our own target, over TCP that turns to iSER behind the login", start: late, features })
const lateInVirtualTime = inVirtualTime("iser", loginFirst)
diskSuite({ name: "the same in virtual time", start: lateInVirtualTime, features })

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

  test("that began over TCP says so as well, and comes back when it was lost", async () => {
    const turning = iserOverIwarp(loginFirst)
    const events: string[] = []
    const onEvent = (event: { kind: string }) => void events.push(event.kind)
    const disk = await Disk.open(url, { services: { iser: turning }, onEvent })
    assert.equal(disk.session.transport, "iser")
    assert.equal(disk.session.keys.rdmaExtensions, true)
    assert.deepEqual(
      target.sessions().map(({ transport }) => transport),
      ["iser"],
    )
    await disk.session.resetTarget(true)
    await disk.readBlocks(0, new Uint8Array(4096))
    assert.deepEqual(events.slice(0, 2), ["connection-lost", "reconnected"])
    assert.equal(disk.session.transport, "iser")
    await disk.close()
  })

  test("that wants to begin over TCP fails in one line where the target declines", async () => {
    const plain = new Target({ name: NAME })
    plain.addLogicalUnit(0, new MemoryStore({ sizeBytes: SIZE_BYTES }))
    const portal = await plain.listen({ host: "127.0.0.1", port: 0, iser: false }, { iser })
    const at = `//127.0.0.1:${portal.endpoint.port}/${NAME}/0`
    const services = { iser: iserOverIwarp(loginFirst) }
    await assert.rejects(Disk.open(`iser:${at}`, { services }), {
      code: "ERR_ISER_NOT_THERE",
      message: /^no iSER at \S+: the target declines RDMAExtensions$/,
    })
    const disk = await Disk.open(`iscsi:${at}`, { services })
    assert.equal(disk.session.transport, "tcp")
    await disk.close()
    await plain.close()
  })
})
