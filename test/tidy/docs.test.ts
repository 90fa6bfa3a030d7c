/** What users are told stays complete: every limit and every error code has its line. */
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { limitsPage } from "./limits-page.ts"
import { read, root, sources } from "./tree.ts"

describe("docs", () => {
  test("docs/limits.md is what src/base/limits.ts says (npm run docs)", () => {
    assert.equal(read("docs/limits.md"), limitsPage())
    const names = [...read("src/base/limits.ts").matchAll(/^export const (\w+)/gm)].map(
      ([, name]) => `\`${name}\``,
    )
    assert.deepEqual(
      names.filter((name) => !limitsPage().includes(name)),
      [],
      "a limit needs a comment above it",
    )
  })

  test("docs/errors.md names every error code of src and cli, and no other", () => {
    const codes = new Set(
      [...sources("src"), ...sources("cli")].flatMap((path) =>
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

  for (const page of ["docs/spec-map.md", "docs/architecture.md"]) {
    test(`${page} names files that exist`, () => {
      const named = [...read(page).matchAll(/`((?:src|test)\/[^`]+)`/g)].map(([, path]) => path ?? "")
      assert.ok(named.length > 0)
      assert.deepEqual(
        named.filter((path) => !existsSync(join(root, path))),
        [],
      )
    })
  }

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
