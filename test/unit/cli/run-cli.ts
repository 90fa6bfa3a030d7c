import fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { TestContext } from "node:test"
import type { ExitCode } from "../../../cli/exit-codes.ts"
import { styleFor } from "../../../cli/output/style.ts"
import { run } from "../../../cli/program.ts"
import { systemClock } from "../../../src/base/clock.ts"

export interface CliResult {
  readonly exitCode: ExitCode
  readonly out: string
  readonly err: string
}

/** The program in this process: with a folder of its own, a state folder in it, and terminals that are texts. */
export class Cli {
  readonly folder: string
  readonly env: NodeJS.ProcessEnv

  constructor(t: TestContext) {
    this.folder = fs.mkdtempSync(join(tmpdir(), "sanlet-cli-"))
    this.env = { XDG_STATE_HOME: join(this.folder, "state") }
    t.after(() => fs.rmSync(this.folder, { recursive: true, force: true }))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  async run(...args: string[]): Promise<CliResult> {
    return await this.start(args).ended
  }

  /** `tty`: both outputs are terminals of 100 columns. */
  start(args: readonly string[], tty = false): RunningCli {
    return new RunningCli(args, this.env, tty)
  }

  /** `sanlet serve` on a free port, until the test ends; its URLs. */
  async serve(t: TestContext, ...args: string[]): Promise<{ urls: string[]; running: RunningCli }> {
    const listen = args.includes("--config") ? [] : ["--listen", "127.0.0.1:0"]
    const running = this.start(["serve", ...listen, "--log-format", "text", ...args])
    t.after(() => running.stop())
    const urls = await running.ready()
    return { urls, running }
  }
}

export class RunningCli {
  readonly ended: Promise<CliResult>
  out = ""
  err = ""
  readonly #stop = new AbortController()
  #written: () => void = () => {}

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, tty: boolean) {
    const stream = (append: (text: string) => void) => ({
      isTTY: tty,
      columns: 100,
      write: (text: string) => {
        append(text)
        this.#written()
      },
    })
    const out = stream((text) => {
      this.out += text
    })
    const err = stream((text) => {
      this.err += text
    })
    const terminal = {
      out,
      err,
      env,
      clock: systemClock,
      style: styleFor({}, env),
      errStyle: styleFor({}, env),
    }
    const session = { terminal, signal: this.#stop.signal, onHangup: () => {} }
    this.ended = run(args, session).then((exitCode) => ({
      exitCode,
      out: this.out,
      err: this.err,
    }))
  }

  /** As a first Ctrl-C does. */
  stop(): Promise<CliResult> {
    this.#stop.abort()
    return this.ended
  }

  async ready(): Promise<string[]> {
    const ended = this.ended.then((result) => {
      throw new Error(`it ended before it was ready: ${JSON.stringify(result)}`)
    })
    const ready = new Promise<void>((resolve) => {
      this.#written = () => this.out.includes("ready ") && resolve()
    })
    await Promise.race([ready, ended])
    ended.catch(() => {})
    return [...this.out.matchAll(/^ready (\S+)$/gm)].map(([, url]) => url ?? "")
  }
}
