/**
 * libiscsi's test suite, the whole of it, over two paths, on every kind of logical unit (libiscsi-kinds.ts). Nothing fails but for
 * faults of its own, it skips what libiscsi-outcomes.json says, with the reason why, and together they leave out nothing.
 * SANLET_URL names another target to run it against, as that of a thin LUN; two URLs, of two paths, are separated by a space.
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { run, succeed } from "./command.ts"
import { type CunitReport, readCunit } from "./cunit.ts"
import {
  configurationOfKinds,
  type Kind,
  kinds,
  lunsOfKinds,
  MEDIUM_BYTES,
  urlsOfKind,
} from "./libiscsi-kinds.ts"
import { checkList, checkRun, outcomesDate } from "./libiscsi-outcomes.ts"
import { Scratch, type Served, serve } from "./serve.ts"

const RUN_DEADLINE_MS = 450_000

interface Ran {
  readonly output: string
  readonly report: CunitReport
}

async function runSuite(tests: string, ...urls: readonly string[]): Promise<Ran> {
  const args = ["-d", "-v", "--allow-sanitize", "-t", tests, ...urls]
  const { output } = await run("iscsi-test-cu", args, RUN_DEADLINE_MS)
  return { output, report: readCunit(output) }
}

/** Every test of the suite, as "Suite.Test". */
async function everyTest(): Promise<string[]> {
  const listed = await succeed("iscsi-test-cu", "-l")
  return [...listed.matchAll(/^ALL\.([^.\n]+\.[^.\n]+)$/gm)].map(([, name]) => name!)
}

/** HOST:PORT of the portal of group 2. */
async function otherPortal(url: string): Promise<string> {
  const listing = await succeed("iscsi-ls", url.split("/").slice(0, 3).join("/"))
  const [, address] = /Portal:(127\.0\.0\.1:\d+),2/.exec(listing) ?? []
  assert.ok(address, listing)
  return address
}

const given = process.env["SANLET_URL"]?.split(" ")
const tried: readonly Kind[] = given ? kinds.filter(({ name }) => name === "thin") : kinds

describe("libiscsi's test suite", () => {
  const scratch = new Scratch()
  const runs = new Map<string, Promise<Ran>>()
  let served: Served | undefined
  let all: readonly string[] = []

  before(async () => {
    all = await everyTest()
    let urlsOf = (_kind: Kind): readonly string[] => given ?? []
    if (!given) {
      const configuration = configurationOfKinds(scratch, ["127.0.0.1:0", "127.0.0.1:0"])
      const args = ["--config", scratch.configuration("kinds.yaml", configuration)]
      const { urls } = (served = await serve(args, { luns: lunsOfKinds() }))
      const other = await otherPortal(urls[0]!)
      urlsOf = (kind) => urlsOfKind(kind, urls, other)
    }
    // The suite sleeps for most of its time.
    for (const kind of tried) {
      const tests = kind.suite === undefined ? "ALL" : `ALL.${kind.suite}`
      runs.set(kind.name, runSuite(tests, ...urlsOf(kind)))
    }
    await Promise.allSettled(runs.values())
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  for (const { name, what, suite, onePath } of tried) {
    test(`on ${what}`, async (t) => {
      const { output, report } = await runs.get(name)!
      const count = (wanted: string) => report.tests.filter(({ outcome }) => outcome === wanted).length
      t.diagnostic(`${count("passed")} passed, ${count("skipped")} skipped, ${count("failed")} failed`)
      checkRun(name, report, output)
      const wanted = all.filter((one) => suite === undefined || one.startsWith(`${suite}.`))
      assert.deepEqual(report.tests.map((one) => one.name).sort(), wanted.sort())
      if (!given && !onePath) assert.match(output, /found matching LU device identifier for all \(2\) paths/)
    })
  }

  test(`every test passes whole on one of them (list of ${outcomesDate})`, {
    skip: given && "one LUN alone",
  }, async () => {
    checkList(
      all,
      kinds.map(({ name }) => name),
    )
    const passed = new Set<string>()
    for (const { report } of await Promise.all(runs.values()))
      for (const { name, outcome } of report.tests) if (outcome === "passed") passed.add(name)
    assert.deepEqual(
      all.filter((name) => !passed.has(name)),
      [],
    )
    assert.ok(all.length >= 200, `it has ${all.length} tests`)
  })

  test("the target is alive and has nothing to complain of", { skip: given && "not ours" }, async () => {
    assert.equal((await succeed("iscsi-readcapacity16", "-s", served!.url)).trim(), String(MEDIUM_BYTES))
    assert.doesNotMatch(served!.output, /\bat .*\.js:\d+|Unhandled|ERR_ASSERTION/)
  })
})
