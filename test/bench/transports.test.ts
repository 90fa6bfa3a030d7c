/** The comparison of transports runs, and writes what the README shows. */
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { fileURLToPath } from "node:url"
import type { ComparisonReport } from "../../src/control/bench/report.ts"

const folder = mkdtempSync(join(tmpdir(), "sanlet-transports-test-"))
after(() => rmSync(folder, { recursive: true, force: true }))

test("bench/transports.ts measures TCP and iSER, each with and without CRCs, between two processes", async () => {
  const script = fileURLToPath(new URL("../../bench/transports.ts", import.meta.url))
  const brief = ["--only", "256 KiB", "--rounds", "2", "--seconds", "0.1", "--size", "16"]
  const args = ["--import", "tsx", script, ...brief, "--write", "--out", folder]
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text: Buffer) => {
      output += text.toString()
    })
  }
  const [code] = (await once(child, "close")) as [number]
  assert.equal(code, 0, output)
  assert.match(output, /^256 KiB random reads +iser +[\d.]+x of 0\.9x: (reached|MISSED)$/m)
  const { workloads } = JSON.parse(readFileSync(join(folder, "transports.json"), "utf8")) as ComparisonReport
  assert.equal(workloads.length, 2)
  for (const { sides } of workloads) {
    assert.deepEqual(
      sides.map(({ label }) => label),
      ["tcp", "iser", "tcp, digests", "iser, CRC"],
    )
    for (const { figures } of sides)
      assert.ok((figures.iops?.median ?? 0) > 0 && (figures.targetCpu?.median ?? -1) >= 0)
  }
  assert.match(readFileSync(join(folder, "transports.svg"), "utf8"), /^<svg [^]*iSER, CRC[^]*<\/svg>\n$/)
})
