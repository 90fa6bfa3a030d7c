/**
 * libiscsi's test suite against a thin 100 MiB LUN. Nothing fails but for faults of its own, and what it skips is what
 * libiscsi-skips.json says, with the reason why. SANLET_URL names another target to run it against. Its tests of several
 * paths have runs of their own: through two portals in two target port groups, and in two sessions through one.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { run, succeed } from "./command.ts"
import { type CunitReport, readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

interface Skips {
  /** When the list was last held against the suite, and which version that was. */
  readonly date: string
  readonly libiscsi: string
  readonly skipped: readonly { readonly why: string; readonly tests: readonly string[] }[]
  /** Tests that fail for a reason of libiscsi's own; `says`: a regular expression of all they may complain of. */
  readonly faults: readonly {
    readonly why: string
    readonly says: string
    readonly tests: readonly string[]
  }[]
}

const skips = JSON.parse(readFileSync(new URL("libiscsi-skips.json", import.meta.url), "utf8")) as Skips
const RUN_DEADLINE_MS = 400_000
/** The suite that wants two URLs of one LUN, and skips where it gets one. */
const MULTIPATH = "MultipathIO"

describe("libiscsi's test suite", () => {
  const scratch = new Scratch()
  let served: Served | undefined
  let url = process.env["SANLET_URL"] ?? ""
  let report: CunitReport = { tests: [], summary: undefined }
  let output = ""

  before(async () => {
    if (url === "") {
      served = await serve([scratch.image("thin.img", 100 * MiB), "--listen", "127.0.0.1:0"])
      url = served.url
    }
    output = (await run("iscsi-test-cu", ["-d", "-v", "-t", "ALL", url], RUN_DEADLINE_MS)).output
    report = readCunit(output)
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  const named = (outcome: string): string[] =>
    report.tests.filter((ran) => ran.outcome === outcome).map(({ name }) => name)

  test("it ran to its end, and we read all of it", () => {
    assert.ok(report.summary, output.slice(-2000))
    assert.equal(report.tests.length, report.summary.ran)
    assert.equal(named("failed").length, report.summary.failed)
    assert.ok(report.summary.ran >= 200, `it ran ${report.summary.ran} tests`)
  })

  const faultOf = (name: string) => skips.faults.find(({ tests }) => tests.includes(name))

  test("nothing failed but for faults of its own", (t) => {
    const failed = report.tests.filter(({ name, outcome, messages }) => {
      if (outcome !== "failed") return false
      const says = faultOf(name)?.says
      return says === undefined || !messages.every((message) => new RegExp(says).test(message))
    })
    t.diagnostic(
      `${named("passed").length} passed, ${named("skipped").length} skipped, ${failed.length} failed`,
    )
    assert.deepEqual(
      failed.map(({ name, messages }) => `${name}\n${messages.join("\n")}`),
      [],
    )
  })

  test("what fails for a reason of its own goes on failing", () => {
    assert.deepEqual(
      skips.faults.flatMap(({ tests }) => tests).filter((name) => !named("failed").includes(name)),
      [],
      "on the list of faults, but not failed",
    )
  })

  test(`what it skips is what we know of (list of ${skips.date})`, () => {
    const known = skips.skipped.flatMap(({ tests }) => tests)
    const skipped = report.tests.filter(
      ({ name, outcome }) => outcome === "skipped" && !name.startsWith(`${MULTIPATH}.`),
    )
    const unknown = skipped.filter(({ name }) => !known.includes(name))
    assert.deepEqual(
      unknown.map(({ name, messages }) => `${name}: ${messages.join("; ")}`),
      [],
      "skipped, but not on the list",
    )
    assert.deepEqual(
      known.filter((name) => !named("skipped").includes(name)),
      [],
      "on the list, but not skipped",
    )
    assert.ok(skips.skipped.every(({ why }) => why.length > 10))
  })

  test("the target is alive and has nothing to complain of", async () => {
    assert.equal((await run("iscsi-readcapacity16", ["-s", url])).stdout.trim(), String(100 * MiB))
    if (served) assert.doesNotMatch(served.output, /\bat .*\.js:\d+|Unhandled|ERR_ASSERTION/)
  })
})

/** Suites whose commands move blocks, of units that keep protection information beside them, by its type. */
const PROTECTED_SUITES: readonly (readonly string[])[] = [
  ["Read10", "Read16", "Write10", "Write16", "Verify16", "WriteSame16", "CompareAndWrite", "OrWrite"],
  ["Read10", "Write10", "Verify10"],
  ["Read16", "Write16", "Verify16"],
]

describe("libiscsi's test suite, protection information", () => {
  const scratch = new Scratch()
  let served: Served | undefined

  before(async () => {
    const luns = [1, 2, 3].map((type) => ({
      lun: type,
      device: { type: "file", path: scratch.path(`type${type}.img`), size: "108M" },
      protection: { type },
      blockSize: type === 3 ? 4096 : 512,
    }))
    const config = scratch.configuration("protected.yaml", {
      portals: [{ listen: "127.0.0.1:0" }],
      targets: [{ name: "iqn.2026-01.org.example:protected", luns }],
    })
    served = await serve(["--config", config], { luns: luns.length })
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  for (const type of [1, 2, 3]) {
    test(`of type ${type}: all that reads, writes and compares passes`, async () => {
      const suites = PROTECTED_SUITES[type - 1]!.map((suite) => `ALL.${suite}`).join(",")
      const args = ["-d", "-v", "-t", suites, served!.urls[type - 1]!]
      const { output } = await run("iscsi-test-cu", args, RUN_DEADLINE_MS)
      const { tests, summary } = readCunit(output)
      assert.ok(summary && summary.ran >= 15, output.slice(-2000))
      assert.deepEqual(
        tests.filter(({ outcome }) => outcome === "failed"),
        [],
      )
    })
  }
})

describe("libiscsi's tests of several paths", () => {
  const scratch = new Scratch()
  let served: Served
  /** One per LUN, through the portal of each group. */
  let optimized: readonly string[] = []
  let other: readonly string[] = []

  before(async () => {
    const portal = (group: number) => ({ listen: "127.0.0.1:0", group })
    const lun = (number: number) => ({
      lun: number,
      device: { type: "file", path: scratch.image(`path-${number}.img`, 100 * MiB) },
    })
    const groups = [{ portalGroups: [1] }, { portalGroups: [2], state: "active/non-optimized" }]
    const target = { name: "iqn.2026-01.org.example:paths", alua: { groups }, luns: [lun(0), lun(1)] }
    const configuration = { portals: [portal(1), portal(2)], targets: [target] }
    served = await serve(["--config", scratch.configuration("paths.yaml", configuration)], { luns: 2 })
    optimized = served.urls
    const listing = await succeed("iscsi-ls", served.url.split("/").slice(0, 3).join("/"))
    const [, address] = /Portal:(127\.0\.0\.1:\d+),2/.exec(listing) ?? []
    assert.ok(address, listing)
    other = optimized.map((url) => url.replace(/127\.0\.0\.1:\d+/, address))
  })
  after(async () => {
    await served.stop()
    scratch.remove()
  })

  // libiscsi 1.19 takes for granted that block 256 is zero (upstream 33c66f2): each run has a LUN of its own.
  for (const [how, urls] of [
    ["through two portals in two target port groups", () => [optimized[0]!, other[0]!]],
    ["in two sessions through one portal", () => [optimized[1]!, optimized[1]!]],
  ] as const) {
    test(how, async () => {
      const ran = await run(
        "iscsi-test-cu",
        ["-d", "-v", "-t", `ALL.${MULTIPATH}`, ...urls()],
        RUN_DEADLINE_MS,
      )
      const { tests } = readCunit(ran.output)
      assert.deepEqual(
        tests.map(({ name, outcome }) => `${name}: ${outcome}`),
        ["Simple", "Reset", "CompareAndWrite", "CompareAndWriteAsync"].map(
          (name) => `${MULTIPATH}.${name}: passed`,
        ),
        ran.output.slice(-4000),
      )
      assert.match(ran.output, /found matching LU device identifier for all \(2\) paths/)
    })
  }
})
