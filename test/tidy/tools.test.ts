/** The formatter, the linter, the type checker and the search for unused code find nothing to say. */
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { describe, test } from "node:test"
import { root } from "./tree.ts"

/** Runs a program of node_modules/.bin to its end; its output is the failure's message. */
function clean(tool: string, ...args: string[]): void {
  const program = join(root, "node_modules", ".bin", tool)
  const done = spawnSync(program, args, { cwd: root, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 })
  assert.equal(done.status, 0, `${tool} ${args.join(" ")}\n${done.error ?? ""}${done.stdout}${done.stderr}`)
}

describe("tools", () => {
  test("format", () => clean("biome", "format", "."))
  test("lint", () => clean("oxlint", "--deny-warnings", "."))
  test("types of everything", () => clean("tsc", "-p", "tsconfig.json"))
  test("types of the build", () => clean("tsc", "-p", "tsconfig.build.json", "--noEmit"))
  test("unused code", () => clean("knip"))
})
