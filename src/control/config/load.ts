import { readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { LineCounter, parseDocument, type YAMLParseError } from "yaml"
import * as z from "zod"
import { SanletError } from "../../base/errors.ts"
import { CONFIGURATION_ALIASES_MAX, CONFIGURATION_BYTES_MAX } from "../../base/limits.ts"
import type { ConfigurationContext } from "./context.ts"
import { type ConfigurationIssue, expectation, locateIssues } from "./issues.ts"
import { type Configuration, configurationSchema } from "./schema.ts"

/**
 * A configuration that can't be used. Its message has a line per issue: file:line:column: key path: what was
 * expected. Code: ERR_CONFIGURATION.
 */
export class ConfigurationError extends SanletError {
  readonly file: string
  readonly issues: readonly ConfigurationIssue[]

  constructor(file: string, issues: readonly ConfigurationIssue[]) {
    const lines = issues.slice(0, ISSUES_SHOWN_MAX).map((issue) => formatIssue(file, issue))
    if (issues.length > lines.length) lines.push(`${file}: and ${issues.length - lines.length} more`)
    super("ERR_CONFIGURATION", lines.join("\n"))
    this.file = file
    this.issues = issues
  }
}

const ISSUES_SHOWN_MAX = 20

function formatIssue(file: string, { line, column, path, message }: ConfigurationIssue): string {
  return `${file}:${line}:${column}: ${path ? `${path}: ` : ""}${message}`
}

/** Reads a YAML file. Throws ConfigurationError, or SanletError ERR_CONFIGURATION_FILE when it can't be read. */
export function loadConfiguration(file: string, env: ConfigurationContext["env"]): Configuration {
  const readFile = (path: string) => readFileSync(path, "utf8")
  let text: string
  try {
    text = readFile(file)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const why = code === "ENOENT" ? "there is no such file" : (code ?? (error as Error).message)
    throw new SanletError("ERR_CONFIGURATION_FILE", `cannot read ${file}: ${why}`, { cause: error })
  }
  return parseConfiguration(text, file, { directory: dirname(resolve(file)), env, readFile })
}

/** The same from text; `file` is for messages. Throws ConfigurationError. */
export function parseConfiguration(text: string, file: string, context: ConfigurationContext): Configuration {
  const top = (message: string) => new ConfigurationError(file, [{ line: 1, column: 1, path: "", message }])
  if (text.length > CONFIGURATION_BYTES_MAX) throw top(`longer than ${CONFIGURATION_BYTES_MAX} bytes`)
  const lines = new LineCounter()
  let document: ReturnType<typeof parseDocument>
  let value: unknown
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2" })
    if (document.errors.length === 0) value = document.toJS({ maxAliasCount: CONFIGURATION_ALIASES_MAX })
  } catch (error) {
    // Aliases of aliases, and nesting beyond the stack.
    throw top(error instanceof RangeError ? "nested too deeply" : (error as Error).message.replace(/\.$/, ""))
  }
  if (document.errors.length > 0) {
    const issues = syntaxIssues(document.errors, lines)
    throw new ConfigurationError(file, issues)
  }
  if (value === null || value === undefined) throw top('empty; expected at least "targets"')
  const parsed = configurationSchema(context).safeParse(value, { error: expectation })
  if (parsed.success) return parsed.data
  throw new ConfigurationError(file, locateIssues(parsed.error.issues, document, lines))
}

/** One per place: what follows from the first error there says nothing new. */
function syntaxIssues(errors: readonly YAMLParseError[], lines: LineCounter): ConfigurationIssue[] {
  const byPlace = new Map<number, ConfigurationIssue>()
  for (const { pos, message } of errors) {
    if (byPlace.has(pos[0])) continue
    const { line, col } = lines.linePos(pos[0])
    const said = /call stack/.test(message) ? "nested too deeply" : message.replaceAll("\n", " ")
    byPlace.set(pos[0], { line, column: col, path: "", message: said })
  }
  return [...byPlace.values()]
}

/** The JSON Schema (2020-12) of configuration files, for editors. */
export function configurationJsonSchema(): object {
  const schema = configurationSchema({ directory: "/", env: {}, readFile: () => "" })
  return {
    title: "sanlet configuration",
    ...z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }),
  }
}
