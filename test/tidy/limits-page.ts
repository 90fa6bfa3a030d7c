/** Makes docs/limits.md of src/base/limits.ts: `npm run docs` writes it, a test holds it to the source. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { read, root } from "./tree.ts"

const INTRO = `# Limits

Everything a peer or a configuration can make grow has a bound, and all bounds stand in one file, \`src/base/limits.ts\`.
They are there so that a peer can only hurt itself: what is beyond one is refused, dropped or made to wait, as said here,
and nobody else notices. This page is made from that file (\`npm run docs\`).

| limit | value | what it bounds |
|---|---:|---|
`

/** A comment, and the constants that stand directly under it. */
const ENTRY = /^\/\*\* (.+) \*\/\n((?:export const \w+ = [^\n]+\n)+)/gm
const CONSTANT = /^export const (\w+) = ([^\n]+)$/gm

/** The whole page. */
export function limitsPage(): string {
  const rows = [...read("src/base/limits.ts").matchAll(ENTRY)].flatMap(([, comment = "", constants = ""]) => {
    return [...constants.matchAll(CONSTANT)].map(
      ([, name, value = ""]) => `| \`${name}\` | ${told(value)} | ${comment} |`,
    )
  })
  return `${INTRO}${rows.join("\n")}\n`
}

/** The value of a limit as a user reads it: the number itself. */
function told(expression: string): string {
  const factors = expression.replaceAll("_", "").split("*").map(Number)
  const value = factors.reduce((product, factor) => product * factor, 1)
  return Number.isNaN(value) ? `\`${expression}\`` : value.toLocaleString("en-US")
}

if (process.argv[1] === import.meta.filename) writeFileSync(join(root, "docs/limits.md"), limitsPage())
