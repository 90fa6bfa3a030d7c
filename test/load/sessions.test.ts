/** `sanlet serve` with a thousand sessions: what one costs, and what bad peers beside them change. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { setTimeout as pause } from "node:timers/promises"
import { LOGIN_DEADLINE_MS, LOGINS_PENDING_MAX } from "../../src/base/limits.ts"
import { read10, write10 } from "../../src/scsi/cdb/index.ts"
import { parseDiskUrl, Session } from "../../src/initiator/index.ts"
import type { SessionOptions } from "../../src/initiator/index.ts"
import { Scratch, type Served, serve } from "../conformance/serve.ts"
import { DeafNetwork, sendGarbage, SlowLoris } from "./troublemakers.ts"

const SESSIONS = 1000
const WARM_SESSIONS = 200
const KiB = 1024
const MiB = 1024 * KiB
const IDLE_BYTES_MAX = 120 * MiB
const SESSION_BYTES_MAX = 64 * KiB
/** How many log in at the same time. */
const LOGINS_AT_ONCE = 64
const IO_BYTES = 4096
const BLOCK_BYTES = 512
/** Sessions whose latency is measured, and for how long. */
const PROBES = 16
const PROBE_MS = 3000
const DEAF_PEERS = 4
const DEAF_READS = 64
/** What four peers that don't read may make the target hold. */
const DEAF_BYTES_MAX = 128 * MiB

/** Resident memory of a process, in bytes. */
function residentBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))
  return Number(line?.[1]) * KiB
}

const inMiB = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`

class Load {
  readonly scratch = new Scratch()
  served!: Served
  portal!: { host: string; port: number }
  #target!: string
  #lastIsid = 0

  async start(): Promise<void> {
    const image = this.scratch.image("load.img", 64 * MiB)
    this.served = await serve([image, "--listen", "127.0.0.1:0", "--log-level", "error"])
    const { host, port, target } = parseDiskUrl(this.served.url, {})
    this.portal = { host, port }
    this.#target = target
  }

  get residentBytes(): number {
    return residentBytes(this.served.child.pid!)
  }

  open(options: Partial<SessionOptions> = {}): Promise<Session> {
    return Session.open({
      portal: this.portal,
      initiatorName: "iqn.2026-01.org.example:load",
      targetName: this.#target,
      isid: 0x800000000000 + ++this.#lastIsid,
      reconnect: false,
      ...options,
    })
  }

  /** Logs in `count` times, some at a time. */
  async openMany(count: number): Promise<Session[]> {
    const sessions: Session[] = []
    let left = count
    const worker = async (): Promise<void> => {
      while (left-- > 0) sessions.push(await this.open())
    }
    await Promise.all(Array.from({ length: LOGINS_AT_ONCE }, worker))
    return sessions
  }
}

/** Writes a place of the session's own and reads it back. */
async function writeAndRead(session: Session, place: number, round: number): Promise<void> {
  const lba = (place * IO_BYTES) / BLOCK_BYTES
  const blocks = IO_BYTES / BLOCK_BYTES
  const dataOut = Buffer.alloc(IO_BYTES, `${place}/${round} `)
  const dataIn = new Uint8Array(IO_BYTES)
  await good(session, { cdb: write10(lba, blocks), dataOut })
  await good(session, { cdb: read10(lba, blocks), dataIn })
  assert.equal(Buffer.compare(dataIn, dataOut), 0, `session ${place} reads what it wrote`)
}

/** The first command of a session gets the unit attention everybody gets. */
async function good(
  session: Session,
  command: { cdb: Uint8Array; dataOut?: Uint8Array; dataIn?: Uint8Array },
) {
  let result = await session.execute({ lun: 0, ...command })
  if (result.sense?.key === 6) result = await session.execute({ lun: 0, ...command })
  assert.equal(result.status, 0)
}

/** Median and 99th percentile of how long a write and a read take on some of the sessions, in ms. */
async function probe(
  sessions: readonly Session[],
): Promise<{ medianMs: number; p99Ms: number; count: number }> {
  const timesMs: number[] = []
  const endMs = performance.now() + PROBE_MS
  const one = async (session: Session, place: number): Promise<void> => {
    for (let round = 0; performance.now() < endMs; round++) {
      const startMs = performance.now()
      await writeAndRead(session, place, round)
      timesMs.push(performance.now() - startMs)
      await pause(1)
    }
  }
  await Promise.all(sessions.slice(0, PROBES).map(one))
  timesMs.sort((a, b) => a - b)
  const at = (part: number) => timesMs[Math.floor(timesMs.length * part)] ?? Number.NaN
  return { medianMs: at(0.5), p99Ms: at(0.99), count: timesMs.length }
}

describe(`${SESSIONS} sessions`, () => {
  const load = new Load()
  let sessions: Session[] = []
  before(() => load.start())
  after(async () => {
    await Promise.all(sessions.map((session) => session.close()))
    assert.equal(await load.served.stop(), 0, "it ends in good order")
    load.scratch.remove()
  })

  test(`an idle target takes at most ${inMiB(IDLE_BYTES_MAX)}`, (t) => {
    t.diagnostic(`idle, before any login: ${inMiB(load.residentBytes)}`)
    assert.ok(load.residentBytes <= IDLE_BYTES_MAX)
  })

  test(`an idle session takes at most ${SESSION_BYTES_MAX / KiB} KiB`, async (t) => {
    // What the code itself takes when it has run for a while is no session's.
    const warm = await load.openMany(WARM_SESSIONS)
    await Promise.all(warm.map((session, i) => writeAndRead(session, i, 0)))
    await Promise.all(warm.map((session) => session.close()))
    await pause(500)
    const beforeBytes = load.residentBytes
    const startMs = performance.now()
    sessions = await load.openMany(SESSIONS)
    const tookMs = performance.now() - startMs
    await pause(500)
    const perSession = (load.residentBytes - beforeBytes) / SESSIONS
    t.diagnostic(`${SESSIONS} logins in ${tookMs.toFixed(0)} ms`)
    t.diagnostic(`${(perSession / KiB).toFixed(1)} KiB per session, ${inMiB(load.residentBytes)} altogether`)
    assert.ok(perSession <= SESSION_BYTES_MAX, `${(perSession / KiB).toFixed(1)} KiB per session`)
  })

  test("all of them read what they wrote, and cost no more afterwards", async (t) => {
    const startMs = performance.now()
    for (let round = 1; round <= 3; round++) {
      await Promise.all(sessions.map((session, i) => writeAndRead(session, i, round)))
    }
    const tookMs = performance.now() - startMs
    await pause(500)
    t.diagnostic(`3 writes and reads of each in ${tookMs.toFixed(0)} ms; then ${inMiB(load.residentBytes)}`)
    const perSession = (load.residentBytes - IDLE_BYTES_MAX) / SESSIONS
    assert.ok(perSession <= SESSION_BYTES_MAX, `${(perSession / KiB).toFixed(1)} KiB beyond an idle target's`)
  })

  test("slow logins, garbage and peers that don't read change nothing for them", async (t) => {
    const alone = await probe(sessions)
    const startMs = performance.now()
    // More than there are places for logins: newcomers take those of the greediest address.
    const lorises = await Promise.all(
      Array.from({ length: LOGINS_PENDING_MAX + 20 }, () => SlowLoris.start(load.portal)),
    )
    const beforeBytes = load.residentBytes
    const deaf = await Promise.all(Array.from({ length: DEAF_PEERS }, () => openDeaf(load)))
    const stopGarbage = sendGarbage(load.portal, 20)
    const beside = await probe(sessions)
    t.diagnostic(`alone: ${told(alone)}; beside them: ${told(beside)}; ${inMiB(load.residentBytes)}`)
    assert.ok(beside.medianMs <= 4 * alone.medianMs + 5, told(beside))
    assert.ok(beside.p99Ms <= 4 * alone.p99Ms + 50, told(beside))
    assert.ok(load.residentBytes - beforeBytes <= DEAF_BYTES_MAX, inMiB(load.residentBytes - beforeBytes))

    const newcomer = await load.open()
    await writeAndRead(newcomer, SESSIONS, 0)
    await newcomer.close()
    t.diagnostic(`${stopGarbage()} connections of garbage`)
    for (const peer of deaf) peer.drop()

    const leftMs = startMs + LOGIN_DEADLINE_MS + 2000 - performance.now()
    await pause(Math.max(0, leftMs))
    const open = lorises.filter((loris) => !loris.closed).length
    for (const loris of lorises) loris.stop()
    assert.equal(open, 0, "slow logins are thrown out when their time is up")
    await Promise.all(sessions.map((session, i) => writeAndRead(session, i, 9)))
  })
})

/** Asks for more than fits into any buffer, and reads none of it. */
async function openDeaf(load: Load): Promise<DeafNetwork> {
  const network = new DeafNetwork()
  const session = await load.open({ services: { network }, nopIntervalMs: 0 })
  network.stopReading()
  for (let i = 0; i < DEAF_READS; i++) {
    const dataIn = new Uint8Array(MiB)
    void session.execute({ lun: 0, cdb: read10(0, MiB / BLOCK_BYTES), dataIn }).catch(() => {})
  }
  return network
}

const told = ({ medianMs, p99Ms, count }: Awaited<ReturnType<typeof probe>>): string =>
  `median ${medianMs.toFixed(2)} ms, 99 % within ${p99Ms.toFixed(2)} ms, ${count} in all`
