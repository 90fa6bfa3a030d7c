/** House rules on the text of the project's files. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { codeOf, placesOf, projectFiles, read, sources } from "./tree.ts"

const HARD_LINES = 800
const SOFT_LINES = 400
const MEDIAN_LINES = 150
/** Pure tables, which may be as long as the standard makes them. */
const tables: readonly string[] = []

const words = (...list: string[]): RegExp => new RegExp(list.join("|"), "g")
const code = (): string[] =>
  sources("src", "cli", "test", "bench", "examples").filter((path) => !path.startsWith("test/tidy/"))

function none(
  paths: readonly string[],
  textOf: (path: string) => string,
  pattern: RegExp,
  instead: string,
): void {
  const places = paths.flatMap((path) => placesOf(path, textOf(path), pattern))
  assert.deepEqual(places, [], instead)
}

const lineCount = (path: string): number => read(path).split("\n").length - 1

describe("length of files", () => {
  test(`no file has more than ${HARD_LINES} lines`, (t) => {
    const long = code().filter((path) => !tables.includes(path) && lineCount(path) > SOFT_LINES)
    for (const path of long) t.diagnostic(`${path} has ${lineCount(path)} lines, more than ${SOFT_LINES}`)
    assert.deepEqual(
      long.filter((path) => lineCount(path) > HARD_LINES),
      [],
    )
  })

  test(`the median of src is at most ${MEDIAN_LINES} lines`, () => {
    const lengths = sources("src")
      .map(lineCount)
      .sort((a, b) => a - b)
    assert.ok((lengths[lengths.length >> 1] ?? 0) <= MEDIAN_LINES)
  })
})

describe("what has no place in the code", () => {
  test("leftovers", () => {
    none(code(), read, words("\\bTODO\\b", "\\bFIXME\\b", "\\bXXX\\b"), "do it, or write an issue")
    none(code(), codeOf, words("\\bdebugger\\b", "\\.only\\(", "\\bonly: true"), "remove it")
  })

  test("ways around the type checker", () => {
    none(code(), codeOf, words("\\bas any\\b", ": any\\b", "<any>"), "find the type, or use unknown")
    none(code(), read, words("@ts-ignore", "@ts-nocheck", "@ts-expect-error"), "make it type-check")
  })

  test("a lint rule is switched off only with a reason", () => {
    none(code(), read, /(?:oxlint|eslint|biome)-(?:disable|ignore)(?!.* (?:--|because) ).*/g, "add `-- why`")
  })

  test("skipped tests say why", () => {
    const tests = code().filter((path) => path.endsWith(".test.ts"))
    none(
      tests,
      codeOf,
      words(
        "\\bskip: true",
        "\\btodo: true",
        "\\.skip\\(\\)",
        "\\b(?:test|it|describe|suite)\\.(?:skip|todo)\\(",
      ),
      "skip: a reason",
    )
  })

  test("time, timers and chance come in through the door", () => {
    const hidden = words(
      "\\bset(?:Timeout|Interval|Immediate)\\b",
      "\\bDate\\.now\\b",
      "\\bnew Date\\(\\)",
      "\\bMath\\.random\\b",
      "\\bperformance\\.now\\b",
      "\\bprocess\\.hrtime\\b",
    )
    const paths = sources("src", "cli").filter((path) => !path.startsWith("src/base/"))
    none(paths, codeOf, hidden, "take a Clock or a Random (src/base)")
  })

  test("header reads through Buffer methods, twenty times slower than a DataView", () => {
    none(
      sources("src"),
      codeOf,
      /\.(?:read|write)U?Int(?:8|16|32)(?:BE|LE)\b/g,
      "use the layout views or a DataView",
    )
  })

  test("sorting numbers as text", () => {
    none(sources("src", "cli"), codeOf, /\.(?:sort|toSorted)\(\)/g, "say how to compare")
  })
})

describe("committed files speak of the project alone", () => {
  test("no paths of one machine, no registries' host names", () => {
    const paths = projectFiles().filter((path) => !path.startsWith("test/tidy/") && path !== "LICENSE")
    none(
      paths,
      read,
      /(?<![\w.-])\/(?:work|root|home\/\w+)\/[\w.-]+|\.\.\/shared\b(?!\/[\w-]+\.ts")/g,
      "name no machine's folders",
    )
    const hosts =
      /\b(?:registry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|(?:deb|ftp\.\w*|security|snapshot)\.debian\.org|npm\.pkg\.github\.com)/g
    none(paths, read, hosts, "whoever installs has a registry of their own")
  })

  test("package-lock.json names no address", () => {
    assert.doesNotMatch(read("package-lock.json"), /"resolved": "https?:/)
  })

  test("package-lock.json holds every platform's packages, or npm ci refuses it", () => {
    const { packages } = JSON.parse(read("package-lock.json")) as {
      packages: Record<string, { optionalDependencies?: object }>
    }
    const optional = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    assert.deepEqual(
      optional.filter((name) => !Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`))),
      [],
    )
  })

  test("files end with one newline and have no trailing blanks", () => {
    const paths = projectFiles().filter((path) => /\.(?:ts|md|json|sh|yaml|yml)$/.test(path))
    assert.deepEqual(
      paths.filter((path) => !/[^\n]\n$/.test(read(path))),
      [],
    )
    none(
      paths.filter((path) => !path.endsWith(".md")),
      read,
      /[ \t]+$/gm,
      "trailing blanks",
    )
  })
})
