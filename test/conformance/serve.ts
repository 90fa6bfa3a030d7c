/** Starts `sanlet serve` as a user would, as a process of its own, and waits until it accepts logins. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const READY_DEADLINE_MS = 30_000
const STOP_DEADLINE_MS = 15_000

/** How a process is started: here, or on the host side of a test network. */
export type Spawn = (command: string, args: readonly string[], env: NodeJS.ProcessEnv) => ChildProcess

/** On Linux it dies with this process, however that ends. */
const spawnHere: Spawn = (command, args, env) => {
  const leash = process.platform === "linux" ? ["setpriv", "--pdeathsig", "KILL", command] : [command]
  const [program = command, ...rest] = [...leash, ...args]
  return spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"], env })
}

let stateFolder: string | undefined

/** The environment of whatever we serve: identities are remembered in a folder of this process, not in the user's. */
function environment(): NodeJS.ProcessEnv {
  if (stateFolder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "sanlet-state-"))
    process.once("exit", () => rmSync(made, { recursive: true, force: true }))
    stateFolder = made
  }
  return { ...process.env, XDG_STATE_HOME: stateFolder }
}

let built = false

/** Compiles the project once per process: what is served is what would be installed. */
function build(): void {
  if (built) return
  const done = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.build.json"], {
    cwd: root,
    encoding: "utf8",
  })
  if (done.status !== 0) throw new Error(`the build failed:\n${done.stdout}${done.stderr}`)
  built = true
}

/** A serving process. */
export class Served {
  /** One iscsi:// URL per LUN, in the order it told them. */
  readonly urls: readonly string[]
  readonly child: ChildProcess
  readonly #output: readonly string[]
  #told = false

  constructor(child: ChildProcess, urls: readonly string[], output: readonly string[]) {
    this.child = child
    this.urls = urls
    this.#output = output
  }

  get url(): string {
    const [url] = this.urls
    if (url === undefined) throw new Error("it serves no LUN")
    return url
  }

  /** Everything it has written so far. */
  get output(): string {
    return this.#output.join("")
  }

  /** Throws when it has ended without being told to. */
  checkRuns(): void {
    const { exitCode, signalCode } = this.child
    if (this.#told || (exitCode === null && signalCode === null)) return
    throw new Error(`serve ended by itself, with ${exitCode ?? signalCode}:\n${this.output}`)
  }

  /** Ends it as Ctrl-C does and returns its exit code; throws when it doesn't end in time, or had ended by itself. */
  async stop(): Promise<number | null> {
    this.checkRuns()
    this.#told = true
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode
    const ended = once(this.child, "exit")
    this.child.kill("SIGINT")
    const late = setTimeout(() => this.child.kill("SIGKILL"), STOP_DEADLINE_MS)
    const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null]
    clearTimeout(late)
    if (signal === "SIGKILL")
      throw new Error(`serve did not end within ${STOP_DEADLINE_MS} ms:\n${this.output}`)
    return code
  }

  /** Ends it without a chance to clean up. */
  async kill(): Promise<void> {
    this.#told = true
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, "exit")
    this.child.kill("SIGKILL")
    await ended
  }
}

/** Runs `sanlet serve ARGS...`; ready when it has told of `luns` logical units. */
export async function serve(
  args: readonly string[],
  { luns = 1, spawn: start = spawnHere }: { luns?: number; spawn?: Spawn } = {},
): Promise<Served> {
  build()
  const child = start(
    process.execPath,
    [join(root, "dist", "cli", "main.js"), "serve", ...args],
    environment(),
  )
  const output: string[] = []
  const urls: string[] = []
  let rest = ""
  const ready = new Promise<void>((resolve, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => reject(new Error(`serve ended with ${code ?? signal}`)))
    child.stdout?.on("data", (chunk: Buffer) => {
      output.push(chunk.toString())
      const lines = (rest + chunk.toString()).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) {
        const url = /^ready (iscsi:\S+)/.exec(line)?.[1]
        if (url !== undefined && urls.push(url) === luns) resolve()
      }
    })
    child.stderr?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
    setTimeout(() => reject(new Error("serve is not ready in time")), READY_DEADLINE_MS).unref()
  })
  try {
    await ready
  } catch (error) {
    child.kill("SIGKILL")
    throw new Error(`${(error as Error).message}\nserve ${args.join(" ")}\n${output.join("")}`, {
      cause: error,
    })
  }
  return new Served(child, urls, output)
}

/** A temporary folder with images in it. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), "sanlet-conformance-"))

  path(name: string): string {
    return join(this.folder, name)
  }

  /** A sparse file of `sizeBytes`. */
  image(name: string, sizeBytes: number): string {
    const path = this.path(name)
    writeFileSync(path, "")
    truncateSync(path, sizeBytes)
    return path
  }

  /** A configuration file; YAML takes JSON as it is. */
  configuration(name: string, content: object): string {
    const path = this.path(name)
    writeFileSync(path, JSON.stringify(content, undefined, 2))
    return path
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export const MiB = 1024 * 1024
