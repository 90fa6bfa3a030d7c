#!/usr/bin/env node
import { ExitCode } from "./exit-codes.ts"
import { run } from "./program.ts"
import { processTerminal } from "./terminal.ts"

const stopped = new AbortController()
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    // Whoever asks twice doesn't want to wait.
    if (stopped.signal.aborted) process.exit(ExitCode.interrupted)
    stopped.abort()
  })
}
// "sanlet ls | head": the reader has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
  process.exit(ExitCode.success)
})

process.exitCode = await run(process.argv.slice(2), { terminal: processTerminal(), signal: stopped.signal })
