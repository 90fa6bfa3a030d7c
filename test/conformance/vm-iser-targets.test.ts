/**
 * Our initiator with foreign iSER targets, over iWARP, in a virtual machine: the kernel's LIO (ib_isert over siw) and tgt
 * (over libibverbs and siw). The disk suite, and every way of sending a write's data that each of them allows.
 */
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import { Disk, Initiator, type OpenOptions, SanletError } from "../../src/index.ts"
import { diskSuite, pattern } from "../suites/disk.ts"
import { type Forwarded, forward } from "../rig/forward.ts"
import { type Guest, Rig } from "../rig/rig.ts"
import { MiB } from "./serve.ts"

const INITIATOR = "iqn.2026-01.org.example:ours"

interface Foreign {
  readonly name: "LIO" | "tgt"
  readonly iqn: string
  readonly lun: number
  /** tgt can't be told another than 3260, so LIO has to. */
  readonly port: number
  /** What its DiskFeatures lack. */
  readonly lacks: Readonly<Record<string, false>>
  readonly abortedBytes?: number
  /** It can take unsolicited Data-Out PDUs. */
  readonly takesDataOut: boolean
  /** Bash that sets up the target. */
  readonly make: (portal: string) => string
  /** Bash that sets what it negotiates. */
  readonly set: (name: string, value: string) => string
}

const lio: Foreign = {
  name: "LIO",
  iqn: "iqn.2026-01.org.example:lio",
  lun: 0,
  port: 3261,
  // It says yes to VERIFY without comparing, and knows no GET LBA STATUS.
  lacks: { verify: false, lbaStatus: false, digests: false },
  // ib_isert's send queue has no room for 64 reads of 1 MiB: over siw each takes 43 RDMA Writes (6 pages a piece). It
  // says "failed to post RDMA res" and "ib_post_send failed with -12", breaks the connection, and lets nobody in again.
  abortedBytes: 64 * 1024,
  takesDataOut: true,
  make: (portal) => `rig-lio add ${lio.iqn} 64 ${portal} iser emulate_tpu=1 emulate_tpws=1`,
  set: (name, value) => `echo ${value} > /sys/kernel/config/target/iscsi/${lio.iqn}/tpgt_1/param/${name}`,
}
const tgt: Foreign = {
  name: "tgt",
  iqn: "iqn.2026-01.org.example:tgt",
  lun: 1,
  port: 3260,
  // It has no COMPARE AND WRITE, though its Block Limits page says so.
  lacks: { compareAndWrite: false, digests: false },
  // Commands of more than 512 KiB end its connection ("rdma-rd size: too big"); its Block Limits page doesn't tell, so it
  // is what our disks take for the most there.
  // With InitialR2T=No, which isn't its default, it reuses a Data-Out's buffer before it has written it: "ToDo: BUG!!! add
  // an indication that it's data-out task", says its source (iser_data_out_rx).
  takesDataOut: false,
  make: () => `rig-tgt ${tgt.iqn} 64 ${INITIATOR}`,
  set: (name, value) => `rig-tgt ${tgt.iqn} 64 ${INITIATOR} ${name}=${value}`,
}

interface Machine {
  readonly rig: Rig
  readonly guest: Guest
  readonly ports: Map<Foreign, Forwarded>
}

let machine: Promise<Machine> | undefined

/** One machine for all of the file, with both targets. */
function start(): Promise<Machine> {
  machine ??= (async () => {
    const rig = await Rig.start()
    const guest = await rig.boot({ memoryMib: 1024 })
    await guest.sh("rig-rdma siw eth0")
    const address = rig.network.guestAddress(guest.number)
    const ports = new Map<Foreign, Forwarded>()
    for (const foreign of [lio, tgt]) {
      await guest.sh(foreign.make(`${address}:${foreign.port}`))
      ports.set(foreign, await forward(rig, address, foreign.port))
    }
    return { rig, guest, ports }
  })()
  return machine
}

after(async () => {
  const running = await machine?.catch(() => undefined)
  for (const port of running?.ports.values() ?? []) await port.close()
  await running?.rig.stop()
})

/** Where `foreign` is, as an iser:// URL without a target. */
async function portalOf(foreign: Foreign): Promise<string> {
  const { ports } = await start()
  return `iser://127.0.0.1:${ports.get(foreign)?.port}`
}

const TRIES = 5

/**
 * Tries again what fails, because of two races that nobody as fast as us loses to: siw misses the wake-up for what
 * comes while it still sends its MPA Reply, and tgt ("non-login pdu during login phase") drops whoever sends a command
 * before it has polled the completion of its last Login Response.
 */
async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === TRIES || !(error instanceof SanletError)) throw error
    }
  }
}

function open(foreign: Foreign, options: OpenOptions = {}): Promise<Disk> {
  return insist(() => openOnce(foreign, options))
}

async function openOnce(foreign: Foreign, options: OpenOptions): Promise<Disk> {
  return await Disk.open(`${await portalOf(foreign)}/${foreign.iqn}/${foreign.lun}`, {
    name: INITIATOR,
    loginDeadlineMs: 4000,
    ...options,
  })
}

for (const foreign of [lio, tgt]) {
  diskSuite({
    name: `${foreign.name} over iSER`,
    start: async () => {
      await start()
      return { open: (options) => open(foreign, options), close: async () => {} }
    },
    features: foreign.lacks,
    ...(foreign.abortedBytes !== undefined && { abortedBytes: foreign.abortedBytes }),
  })

  describe(`initiator with ${foreign.name} over iSER`, () => {
    test("is told of targets", async () => {
      const initiator = new Initiator({ name: INITIATOR, environment: {}, loginDeadlineMs: 4000 })
      const { rig, guest } = await start()
      const [found, ...others] = await insist(async () => initiator.discover(await portalOf(foreign)))
      assert.equal(found?.name, foreign.iqn)
      const address = `${rig.network.guestAddress(guest.number)}:${foreign.port}`
      assert.deepEqual(found?.addresses, [{ address, portalGroupTag: 1 }])
      assert.deepEqual(others, [])
    })

    for (const [initialR2T, immediateData] of [
      ["Yes", "No"],
      ["Yes", "Yes"],
      ["No", "No"],
      ["No", "Yes"],
    ] as const) {
      const skip = initialR2T === "No" && !foreign.takesDataOut && "it loses unsolicited data"
      test(`moves odd sizes with InitialR2T=${initialR2T}, ImmediateData=${immediateData}`, {
        skip,
      }, async () => {
        const { guest } = await start()
        await guest.sh(foreign.set("InitialR2T", initialR2T))
        await guest.sh(foreign.set("ImmediateData", immediateData))
        const keys = {
          initialR2T: false,
          immediateData: true,
          firstBurstLength: 49_152,
          maxBurstLength: 262_144,
        }
        const disk = await open(foreign, { keys })
        try {
          assert.equal(disk.session.transport, "iser")
          assert.equal(disk.session.keys.initialR2T, initialR2T === "Yes")
          assert.equal(disk.session.keys.immediateData, immediateData === "Yes")
          await oddSizes(disk)
        } finally {
          await disk.close()
        }
      })
    }

    test("takes replies of odd lengths, shorter than asked for", async () => {
      const disk = await open(foreign)
      for (const bytes of [5, 36, 37, 96, 255]) {
        const dataIn = new Uint8Array(bytes).fill(0xa5)
        const { status, dataInBytes } = await disk.execute(Uint8Array.of(0x12, 0, 0, 0, bytes, 0), { dataIn })
        assert.equal(status, 0)
        assert.ok(dataInBytes <= bytes && dataInBytes >= Math.min(bytes, 36), `${dataInBytes} of ${bytes}`)
        assert.ok(dataIn.subarray(dataInBytes).every((byte) => byte === 0xa5 || byte === 0))
      }
      await disk.close()
    })
  })
}

/** From one block to what takes a command of 4 MiB and more, each written and read back at an odd place. */
async function oddSizes(disk: Disk): Promise<void> {
  const { blockBytes } = disk
  const bursts = [4096, 8192, 49_152, 262_144].map((bytes) => bytes / blockBytes)
  const counts = new Set([1, 3, 7, (4 * MiB) / blockBytes, (6 * MiB) / blockBytes + 1])
  for (const blocks of bursts) for (const count of [blocks - 1, blocks, blocks + 1]) counts.add(count)
  for (const count of [...counts].filter((blocks) => blocks > 0)) {
    const data = pattern(count * blockBytes, count)
    const into = new Uint8Array(data.length)
    await disk.writeBlocks(13, data)
    await disk.readBlocks(13, into)
    assert.equal(Buffer.compare(into, data), 0, `${count} blocks`)
  }
}

describe("initiator with LIO over iSER", () => {
  test("comes back after the cable was pulled, with every write done", async () => {
    const { guest } = await start()
    const events: string[] = []
    const onEvent = ({ kind }: { kind: string }): number => events.push(kind)
    const disk = await open(lio, { nopIntervalMs: 500, nopDeadlineMs: 1000, onEvent })
    const data = pattern(64 * 1024, 3)
    await guest.link(0, false)
    const writes = Array.from({ length: 16 }, (_, i) => disk.write(i * data.length, data))
    setTimeout(() => void guest.link(0, true), 3000)
    await Promise.all(writes)
    const back = new Uint8Array(data.length)
    for (let i = 0; i < writes.length; i++) {
      await disk.read(i * data.length, back)
      assert.equal(Buffer.compare(back, data), 0, `write ${i}`)
    }
    assert.ok(events.includes("reconnected"), events.join(" "))
    await disk.close()
  })
})
