/**
 * libiscsi's test suite over iSER on the kinds of LUN that vm-libiscsi-iser.test.ts, which runs the whole of it, leaves out: here are the suites
 * of which a test comes out otherwise than on a thin LUN, and some that move blocks.
 */
import { after, before, describe, test } from "node:test"
import { kinds } from "./libiscsi-kinds.ts"
import { expectedOutcome } from "./libiscsi-outcomes.ts"
import { faultyOn, LibiscsiOverIser } from "./vm-libiscsi.ts"

const MOVERS: ReadonlySet<string> = new Set(["MultipathIO", "Read16", "Write16"])
/** A process of the suite mostly waits, and each kind has a target of its own. */
const AT_A_TIME = 3
/** What is slow is sanitized while task management goes on, which libiscsi can't do over iSER. */
const tried = kinds.filter(({ name }) => name !== "thin" && name !== "slow")

describe("libiscsi over iSER, on kinds of LUN", () => {
  let suite: LibiscsiOverIser

  before(async () => {
    suite = await LibiscsiOverIser.start(tried)
  })
  after(() => suite?.stop())

  describe("its test suite says the same as over TCP", { concurrency: AT_A_TIME }, () => {
    const known = faultyOn("thin")
    for (const { name: kind, what } of tried) {
      test(`on ${what}, but for what it can't run there`, async (t) => {
        const otherwise = (name: string) => expectedOutcome(kind, name) !== expectedOutcome("thin", name)
        await suite.check(kind, t, (name, tests) => MOVERS.has(name) || tests.some(otherwise))
        await suite.checkFaults(
          kind,
          [...faultyOn(kind)].filter((name) => !known.has(name)),
        )
      })
    }
  })

  test("the target is alive and has nothing to complain of", () => suite.checkAlive())
})
