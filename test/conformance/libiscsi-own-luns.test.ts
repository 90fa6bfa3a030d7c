/**
 * Suites of libiscsi's that need a LUN of their own: one that may be sanitized, and is so slow that the suite meets the
 * operation in progress; one that is write protected; and one whose medium can be taken out.
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { Initiator } from "../../src/initiator/index.ts"
import * as cdb from "../../src/scsi/cdb/index.ts"
import { run } from "./command.ts"
import { type CunitReport, readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

const RUN_DEADLINE_MS = 400_000
/** One step of an operation, of 1 MiB each: the suite sleeps for four seconds while a SANITIZE is in progress. */
const STEP_MS = 1000
const SANITIZED_BYTES = 8 * MiB

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

describe("libiscsi's suites for a LUN of their own", () => {
  before(async () => {
    const file = (name: string, sizeBytes: number) => ({ type: "file", path: scratch.image(name, sizeBytes) })
    const slow = { type: "delay", on: file("slow.img", SANITIZED_BYTES), delaysMs: { write: STEP_MS } }
    const configuration = {
      portals: [{ listen: "127.0.0.1:0" }],
      targets: [
        {
          name: "iqn.2026-01.org.example:own",
          luns: [
            { lun: 0, device: slow },
            { lun: 1, device: file("protected.img", 100 * MiB) },
            { lun: 2, device: file("removable.img", 100 * MiB), removable: true },
            { lun: 3, device: { type: "readonly", on: file("readonly.img", 100 * MiB) } },
          ],
        },
      ],
    }
    served = await serve(["--config", scratch.configuration("own.yaml", configuration)], { luns: 4 })
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  test("Sanitize: overwritten, erased, refused, reset while it is in progress", async () => {
    const report = await runSuite("Sanitize", served.urls[0]!, "--allow-sanitize")
    assert.equal(report.tests.length, 11)
    // No device encrypts: what is about CRYPTOGRAPHIC ERASE says so, and the rest of the same test has run.
    for (const { name, outcome, messages } of report.tests) {
      if (outcome === "skipped")
        assert.ok(
          messages.every((said) => said.includes("CRYPTO_ERASE")),
          name,
        )
    }
    const skipped = report.tests.filter(({ outcome }) => outcome === "skipped").map(({ name }) => name)
    assert.deepEqual(skipped, ["Sanitize.CryptoErase", "Sanitize.Readonly", "Sanitize.Reservations"])
  })

  test("ReadOnly: a LUN that software has write protected refuses every write", async () => {
    const url = served.urls[1]!
    const disk = await new Initiator().open(url)
    // The control mode page as it is, with SWP: nobody but a reset takes it back.
    const page = new Uint8Array(16)
    await disk.execute(cdb.modeSense6(0x0a, page.length, { withoutBlockDescriptors: true }), { dataIn: page })
    page[0] = 0
    page[2] = 0
    page[4]! &= 0x3f
    page[8]! |= 0x08
    const { status } = await disk.execute(cdb.modeSelect6(page.length), { dataOut: page })
    assert.equal(status, 0)
    await disk.close()
    const report = await runSuite("ReadOnly", url)
    assert.deepEqual(
      report.tests.map(({ name, outcome }) => `${name} ${outcome}`),
      ["ReadOnly.ReadOnlySBC passed"],
    )
  })

  test("ReadOnly: so does one whose device can't be written", async () => {
    const report = await runSuite("ReadOnly", served.urls[3]!)
    assert.deepEqual(
      report.tests.map(({ name, outcome }) => `${name} ${outcome}`),
      ["ReadOnly.ReadOnlySBC passed"],
    )
  })

  test("NoMedia, PreventAllow, StartStopUnit: a medium that is taken out, unless somebody prevents it", async () => {
    const url = served.urls[2]!
    for (const [name, tests] of [
      ["NoMedia", 1],
      ["PreventAllow", 8],
      ["StartStopUnit", 3],
    ] as const) {
      const report = await runSuite(name, url)
      assert.deepEqual(
        report.tests.map(({ outcome }) => outcome),
        new Array(tests).fill("passed"),
      )
    }
  })
})
