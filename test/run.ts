/**
 * Runs the tests, tier by tier, a line per file, and ends with the closing lines of node:test over all files.
 *
 *     npm test                        the quick tiers: no root, no packages, loopback only
 *     npm run test:all                everything; installs Debian packages and builds the virtual machine's images
 *     npm test -- FILE...             these files (or every test file below a folder)
 *     npm test -- --seed 7 FILE       simulations and fuzzers with this seed
 *     npm test -- --grep NAME         tests whose name matches the pattern
 */
import { readdirSync, statSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Closing, closingLines, type FileResult, noClosing, runFile } from "./run-file.ts"
import { prepareMachine } from "./setup.ts"

const testFolder = dirname(fileURLToPath(import.meta.url))
const root = dirname(testFolder)

interface Tier {
  readonly name: string
  /** Path below test/, or of the project for a file elsewhere. */
  readonly holds: (path: string) => boolean
  readonly quick: boolean
  readonly concurrency: number
  readonly deadlineMs: number
}

const minute = 60_000
/** In the order they run; a file belongs to the first tier that holds it. */
const tiers: readonly Tier[] = [
  {
    name: "vm",
    holds: (p) => /conformance\/vm-/.test(p),
    quick: false,
    concurrency: 1,
    deadlineMs: 12 * minute,
  },
  {
    name: "conformance",
    holds: (p) => /\bconformance\//.test(p),
    quick: false,
    concurrency: 1,
    deadlineMs: 8 * minute,
  },
  {
    name: "tidy",
    holds: (p) => p.startsWith("test/tidy/"),
    quick: true,
    concurrency: 1,
    deadlineMs: 3 * minute,
  },
  {
    name: "sim",
    holds: (p) => /^test\/(sim|fuzz|load)\//.test(p),
    quick: true,
    concurrency: 2,
    deadlineMs: 8 * minute,
  },
  { name: "unit", holds: () => true, quick: true, concurrency: 4, deadlineMs: 2 * minute },
]
const order = ["tidy", "unit", "sim", "conformance", "vm"]

function testFilesBelow(path: string): string[] {
  if (statSync(path).isFile()) return [path]
  const names = readdirSync(path, { recursive: true, encoding: "utf8" })
  return names.filter((name) => name.endsWith(".test.ts")).map((name) => join(path, name))
}

/** Test files by tier, in the order the tiers run. */
function plan(files: readonly string[]): Map<Tier, string[]> {
  const planned = new Map<Tier, string[]>()
  for (const name of order) planned.set(tierNamed(name), [])
  for (const file of files) {
    const path = relative(root, file)
    const tier = tiers.find((candidate) => candidate.holds(path)) ?? tierNamed("unit")
    planned.get(tier)?.push(path)
  }
  for (const paths of planned.values()) paths.sort((a, b) => (a < b ? -1 : 1))
  return planned
}

function tierNamed(name: string): Tier {
  const tier = tiers.find((candidate) => candidate.name === name)
  if (!tier) throw new Error(`no tier is called ${name}: ${order.join(", ")}`)
  return tier
}

/** Runs `files` with a few workers, telling of each as it ends. */
async function runTier(
  tier: Tier,
  files: readonly string[],
  grep: string | undefined,
): Promise<FileResult[]> {
  const waiting = [...files]
  const results: FileResult[] = []
  const worker = async (): Promise<void> => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      const result = await runFile(root, path, tier.deadlineMs, grep)
      results.push(result)
      report(tier, result)
    }
  }
  const workers = Math.min(tier.concurrency, availableParallelism(), files.length)
  await Promise.all(Array.from({ length: workers }, worker))
  return results
}

function report(tier: Tier, { path, closing, seconds, failures, skips, ok }: FileResult): void {
  const counts =
    closing.skipped > 0 ? `${closing.pass} passed, ${closing.skipped} skipped` : `${closing.pass} passed`
  const failed = ok ? "" : `, ${closing.fail + closing.cancelled} FAILED`
  console.log(
    `${ok ? "ok  " : "FAIL"} ${tier.name.padEnd(11)} ${path}  ${counts}${failed}  ${seconds.toFixed(1)} s`,
  )
  for (const skip of skips) console.log(`       skipped: ${skip}`)
  for (const failure of failures) console.log(indent(failure))
}

function indent(text: string): string {
  return text.replace(/^/gm, "       ")
}

function sum(results: readonly FileResult[]): Closing {
  const total = noClosing()
  for (const { closing } of results) {
    for (const key of Object.keys(total) as (keyof Closing)[]) total[key] += closing[key]
  }
  return total
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      all: { type: "boolean", default: false },
      tier: { type: "string", multiple: true },
      seed: { type: "string" },
      grep: { type: "string" },
    },
  })
  if (values.seed !== undefined) process.env["SANLET_SEED"] = values.seed
  const startedMs = performance.now()
  const named = positionals.length > 0
  const roots = named ? positionals.map((path) => resolve(path)) : [testFolder]
  const wanted = values.tier?.map(tierNamed)
  if (values.all) await prepareMachine(root)
  const results: FileResult[] = []
  for (const [tier, files] of plan(roots.flatMap(testFilesBelow))) {
    const runs = wanted ? wanted.includes(tier) : named || values.all || tier.quick
    if (runs) results.push(...(await runTier(tier, files, values.grep)))
  }
  const failed = results.filter((result) => !result.ok)
  if (failed.length > 0)
    console.log(`\nfailed:\n${failed.map(({ path }) => `  npm test -- ${path}`).join("\n")}`)
  console.log(`\n${closingLines(sum(results), performance.now() - startedMs)}`)
  return failed.length > 0 || results.length === 0 ? 1 : 0
}

process.exitCode = await main()
