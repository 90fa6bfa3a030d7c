/** docs/spec-map.md and the SCSI engine's own tables tell of the same commands, pages, sense codes and statuses. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { commands, type Known, logPages, modePages, senses, statuses, vpdPages } from "./scsi-rows.ts"
import { codeOf, projectFiles, read, sources } from "./tree.ts"

/** A row of the document: | name | code | on | clause | code files | test files |, `on` only where it says something. */
interface Told {
  readonly name: string
  readonly code: string
  readonly on: string | undefined
  readonly clause: string
  readonly files: readonly string[]
  readonly tests: readonly string[]
}

const pathsIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+\.ts)`/g)].map(([, path]) => path ?? "")

/** The rows of all tables between a heading and the next of the same or a higher level. */
function rowsBelow(heading: string): Told[] {
  const [, after = ""] = read("docs/spec-map.md").split(`\n### ${heading}\n`)
  const lines = after.split(/\n##?#? /)[0]!.split("\n")
  const cells = lines.filter((line) => line.startsWith("| ")).map((line) => line.slice(2, -2).split(" | "))
  const rows = cells.filter(([, code = ""]) => /^[0-9A-F]{2}h/.test(code))
  return rows.map((row) => {
    const [name = "", code = ""] = row
    const [clause = "", files = "", tests = ""] = row.slice(-3)
    const on = row.length > 5 ? row[2] : undefined
    return { name, code, on, clause, files: pathsIn(files), tests: pathsIn(tests) }
  })
}

/** Comments don't count: what a test shows it has in its code or in its titles. */
const testText = (path: string): string => read(path).replace(/^\s*(?:\/\/|\/?\*).*$/gm, "")

const existing = new Set(projectFiles())
const STANDARD = /^(?:SPC-[2-5]|SBC-[2-4]|SAM-5|MMC-6)\b/

/** What is wrong with a row, in words. */
function faultsOf(told: Told, known: Known): string[] {
  const { name, on, clause, files, tests } = told
  const faults: string[] = []
  if (known.name !== undefined && name !== known.name) faults.push(`is called ${known.name}`)
  if (known.on !== undefined && on !== known.on) faults.push(`is on: ${known.on}`)
  if (!STANDARD.test(clause)) faults.push("names no clause of a standard")
  if (files.length === 0) faults.push("names no code")
  if (tests.length === 0) faults.push("names no test")
  for (const path of files) {
    if (!existing.has(path)) faults.push(`${path} doesn't exist`)
    else if (known.doneBy && !known.doneBy.test(read(path)))
      faults.push(`${path} has no ${known.doneBy.source}`)
  }
  for (const path of tests) {
    if (!existing.has(path) || !path.endsWith(".test.ts")) faults.push(`${path} is no test`)
    else if (!known.shownBy.test(testText(path))) faults.push(`${path} has no ${known.shownBy.source}`)
  }
  return faults.map((fault) => `${told.code} (${name}): ${fault}`)
}

function compare(heading: string, all: readonly Known[]): void {
  const rows = rowsBelow(heading)
  assert.ok(all.length > 0)
  const known = new Map(all.map((each) => [each.code, each]))
  const told = rows.map(({ code }) => code)
  const problems = [
    ...all
      .filter(({ code }) => !told.includes(code))
      .map(
        ({ name, code, on }) =>
          `no row: | ${[name, code, on].filter(Boolean).join(" | ")} | clause | code | test |`,
      ),
    ...told.filter((code, at) => told.indexOf(code) !== at).map((code) => `${code} has two rows`),
    ...rows.flatMap((row) => {
      const thing = known.get(row.code)
      return thing ? faultsOf(row, thing) : [`${row.code} (${row.name}): the engine doesn't know it`]
    }),
  ]
  assert.deepEqual(problems, [])
}

describe("docs/spec-map.md, SCSI item by item", () => {
  test("every command on every kind of unit", async () => compare("Commands", await commands()))
  test("every VPD page", async () => compare("Vital product data pages", await vpdPages()))
  test("every mode page", async () => compare("Mode pages", await modePages()))
  test("every log page", async () => compare("Log pages", await logPages()))
  test("every additional sense code", () => compare("Additional sense codes", senses))
  test("every status", () => compare("Status codes", statuses))

  test("an additional sense code that nothing reports isn't kept", () => {
    const engine = sources("src/scsi", "src/target")
      .filter((path) => path !== "src/scsi/spec/sense.ts")
      .map(codeOf)
      .join("\n")
    const unused = senses.filter(({ doneBy }) => !doneBy?.test(engine)).map(({ name }) => name)
    assert.deepEqual(unused, [])
  })
})
