import { SanletError } from "../src/base/errors.ts"
import { ExitCode } from "./exit-codes.ts"
import { printable } from "./output/style.ts"
import { type Terminal, tell } from "./terminal.ts"

/** Wrong arguments: what is wrong, and what would be right. */
export class UsageError extends SanletError {
  constructor(message: string) {
    super("ERR_USAGE", message)
  }
}

/** The command did its work and has an unwelcome result; it has said so already. */
export class UnwelcomeResult extends Error {
  readonly exitCode: ExitCode

  constructor(exitCode: ExitCode) {
    super(`exit code ${exitCode}`)
    this.exitCode = exitCode
  }
}

/** By SIGINT or SIGTERM. */
export class Interrupted extends Error {}

const usageCodes: ReadonlySet<string> = new Set([
  "ERR_USAGE",
  "ERR_ISCSI_URL",
  "ERR_BENCH_OPTIONS",
  "ERR_ISCSI_NAME",
])

/** Tells of a failure in a line, and what to do about it if that is known. Returns how to exit. */
export function reportFailure(error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof UnwelcomeResult) return error.exitCode
  if (error instanceof Interrupted) return ExitCode.interrupted
  const { errStyle, env } = terminal
  const prefix = errStyle.red("sanlet:")
  if (!(error instanceof SanletError)) {
    tell(terminal, `${prefix} ${unexpected(error)}`)
    return ExitCode.failure
  }
  // The configuration's lines stand for themselves, so that editors and people find the places.
  if (error.code === "ERR_CONFIGURATION") {
    tell(terminal, ...error.message.split("\n").map(printable))
    return ExitCode.usage
  }
  const advice = adviceFor(error)
  tell(terminal, `${prefix} ${printable(error.message)}${advice ? `; ${advice}` : ""}`)
  if (env["SANLET_DEBUG"]) tell(terminal, error.stack ?? "")
  const usage = usageCodes.has(error.code) || error.code.startsWith("ERR_CONFIGURATION")
  return usage ? ExitCode.usage : ExitCode.failure
}

/** An error of the system is told like any other; one of ours that nobody meant is a bug. */
function unexpected(error: unknown): string {
  if (!(error instanceof Error)) return `unexpected: ${String(error)}`
  const { code } = error as NodeJS.ErrnoException
  if (code !== undefined) return printable(error.message)
  return `this is a bug, please report it: ${error.stack ?? error.message}`
}

/** What to do, by the errors' codes. */
const advices: Readonly<Record<string, string>> = {
  ERR_LOGIN_AUTHENTICATION_FAILURE: "give the CHAP name and secret in the URL: iscsi://user%secret@host/...",
  ERR_LOGIN_AUTHORIZATION_FAILURE: "the target's access list must allow this initiator (--initiator)",
  ERR_LOGIN_NOT_FOUND: "`sanlet discover iscsi://host` lists the targets there",
  ERR_NO_UNIT: "`sanlet ls iscsi://host` lists the LUNs there",
}

function adviceFor(error: SanletError): string | undefined {
  const systemCode = (error as { systemCode?: string }).systemCode
  if (systemCode === "EADDRINUSE") return "stop what listens there, or choose another with --listen HOST:PORT"
  if (systemCode === "EACCES" && error.code.startsWith("ERR_NETWORK"))
    return "ports below 1024 need root; try 3260"
  if (systemCode === "ECONNREFUSED") return "is the target started, and is this its port?"
  return advices[error.code]
}
