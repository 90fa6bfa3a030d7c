import type { Terminal } from "./terminal.ts"

/** One run of a command. */
export interface Session {
  readonly terminal: Terminal
  /** Aborted by SIGINT and SIGTERM: the command ends what it does, in order. */
  readonly signal: AbortSignal
  /** From now on SIGHUP, which else ends the command as SIGTERM does, calls this. */
  readonly onHangup: (listener: () => void) => void
}
