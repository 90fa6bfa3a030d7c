/** An initiator of a simulation: a session, disks, and workers that use them until they have done their share. */
import { sleep } from "../../src/base/clock.ts"
import { SanletError } from "../../src/base/errors.ts"
import { Disk, DiskError, ScsiError, Session } from "../../src/initiator/index.ts"
import type { OperationOptions } from "../../src/initiator/index.ts"
import { Status } from "../../src/scsi/spec/status.ts"
import { read } from "../../src/initiator/cdb.ts"
import type { Iser } from "../../src/iser.ts"
import { type Outcome, OracleViolation } from "./oracle.ts"
import type { ClientPlan } from "./scenario.ts"
import type { Tally } from "./tally.ts"
import { type SimLun, TARGET_NAME, type World } from "./world.ts"

/** The reason of our AbortSignals. */
export class SimAbort extends Error {
  constructor() {
    super("aborted by the simulation")
  }
}

interface Use {
  readonly disk: Disk
  readonly lun: SimLun
}

/** After so many attempts in a row a client has waited longer than any trouble lasts. */
const OPEN_ATTEMPTS_MAX = 400

export class Client {
  readonly name: string
  readonly #world: World
  readonly #plan: ClientPlan
  readonly #isid: number
  readonly #tally: Tally
  readonly #fail: (error: Error) => void
  #session: Session | undefined
  #opening: Promise<Session> | undefined
  readonly #iser: Iser
  readonly #disks = new Map<SimLun, Promise<Disk>>()
  /** Times the connection was lost so far: what fails across a loss may still come to pass. */
  #losses = 0
  #left: number
  #writes = 0

  constructor(world: World, plan: ClientPlan, index: number, tally: Tally, fail: (error: Error) => void) {
    this.name = `iqn.2026-01.org.example:client${index}`
    this.#world = world
    this.#plan = plan
    this.#isid = 0x800000000000 + index
    this.#tally = tally
    this.#fail = fail
    this.#iser = world.iser(plan.iwarp)
    this.#left = plan.operations
  }

  /** Resolves when all operations have ended and the session is closed. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.#plan.workers }, () => this.#work()))
    await this.#close()
  }

  async #work(): Promise<void> {
    const { random, clock } = this.#world
    while (this.#left-- > 0) {
      if (random.chance(0.3)) await sleep(clock, random.below(2000) / 100, "worker's pause")
      const use = await this.#pick()
      if (use) await this.#operate(use)
      else this.#left++
    }
  }

  async #close(): Promise<void> {
    for (const disk of this.#disks.values()) await disk.then((it) => it.close()).catch(() => {})
    await this.#session?.close()
    this.#session = undefined
  }

  // ------------------------------------------------------------------------------------------ session

  #open(): Promise<Session> {
    if (this.#session && this.#session.state !== "closed") return Promise.resolve(this.#session)
    this.#session = undefined
    this.#opening ??= this.#openSession().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openSession(): Promise<Session> {
    const { clock, random, initiatorBudget: budget, network, trace } = this.#world
    const { keys, queueDepth, portal, nopIntervalMs, transport } = this.#plan
    for (const disk of this.#disks.values()) void disk.then((it) => it.close()).catch(() => {})
    this.#disks.clear()
    for (let attempt = 1; ; attempt++) {
      try {
        const session = await Session.open({
          portal: this.#world.portal(portal),
          initiatorName: this.name,
          targetName: TARGET_NAME,
          isid: this.#isid,
          keys,
          queueDepth,
          transport,
          nopIntervalMs,
          nopDeadlineMs: 1000,
          loginDeadlineMs: 3000,
          reconnect: { totalMs: random.pick([2000, 60_000]), delayMs: 20, delayMaxMs: 500 },
          services: { clock, random, network, budget, iser: this.#iser, log: trace.log(this.name) },
          onEvent: ({ kind }) => this.#told(kind),
        })
        this.#fence()
        this.#session = session
        this.#tally.add(`session over ${session.transport}`)
        return session
      } catch (error) {
        this.#check(error, "login")
        if (attempt === OPEN_ATTEMPTS_MAX) throw error
        await sleep(clock, 50 + random.below(200), "client's pause between logins")
      }
    }
  }

  #told(kind: string): void {
    this.#tally.add(kind)
    if (kind === "connection-lost" || kind === "session-lost" || kind === "logout-requested") this.#losses++
    // The session the target had is reinstated: nothing of the old one is under way any more.
    if (kind === "reconnected") this.#fence()
  }

  #fence(): void {
    for (const { oracle } of this.#world.luns) oracle.fence(this)
  }

  async #pick(): Promise<Use | undefined> {
    const { random, luns } = this.#world
    const lun = random.pick(luns)
    try {
      return { lun, disk: await this.#diskOf(lun) }
    } catch (error) {
      this.#disks.delete(lun)
      this.#check(error, "open")
      await sleep(this.#world.clock, 20, "client's pause")
      return undefined
    }
  }

  async #diskOf(lun: SimLun): Promise<Disk> {
    const session = await this.#open()
    let disk = this.#disks.get(lun)
    if (!disk) {
      const { timeoutMs, transferBytesMax } = this.#plan
      const options = { transferBytesMax, ...(timeoutMs !== undefined && { timeoutMs }) }
      disk = Disk.on(session, lun.lun, options)
      this.#disks.set(lun, disk)
    }
    return disk
  }

  /** Counts an error that may happen; any other fails the run. */
  #check(error: unknown, title: string): void {
    if (error instanceof OracleViolation) return this.#fail(error)
    if (error instanceof SanletError) {
      const sense = error instanceof ScsiError && error.sense ? ` ${error.sense.asc.toString(16)}` : ""
      this.#tally.add(`${error.code}${sense}`)
    } else if (error instanceof SimAbort) this.#tally.add("aborted")
    else
      this.#fail(new Error(`${title}: an error without a type escaped: ${String(error)}`, { cause: error }))
    this.#world.trace.add(() => `${this.name} ${title} failed: ${(error as Error).message}`)
  }

  // ------------------------------------------------------------------------------------------ operations

  async #operate(use: Use): Promise<void> {
    const { random, clock, scenario, trace } = this.#world
    const { oracle } = use.lun
    const blocksMax = Math.max(1, Math.floor(scenario.operationBytesMax / oracle.blockBytes))
    const lba = random.below(oracle.countBlocks)
    const count = 1 + random.below(Math.min(random.chance(0.5) ? 4 : blocksMax, oracle.countBlocks - lba))
    const kind = this.#kind()
    const title = `${kind}#${++this.#writes} ${lba}+${count} of LUN ${use.lun.lun} by ${this.name.slice(-7)}`
    const abort = scenario.trouble.abort && random.chance(0.15) ? new AbortController() : undefined
    const timer = abort && clock.after(random.below(3000) / 100, "abort", () => abort.abort(new SimAbort()))
    const options: OperationOptions = abort ? { signal: abort.signal } : {}
    trace.add(() => `${title} begins`)
    try {
      await this[kind](use, title, lba, count, options)
      this.#tally.add(kind)
      trace.add(() => `${title} done`)
    } catch (error) {
      this.#check(error, title)
      if (this.#isBroken(error)) this.#disks.delete(use.lun)
    } finally {
      timer?.cancel()
    }
  }

  /** The disk object is of no use any more: another one has to look at the logical unit anew. */
  #isBroken(error: unknown): boolean {
    if (!(error instanceof SanletError)) return false
    // A logical unit that was taken away while the disk looked at it has told nothing of what it can.
    if (error.code === "ERR_NOT_SUPPORTED" && !this.#world.scenario.trouble.inventory) this.#fail(error)
    return ["ERR_UNIT_CHANGED", "ERR_RANGE", "ERR_NOT_SUPPORTED"].includes(error.code)
  }

  #kind() {
    const { random, scenario } = this.#world
    const manages = scenario.trouble.taskManagement && random.chance(0.02)
    if (manages) return "manageTasks" as const
    const at = random.below(100)
    if (at < 40) return "read" as const
    if (at < 75) return "write" as const
    if (at < 81) return "flush" as const
    if (at < 85) return "unmap" as const
    if (at < 90) return "compareAndWrite" as const
    if (at < 94) return "verify" as const
    if (at < 97) return "writeZeroes" as const
    if (at < 99) return "rawRead" as const
    return "look" as const
  }

  async read({ disk, lun }: Use, title: string, lba: number, count: number, options: OperationOptions) {
    const into = new Uint8Array(count * lun.oracle.blockBytes)
    const ticket = lun.oracle.beginRead(title, lba, count)
    await disk.readBlocks(lba, into, options)
    lun.oracle.endRead(ticket, into)
  }

  /** With all task attributes, past the disk's own retries. */
  async rawRead({ disk, lun }: Use, title: string, lba: number, count: number, options: OperationOptions) {
    const { random } = this.#world
    const dataIn = new Uint8Array(count * lun.oracle.blockBytes)
    const ticket = lun.oracle.beginRead(title, lba, count)
    const attribute = random.pick([0, 1, 2, 3])
    const result = await disk.execute(read(lba, count), { ...options, dataIn, attribute, replay: true })
    if (result.status === Status.good) lun.oracle.endRead(ticket, dataIn)
    else this.#tally.add(`raw status ${result.status}`)
  }

  async write({ disk, lun }: Use, title: string, lba: number, count: number, options: OperationOptions) {
    const fua = this.#world.random.chance(0.2)
    const content = this.#content(lun, lba, count)
    await this.#change(lun, title, lba, content, fua, () =>
      disk.writeBlocks(lba, content, { ...options, fua }),
    )
  }

  async unmap({ disk, lun }: Use, title: string, lba: number, count: number, options: OperationOptions) {
    const zeroes = new Uint8Array(count * lun.oracle.blockBytes)
    await this.#change(lun, title, lba, zeroes, false, () =>
      disk.unmap([{ lba, countBlocks: count }], options),
    )
  }

  async writeZeroes(
    { disk, lun }: Use,
    title: string,
    lba: number,
    count: number,
    options: OperationOptions,
  ) {
    const zeroes = new Uint8Array(count * lun.oracle.blockBytes)
    const unmap = this.#world.random.chance(0.5)
    await this.#change(lun, title, lba, zeroes, false, () =>
      disk.writeZeroes(lba, count, { ...options, unmap }),
    )
  }

  async compareAndWrite(
    { disk, lun }: Use,
    title: string,
    lba: number,
    blocks: number,
    options: OperationOptions,
  ) {
    const { oracle } = lun
    const count = Math.min(blocks, 4)
    const expected = new Uint8Array(count * oracle.blockBytes)
    const ticket = oracle.beginRead(`${title} (its read)`, lba, count)
    await disk.readBlocks(lba, expected, options)
    oracle.endRead(ticket, expected)
    if (this.#world.random.chance(0.2)) expected[0]! ^= 1
    const replacement = this.#content(lun, lba, count)
    const own = oracle.beginWrite(title, this, lba, replacement, false)
    const before = this.#losses
    try {
      const matched = await disk.compareAndWrite(lba, expected, replacement, options)
      oracle.compared(own, expected, matched)
      oracle.endWrite(own, matched ? "done" : "never")
    } catch (error) {
      oracle.endWrite(own, this.#outcome(error, before))
      throw error
    }
  }

  async verify({ disk, lun }: Use, title: string, lba: number, count: number, options: OperationOptions) {
    const { oracle } = lun
    const expected = new Uint8Array(count * oracle.blockBytes)
    const ticket = oracle.beginRead(`${title} (its read)`, lba, count)
    await disk.readBlocks(lba, expected, options)
    oracle.endRead(ticket, expected)
    const again = oracle.beginRead(title, lba, count)
    if (await disk.verifyBlocks(lba, expected, options)) oracle.endRead(again, expected)
    else oracle.differed(again, expected)
  }

  async flush({ disk, lun }: Use, _title: string, _lba: number, _count: number, options: OperationOptions) {
    const ticket = lun.oracle.beginFlush()
    await disk.flush(options)
    lun.oracle.endFlush(ticket)
  }

  /** What changes nothing. */
  async look({ disk }: Use, _title: string, lba: number, count: number, options: OperationOptions) {
    switch (this.#world.random.below(4)) {
      case 0:
        return void (await disk.getLbaStatus(lba, options))
      case 1:
        return disk.checkBlocks(lba, count, options)
      case 2:
        return disk.refresh()
      default:
        return disk.session.ping()
    }
  }

  async manageTasks({ disk }: Use) {
    const { session, lun } = disk
    switch (this.#world.random.below(6)) {
      case 0:
        return session.abortTaskSet(lun)
      case 1:
        return session.clearTaskSet(lun)
      case 2:
        return session.resetTarget(false)
      case 3:
        return session.resetTarget(true)
      default:
        return disk.reset()
    }
  }

  async #change(
    lun: SimLun,
    title: string,
    lba: number,
    content: Uint8Array,
    fua: boolean,
    perform: () => Promise<void>,
  ): Promise<void> {
    const before = this.#losses
    const ticket = lun.oracle.beginWrite(title, this, lba, content, fua)
    try {
      await perform()
    } catch (error) {
      lun.oracle.endWrite(ticket, this.#outcome(error, before))
      throw error
    }
    // Of several commands some may have been acknowledged, and lost with the power, before the last one was sent.
    const several = content.length > this.#plan.transferBytesMax
    const lost = several && !ticket.fua && ticket.epoch !== lun.oracle.epoch
    lun.oracle.endWrite(ticket, lost ? "maybe" : "done")
  }

  /** What a failed change has done, by its error. */
  #outcome(error: unknown, lossesBefore: number): Outcome {
    // The target's own word; an earlier attempt of the same operation may have done more than the one it is about.
    if (error instanceof ScsiError) return "maybe"
    // Refused before anything was sent. (A unit that is gone after a recovery leaves open what was done before.)
    if (error instanceof DiskError && error.code === "ERR_RANGE") return "never"
    // Aborted, and the target has said that it is.
    if (this.#losses === lossesBefore && this.#session?.state === "open") return "maybe"
    return "unknown"
  }

  /** Blocks that tell who wrote them. */
  #content(lun: SimLun, lba: number, count: number): Uint8Array {
    const { blockBytes } = lun.oracle
    const content = new Uint8Array(count * blockBytes)
    const view = new DataView(content.buffer)
    for (let i = 0; i < count; i++) {
      content.fill((this.#writes * 31 + lba + i) & 0xff, i * blockBytes, (i + 1) * blockBytes)
      view.setUint32(i * blockBytes, this.#writes)
      view.setUint32(i * blockBytes + 4, lba + i)
      view.setUint32(i * blockBytes + 8, this.#isid & 0xff)
      view.setUint32((i + 1) * blockBytes - 4, this.#writes)
    }
    return content
  }
}
