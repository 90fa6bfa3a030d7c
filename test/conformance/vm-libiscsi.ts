/**
 * libiscsi's test suite over iSER: in a virtual machine, over libibverbs and siw, with our target on the host side. Its iSER transport has
 * faults of its own; what they keep from running is in libiscsi-iser-faults.json, with the place where it goes wrong.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import type { TestContext } from "node:test"
import { fileURLToPath } from "node:url"
import { TIMED_OUT } from "../rig/control.ts"
import { type Guest, Rig } from "../rig/rig.ts"
import { succeed } from "./command.ts"
import { type CunitTest, readCunit } from "./cunit.ts"
import { configurationOfKinds, type Kind, lunsOfKinds, urlsOfKind } from "./libiscsi-kinds.ts"
import { isAbout, surprises } from "./libiscsi-outcomes.ts"
import { Scratch, type Served, serve } from "./serve.ts"

interface Faults {
  /** When the list was last held against the suite, and which version that was. */
  readonly date: string
  readonly libiscsi: string
  readonly faults: readonly {
    readonly why: string
    /** Where it crashes, or what it says instead. */
    readonly trace: readonly string[]
    /** Kinds of LUN it is about; absent: all, but those of `but`. */
    readonly kinds?: readonly string[]
    readonly but?: readonly string[]
    readonly tests: readonly string[]
  }[]
}

const list = readFileSync(new URL("libiscsi-iser-faults.json", import.meta.url), "utf8")
export const { date: faultsDate, faults } = JSON.parse(list) as Faults
export const faultyOn = (kind: string): ReadonlySet<string> =>
  new Set(faults.filter((one) => isAbout(one, kind)).flatMap(({ tests }) => tests))

/**
 * Without it the suite crashes wherever it happens to: libiscsi 1.19 uses memory of its iSER connections that it hasn't
 * initialised (upstream b4ba920) and has freed (b98454a, dcf95f9), and gives small pieces back as larger ones (2934d64).
 */
const PRELOAD = "careful-malloc.so"
/**
 * A test of these is a process of its own: each logs in twice more, and libiscsi 1.19 leaves its iSER connections open;
 * after some twenty of them it stops or hangs in the middle of a test that passes alone.
 */
const ONE_BY_ONE: ReadonlySet<string> = new Set(["ProutReserve"])
/** What libiscsi says when nothing has come for a second. */
const IMPATIENT = "revents is not POLLIN"
/** How often more what failed for that is run. */
const TRIES_MORE = 3
const SEPARATOR = "=== of"
/** Last lines of what the target has written that are shown when something went wrong. */
const LINES_TOLD = 20
/** How often a run is begun: at first, and where a machine's network has died or the time was over. */
const TRIES = 3
/** Of one group, which may end in silence, and of all. */
const DEADLINES = { groupS: 150, allMs: 600_000 }
const FAULT_DEADLINE_S = 15

async function boot(rig: Rig, scratch: Scratch): Promise<Guest> {
  const guest = await rig.boot({ memoryMib: 1024 })
  await guest.sh("rig-rdma siw eth0")
  await guest.write(`/tmp/${PRELOAD}`, readFileSync(scratch.path(PRELOAD)))
  return guest
}

export class LibiscsiOverIser {
  guest: Guest
  readonly served: Served
  readonly #urls: ReadonlyMap<string, readonly string[]>
  readonly #rig: Rig
  readonly #scratch: Scratch

  /** Boots a machine and serves these kinds of LUN to it, each through two portals. */
  static async start(kinds: readonly Kind[]): Promise<LibiscsiOverIser> {
    const scratch = new Scratch()
    const rig = await Rig.start()
    try {
      const preload = scratch.path(PRELOAD)
      const source = fileURLToPath(new URL("careful-malloc.c", import.meta.url))
      await succeed("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", preload, source)
      const guest = await boot(rig, scratch)
      const address = rig.network.hostAddress()
      const portals = [`${address}:3260`, `${address}:3261`] as const
      const configuration = scratch.configuration("kinds.yaml", configurationOfKinds(scratch, portals, kinds))
      const served = await serve(["--config", configuration], {
        luns: lunsOfKinds(kinds),
        spawn: (command, args, env) => rig.network.spawn(command, args, { env }),
      })
      const urls = kinds.map((kind) => {
        const paths = urlsOfKind(kind, served.urls, portals[1])
        return [kind.name, paths.map((path) => path.replace("iscsi://", "iser://"))] as const
      })
      return new LibiscsiOverIser(rig, guest, served, scratch, new Map(urls))
    } catch (error) {
      await rig.stop()
      scratch.remove()
      throw error
    }
  }

  private constructor(
    rig: Rig,
    guest: Guest,
    served: Served,
    scratch: Scratch,
    urls: ReadonlyMap<string, readonly string[]>,
  ) {
    this.#rig = rig
    this.guest = guest
    this.served = served
    this.#scratch = scratch
    this.#urls = urls
  }

  async stop(): Promise<void> {
    try {
      await this.served.stop()
    } finally {
      await this.#rig.stop()
      this.#scratch.remove()
    }
  }

  /** Of the LUN of a kind, through the first portal. */
  urlOf(kind: string): string {
    return this.#urls.get(kind)![0]!
  }

  /**
   * Runs tests of the suite on a kind of LUN, each group in a process of its own, and returns what came of them. When a machine's
   * network dies, as qemu's does now and then, the group it was at and those behind run in another. Throws unless each has run.
   */
  async run(kind: string, groups: readonly string[], deadlines = DEADLINES): Promise<CunitTest[]> {
    const tests: CunitTest[] = []
    let left = groups
    for (let tries = 0; left.length > 0; tries++) {
      if (tries === TRIES) throw new Error(`${left[0]} did not run\n${await this.#state()}`)
      const ran = await this.#begin(kind, left, deadlines)
      const alive = await this.#reachable()
      const over = alive ? ran.length : Math.max(0, ran.length - 1)
      tests.push(...ran.slice(0, over).flat())
      left = left.slice(over)
      if (alive) continue
      this.guest.kill()
      this.guest = await boot(this.#rig, this.#scratch)
    }
    return tests
  }

  /** Runs groups until the network is dead or the time is over; what came of those that were begun. */
  async #begin(
    kind: string,
    groups: readonly string[],
    deadlines: typeof DEADLINES,
  ): Promise<(readonly CunitTest[])[]> {
    const list = `/tmp/groups-${kind}`
    await this.guest.write(list, groups.map((group) => `${group}\n`).join(""))
    const suite = `iscsi-test-cu -d -v --allow-sanitize -t $group ${this.#urls.get(kind)!.join(" ")}`
    const loop =
      `while read -r group; do ${this.#ping} || break; echo "${SEPARATOR} $group"; LD_PRELOAD=/tmp/${PRELOAD} ` +
      `timeout -s KILL ${deadlines.groupS} ${suite} 2>&1 < /dev/null; echo; done < ${list}; true`
    const { code, stdout, stderr } = await this.guest.run(loop, { deadlineMs: deadlines.allMs })
    if (code !== 0 && code !== TIMED_OUT) throw new Error(`exit code ${code} of ${loop}: ${stderr}`)
    return stdout
      .split(SEPARATOR)
      .slice(1)
      .map((part) => readCunit(part).tests)
  }

  /**
   * The same; what failed because an answer took longer than the second that libiscsi waits for one over iSER, as it may
   * where both ends share a busy machine, is run some times more.
   */
  async runPatiently(kind: string, groups: readonly string[]): Promise<CunitTest[]> {
    let ran = await this.run(kind, groups)
    for (let i = 0; i < TRIES_MORE; i++) {
      const slow = ran.filter(
        ({ outcome, messages }) => outcome === "failed" && messages.some((text) => text.includes(IMPATIENT)),
      )
      const names = slow.map(({ name }) => `ALL.${name}`)
      const again = new Map((await this.run(kind, names)).map((test) => [test.name, test]))
      ran = ran.map((test) => again.get(test.name) ?? test)
    }
    return ran
  }

  /** Suites with all their tests, as "Suite.Test". */
  async everyTest(): Promise<Map<string, string[]>> {
    // libiscsi 1.19 takes for granted that block 256 is zero (upstream 33c66f2), as it is to begin with.
    const suites = new Map<string, string[]>([["MultipathIO", []]])
    for (const line of (await this.guest.sh("iscsi-test-cu -l")).split("\n")) {
      const [, suite, name] = /^ALL\.([^.]+)\.([^.]+)$/.exec(line) ?? []
      if (suite === undefined || name === undefined) continue
      const tests = suites.get(suite) ?? []
      suites.set(suite, tests)
      tests.push(`${suite}.${name}`)
    }
    return suites
  }

  /**
   * Runs the suites that `concerns` picks on a kind of LUN, but for what is at fault; throws unless all comes out as over TCP. Returns the
   * names of the suites.
   */
  async check(
    kind: string,
    t: TestContext,
    concerns: (suite: string, tests: readonly string[]) => boolean,
  ): Promise<ReadonlySet<string>> {
    const suites = new Set<string>()
    const groups: string[] = []
    const expected: string[] = []
    const faulty = faultyOn(kind)
    for (const [suite, tests] of await this.everyTest()) {
      if (!concerns(suite, tests)) continue
      suites.add(suite)
      const sound = tests.filter((name) => !faulty.has(name))
      expected.push(...sound)
      if (sound.length === tests.length && !ONE_BY_ONE.has(suite)) groups.push(`ALL.${suite}`)
      else groups.push(...sound.map((name) => `ALL.${name}`))
    }
    const ran = await this.runPatiently(kind, groups)
    const wrong = surprises(kind, ran)
    t.diagnostic(`${ran.length} tests, ${wrong.length} differ from TCP`)
    const names = new Set(ran.map(({ name }) => name))
    const silent = expected.filter((name) => !names.has(name))
    if (wrong.length + silent.length > 0)
      throw new Error(
        [...wrong, ...silent.map((name) => `${name} said nothing`), await this.#state()].join("\n"),
      )
    assert.deepEqual(ran.map(({ name }) => name).sort(), expected.sort())
    return suites
  }

  /** Throws unless each of these tests fails on a kind of LUN. */
  async checkFaults(kind: string, names: readonly string[]): Promise<void> {
    const deadlines = { groupS: FAULT_DEADLINE_S, allMs: (1 + names.length) * FAULT_DEADLINE_S * 1000 }
    const groups = names.map((name) => `ALL.${name}`)
    const ran = await this.run(kind, groups, deadlines)
    const sound = ran.filter(({ name, outcome }) => names.includes(name) && outcome !== "failed")
    assert.deepEqual(
      sound.map(({ name }) => name),
      [],
      `on the list of ${kind}, but it runs`,
    )
  }

  async checkAlive(): Promise<void> {
    const url = [...this.#urls.values()].at(-1)![0]
    const { code, stdout, stderr } = await this.guest.run(`iscsi-readcapacity16 -s ${url}`)
    if (code !== 0) throw new Error(`${stdout}${stderr}\n${await this.#state()}`)
    this.served.checkRuns()
    assert.doesNotMatch(this.served.output, /\bat .*\.js:\d+|Unhandled|ERR_ASSERTION/)
  }

  get #ping(): string {
    return `ping -c 1 -w 4 ${this.#rig.network.hostAddress()} > /dev/null`
  }

  async #reachable(): Promise<boolean> {
    return (await this.guest.run(this.#ping)).code === 0
  }

  /** What can be said of the network, the target and the guest when something went wrong. */
  async #state(): Promise<string> {
    this.served.checkRuns()
    const url = this.served.urls.at(-1)!
    const reachable = await this.#reachable()
    const link = await this.guest.run("ip -s link show eth0; grep virtio /proc/interrupts")
    const overTcp = await this.guest.run(`timeout 20 iscsi-readcapacity16 -s ${url}`)
    const said = this.served.output.trimEnd().split("\n").slice(-LINES_TOLD).join("\n")
    return `${link.stdout}ping is ${reachable ? "answered" : "NOT answered"}, TCP ends with ${overTcp.code} ${overTcp.stderr}\ntarget:\n${said}\nguest:\n${this.guest.console()}`
  }
}
