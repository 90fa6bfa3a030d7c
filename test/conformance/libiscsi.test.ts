/**
 * libiscsi's test suite against a thin 100 MiB LUN. Nothing fails but for faults of its own, and what it skips is what
 * libiscsi-skips.json says, with the reason why. SANLET_URL names another target to run it against.
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
  /** Tests that fail for a reason of libiscsi's own; `says`: a regular expression of all they may complain of. */
  readonly faults: readonly {
    readonly why: string
    readonly says: string
    readonly tests: readonly string[]
  }[]
}

const skips = JSON.parse(readFileSync(new URL("libiscsi-skips.json", import.meta.url), "utf8")) as Skips
const RUN_DEADLINE_MS = 400_000

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
    const skipped = report.tests.filter(({ outcome }) => outcome === "skipped")
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
