/**
 * The key reference in docs/configuration.md, written from the schema. To bring the page up to date:
 *
 *     node --import tsx test/unit/control/config/reference.ts
 */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { configurationJsonSchema } from "../../../../src/control/config/load.ts"

interface Schema {
  readonly $ref?: string
  readonly $defs?: Readonly<Record<string, Schema>>
  readonly type?: string | string[]
  readonly const?: string | number
  readonly enum?: readonly (string | number | null)[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly minimum?: number
  readonly maximum?: number
  readonly description?: string
  readonly default?: unknown
}

const schema = configurationJsonSchema() as Schema
const page = fileURLToPath(new URL("../../../../docs/configuration.md", import.meta.url))
const BEGIN = "<!-- reference: written from the schema -->\n"

export const readPage = (): string => readFileSync(page, "utf8")

/** The page with its reference as it should be. */
export function pageWithReference(text: string): string {
  return `${text.slice(0, text.indexOf(BEGIN) + BEGIN.length)}\n${reference()}`
}

function reference(): string {
  const sections = [
    ["The file", rows(schema, "")],
    ...deviceSections(schema.$defs?.["device"]?.oneOf ?? []),
  ] as const
  return sections
    .map(([title, lines]) =>
      [`### ${title}`, "", "| Key | Value | Meaning |", "|---|---|---|", ...lines, ""].join("\n"),
    )
    .join("\n")
}

function deviceSections(kinds: readonly Schema[]): [string, string[]][] {
  return kinds.map((kind) => {
    const type = kind.properties?.["type"]
    const names = type?.const ?? type?.enum?.find((value) => value !== null)
    return [
      `Device \`type: ${String(names)}\``,
      rows(kind, "").filter((line) => !line.startsWith("| `type`")),
    ]
  })
}

/** A row per key, depth first; a list's keys are below `name[]`. */
function rows(section: Schema, prefix: string): string[] {
  return Object.entries(section.properties ?? {}).flatMap(([key, value]) => {
    const name = `${prefix}${key}`
    const needed = section.required?.includes(key) ? "" : "optional"
    const meaning = [value.description, needed].filter((part) => part).join("; ")
    const own = `| \`${name}\` | ${shape(value)} | ${meaning.replaceAll("|", "\\|")} |`
    return [own, ...rowsBelow(value, name)]
  })
}

function rowsBelow(value: Schema, name: string): string[] {
  if (value.items) return rowsBelow(value.items, `${name}[]`)
  if (value.properties) return rows(value, `${name}.`)
  const variants = value.anyOf ?? value.oneOf ?? []
  return [...new Set(variants.flatMap((variant) => rowsBelow(variant, name)))]
}

function shape(value: Schema): string {
  if (value.$ref) return "a device"
  if (value.const !== undefined) return String(value.const)
  if (value.enum) return [...new Set(value.enum.map(String))].join(", ")
  if (value.type === "object") return "section"
  const variants = value.anyOf ?? value.oneOf
  if (variants) {
    const types = variants.map(({ type }) => type)
    if (types.includes("integer") && types.includes("string")) return "size"
    // true and false stand for these, too.
    const words = variants.flatMap(({ enum: values }) => values ?? [])
    if (types.includes("boolean") && words.includes("on")) return words.join(", ")
    if (types.includes("boolean")) return "Yes, No"
    return [...new Set(variants.map(shape))].join(" or ")
  }
  if (value.items) return `list of ${plural(shape(value.items))}`
  if (value.type === "integer" || value.type === "number") return range(value)
  if (value.type === "boolean") return "true, false"
  return value.type === "string" ? "text" : String(value.type)
}

const plural = (what: string): string => (/^(section|device)$/.test(what) ? `${what}s` : what)

function range({ minimum, maximum, type }: Schema): string {
  const kind = type === "integer" ? "whole number" : "number"
  const open = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER
  return open
    ? `${kind}${minimum === undefined ? "" : `, at least ${minimum}`}`
    : `${kind}, ${minimum} to ${maximum}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(page, pageWithReference(readPage()))
