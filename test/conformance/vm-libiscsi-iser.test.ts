/**
 * Debian's libiscsi as an iSER initiator (over libibverbs and siw, in a virtual machine) with our target: its tools, and its
 * test suite with the same outcomes as over TCP. Its iSER transport has faults of its own; what they keep from running
 * is in libiscsi-iser-faults.json, with the place where it goes wrong, and has to go on going wrong there.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { fileURLToPath } from "node:url"
import { type Guest, Rig } from "../rig/rig.ts"
import { succeed } from "./command.ts"
import { type CunitTest, readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

interface Faults {
  /** When the list was last held against the suite, and which version that was. */
  readonly date: string
  readonly libiscsi: string
  readonly faults: readonly {
    readonly why: string
    /** Where it crashes, or what it says instead. */
    readonly trace: readonly string[]
    readonly tests: readonly string[]
  }[]
}

const json = (name: string): unknown => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"))
const { date, faults } = json("libiscsi-iser-faults.json") as Faults
const faulty = new Set(faults.flatMap(({ tests }) => tests))
type Lists = Record<"skipped" | "faults", { tests: string[] }[]>
const overTcp = json("libiscsi-skips.json") as Lists
const skippedOverTcp = new Set(overTcp.skipped.flatMap(({ tests }) => tests))
const failedOverTcp = new Set(overTcp.faults.flatMap(({ tests }) => tests))
const outcomeOverTcp = (name: string): string =>
  failedOverTcp.has(name) ? "failed" : skippedOverTcp.has(name) ? "skipped" : "passed"

/**
 * Without it the suite crashes wherever it happens to: libiscsi 1.19 uses memory of its iSER connections that it hasn't
 * initialised (upstream b4ba920) and has freed (b98454a, dcf95f9), and gives small pieces back as larger ones (2934d64).
 */
const PRELOAD = "/tmp/careful-malloc.so"
/**
 * A test of these is a process of its own: each logs in twice more, and libiscsi 1.19 leaves its iSER connections open;
 * after some twenty of them it stops or hangs in the middle of a test that passes alone.
 */
const ONE_BY_ONE: ReadonlySet<string> = new Set(["ProutReserve"])
/** What libiscsi says when nothing has come for a second. */
const IMPATIENT = "revents is not POLLIN"
const SEPARATOR = "=== of"
const RUN_DEADLINE_MS = 600_000

describe("libiscsi over iSER", () => {
  const scratch = new Scratch()
  let rig: Rig | undefined
  let guest: Guest
  let served: Served
  let url = ""

  before(async () => {
    const started = await Rig.start()
    rig = started
    guest = await started.boot({ memoryMib: 1024 })
    await guest.sh("rig-rdma siw eth0")
    const preload = scratch.path("careful-malloc.so")
    const source = fileURLToPath(new URL("careful-malloc.c", import.meta.url))
    await succeed("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", preload, source)
    await guest.write(PRELOAD, readFileSync(preload))
    const image = scratch.image("thin.img", 100 * MiB)
    const address = `${started.network.hostAddress()}:3260`
    served = await serve([image, "--listen", address], {
      spawn: (command, args, env) => started.network.spawn(command, args, { env }),
    })
    url = served.url.replace("iscsi://", "iser://")
  })
  after(async () => {
    await served?.stop()
    await rig?.stop()
    scratch.remove()
  })

  test("iscsi-inq", async () => {
    const said = await guest.sh(`iscsi-inq ${url}`)
    assert.match(said, /Vendor:SANLET/i)
    assert.match(await guest.sh(`iscsi-inq -e 1 -c 128 ${url}`), /Unit Serial Number:\[.+\]/)
  })

  test("iscsi-readcapacity16", async () => {
    assert.equal(await guest.sh(`iscsi-readcapacity16 -s ${url}`), String(100 * MiB))
  })

  for (const options of ["-b 8 -m 8", "-b 128 -m 4", "-b 8 -m 8 -r"]) {
    test(`iscsi-perf ${options}`, async () => {
      const said = await guest.sh(`iscsi-perf ${options} -t 3 ${url}`, { deadlineMs: 60_000 })
      const average = /iops average (\d+)/.exec(
        said.split("\n").findLast((line) => line.includes("iops average")) ?? "",
      )
      assert.ok(Number(average?.[1]) > 0, said)
      assert.match(said, /finished/)
    })
  }

  /** Runs the suite's tests, each group in a process of its own, and returns what came of them. */
  async function run(groups: readonly string[]): Promise<CunitTest[]> {
    await guest.write("/tmp/groups", groups.map((group) => `${group}\n`).join(""))
    const loop =
      `while read -r group; do echo "${SEPARATOR} $group"; LD_PRELOAD=${PRELOAD} timeout -s KILL 150 iscsi-test-cu -d -v -t $group ${url} 2>&1 < /dev/null; ` +
      "echo; done < /tmp/groups; true"
    const output = await guest.sh(loop, { deadlineMs: RUN_DEADLINE_MS })
    return output.split(SEPARATOR).flatMap((part) => readCunit(part).tests)
  }

  /**
   * The same; what failed because an answer took longer than the second that libiscsi waits for one over iSER, as it may
   * where both ends share a busy machine, is run once more.
   */
  async function runPatiently(groups: readonly string[]): Promise<CunitTest[]> {
    const ran = await run(groups)
    const slow = ran.filter(
      ({ outcome, messages }) => outcome === "failed" && messages.some((text) => text.includes(IMPATIENT)),
    )
    if (slow.length === 0) return ran
    const again = new Map((await run(slow.map(({ name }) => `ALL.${name}`))).map((test) => [test.name, test]))
    return ran.map((test) => again.get(test.name) ?? test)
  }

  /** Suites with all their tests, as "Suite.Test". */
  async function everyTest(): Promise<Map<string, string[]>> {
    const suites = new Map<string, string[]>()
    for (const line of (await guest.sh("iscsi-test-cu -l")).split("\n")) {
      const [, suite, name] = /^ALL\.([^.]+)\.([^.]+)$/.exec(line) ?? []
      if (suite === undefined || name === undefined) continue
      const tests = suites.get(suite) ?? []
      suites.set(suite, tests)
      tests.push(`${suite}.${name}`)
    }
    return suites
  }

  test("its test suite says the same as over TCP", async (t) => {
    const groups: string[] = []
    const expected: string[] = []
    for (const [suite, tests] of await everyTest()) {
      const sound = tests.filter((name) => !faulty.has(name))
      expected.push(...sound)
      if (sound.length === tests.length && !ONE_BY_ONE.has(suite)) groups.push(`ALL.${suite}`)
      else groups.push(...sound.map((name) => `ALL.${name}`))
    }
    const ran = await run(groups)
    const wrong = ran.filter(({ name, outcome }) => outcome !== outcomeOverTcp(name))
    t.diagnostic(`${ran.length} tests, ${wrong.length} differ from TCP, ${faulty.size} can't be run`)
    assert.deepEqual(
      wrong.map(({ name, outcome, messages }) => `${name} ${outcome}: ${messages.join("; ")}`),
      [],
    )
    assert.deepEqual(ran.map(({ name }) => name).sort(), expected.sort())
    assert.ok(ran.length > 80)
  })

  test(`what it can't run over iSER is what we know of (list of ${date})`, async () => {
    const ran = await run([...faulty].map((name) => `ALL.${name}`))
    const sound = ran.filter(({ name, outcome }) => faulty.has(name) && outcome !== "failed")
    assert.deepEqual(
      sound.map(({ name }) => name),
      [],
      "on the list, but it runs",
    )
    for (const { why, trace } of faults) assert.ok(why.length > 20 && trace.length > 0)
  })

  test("the target is alive and has nothing to complain of", async () => {
    assert.equal(await guest.sh(`iscsi-readcapacity16 -s ${url}`), String(100 * MiB))
    assert.doesNotMatch(served.output, /\bat .*\.js:\d+|Unhandled|ERR_ASSERTION/)
  })
})
