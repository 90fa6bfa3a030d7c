#!/usr/bin/env node
import { isatty } from "node:tty"
import { ExitCode } from "./exit-codes.ts"
import { run } from "./program.ts"
import { processTerminal } from "./terminal.ts"

const stopped = new AbortController()
let onHangup: (() => void) | undefined
const stop = (): void => {
  // Whoever asks twice doesn't want to wait.
  if (stopped.signal.aborted) process.exit(ExitCode.interrupted)
  stopped.abort()
}
process.on("SIGINT", stop)
process.on("SIGTERM", stop)
const onTerminal = isatty(2)
process.on("SIGHUP", () => {
  // A terminal that was closed takes what runs in it along.
  const closed = onTerminal && !isatty(2)
  if (onHangup && !closed) onHangup()
  else stop()
})
// The terminal is gone: nobody reads any more what it says, and it still ends in order.
process.stderr.on("error", () => {})
// "sanlet ls | head": the reader has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
  process.exit(ExitCode.success)
})

process.exitCode = await run(process.argv.slice(2), {
  terminal: processTerminal(),
  signal: stopped.signal,
  onHangup: (listener) => {
    onHangup = listener
  },
})
