/** What has to come of libiscsi's tests on each kind of logical unit, as libiscsi-outcomes.json says; held against what came. */
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import type { CunitReport, CunitTest } from "./cunit.ts"

interface Listed {
  readonly why: string
  /** Kinds it is about; absent: all, but those of `but`. */
  readonly kinds?: readonly string[]
  readonly but?: readonly string[]
  /** "Suite.Test", or "Suite.*". */
  readonly tests: readonly string[]
}

/** Tests that fail for a reason of libiscsi's own. */
interface Fault extends Listed {
  /** Where its assertions fail, as "file.c:line"; absent: in too many places to tell. */
  readonly at?: readonly string[]
  /** A regular expression that every complaint of it fits. */
  readonly says: string
}

interface Outcomes {
  /** When the list was last held against the suite, and which version that was. */
  readonly date: string
  readonly libiscsi: string
  readonly skipped: readonly Listed[]
  readonly faults: readonly Fault[]
}

const outcomes = JSON.parse(
  readFileSync(new URL("libiscsi-outcomes.json", import.meta.url), "utf8"),
) as Outcomes

export const { date: outcomesDate } = outcomes

const names = ({ tests }: Listed, name: string): boolean =>
  tests.includes(name) || tests.includes(`${name.split(".")[0]}.*`)

export const isAbout = ({ kinds, but }: Pick<Listed, "kinds" | "but">, kind: string): boolean =>
  kinds ? kinds.includes(kind) : !but?.includes(kind)

const find = <L extends Listed>(list: readonly L[], kind: string, name: string): L | undefined =>
  list.find((one) => isAbout(one, kind) && names(one, name))

export function expectedOutcome(kind: string, name: string): CunitTest["outcome"] {
  if (find(outcomes.faults, kind, name)) return "failed"
  return find(outcomes.skipped, kind, name) ? "skipped" : "passed"
}

/** What a failure complains of, and where, that its fault doesn't. */
function unexplained({ says, at }: Fault, { messages, places }: CunitTest): readonly string[] {
  const elsewhere = at ? places.filter((place) => !at.includes(place)) : []
  return [...messages.filter((text) => !new RegExp(says).test(text)), ...elsewhere]
}

/** One line for each test that didn't come out as listed; `ran` may be some of the suite's tests. */
export function surprises(kind: string, ran: readonly CunitTest[]): string[] {
  return ran.flatMap((one) => {
    const { name, outcome, messages } = one
    const expected = expectedOutcome(kind, name)
    if (outcome !== expected) return [`${name} ${outcome}, not ${expected}: ${messages.join("; ")}`]
    const fault = find(outcomes.faults, kind, name)
    if (outcome !== "failed" || !fault) return []
    return unexplained(fault, one).map((text) => `${name} complains: ${text}`)
  })
}

/** Throws unless the whole suite ran, and came out as listed for the kind. */
export function checkRun(kind: string, { tests, summary }: CunitReport, output: string): void {
  assert.ok(summary, output.slice(-2000))
  assert.equal(tests.length, summary.ran)
  assert.equal(tests.filter(({ outcome }) => outcome === "failed").length, summary.failed)
  assert.deepEqual(surprises(kind, tests), [])
}

/** Throws where the list itself is wrong: a name that no test has, a test listed twice, a reason left out. */
export function checkList(all: readonly string[], kinds: readonly string[]): void {
  const { skipped, faults } = outcomes
  for (const one of [...skipped, ...faults]) {
    assert.ok(one.why.length > 10)
    for (const kind of [...(one.kinds ?? []), ...(one.but ?? [])]) assert.ok(kinds.includes(kind), kind)
    for (const test of one.tests)
      assert.ok(
        all.some((name) => name === test || (test.endsWith(".*") && name.startsWith(test.slice(0, -1)))),
        `the suite has no test ${test}`,
      )
  }
  for (const kind of kinds) {
    for (const name of all) {
      const about = [...skipped, ...faults].filter((one) => isAbout(one, kind) && names(one, name))
      assert.ok(about.length <= 1, `${name} is listed ${about.length} times for ${kind}`)
    }
  }
}
