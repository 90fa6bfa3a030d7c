/**
 * libiscsi's test suite against a thin 100 MiB LUN, and what can't be tested there on LUNs of other kinds. Nothing fails,
 * and what is skipped everywhere is what libiscsi-skips.json says, with the reason why. SANLET_URL names another
 * target to run it against.
 */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, before, describe, test } from "node:test"
import { run } from "./command.ts"
import { type CunitReport, readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

interface Skips {
  /** When the list was last held against the suite, and which version that was. */
  readonly date: string
  readonly libiscsi: string
  readonly skipped: readonly { readonly why: string; readonly tests: readonly string[] }[]
}

const skips = JSON.parse(readFileSync(new URL("libiscsi-skips.json", import.meta.url), "utf8")) as Skips
const RUN_DEADLINE_MS = 400_000

/** Suites, by the LUN of another kind that they need. */
const others = [
  {
    kind: "a removable LUN",
    suites: ["PreventAllow", "StartStopUnit", "NoMedia"],
    lun: (path: string) => ({ removable: true, device: { type: "file", path } }),
  },
  {
    kind: "a read-only LUN",
    suites: ["ReadOnly"],
    lun: (path: string) => ({ device: { type: "readonly", on: { type: "file", path } } }),
  },
] as const
const ELSEWHERE = others.flatMap(({ suites }) => suites.map((suite) => `${suite}.`))

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

  test("nothing failed", (t) => {
    const failed = report.tests.filter(({ outcome }) => outcome === "failed")
    t.diagnostic(
      `${named("passed").length} passed, ${named("skipped").length} skipped, ${failed.length} failed`,
    )
    assert.deepEqual(
      failed.map(({ name, messages }) => `${name}\n${messages.join("\n")}`),
      [],
    )
  })

  test(`what it skips is what we know of (list of ${skips.date})`, () => {
    const known = skips.skipped.flatMap(({ tests }) => tests)
    const skipped = report.tests.filter(
      ({ name, outcome }) => outcome === "skipped" && !ELSEWHERE.some((suite) => name.startsWith(suite)),
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

describe("libiscsi's test suite on LUNs of other kinds", {
  skip: process.env["SANLET_URL"] !== undefined && "they are ours",
}, () => {
  const scratch = new Scratch()
  let served: Served | undefined

  before(async () => {
    const luns = others.map(({ lun }, i) => ({ lun: i, ...lun(scratch.image(`${i}.img`, 100 * MiB)) }))
    const configuration = scratch.configuration("san.yaml", {
      portals: [{ listen: "127.0.0.1:0" }],
      targets: [{ name: "iqn.2026-01.org.example:others", luns }],
    })
    served = await serve(["--config", configuration], { luns: luns.length })
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  for (const [i, { kind, suites }] of others.entries()) {
    for (const suite of suites) {
      test(`${suite} on ${kind}: every test passes, and none is skipped`, async () => {
        const args = ["-d", "-v", "-t", `ALL.${suite}`, served?.urls[i] ?? ""]
        const { output } = await run("iscsi-test-cu", args, RUN_DEADLINE_MS)
        const { tests, summary } = readCunit(output)
        assert.ok(tests.length > 0 && tests.length === summary?.ran, output)
        assert.deepEqual(
          tests.filter(({ outcome }) => outcome !== "passed"),
          [],
          output,
        )
      })
    }
  }
})
