/** The project's own files, and their code without comments and strings. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Paths below the project, with forward slashes: committed files and new ones git doesn't ignore, still there. */
export function projectFiles(): string[] {
  const listed = spawnSync(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
    {
      cwd: root,
      encoding: "utf8",
    },
  )
  if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr || listed.error}`)
  const paths = listed.stdout.split("\0").filter((path) => path !== "")
  return paths.filter((path) => contentOf(path) !== undefined)
}

/** TypeScript files below these folders. */
export function sources(...folders: string[]): string[] {
  return projectFiles().filter(
    (path) => path.endsWith(".ts") && folders.some((folder) => path.startsWith(`${folder}/`)),
  )
}

const contents = new Map<string, string | undefined>()

function contentOf(path: string): string | undefined {
  if (!contents.has(path)) {
    try {
      contents.set(path, readFileSync(join(root, path), "utf8"))
    } catch {
      contents.set(path, undefined)
    }
  }
  return contents.get(path)
}

export function read(path: string): string {
  return contentOf(path) ?? ""
}

/** A comment, a string (kept apart from code), or a regular expression holding a quote. */
const NOT_CODE =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|(?<=[=(,:!&|?[{};\n] *)\/(?![*/ ])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g

/** The code of a file: comments blanked, strings and regular expressions emptied; lines stay where they are. */
export function codeOf(path: string): string {
  return read(path).replace(NOT_CODE, (text) => {
    const newlines = text.replace(/[^\n]/g, "")
    return text.startsWith("/") ? newlines : '""'
  })
}

/** Every module a file imports or re-exports, as written. */
export function importsOf(path: string): string[] {
  const text = read(path).replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, "")
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^"'`;]*?\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g,
  )
  return [...found].map(([, from, bare]) => from ?? bare ?? "")
}

/** `path:line: what`, for every match of a global pattern in `text`. */
export function placesOf(path: string, text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => {
    const line = text.slice(0, match.index).split("\n").length
    return `${path}:${line}: ${match[0].trim()}`
  })
}
