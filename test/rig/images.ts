/** The virtual machine's images: built once per state of the build files, kept outside the checkout. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
/** What the images are made of; the other guest files go in at every boot. */
const inputs = [
  "build.sh",
  "build-root.sh",
  "build-kernel.sh",
  "build-siw.sh",
  "lib-apt.sh",
  "packages.txt",
  "modules.txt",
  "guest/agent.c",
]

/** SANLET_CACHE, or `sanlet` below the XDG cache directory. */
export function cacheFolder(): string {
  const xdg = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache")
  return process.env["SANLET_CACHE"] || join(xdg, "sanlet")
}

/** Where the images of this state of the build files are, or will be. */
export function imageFolder(): string {
  const hash = createHash("sha256")
  for (const input of inputs) hash.update(readFileSync(join(here, input)))
  hash.update(`RIG_SUITE=${process.env["RIG_SUITE"] ?? ""}\n`)
  return join(cacheFolder(), `rig-${hash.digest("hex").slice(0, 12)}`)
}

/** Builds the images when they are missing (half a minute to two, by the network); throws when that fails. */
export async function buildImages(say: (line: string) => void): Promise<string> {
  const folder = imageFolder()
  if (existsSync(folder)) return folder
  say(`building the virtual machine's images in ${folder}`)
  const partial = `${folder}.${process.pid}`
  mkdirSync(partial, { recursive: true })
  try {
    const build = spawn(join(here, "build.sh"), [], {
      env: { ...process.env, RIG_WORK: partial },
      stdio: ["ignore", "pipe", "pipe"],
    })
    const output: Buffer[] = []
    build.stdout.on("data", (chunk: Buffer) => output.push(chunk))
    build.stderr.on("data", (chunk: Buffer) => output.push(chunk))
    const [code] = await once(build, "close")
    if (code !== 0) throw new Error(`build.sh ended with ${code}:\n${Buffer.concat(output).toString()}`)
    if (!existsSync(folder)) renameSync(partial, folder)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  return folder
}
