/**
 * Debian's libiscsi as an iSER initiator with our target: its tools, and the whole of its test suite, over two paths, on a thin LUN, with
 * the same outcomes as over TCP. What it can't do over iSER has to go on going wrong.
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { kinds, MEDIUM_BYTES } from "./libiscsi-kinds.ts"
import { faults, faultsDate, faultyOn, LibiscsiOverIser } from "./vm-libiscsi.ts"

const WHOLE = "thin"

describe("libiscsi over iSER", () => {
  let suite: LibiscsiOverIser

  before(async () => {
    suite = await LibiscsiOverIser.start(kinds.filter(({ name }) => name === WHOLE))
  })
  after(() => suite?.stop())

  test("iscsi-inq", async () => {
    const said = await suite.guest.sh(`iscsi-inq ${suite.urlOf(WHOLE)}`)
    assert.match(said, /Vendor:SANLET/i)
    assert.match(
      await suite.guest.sh(`iscsi-inq -e 1 -c 128 ${suite.urlOf(WHOLE)}`),
      /Unit Serial Number:\[.+\]/,
    )
  })

  test("iscsi-readcapacity16", async () => {
    assert.equal(await suite.guest.sh(`iscsi-readcapacity16 -s ${suite.urlOf(WHOLE)}`), String(MEDIUM_BYTES))
  })

  for (const options of ["-b 8 -m 8", "-b 128 -m 4", "-b 8 -m 8 -r"]) {
    test(`iscsi-perf ${options}`, async () => {
      const said = await suite.guest.sh(`iscsi-perf ${options} -t 3 ${suite.urlOf(WHOLE)}`, {
        deadlineMs: 60_000,
      })
      const average = /iops average (\d+)/.exec(
        said.split("\n").findLast((line) => line.includes("iops average")) ?? "",
      )
      assert.ok(Number(average?.[1]) > 0, said)
      assert.match(said, /finished/)
    })
  }

  test("its test suite says the same as over TCP on a thin LUN", async (t) => {
    await suite.check(WHOLE, t, () => true)
  })

  test(`what it can't run over iSER is what we know of (list of ${faultsDate})`, async () => {
    await suite.checkFaults(WHOLE, [...faultyOn(WHOLE)])
    for (const { why, trace } of faults) assert.ok(why.length > 20 && trace.length > 0)
  })

  test("the target is alive and has nothing to complain of", () => suite.checkAlive())
})
