/**
 * Suites of libiscsi's on LUNs that need more than a kind of their own (libiscsi.test.ts): protection information of other
 * types, a LUN that software has write protected, and two sessions through one portal.
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { Initiator } from "../../src/initiator/index.ts"
import * as cdb from "../../src/scsi/cdb/index.ts"
import { run } from "./command.ts"
import { readCunit } from "./cunit.ts"
import { MiB, Scratch, type Served, serve } from "./serve.ts"

const RUN_DEADLINE_MS = 120_000
const MEDIUM_BYTES = 32 * MiB

/** Suites whose commands move blocks, by the type of protection information; type 1 runs them all. */
const PROTECTED_SUITES = [
  [2, "Read10", "Write10", "Verify10"],
  [3, "Read16", "Write16", "Verify16"],
] as const

describe("libiscsi's suites for a LUN of their own", () => {
  const scratch = new Scratch()
  let served: Served

  before(async () => {
    const file = (name: string) => ({ type: "file", path: scratch.path(`${name}.img`), size: MEDIUM_BYTES })
    const luns = [
      { lun: 0, device: file("software") },
      { lun: 1, device: file("sessions") },
      { lun: 2, device: file("type2"), protection: { type: 2 } },
      { lun: 3, device: file("type3"), protection: { type: 3 }, blockSize: 4096 },
    ]
    const target = { name: "iqn.2026-01.org.example:own", luns }
    const configuration = { portals: [{ listen: "127.0.0.1:0" }], targets: [target] }
    served = await serve(["--config", scratch.configuration("own.yaml", configuration)], {
      luns: luns.length,
    })
  })
  after(async () => {
    await served?.stop()
    scratch.remove()
  })

  /** Every test of the suites passes, and none is skipped. */
  async function passes(suites: readonly string[], ...urls: readonly string[]): Promise<string> {
    const names = suites.map((suite) => `ALL.${suite}`).join(",")
    const { output } = await run("iscsi-test-cu", ["-d", "-v", "-t", names, ...urls], RUN_DEADLINE_MS)
    const { tests, summary } = readCunit(output)
    assert.ok(summary && tests.length > 0, output.slice(-2000))
    assert.equal(tests.length, summary.ran)
    assert.deepEqual(
      tests.filter(({ outcome }) => outcome !== "passed"),
      [],
    )
    const ran = new Set(tests.map(({ name }) => name.split(".")[0]))
    assert.deepEqual(ran, new Set(suites))
    return output
  }

  test("ReadOnly: a LUN that software has write protected refuses every write", async () => {
    const url = served.urls[0]!
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
    await passes(["ReadOnly"], url)
  })

  test("MultipathIO: in two sessions through one portal", async () => {
    const output = await passes(["MultipathIO"], served.urls[1]!, served.urls[1]!)
    assert.match(output, /found matching LU device identifier for all \(2\) paths/)
  })

  for (const [type, ...suites] of PROTECTED_SUITES) {
    test(`protection information of type ${type}: ${suites.join(", ")}`, async () => {
      await passes(suites, served.urls[type]!)
    })
  }
})
