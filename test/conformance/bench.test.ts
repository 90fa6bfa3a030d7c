/** The comparison with other targets runs, and writes what the README shows. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { after, test } from "node:test"
import { fileURLToPath } from "node:url"
import type { BenchResults } from "../../bench/run.ts"
import { run } from "./command.ts"
import { Scratch } from "./serve.ts"

const scratch = new Scratch()
after(() => scratch.remove())

test("bench/run.ts measures all three targets and draws the result", async () => {
  const script = fileURLToPath(new URL("../../bench/run.ts", import.meta.url))
  const brief = ["--only", "1 MiB", "--rounds", "1", "--effort", "0.02", "--size", "64"]
  const args = ["--import", "tsx", script, ...brief, "--write", "--out", scratch.folder]
  const { code, output } = await run(process.execPath, args)
  assert.equal(code, 0, output)
  const results = JSON.parse(readFileSync(scratch.path("results.json"), "utf8")) as BenchResults
  assert.deepEqual(
    results.measured.map(({ workload }) => workload),
    ["1 MiB reads, depth 8", "1 MiB writes, depth 8"],
  )
  for (const { median, ratio } of results.measured) {
    assert.deepEqual(Object.keys(median), ["sanlet", "tgt", "istgt"])
    assert.ok(Object.values(median).every((perSecond) => perSecond > 0) && ratio !== undefined)
  }
  const chart = readFileSync(scratch.path("chart.svg"), "utf8")
  assert.match(chart, /^<svg xmlns=/)
  assert.equal(chart.match(/<rect class="c0"/g)?.length, 3) // a bar per workload, and the legend
})
