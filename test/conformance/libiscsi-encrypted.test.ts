/** libiscsi's suites on a LUN that encrypts: SANITIZE with all its service actions, and what reads and writes. */
import assert from "node:assert/strict"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { after, before, describe, test } from "node:test"
import { run } from "./command.ts"
import { type CunitReport, readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

const RUN_DEADLINE_MS = 400_000
/** One step of an overwriting operation, of 1 MiB: the suite looks for a SANITIZE in progress after four seconds. */
const STEP_MS = 1000

const scratch = new Scratch()
let served: Served

async function runSuite(name: string, url: string, ...switches: string[]): Promise<CunitReport> {
  const args = ["-d", "-v", ...switches, "-t", `ALL.${name}`, url]
  const { output } = await run("iscsi-test-cu", args, RUN_DEADLINE_MS)
  const report = readCunit(output)
  assert.ok(report.summary, output.slice(-2000))
  assert.equal(report.tests.length, report.summary.ran)
  const failed = report.tests.filter(({ outcome }) => outcome === "failed")
  assert.deepEqual(
    failed.map((one) => `${one.name}\n${one.messages.join("\n")}`),
    [],
  )
  return report
}

describe("libiscsi's suites for an encrypted LUN", () => {
  before(async () => {
    const image = scratch.image("slow.img", 9 * MiB)
    const keyFile = join(dirname(image), "disk.key")
    writeFileSync(keyFile, new Uint8Array(32).fill(0x5a))
    const encrypted = (on: object) => ({ type: "encrypted", keyFile, on })
    const slow = { type: "delay", on: { type: "file", path: image }, delaysMs: { write: STEP_MS } }
    const configuration = {
      portals: [{ listen: "127.0.0.1:0" }],
      targets: [
        {
          name: "iqn.2026-01.org.example:encrypted",
          luns: [
            { lun: 0, device: encrypted(slow) },
            { lun: 1, device: encrypted({ type: "file", path: scratch.image("whole.img", 101 * MiB) }) },
          ],
        },
      ],
    }
    served = await serve(["--config", scratch.configuration("encrypted.yaml", configuration)], { luns: 2 })
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  test("Sanitize: nothing is skipped, CRYPTOGRAPHIC ERASE is known", async () => {
    const report = await runSuite("Sanitize", served.urls[0]!, "--allow-sanitize")
    assert.equal(report.tests.length, 11)
    const passed = report.tests.filter(({ outcome }) => outcome === "passed").map(({ name }) => name)
    assert.deepEqual(
      passed,
      report.tests.map(({ name }) => name),
    )
    for (const name of ["CryptoErase", "CryptoEraseReserved", "Readonly", "Reservations"])
      assert.ok(passed.includes(`Sanitize.${name}`), name)
  })

  // What is skipped is skipped on any LUN of ours: see libiscsi-skips.json.
  for (const [name, skipped] of [
    ["CompareAndWrite", ["InvalidDataOutSize"]],
    ["GetLBAStatus", []],
    ["Unmap", []],
    ["WriteAtomic16", []],
    ["WriteSame16", ["ZeroBlocks", "UnmapUnaligned", "InvalidDataOutSize"]],
    ["ExtendedCopy", []],
  ] as const) {
    test(`${name}: passes as on any LUN`, async () => {
      const { tests } = await runSuite(name, served.urls[1]!)
      assert.ok(tests.length > skipped.length)
      const others = tests.filter(({ outcome }) => outcome !== "passed")
      assert.deepEqual(
        others.map((one) => one.name),
        skipped.map((one) => `${name}.${one}`),
      )
    })
  }
})
