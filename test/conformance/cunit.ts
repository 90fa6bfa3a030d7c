/** Reads what iscsi-test-cu (CUnit, verbose mode) prints. */

export interface CunitTest {
  /** "Suite.Test". */
  readonly name: string
  readonly outcome: "passed" | "skipped" | "failed"
  /** What it said: the reasons of a skip, the assertions of a failure; each once. */
  readonly messages: readonly string[]
  /** Of a failure: where in its source, as "file.c:line", each once. */
  readonly places: readonly string[]
}

export interface CunitReport {
  readonly tests: readonly CunitTest[]
  /** Counts of its own summary. */
  readonly summary: { readonly ran: number; readonly passed: number; readonly failed: number } | undefined
}

const SUITE = /^Suite: (\S+)/
const TEST = /^ {2}Test: (.*?) \.\.\.(.*)$/
/** At the start of a line (what follows there is of the suite's end or the next test's beginning) or at its end. */
const VERDICT = /^(?:passed|FAILED).*|(?:passed|FAILED)$/
const SUMMARY = /^ +tests +\d+ +(\d+) +(\d+) +(\d+)/
/** Failures are numbered; the same assertion may fail hundreds of times in a loop. */
const NUMBERING = /^\s*\d+\. /
const MESSAGES_MAX = 20
const ASSERTION = /^ +\d+\. (\S+\.c:\d+) +- /

/**
 * A test that skipped says so in its output and counts as passed all the same.
 */
export function readCunit(output: string): CunitReport {
  const tests: CunitTest[] = []
  let suite = ""
  let name: string | undefined
  let said: string[] = []
  let failed: boolean | undefined
  let places = new Set<string>()
  let summary: CunitReport["summary"]
  const close = (): void => {
    if (name === undefined) return
    const skipped = said
      .filter((line) => line.includes("[SKIPPED]"))
      .map((line) => line.replace(/^.*\[SKIPPED\]\s*/, ""))
    const outcome = failed === undefined || failed ? "failed" : skipped.length > 0 ? "skipped" : "passed"
    const messages =
      outcome === "skipped"
        ? skipped
        : outcome === "failed"
          ? said.map((line) => line.replace(NUMBERING, ""))
          : []
    tests.push({
      name: `${suite}.${name}`,
      outcome,
      messages: [...new Set(messages)].slice(0, MESSAGES_MAX),
      places: outcome === "failed" ? [...places] : [],
    })
    name = undefined
  }
  for (const line of output.split("\n")) {
    const nextSuite = SUITE.exec(line)?.[1]
    const nextTest = TEST.exec(line)
    const counts = SUMMARY.exec(line)
    if (nextSuite !== undefined || nextTest || line.startsWith("Run Summary")) close()
    if (nextSuite !== undefined) suite = nextSuite
    if (counts) summary = { ran: Number(counts[1]), passed: Number(counts[2]), failed: Number(counts[3]) }
    if (nextTest) {
      name = nextTest[1]
      said = []
      places = new Set()
      failed = undefined
    }
    const place = ASSERTION.exec(line)?.[1]
    if (place !== undefined) places.add(place)
    const rest = nextTest ? (nextTest[2] ?? "") : line
    if (name === undefined || failed !== undefined) continue // after its verdict, others speak
    const verdict = VERDICT.exec(rest)?.[0]
    if (verdict !== undefined) failed = verdict.startsWith("FAILED")
    const text = rest.replace(VERDICT, "").trim()
    if (text !== "") said.push(text)
  }
  close()
  return { tests, summary }
}
