import type { Document, LineCounter, Node } from "yaml"
import { isAlias, isMap, isScalar, isSeq } from "yaml"
import type * as z from "zod"
import { suggest } from "../suggest.ts"

/** Something wrong in a configuration file. Lines and columns count from 1. */
export interface ConfigurationIssue {
  readonly line: number
  readonly column: number
  /** As "targets[0].luns[1].device.size"; empty: the whole file. */
  readonly path: string
  /** What was expected, and what is there instead. */
  readonly message: string
}

type Path = readonly PropertyKey[]

/** Gives zod's issues their places in the file, in the order of the file. */
export function locateIssues(
  issues: readonly z.core.$ZodIssue[],
  document: Document,
  lines: LineCounter,
): ConfigurationIssue[] {
  const located = issues
    .flatMap((issue) => messagesOf(issue, document))
    .map(({ path, key, message }) => {
      const { line, col } = lines.linePos(offsetOf(document, path, key))
      return { line, column: col, path: formatPath(key === undefined ? path : [...path, key]), message }
    })
  // What follows from the first error of a value says nothing new.
  const paths = new Set<string>()
  const first = located.filter(({ path }) => !paths.has(path) && paths.add(path))
  return first.sort((a, b) => a.line - b.line || a.column - b.column)
}

interface Message {
  readonly path: Path
  /** The key within the map at `path` that is meant itself, not its value. */
  readonly key?: string
  readonly message: string
}

function messagesOf(issue: z.core.$ZodIssue, document: Document): Message[] {
  if (issue.code === "unrecognized_keys") {
    const messages = issue.message.split("\n")
    return issue.keys.map((key, i) => ({
      path: issue.path,
      key,
      message: messages[i] ?? `unknown key "${key}"`,
    }))
  }
  if (issue.code === "custom") return [{ path: issue.path, message: issue.message }]
  const found = describeFound(document, issue.path)
  const choices = choicesOf(issue)
  if (found === undefined) return [{ path: issue.path, message: `missing; ${issue.message}` }]
  const meant = choices && found.text !== undefined ? suggest(found.text, choices) : undefined
  const hint = meant && meant !== found.text ? `; did you mean "${meant}"?` : ""
  return [{ path: issue.path, message: `${issue.message}, found ${found.phrase}${hint}` }]
}

function choicesOf(issue: z.core.$ZodIssue): string[] | undefined {
  if (issue.code === "invalid_value") return issue.values.map(String)
  if (issue.code === "invalid_union" && "options" in issue) return issue.options?.map(String)
  return undefined
}

/** zod's words for kinds of values, in a configuration file's. */
const kinds: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a section (keys with values)",
}

/** What was expected, for issues of fields that don't say it themselves. */
export function expectation(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return `expected ${kinds[issue.expected as string] ?? issue.expected}`
    case "invalid_value":
      return `expected ${oneOf(issue.values as unknown[])}`
    case "invalid_union":
      return "options" in issue ? `expected ${oneOf(issue["options"] as unknown[])}` : undefined
    case "too_small":
      return issue.origin === "array" || issue.origin === "string"
        ? `expected at least ${issue.minimum} ${counted(issue.origin, issue.minimum)}`
        : `expected ${issue.minimum} or more`
    case "too_big":
      return issue.origin === "array" || issue.origin === "string"
        ? `expected at most ${issue.maximum} ${counted(issue.origin, issue.maximum)}`
        : `expected ${issue.maximum} or less`
    default:
      return undefined
  }
}

function counted(origin: string, count: unknown): string {
  const noun = origin === "array" ? "entry" : "character"
  if (Number(count) === 1) return noun
  return origin === "array" ? "entries" : "characters"
}

function oneOf(values: readonly unknown[]): string {
  const words = [...new Set(values.filter((value) => value !== null).map(String))]
  if (words.length <= 1) return words.join("")
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`
}

interface Found {
  readonly phrase: string
  /** The text of a scalar that is text, for suggestions. */
  readonly text?: string
}

const FOUND_CHARACTERS_MAX = 60

/** Undefined: there is nothing, not even a key. */
function describeFound(document: Document, path: Path): Found | undefined {
  const node = nodeAt(document, path)
  if (node === undefined) return undefined
  if (isMap(node)) return { phrase: "a section" }
  if (isSeq(node)) return { phrase: node.items.length === 0 ? "an empty list" : "a list" }
  if (!isScalar(node) || node.value === null) return { phrase: "nothing" }
  if (String(path.at(-1)).startsWith("secret"))
    return { phrase: typeof node.value === "string" ? "text" : `a ${typeof node.value}` }
  const text = node.value
  if (typeof text !== "string") return { phrase: JSON.stringify(text) }
  const shown = text.length > FOUND_CHARACTERS_MAX ? `${text.slice(0, FOUND_CHARACTERS_MAX)}…` : text
  return { phrase: JSON.stringify(shown), text }
}

function nodeAt(document: Document, path: Path): Node | undefined {
  let node: unknown = document.contents
  for (const step of path) {
    node = isAlias(node) ? node.resolve(document) : node
    if (isMap(node)) node = node.get(step, true)
    else if (isSeq(node)) node = node.get(Number(step), true)
    else return undefined
  }
  if (isAlias(node)) node = node.resolve(document)
  return (node ?? undefined) as Node | undefined
}

/** Where the node at `path` begins; for what is missing, where the nearest section around it does. */
function offsetOf(document: Document, path: Path, key: string | undefined): number {
  if (key !== undefined) {
    const offset = keyOffset(nodeAt(document, path), key)
    if (offset !== undefined) return offset
  }
  for (let length = path.length; length > 0; length--) {
    const there = path.slice(0, length)
    const missing = length < path.length
    // A section that lacks something is pointed at by its key: its own first line is another key's.
    const named = missing ? keyOffset(nodeAt(document, there.slice(0, -1)), there.at(-1)) : undefined
    const offset = named ?? nodeAt(document, there)?.range?.[0]
    if (offset !== undefined) return offset
  }
  return document.contents?.range?.[0] ?? 0
}

function keyOffset(node: unknown, key: PropertyKey | undefined): number | undefined {
  if (!isMap(node)) return undefined
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
  return isScalar(pair?.key) ? pair.key.range?.[0] : undefined
}

export function formatPath(path: Path): string {
  return path
    .map((step, i) => (typeof step === "number" ? `[${step}]` : `${i > 0 ? "." : ""}${String(step)}`))
    .join("")
}
