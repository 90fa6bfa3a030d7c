/** Runs the programs sanlet is tested with. */
import { spawn } from "node:child_process"
import { once } from "node:events"

export interface Ran {
  readonly code: number | null
  /** Standard output and error, as they came. */
  readonly output: string
  readonly stdout: string
}

/** Runs a program to its end; throws only when it can't be started or doesn't end within `deadlineMs`. */
export async function run(command: string, args: readonly string[], deadlineMs = 120_000): Promise<Ran> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: deadlineMs,
    killSignal: "SIGKILL",
  })
  const output: Buffer[] = []
  const stdout: Buffer[] = []
  child.stdout.on("data", (chunk: Buffer) => {
    stdout.push(chunk)
    output.push(chunk)
  })
  child.stderr.on("data", (chunk: Buffer) => output.push(chunk))
  const [code, signal] = await once(child, "close").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error
    throw new Error(`${command} is not installed: npm run test:all installs what it can, as root on Debian`)
  })
  const text = Buffer.concat(output).toString()
  if (signal === "SIGKILL") throw new Error(`${command} did not end within ${deadlineMs} ms:\n${text}`)
  return { code, output: text, stdout: Buffer.concat(stdout).toString() }
}

/** Runs a program that must succeed and returns its standard output. */
export async function succeed(command: string, ...args: readonly string[]): Promise<string> {
  const ran = await run(command, args)
  if (ran.code !== 0) throw new Error(`exit code ${ran.code} of: ${command} ${args.join(" ")}\n${ran.output}`)
  return ran.stdout
}
