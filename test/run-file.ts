/** Runs one test file in a process of its own through node:test and gathers what came of it. */
import { join } from "node:path"
import { run } from "node:test"
import { inspect } from "node:util"

/** The counts node:test closes a run with. */
export interface Closing {
  tests: number
  suites: number
  pass: number
  fail: number
  cancelled: number
  skipped: number
  todo: number
}

export interface FileResult {
  readonly path: string
  readonly ok: boolean
  readonly closing: Closing
  readonly seconds: number
  /** One text per failed test: its name and why. */
  readonly failures: readonly string[]
  /** One text per skipped test: its name and the reason. */
  readonly skips: readonly string[]
}

export function noClosing(): Closing {
  return { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 }
}

/** What node's TAP reporter ends with. */
export function closingLines(closing: Closing, durationMs: number): string {
  const counts = Object.entries(closing).map(([name, count]) => `# ${name} ${count}`)
  return [...counts, `# duration_ms ${Math.round(durationMs)}`].join("\n")
}

/** The reason node gives for a test that --grep left out. */
const NOT_ASKED_FOR = "test name does not match pattern"
/** Lines of output kept of a file that fails. */
const OUTPUT_LINES_KEPT = 60

/** Runs the file at `path` below `root`; `grep` limits it to tests whose name matches. */
export async function runFile(
  root: string,
  path: string,
  deadlineMs: number,
  grep: string | undefined,
): Promise<FileResult> {
  const startedMs = performance.now()
  const closing = noClosing()
  const failures: string[] = []
  const skips: string[] = []
  const output: string[] = []
  let ok = true
  const names = grep === undefined ? {} : { testNamePatterns: grep }
  for await (const { type, data } of run({ files: [join(root, path)], timeout: deadlineMs, ...names })) {
    if (type === "test:diagnostic" && data.nesting === 0) count(closing, data.message)
    else if (type === "test:stdout" || type === "test:stderr") output.push(data.message)
    else if (type === "test:pass" && data.skip !== undefined && data.skip !== NOT_ASKED_FOR)
      skips.push(`${data.name}: ${skipReason(data.skip)}`)
    else if (type === "test:fail") {
      ok = false
      if (data.details.type !== "suite" || isOwnFailure(data.details.error))
        failures.push(told(data.name, data.details.error))
    }
  }
  if (!ok && output.length > 0) failures.push(lastLines(output.join("")))
  return { path, ok, closing, seconds: (performance.now() - startedMs) / 1000, failures, skips }
}

function count(closing: Closing, message: string): void {
  const [name, value] = message.split(" ")
  if (name !== undefined && name in closing) closing[name as keyof Closing] += Number(value)
}

function skipReason(skip: string | boolean): string {
  return typeof skip === "string" && skip !== "" ? skip : "no reason given"
}

/** A suite fails because a test in it did (told already) or by itself: in a hook. */
function isOwnFailure(error: Error): boolean {
  return !("failureType" in error && error.failureType === "subtestsFailed")
}

function told(name: string, error: Error): string {
  const cause = error.cause ?? error
  return `${name}\n${cause instanceof Error ? withCauses(cause) : inspect(cause)}`
}

/** Message and stack of an error and of what caused it, without the frames of node itself. */
function withCauses(error: Error): string {
  const lines = (error.stack ?? error.message).split("\n")
  const own = lines.filter((line) => !/^\s+at .*\b(?:node:|new Promise|Array\.map)/.test(line)).join("\n")
  return error.cause instanceof Error ? `${own}\ncaused by: ${withCauses(error.cause)}` : own
}

function lastLines(text: string): string {
  const lines = text.trimEnd().split("\n")
  const kept = lines.slice(-OUTPUT_LINES_KEPT)
  return `output${kept.length < lines.length ? ` (last ${kept.length} of ${lines.length} lines)` : ""}:\n${kept.join("\n")}`
}
