/** What users are told stays complete: every limit and every error code has its line. */
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { read, root, sources } from "./tree.ts"

describe("docs", () => {
  test("docs/limits.md names every limit with its value", () => {
    const page = read("docs/limits.md")
    const limits = [...read("src/base/limits.ts").matchAll(/^export const (\w+) = ([^\n]+)$/gm)]
    assert.ok(limits.length > 0)
    const missing = limits.filter(
      ([, name, value]) => !page.includes(`| \`${name}\` | ${told(value ?? "")} |`),
    )
    assert.deepEqual(
      missing.map(([, name, value]) => `| \`${name}\` | ${told(value ?? "")} |`),
      [],
    )
  })

  test("docs/errors.md names every error code of src, and no other", () => {
    const codes = new Set(
      sources("src").flatMap((path) =>
        [...read(path).matchAll(/"(ERR_[A-Z0-9_]+)"/g)].map(([, code]) => code ?? ""),
      ),
    )
    assert.ok(codes.size > 0)
    const told = new Set(
      [...read("docs/errors.md").matchAll(/`(ERR_[A-Z0-9_]+)`/g)].map(([, code]) => code ?? ""),
    )
    assert.deepEqual(
      [...codes].filter((code) => !told.has(code)),
      [],
      "codes without a line in docs/errors.md",
    )
    assert.deepEqual(
      [...told].filter((code) => !codes.has(code)),
      [],
      "lines of docs/errors.md without a code",
    )
  })

  test("links between the pages lead somewhere", () => {
    const pages = [
      "README.md",
      "CONTRIBUTING.md",
      ...["architecture", "limits", "errors", "spec-map"].map((name) => `docs/${name}.md`),
    ]
    const broken = pages.flatMap((page) => {
      const folder = page.includes("/") ? "docs" : ""
      const links = [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(
        ([, link]) => link ?? "",
      )
      return links.filter((link) => !existsSync(join(root, folder, link))).map((link) => `${page}: ${link}`)
    })
    assert.deepEqual(broken, [])
  })
})

/** The value of a limit as a user reads it: the number itself. */
function told(expression: string): string {
  const factors = expression.replaceAll("_", "").split("*").map(Number)
  const value = factors.reduce((product, factor) => product * factor, 1)
  return Number.isNaN(value) ? expression : value.toLocaleString("en-US")
}
