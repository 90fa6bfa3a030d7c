/**
 * libiscsi's test suite over iSER on the kinds of LUN that vm-libiscsi-iser.test.ts, which runs the whole of it, leaves out: here are the suites
 * of which a test passes there and not on a thin LUN, and some that move blocks. The whole suite on each takes an emulated machine most of an
 * hour, more than a test file may:
 *
 *     SANLET_LIBISCSI=whole node --import tsx --test test/conformance/vm-libiscsi-kinds.test.ts
 */
import { after, before, describe, test } from "node:test"
import { kinds } from "./libiscsi-kinds.ts"
import { expectedOutcome } from "./libiscsi-outcomes.ts"
import { faultyOn, LibiscsiOverIser } from "./vm-libiscsi.ts"

const whole = process.env["SANLET_LIBISCSI"] === "whole"
const MOVERS: ReadonlySet<string> = new Set(["MultipathIO", "Read16", "Write16"])
/** What is slow is sanitized while task management goes on, which libiscsi can't do over iSER. */
const tried = kinds.filter(({ name }) => name !== "thin" && name !== "slow")

describe("libiscsi over iSER, on kinds of LUN", () => {
  let suite: LibiscsiOverIser

  before(async () => {
    suite = await LibiscsiOverIser.start(tried)
  })
  after(() => suite?.stop())

  const known = whole ? new Set<string>() : faultyOn("thin")
  for (const { name: kind, what } of tried) {
    test(`its test suite says the same as over TCP on ${what}, but for what it can't run there`, async (t) => {
      const adds = (name: string) =>
        expectedOutcome(kind, name) === "passed" && expectedOutcome("thin", name) !== "passed"
      const ran = await suite.check(kind, t, (name, tests) => whole || MOVERS.has(name) || tests.some(adds))
      const own = [...faultyOn(kind)].filter((name) => !known.has(name) && ran.has(name.split(".")[0]!))
      await suite.checkFaults(kind, own)
    })
  }

  test("the target is alive and has nothing to complain of", () => suite.checkAlive())
})
